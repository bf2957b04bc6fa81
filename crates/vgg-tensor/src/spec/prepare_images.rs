//! Resizing in fixed point, as Pillow does it.

use crate::{Error, Result, Shape};

/// Images of bytes, resized bilinearly and normalised into a batch of feature maps.
///
/// The resize is Pillow's `Image.resize(…, BILINEAR)`, which is what torchvision's `Resize` does to
/// a PIL image: a horizontal pass, then a vertical one, each in fixed point with 22 fractional bits
/// and rounded to a byte; a pass that would not change the size is left out. When shrinking, the
/// triangle filter widens with the scale (antialiasing). [`PrepareImages::taps`] has the weights.
/// The bytes are Pillow's own, except that Pillow 13 goes vertically first for some shrinking sizes,
/// where they may differ by one.
///
/// # Shapes
/// `pixels: [n, c, source h, source w]` bytes, `x: [n, c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrepareImages {
    source: Shape,
    x: Shape,
}

impl PrepareImages {
    /// From `source` bytes to maps of `h × w`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero, huge, or above 65,535 rows or columns.
    pub fn new(source: Shape, h: usize, w: usize) -> Result<Self> {
        let x = Shape { h, w, ..source };
        source.check("image batch")?;
        x.check("resized image batch")?;
        if [source.h, source.w, h, w].iter().any(|side| *side > 65_535) {
            return Err(Error::Shape(format!("images of {source} resized to {h}×{w}")));
        }
        Ok(Self { source, x })
    }

    /// The bytes' shape.
    pub const fn source(&self) -> Shape {
        self.source
    }

    /// The shape of the prepared batch.
    pub const fn x(&self) -> Shape {
        self.x
    }

    /// For each output position along one axis, the input positions that count and their weights.
    ///
    /// The weighted sum of bytes plus [`Taps::HALF`], shifted right by [`Taps::BITS`] and clamped to
    /// 0..=255, is the output byte.
    pub fn taps(from: usize, to: usize) -> Vec<Taps> {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0); // of the triangle filter
        (0..to)
            .map(|position| {
                let center = (position as f64 + 0.5) * scale;
                let first = (center - support + 0.5).max(0.0) as usize;
                let end = ((center + support + 0.5) as usize).min(from);
                let triangle = |i: usize| {
                    let distance = (i as f64 - center + 0.5) * (1.0 / support);
                    (1.0 - distance.abs()).max(0.0)
                };
                let weights: Vec<f64> = (first..end).map(triangle).collect();
                let sum: f64 = weights.iter().sum();
                let fixed = |w: &f64| (0.5 + w / sum * f64::from(1 << Taps::BITS)) as i32;
                Taps { first, weights: weights.iter().map(fixed).collect() }
            })
            .collect()
    }
}

/// The inputs of one output of a resizing pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taps {
    /// The first input position.
    pub first: usize,
    /// The weights of the inputs from there on, in units of 2⁻²².
    pub weights: Vec<i32>,
}

impl Taps {
    /// Fractional bits of the weights.
    pub const BITS: u32 = 22;
    /// Half a unit, for rounding.
    pub const HALF: i32 = 1 << (Self::BITS - 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enlarging 28 to 224 collapses to sixteenths: weights (16 − f)/16 and f/16 with odd f.
    #[test]
    fn eightfold_enlargement_weighs_by_sixteenths() {
        for (j, taps) in PrepareImages::taps(28, 224).iter().enumerate() {
            let position = 2 * j as i32 - 7;
            let (i, f) = (position.div_euclid(16), position.rem_euclid(16));
            let mut expected = [0i32; 28];
            expected[i.clamp(0, 27) as usize] += (16 - f) << (Taps::BITS - 4);
            expected[(i + 1).clamp(0, 27) as usize] += f << (Taps::BITS - 4);
            let mut actual = [0i32; 28];
            for (k, weight) in taps.weights.iter().enumerate() {
                actual[taps.first + k] += weight;
            }
            assert_eq!(actual, expected, "output {j}");
        }
    }

    #[test]
    fn every_output_has_inputs_that_exist() {
        for (from, to) in [(1, 1), (1, 7), (7, 1), (28, 224), (224, 28), (31, 17), (500, 3)] {
            for taps in PrepareImages::taps(from, to) {
                assert!(!taps.weights.is_empty() && taps.first + taps.weights.len() <= from);
                let sum: i32 = taps.weights.iter().sum();
                assert!((sum - (1 << Taps::BITS)).abs() <= taps.weights.len() as i32);
            }
        }
    }
}
