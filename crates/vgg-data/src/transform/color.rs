//! The colour shift of AlexNet, which VGG was trained with, too.

use super::chance::{COLOR, Chance};

/// Adds a random multiple of each principal component of the training images' colours.
///
/// Every pixel of an image gets the same shift, Σₖ `vectors[k]` · αₖ · `values[k]`, with αₖ normal of
/// standard deviation `std`, drawn anew for each image and epoch. It is rounded to whole grey levels,
/// and sums are clamped to 0 to 255, since pixels are bytes until the device normalises them.
///
/// Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
/// networks" (2012), section 4.1, with `std` 0.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorShift {
    /// The standard deviation of the multiples.
    pub std: f64,
    /// The eigenvalues of the covariance of red, green and blue, on the scale 0 to 1.
    pub values: [f64; 3],
    /// The eigenvector of each, of length 1.
    pub vectors: [[f64; 3]; 3],
}

impl ColorShift {
    /// The shift of each channel by these multiples of the components, in grey levels.
    fn shift(&self, multiples: [f64; 3]) -> [i16; 3] {
        std::array::from_fn(|channel| {
            let component = |k: usize| self.vectors[k][channel] * multiples[k] * self.values[k];
            (255.0 * (0..3).map(component).sum::<f64>()).round().clamp(-255.0, 255.0) as i16
        })
    }

    /// Shifts the colours of `pixels`, `[3, h, w]`.
    pub(super) fn apply(&self, chance: Chance, pixels: &mut [u8]) {
        // An image has two numbers in a stream.
        let normal = |k: usize| self.std * chance.normal(COLOR + (k / 2) as u32, k % 2);
        let shift = self.shift(std::array::from_fn(normal));
        for (plane, shift) in pixels.chunks_exact_mut(pixels.len() / 3).zip(shift) {
            for pixel in plane {
                *pixel = (i16::from(*pixel) + shift).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_the_sum_of_its_components() {
        // The widely used components of ImageNet.
        let color = ColorShift {
            std: 0.1,
            values: [0.2175, 0.0188, 0.0045],
            vectors: [
                [-0.5675, -0.5808, -0.5836],
                [0.7192, -0.0045, -0.6948],
                [0.4009, -0.8140, 0.4203],
            ],
        };
        // 255 · 0.1 · 0.2175 = 5.546 times the first vector: -3.15, -3.22, -3.24.
        assert_eq!(color.shift([0.1, 0.0, 0.0]), [-3, -3, -3]);
        // And 255 · 0.5 · 0.0188 = 2.397 times the second: 1.72, -0.01, -1.67.
        assert_eq!(color.shift([0.1, 0.5, 0.0]), [-1, -3, -5]);
        assert_eq!(color.shift([0.0, 0.0, 4.0]), [2, -4, 2]);
        assert_eq!(color.shift([-1e9, 0.0, 0.0]), [255; 3]);
    }
}
