//! Batch normalisation with what follows it.

use crate::{Content, Error, Result, Shape};

/// What is done to normalised maps before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchNormEpilogue {
    /// ReLU.
    Relu,
    /// ReLU, then a 2×2 max-pool with stride 2 (an odd last row or column is dropped). The full-size
    /// activations are never written.
    ReluMaxPool,
}

/// Batch normalisation of each channel (Ioffe & Szegedy 2015, algorithm 1), as PyTorch's
/// `BatchNorm2d` with its defaults, and ReLU. It follows a convolution with the epilogue
/// [`crate::spec::ConvEpilogue::Bias`].
///
/// With `mean` and `var` of a channel, `z = weight · (x − mean) / √(var + EPSILON) + bias`.
/// In training these are the batch's, over images, rows and columns: the biased variance
/// `Σ (x − mean)² / count`. Running ones are kept for evaluation, where
/// `running = (1 − MOMENTUM) · running + MOMENTUM · batch` with the unbiased variance,
/// `Σ (x − mean)² / (count − 1)`.
///
/// # Shapes
/// `x: [n, c, h, w]`; `weight`, `bias`, running mean and running variance: `[c]`;
/// `y: [n, c, h', w']`, halved by a fused pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchNorm2d {
    x: Shape,
    epilogue: BatchNormEpilogue,
}

impl BatchNorm2d {
    /// What is added to a variance, so that a constant channel divides by no zero.
    pub const EPSILON: f32 = 1e-5;
    /// The weight of a batch in the running statistics.
    pub const MOMENTUM: f32 = 0.1;

    /// A normalisation of `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero or huge, a channel has only one number in the whole
    /// batch, which has no variance, or a fused pool has less than 2×2 to pool.
    ///
    /// ```
    /// use vgg_tensor::{Shape, spec::{BatchNorm2d, BatchNormEpilogue}};
    /// let x = Shape::new(128, 64, 224, 224);
    /// let norm = BatchNorm2d::new(x, BatchNormEpilogue::ReluMaxPool)?;
    /// assert_eq!(norm.y(), Shape::new(128, 64, 112, 112));
    /// # Ok::<(), vgg_tensor::Error>(())
    /// ```
    pub fn new(x: Shape, epilogue: BatchNormEpilogue) -> Result<Self> {
        x.check("input")?;
        let norm = Self { x, epilogue };
        if norm.count() == 1 {
            return Err(Error::Shape(format!(
                "batch normalisation of {x}: one number a channel has no variance, take more images"
            )));
        }
        if norm.y().is_empty() {
            return Err(Error::Shape(format!("a 2×2 max-pool does not fit into {x}")));
        }
        Ok(norm)
    }

    /// The input's shape.
    pub const fn x(&self) -> Shape {
        self.x
    }

    /// What follows.
    pub const fn epilogue(&self) -> BatchNormEpilogue {
        self.epilogue
    }

    /// Numbers of a channel in the batch: `n · h · w`.
    pub const fn count(&self) -> usize {
        self.x.n * self.x.h * self.x.w
    }

    /// The output's shape.
    pub const fn y(&self) -> Shape {
        match self.epilogue {
            BatchNormEpilogue::Relu => self.x,
            BatchNormEpilogue::ReluMaxPool => Shape { h: self.x.h / 2, w: self.x.w / 2, ..self.x },
        }
    }

    /// What a weight, a bias, a running mean and a running variance are.
    pub const fn vector(&self) -> Content {
        Content::Vector(self.x.c)
    }

    /// The batch's statistics, which the forward pass leaves for the backward pass: each channel's
    /// mean, then each one's `1 / √(var + EPSILON)`.
    pub const fn saved(&self) -> Content {
        Content::Vector(2 * self.x.c)
    }

    /// Bytes of `aux`, the decisions that the forward pass leaves for the backward pass: as many,
    /// and as encoded, as a convolution's with this epilogue ([`crate::spec::Conv2d::aux_bytes`]).
    pub const fn aux_bytes(&self) -> usize {
        let y = self.y();
        let bits = match self.epilogue {
            BatchNormEpilogue::Relu => 1,
            BatchNormEpilogue::ReluMaxPool => 4,
        };
        y.n * y.h * y.w * y.c.div_ceil(8) * bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_sizes() {
        let norm = |e| BatchNorm2d::new(Shape::new(2, 9, 5, 6), e).unwrap();
        let relu = norm(BatchNormEpilogue::Relu);
        assert_eq!((relu.y(), relu.count(), relu.aux_bytes()), (relu.x(), 60, 60 * 2));
        let pool = norm(BatchNormEpilogue::ReluMaxPool);
        assert_eq!((pool.y(), pool.aux_bytes()), (Shape::new(2, 9, 2, 3), 12 * 2 * 4));
        assert_eq!((pool.vector(), pool.saved()), (Content::Vector(9), Content::Vector(18)));
    }

    #[test]
    fn what_has_no_variance_or_no_window_is_refused() {
        let message = |shape, e| BatchNorm2d::new(shape, e).unwrap_err().to_string();
        assert_eq!(
            message(Shape::flat(1, 7), BatchNormEpilogue::Relu),
            "batch normalisation of 1×7: one number a channel has no variance, take more images"
        );
        assert_eq!(
            message(Shape::new(2, 7, 1, 4), BatchNormEpilogue::ReluMaxPool),
            "a 2×2 max-pool does not fit into 2×7×1×4"
        );
        assert!(BatchNorm2d::new(Shape::flat(2, 7), BatchNormEpilogue::Relu).is_ok());
    }
}
