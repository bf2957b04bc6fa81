//! Resizing in fixed point, as Pillow does it.

use std::ops::Range;

use crate::{Error, Result, Shape};

/// The most rows and columns.
const MAX_SIDE: usize = 65_535;

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
        let sizes = [[source.h, source.w], [h, w]];
        if let Some([h, w]) = sizes.into_iter().find(|[h, w]| *h.max(w) > MAX_SIDE) {
            let message = format!("{h}×{w} is too large, a side has {MAX_SIDE} pixels at most");
            return Err(Error::Shape(message));
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
        Self::taps_within(from, 0.0..from as f64, to)
    }

    /// As [`PrepareImages::taps`], of the part of `from` inputs from one place to another, which may be
    /// within an input: Pillow's `box`.
    pub fn taps_within(from: usize, part: Range<f64>, to: usize) -> Vec<Taps> {
        let scale = (part.end - part.start) / to as f64;
        let support = scale.max(1.0); // of the triangle filter
        (0..to)
            .map(|position| {
                let center = part.start + (position as f64 + 0.5) * scale;
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

/// The taps of a pass, as vectors over the output positions. All positions have as many taps; those
/// in excess weigh nothing, and are of inputs that exist, too. A pass that leaves the size as it is
/// has one tap, of weight one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapTable {
    /// The first input of each position.
    pub firsts: Vec<u32>,
    /// The weights of each position's first input, then those of the second, and so on.
    pub weights: Vec<Vec<i32>>,
}

impl TapTable {
    /// Of [`PrepareImages::taps`].
    pub fn new(from: usize, to: usize) -> Self {
        let mut taps = PrepareImages::taps(from, to);
        for Taps { first, weights } in &mut taps {
            let zeros = weights.iter().take_while(|weight| **weight == 0).count();
            weights.drain(..zeros);
            *first += zeros;
            weights.truncate(weights.iter().rposition(|weight| *weight != 0).map_or(0, |i| i + 1));
        }
        let count = taps.iter().map(|taps| taps.weights.len()).max().unwrap_or(0);
        let mut table = Self { firsts: vec![0; to], weights: vec![vec![0; to]; count] };
        for (position, taps) in taps.iter().enumerate() {
            let first = taps.first.min(from - count);
            table.firsts[position] = first as u32;
            for (i, weight) in taps.weights.iter().enumerate() {
                table.weights[taps.first - first + i][position] = *weight;
            }
        }
        table
    }
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
    fn a_table_has_the_same_taps_and_stays_inside() {
        for (from, to) in [(1, 1), (5, 5), (28, 224), (224, 28), (1, 7), (7, 1), (31, 17)] {
            let table = TapTable::new(from, to);
            for (position, taps) in PrepareImages::taps(from, to).iter().enumerate() {
                let first = table.firsts[position] as usize;
                assert!(first + table.weights.len() <= from);
                let (mut all, mut expected) = (vec![0; from], vec![0; from]);
                for (i, weights) in table.weights.iter().enumerate() {
                    all[first + i] += weights[position];
                }
                for (i, weight) in taps.weights.iter().enumerate() {
                    expected[taps.first + i] += weight;
                }
                assert_eq!(all, expected);
            }
        }
        let same = TapTable { firsts: vec![0, 1, 2], weights: vec![vec![1 << Taps::BITS; 3]] };
        assert_eq!(TapTable::new(3, 3), same);
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
