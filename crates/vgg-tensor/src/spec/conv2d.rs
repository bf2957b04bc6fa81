//! Two-dimensional convolution with what follows it.

use crate::{Content, Error, Result, Shape};

/// What is done to a convolution's sums before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvEpilogue {
    /// Add the bias.
    Bias,
    /// Add the bias, then ReLU.
    BiasRelu,
    /// Add the bias, then ReLU, then a 2×2 max-pool with stride 2 (an odd last row or column is
    /// dropped). The full-size activations are never written.
    BiasReluMaxPool,
}

/// A convolution with stride 1 (VGG has no other: Simonyan & Zisserman 2014, section 2.1), a square
/// kernel and equal zero padding on all four sides.
///
/// # Shapes
/// `x: [n, c_in, h, w]`, `weight: [c_out, c_in, kernel, kernel]`, `bias: [c_out]`,
/// `y: [n, c_out, h', w']` with `h' = h + 2 · padding − kernel + 1`, halved by a fused pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    x: Shape,
    c_out: usize,
    kernel: usize,
    padding: usize,
    epilogue: ConvEpilogue,
}

impl Conv2d {
    /// A convolution of `x` into `c_out` channels.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero or huge, the kernel does not fit into the padded
    /// map or is above 255, the padding is not smaller than the kernel, or a fused pool has less than 2×2 to pool.
    ///
    /// ```
    /// use vgg_tensor::{Shape, spec::{Conv2d, ConvEpilogue}};
    /// let x = Shape::new(128, 3, 224, 224);
    /// let conv = Conv2d::new(x, 64, 3, 1, ConvEpilogue::BiasReluMaxPool)?;
    /// assert_eq!(conv.y(), Shape::new(128, 64, 112, 112));
    /// # Ok::<(), vgg_tensor::Error>(())
    /// ```
    pub fn new(
        x: Shape,
        c_out: usize,
        kernel: usize,
        padding: usize,
        epilogue: ConvEpilogue,
    ) -> Result<Self> {
        x.check("input")?;
        let conv = Self { x, c_out, kernel, padding, epilogue };
        if kernel == 0 || kernel > 255 || padding >= kernel {
            return Err(Error::Shape(format!("kernel {kernel} with padding {padding}")));
        }
        if x.h.min(x.w) + 2 * padding < kernel {
            return Err(Error::Shape(format!(
                "kernel {kernel} with padding {padding} does not fit into input {x}"
            )));
        }
        conv.conv_y().check("output")?;
        if conv.y().is_empty() {
            return Err(Error::Shape(format!(
                "a 2×2 max-pool does not fit into {}",
                conv.conv_y()
            )));
        }
        let weight = Shape::new(c_out, x.c, kernel, kernel);
        weight.check("weight")?;
        Ok(conv)
    }

    /// The input's shape.
    pub const fn x(&self) -> Shape {
        self.x
    }

    /// Output channels.
    pub const fn c_out(&self) -> usize {
        self.c_out
    }

    /// Side of the square kernel.
    pub const fn kernel(&self) -> usize {
        self.kernel
    }

    /// Rows and columns of zeros on each side of the input.
    pub const fn padding(&self) -> usize {
        self.padding
    }

    /// What follows the sums.
    pub const fn epilogue(&self) -> ConvEpilogue {
        self.epilogue
    }

    /// The shape of the sums, before any pooling.
    pub const fn conv_y(&self) -> Shape {
        let grown = 2 * self.padding + 1;
        Shape {
            n: self.x.n,
            c: self.c_out,
            h: self.x.h + grown - self.kernel,
            w: self.x.w + grown - self.kernel,
        }
    }

    /// The shape of the output.
    pub const fn y(&self) -> Shape {
        let y = self.conv_y();
        match self.epilogue {
            ConvEpilogue::BiasReluMaxPool => Shape { h: y.h / 2, w: y.w / 2, ..y },
            ConvEpilogue::Bias | ConvEpilogue::BiasRelu => y,
        }
    }

    /// The weight, as a buffer's content.
    pub const fn weight(&self) -> Content {
        Content::ConvWeight { c_out: self.c_out, c_in: self.x.c, kernel: self.kernel }
    }

    /// Bytes of `aux`, what the forward pass leaves for the backward pass: a bit an output for
    /// `BiasRelu` (alive or dead), four for `BiasReluMaxPool` (which of four won; alive or dead).
    /// The encoding is the backend's own.
    pub const fn aux_bytes(&self) -> usize {
        let y = self.y();
        let bits = match self.epilogue {
            ConvEpilogue::Bias => 0,
            ConvEpilogue::BiasRelu => 1,
            ConvEpilogue::BiasReluMaxPool => 4,
        };
        y.n * y.h * y.w * y.c.div_ceil(8) * bits
    }

    /// Multiply-adds of the forward pass, counted as direct convolution.
    pub const fn macs(&self) -> u64 {
        (self.conv_y().len() * self.x.c * self.kernel * self.kernel) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(h: usize, w: usize, kernel: usize, padding: usize, e: ConvEpilogue) -> Result<Conv2d> {
        Conv2d::new(Shape::new(2, 3, h, w), 5, kernel, padding, e)
    }

    #[test]
    fn output_shapes() {
        let y = |h, w, k, p, e| conv(h, w, k, p, e).unwrap().y();
        assert_eq!(y(7, 8, 3, 1, ConvEpilogue::Bias), Shape::new(2, 5, 7, 8));
        assert_eq!(y(7, 8, 3, 0, ConvEpilogue::BiasRelu), Shape::new(2, 5, 5, 6));
        assert_eq!(y(7, 8, 1, 0, ConvEpilogue::Bias), Shape::new(2, 5, 7, 8));
        assert_eq!(y(7, 8, 3, 1, ConvEpilogue::BiasReluMaxPool), Shape::new(2, 5, 3, 4));
    }

    #[test]
    fn aux_holds_the_decisions() {
        let aux = |e| conv(4, 6, 3, 1, e).unwrap().aux_bytes();
        assert_eq!(aux(ConvEpilogue::Bias), 0);
        assert_eq!(aux(ConvEpilogue::BiasRelu), 2 * 24);
        assert_eq!(aux(ConvEpilogue::BiasReluMaxPool), 2 * 6 * 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |h, w, k, p, e| conv(h, w, k, p, e).unwrap_err().to_string();
        let bias = ConvEpilogue::Bias;
        assert_eq!(
            message(1, 1, 3, 0, bias),
            "kernel 3 with padding 0 does not fit into input 2×3"
        );
        assert_eq!(message(4, 4, 0, 0, bias), "kernel 0 with padding 0");
        assert_eq!(message(4, 4, 3, 3, bias), "kernel 3 with padding 3");
        assert_eq!(message(0, 4, 3, 1, bias), "input 2×3×0×4 has an empty dimension");
        assert_eq!(
            message(1, 4, 3, 1, ConvEpilogue::BiasReluMaxPool),
            "a 2×2 max-pool does not fit into 2×5×1×4"
        );
    }
}
