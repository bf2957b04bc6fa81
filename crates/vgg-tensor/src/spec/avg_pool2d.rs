//! Average pooling.

use std::ops::Range;

use crate::{Error, Result, Shape};

/// An average pool to maps of a given size, whatever the input's: PyTorch's `AdaptiveAvgPool2d`.
///
/// Output row `i` of `h'` is the mean of the input's rows from `⌊i · h / h'⌋` to before
/// `⌈(i + 1) · h / h'⌉`, columns alike ([`AvgPool2d::window`]). Where `h'` divides `h` these windows
/// are equal and side by side, as those of `AvgPool2d(h / h')`; elsewhere they overlap.
///
/// # Shapes
/// `x: [n, c, h, w]`, `y: [n, c, h', w']`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AvgPool2d {
    x: Shape,
    h: usize,
    w: usize,
}

impl AvgPool2d {
    /// An average pool of `x` to maps of `h × w`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero or huge, or a side is above 65,535.
    ///
    /// ```
    /// use vgg_tensor::{Shape, spec::AvgPool2d};
    /// let pool = AvgPool2d::new(Shape::new(128, 512, 8, 12), 7, 7)?;
    /// assert_eq!(pool.y(), Shape::new(128, 512, 7, 7));
    /// assert_eq!(AvgPool2d::window(3, 8, 7), 3..5);
    /// # Ok::<(), vgg_tensor::Error>(())
    /// ```
    pub fn new(x: Shape, h: usize, w: usize) -> Result<Self> {
        // With these, the products in `window` fit into 32 bits.
        const MOST: usize = 65_535;
        x.check("input")?;
        let pool = Self { x, h, w };
        pool.y().check("output")?;
        if [x.h, x.w, h, w].iter().any(|side| *side > MOST) {
            return Err(Error::Shape(format!(
                "an average pool of {x} to {h}×{w}: a side is above {MOST}"
            )));
        }
        Ok(pool)
    }

    /// The inputs along a side of `from` that output `i` of `to` is the mean of.
    ///
    /// With `from` and `to` exchanged, these are the outputs that input `i` is part of.
    pub const fn window(i: usize, from: usize, to: usize) -> Range<usize> {
        i * from / to..((i + 1) * from).div_ceil(to)
    }

    /// The input's shape.
    pub const fn x(&self) -> Shape {
        self.x
    }

    /// The output's shape.
    pub const fn y(&self) -> Shape {
        Shape { h: self.h, w: self.w, ..self.x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_side() {
        let windows =
            |from, to| (0..to).map(|i| AvgPool2d::window(i, from, to)).collect::<Vec<_>>();
        assert_eq!(windows(6, 3), [0..2, 2..4, 4..6]);
        assert_eq!(windows(5, 3), [0..2, 1..4, 3..5]);
        assert_eq!(windows(2, 3), [0..1, 0..2, 1..2]);
        for (from, to) in [(6, 3), (5, 3), (2, 3), (7, 7), (1, 4), (9, 1), (13, 5)] {
            for input in 0..from {
                let outputs = AvgPool2d::window(input, to, from);
                for output in 0..to {
                    let is_part = AvgPool2d::window(output, from, to).contains(&input);
                    assert_eq!(outputs.contains(&output), is_part, "{input} of {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |x, h, w| AvgPool2d::new(x, h, w).unwrap_err().to_string();
        let x = Shape::new(1, 2, 3, 4);
        assert_eq!(message(x, 0, 7), "output 1×2×0×7 has an empty dimension");
        let far = Shape::new(1, 1, 1, 65_536);
        let expected = "an average pool of 1×1×1×65536 to 1×1: a side is above 65535";
        assert_eq!(message(far, 1, 1), expected);
    }
}
