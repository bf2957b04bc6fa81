//! What the pixels of a set of images are like.

use rayon::prelude::*;
use vgg_tensor::Result;

use crate::Images;
use crate::threads::pool;

/// Images that are decoded before their sums are added, in stored order.
const AT_ONCE: usize = 256;

/// Moments of pixels on the scale 0 to 1. All images count the same, whatever their size.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The standard deviation of each channel.
    pub std: Vec<f64>,
    /// The principal components of the colours, if there are three.
    pub components: Option<Components>,
}

/// The eigenvalues and eigenvectors of the covariance of red, green and blue, the largest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Components {
    /// The eigenvalues.
    pub values: [f64; 3],
    /// The eigenvector of each: of length 1, its largest part positive.
    pub vectors: [[f64; 3]; 3],
}

impl Statistics {
    /// Of all `images`, at their own sizes. Nothing depends on the number of threads.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn of(images: &Images) -> Result<Self> {
        let channels = images.channels();
        let (mut sums, pool) = (Moments::default(), pool(0)?);
        for start in (0..images.len()).step_by(AT_ONCE) {
            let end = images.len().min(start + AT_ONCE);
            let parts = (start..end).into_par_iter().map(|i| {
                let picture = images.picture(i)?;
                Ok(Moments::of(&picture.pixels, channels))
            });
            for part in pool.install(|| parts.collect::<Result<Vec<_>>>())? {
                sums.add(&part);
            }
        }
        let n = images.len().max(1) as f64;
        let mean = sums.first.map(|sum| sum / n / 255.0);
        let covariance: [[f64; 3]; 3] = std::array::from_fn(|a| {
            std::array::from_fn(|b| sums.second[a][b] / n / (255.0 * 255.0) - mean[a] * mean[b])
        });
        Ok(Self {
            mean: mean[..channels].to_vec(),
            // Rounding may leave a little less than nothing.
            std: (0..channels).map(|c| covariance[c][c].max(0.0).sqrt()).collect(),
            components: (channels == 3).then(|| components(covariance)),
        })
    }
}

/// Mean pixel values and mean products of two channels.
#[derive(Default)]
struct Moments {
    first: [f64; 3],
    second: [[f64; 3]; 3],
}

impl Moments {
    fn of(pixels: &[u8], channels: usize) -> Self {
        let (mut first, mut second) = ([0_u64; 3], [[0_u64; 3]; 3]);
        for pixel in pixels.chunks_exact(channels) {
            for (a, x) in pixel.iter().enumerate() {
                first[a] += u64::from(*x);
                for (b, y) in pixel.iter().enumerate() {
                    second[a][b] += u64::from(*x) * u64::from(*y);
                }
            }
        }
        let n = (pixels.len() / channels) as f64;
        Self {
            first: first.map(|sum| sum as f64 / n),
            second: second.map(|row| row.map(|sum| sum as f64 / n)),
        }
    }

    fn add(&mut self, other: &Self) {
        for a in 0..3 {
            self.first[a] += other.first[a];
            for b in 0..3 {
                self.second[a][b] += other.second[a][b];
            }
        }
    }
}

/// The eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.
fn components(mut matrix: [[f64; 3]; 3]) -> Components {
    /// They converge quadratically; six would do.
    const SWEEPS: usize = 20;
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (p, q) in [(0, 1), (0, 2), (1, 2)].repeat(SWEEPS) {
        if matrix[p][q] == 0.0 {
            continue;
        }
        // The rotation of p and q after which they do not vary together.
        let angle = 0.5 * (2.0 * matrix[p][q]).atan2(matrix[p][p] - matrix[q][q]);
        let (sin, cos) = angle.sin_cos();
        let turn = |rows: &mut [[f64; 3]; 3]| {
            for i in 0..3 {
                let (x, y) = (rows[p][i], rows[q][i]);
                (rows[p][i], rows[q][i]) = (cos * x + sin * y, cos * y - sin * x);
            }
        };
        turn(&mut matrix);
        matrix = transposed(matrix);
        turn(&mut matrix);
        turn(&mut vectors);
    }
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| matrix[*b][*b].total_cmp(&matrix[*a][*a]));
    Components {
        values: order.map(|k| matrix[k][k].max(0.0)),
        vectors: order.map(|k| {
            let largest = vectors[k].into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            vectors[k].map(|x| x * largest.unwrap_or(1.0).signum())
        }),
    }
}

fn transposed(matrix: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| matrix[j][i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn images(shape: [usize; 3], n: usize, pixels: Vec<u8>) -> Images {
        Dataset::new(shape, pixels, vec![0; n], vec!["a".into()]).unwrap().into()
    }

    #[test]
    fn mean_and_deviation_of_two_levels() {
        let found = Statistics::of(&images([1, 1, 2], 2, vec![0, 255, 255, 255])).unwrap();
        assert_eq!((found.mean, found.components), (vec![0.75], None));
        assert!((found.std[0] - 0.1875_f64.sqrt()).abs() < 1e-12);
        let fashion = crate::sample::load(crate::fashion_mnist::Split::Train).unwrap();
        let found = Statistics::of(&fashion.into()).unwrap();
        // The whole data set has 0.2860 and 0.3530.
        assert!((found.mean[0] - 0.286).abs() < 0.01 && (found.std[0] - 0.353).abs() < 0.01);
    }

    #[test]
    fn colours_vary_along_their_components() {
        // Along (1, 1, 0)/√2 by ±100 and along (0, 0, 1) by ±50, independently.
        let step = |sign: f64| (128.0 + sign * 100.0 / 2_f64.sqrt()).round() as u8;
        let mut planes = [Vec::new(), Vec::new(), Vec::new()];
        for (along, blue) in [(1.0, 78), (1.0, 178), (-1.0, 78), (-1.0, 178)] {
            planes[0].push(step(along));
            planes[1].push(step(along));
            planes[2].push(blue);
        }
        let found = Statistics::of(&images([3, 2, 2], 1, planes.concat())).unwrap();
        let Components { values, vectors } = found.components.unwrap();
        let expected = [(100.0 / 255.0_f64).powi(2), (50.0 / 255.0_f64).powi(2), 0.0];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 2e-3, "{values:?}");
        }
        let half = 0.5_f64.sqrt();
        for (x, expected) in vectors[0].iter().zip([half, half, 0.0]) {
            assert!((x - expected).abs() < 1e-9, "{vectors:?}");
        }
        assert!((vectors[1][2] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn components_make_the_matrix_again() {
        let matrix = [[0.08, 0.07, 0.065], [0.07, 0.075, 0.07], [0.065, 0.07, 0.085]];
        let Components { values, vectors } = components(matrix);
        assert!(values.is_sorted_by(|a, b| a >= b));
        for a in 0..3 {
            for b in 0..3 {
                let sum: f64 = (0..3).map(|k| values[k] * vectors[k][a] * vectors[k][b]).sum();
                assert!((sum - matrix[a][b]).abs() < 1e-12);
            }
        }
    }
}
