//! From a block's coefficients to fewer pixels than its 64: the inverse cosine transform of as many.

/// cos(kπ/16) in units of 2⁻¹³.
const COSINES: [i32; 9] = [8192, 8035, 7568, 6811, 5793, 4551, 3135, 1598, 0];

/// Bits that are left between the passes, and after both.
const BETWEEN: u32 = 9;
const AFTER: u32 = 2 * (13 + 1) - BETWEEN;

/// Twice what the coefficient `u` of eight adds to the pixel `x` of `n`, in units of 2⁻¹³.
fn share(n: usize, x: usize, u: usize) -> i32 {
    // (2x + 1) u π / 2n
    let k = if u == 0 { 4 } else { (2 * x + 1) * u * (8 / n) % 32 };
    match k {
        0..=8 => COSINES[k],
        9..=16 => -COSINES[16 - k],
        17..=24 => -COSINES[k - 16],
        _ => COSINES[32 - k],
    }
}

/// Rows of shares, one a pixel, for each number of pixels.
pub(super) struct Shares {
    down: Vec<[i32; 8]>,
    across: Vec<[i32; 8]>,
}

impl Shares {
    /// For blocks of 1, 2, 4 or 8 pixels down and across.
    pub(super) fn new([down, across]: [usize; 2]) -> Self {
        let of = |n: usize| {
            (0..n)
                .map(|x| std::array::from_fn(|u| if u < n { share(n, x, u) } else { 0 }))
                .collect()
        };
        Self { down: of(down), across: of(across) }
    }

    /// Writes the pixels of a block, whose coefficients are `[8, 8]`, into a plane with rows of
    /// `stride`. What makes no sense has any pixels.
    pub(super) fn write(&self, coefficients: &[i32; 64], plane: &mut [u8], stride: usize) {
        let (down, across) = (self.down.len(), self.across.len());
        if down == 1 && across == 1 {
            plane[0] = pixel((coefficients[0].wrapping_add(4)) >> 3);
            return;
        }
        let mut between = [[0_i32; 8]; 8];
        let rows = coefficients.as_chunks::<8>().0;
        for (row, between) in rows[..down].iter().zip(&mut between) {
            for (shares, between) in self.across.iter().zip(between) {
                let sum = sum(&shares[..across], row);
                *between = sum.wrapping_add(1 << (BETWEEN - 1)) >> BETWEEN;
            }
        }
        for (shares, out) in self.down.iter().zip(plane.chunks_mut(stride)) {
            for (x, out) in out[..across].iter_mut().enumerate() {
                let column: [i32; 8] = std::array::from_fn(|v| between[v][x]);
                let sum = sum(&shares[..down], &column);
                *out = pixel(sum.wrapping_add(1 << (AFTER - 1)) >> AFTER);
            }
        }
    }
}

fn sum(shares: &[i32], numbers: &[i32; 8]) -> i32 {
    let products = shares.iter().zip(numbers).map(|(share, number)| share.wrapping_mul(*number));
    products.fold(0, i32::wrapping_add)
}

fn pixel(level: i32) -> u8 {
    level.saturating_add(128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform as it is defined, of the coefficients that there is room for.
    fn expected(coefficients: &[i32; 64], [down, across]: [usize; 2], y: usize, x: usize) -> f64 {
        use std::f64::consts::{FRAC_1_SQRT_2, PI};
        let share = |n: usize, x: usize, u: usize| {
            let c = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 };
            0.5 * c * ((2 * x + 1) as f64 * u as f64 * PI / (2 * n) as f64).cos()
        };
        let terms = (0..down).flat_map(|v| (0..across).map(move |u| (v, u)));
        terms
            .map(|(v, u)| {
                f64::from(coefficients[8 * v + u]) * share(down, y, v) * share(across, x, u)
            })
            .sum::<f64>()
            + 128.0
    }

    #[test]
    fn pixels_are_those_of_the_definition() {
        let coefficients: [i32; 64] =
            std::array::from_fn(|i| (i as i32 * 37 % 101 - 50) * 4 / (1 + i as i32 / 4));
        for size in [[1, 1], [1, 2], [2, 1], [2, 2], [4, 4], [4, 8], [8, 4], [8, 8]] {
            let mut plane = vec![0; size[0] * 16];
            Shares::new(size).write(&coefficients, &mut plane, 16);
            for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
                let off = f64::from(plane[16 * y + x]) - expected(&coefficients, size, y, x);
                assert!(off.abs() < 0.51, "{size:?} {y} {x}: {off}");
            }
        }
    }
}
