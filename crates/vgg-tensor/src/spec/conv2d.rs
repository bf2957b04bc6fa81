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

/// A convolution with a square kernel, equal zero padding on all four sides, and stride 1 unless
/// [`Conv2d::with_stride`] gives another (VGG has no other: Simonyan & Zisserman 2014, section 2.1).
///
/// # Shapes
/// `x: [n, c_in, h, w]`, `weight: [c_out, c_in, kernel, kernel]`, `bias: [c_out]`,
/// `y: [n, c_out, h', w']` with `h' = (h + 2 · padding − kernel) / stride + 1`, rounded down, and
/// halved by a fused pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    x: Shape,
    c_out: usize,
    kernel: usize,
    padding: usize,
    stride: usize,
    epilogue: ConvEpilogue,
}

impl Conv2d {
    /// A convolution of `x` into `c_out` channels, with stride 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero or huge, the kernel does not fit into the padded
    /// map or is above 255, the padding is not smaller than the kernel, or a fused pool has less
    /// than 2×2 to pool.
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
        let conv = Self { x, c_out, kernel, padding, stride: 1, epilogue };
        if kernel == 0 || kernel > 255 || padding >= kernel {
            return Err(Error::Shape(format!("kernel {kernel} with padding {padding}")));
        }
        if x.h.min(x.w) + 2 * padding < kernel {
            return Err(Error::Shape(format!(
                "kernel {kernel} with padding {padding} does not fit into input {x}"
            )));
        }
        conv.check_output()?;
        let weight = Shape::new(c_out, x.c, kernel, kernel);
        weight.check("weight")?;
        Ok(conv)
    }

    /// The same with a stride: of the rows and columns of sums, each `stride`-th from the first on.
    ///
    /// # Errors
    /// [`Error::Shape`] if the stride is not within 1 to 255, or a fused pool has less than 2×2 to
    /// pool.
    ///
    /// ```
    /// use vgg_tensor::{Shape, spec::{Conv2d, ConvEpilogue}};
    /// let x = Shape::new(128, 1, 224, 224);
    /// let conv = Conv2d::new(x, 96, 11, 1, ConvEpilogue::BiasRelu)?.with_stride(4)?;
    /// assert_eq!(conv.y(), Shape::new(128, 96, 54, 54));
    /// # Ok::<(), vgg_tensor::Error>(())
    /// ```
    pub fn with_stride(self, stride: usize) -> Result<Self> {
        if !(1..=255).contains(&stride) {
            return Err(Error::Shape(format!("stride {stride}")));
        }
        let conv = Self { stride, ..self };
        conv.check_output()?;
        Ok(conv)
    }

    fn check_output(&self) -> Result<()> {
        let sums = self.conv_y();
        sums.check("output")?;
        if self.y().is_empty() {
            return Err(Error::Shape(format!("a 2×2 max-pool does not fit into {sums}")));
        }
        Ok(())
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

    /// Rows, and columns, of the input from one sum to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// What follows the sums.
    pub const fn epilogue(&self) -> ConvEpilogue {
        self.epilogue
    }

    /// The shape of the sums, before any pooling.
    #[inline]
    pub const fn conv_y(&self) -> Shape {
        let [h, w] = [self.positions(self.x.h), self.positions(self.x.w)];
        Shape {
            n: self.x.n,
            c: self.c_out,
            h: (h - 1) / self.stride + 1,
            w: (w - 1) / self.stride + 1,
        }
    }

    /// Places that the kernel fits into along a side of the padded input.
    #[inline]
    const fn positions(&self, side: usize) -> usize {
        side + 2 * self.padding + 1 - self.kernel
    }

    /// The shape of the output.
    #[inline]
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
    fn a_stride_skips_sums() {
        let y = |h, w, k, p, s, e| conv(h, w, k, p, e).unwrap().with_stride(s).unwrap().y();
        assert_eq!(y(7, 8, 3, 1, 2, ConvEpilogue::Bias), Shape::new(2, 5, 4, 4));
        assert_eq!(y(224, 227, 11, 1, 4, ConvEpilogue::BiasRelu), Shape::new(2, 5, 54, 55));
        assert_eq!(y(9, 9, 3, 1, 2, ConvEpilogue::BiasReluMaxPool), Shape::new(2, 5, 2, 2));
        assert_eq!(y(3, 4, 1, 0, 255, ConvEpilogue::Bias), Shape::new(2, 5, 1, 1));
        let refused = |s, e| conv(4, 8, 3, 1, e).unwrap().with_stride(s).unwrap_err().to_string();
        assert_eq!(refused(0, ConvEpilogue::Bias), "stride 0");
        assert_eq!(
            refused(4, ConvEpilogue::BiasReluMaxPool),
            "a 2×2 max-pool does not fit into 2×5×1×2"
        );
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
