//! The shape of a batch of feature maps.

use std::fmt;

use crate::{Error, Result};

/// A batch of `n` images or feature maps with `c` channels of `h` rows by `w` columns.
///
/// A flat vector a image, as between fully connected layers, has `h = w = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images in the batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// A batch of `n` maps of `c × h × w`.
    pub const fn new(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self { n, c, h, w }
    }

    /// A batch of `n` vectors of `features` numbers.
    pub const fn flat(n: usize, features: usize) -> Self {
        Self { n, c: features, h: 1, w: 1 }
    }

    /// Numbers in one image: `c · h · w`.
    pub const fn features(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Numbers in the batch: `n · c · h · w`.
    pub const fn len(&self) -> usize {
        self.n * self.features()
    }

    /// Whether any dimension is zero.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Passes if no dimension is zero and the batch has fewer than 2³¹ numbers an image and
    /// 2⁴⁰ in all, so that no length below can overflow.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        let dims = [self.n, self.c, self.h, self.w];
        if dims.contains(&0) {
            return Err(Error::Shape(format!("{what} {self} has an empty dimension")));
        }
        let product = |dims: &[usize]| dims.iter().try_fold(1usize, |len, d| len.checked_mul(*d));
        let fits = product(&dims[1..]).is_some_and(|len| len < 1 << 31)
            && product(&dims).is_some_and(|len| len < 1 << 40);
        if fits { Ok(()) } else { Err(Error::Shape(format!("{what} {self} is too large"))) }
    }
}

impl fmt::Display for Shape {
    /// `128×3×224×224`, and `128×4096` for vectors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, c, h, w } = self;
        if (*h, *w) == (1, 1) { write!(f, "{n}×{c}") } else { write!(f, "{n}×{c}×{h}×{w}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_display() {
        let shape = Shape::new(2, 3, 4, 5);
        assert_eq!((shape.features(), shape.len()), (60, 120));
        assert_eq!(shape.to_string(), "2×3×4×5");
        assert_eq!(Shape::flat(128, 4096).to_string(), "128×4096");
    }

    #[test]
    fn empty_and_huge_shapes_are_refused() {
        assert!(Shape::new(1, 1, 1, 1).check("input").is_ok());
        assert!(Shape::new(1, 0, 1, 1).check("input").is_err());
        assert!(Shape::new(1, usize::MAX, 2, 1).check("input").is_err());
        assert!(Shape::new(1 << 20, 1 << 20, 1, 1).check("input").is_err());
    }
}
