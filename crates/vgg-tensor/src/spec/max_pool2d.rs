//! Max-pooling as a layer of its own.

use crate::{Error, Result, Shape};

/// A max-pool over square windows, without padding; windows may overlap, and rows or columns that
/// fill no window are dropped (PyTorch's `ceil_mode=False`).
///
/// # Shapes
/// `x: [n, c, h, w]`, `y: [n, c, h', w']` with `h' = (h − kernel) / stride + 1`, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool2d {
    x: Shape,
    kernel: usize,
    stride: usize,
}

impl MaxPool2d {
    /// A max-pool of `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero or huge, the window does not fit into the map, or
    /// it is larger than 16×16.
    pub fn new(x: Shape, kernel: usize, stride: usize) -> Result<Self> {
        x.check("input")?;
        if !(1..=16).contains(&kernel) || stride == 0 {
            return Err(Error::Shape(format!("max-pool with kernel {kernel}, stride {stride}")));
        }
        if x.h.min(x.w) < kernel {
            return Err(Error::Shape(format!(
                "a {kernel}×{kernel} max-pool does not fit into {x}"
            )));
        }
        Ok(Self { x, kernel, stride })
    }

    /// The input's shape.
    pub const fn x(&self) -> Shape {
        self.x
    }

    /// Side of the square window.
    pub const fn kernel(&self) -> usize {
        self.kernel
    }

    /// Rows, and columns, from one window to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// The output's shape.
    pub const fn y(&self) -> Shape {
        let Shape { h, w, .. } = self.x;
        Shape {
            h: (h - self.kernel) / self.stride + 1,
            w: (w - self.kernel) / self.stride + 1,
            ..self.x
        }
    }

    /// Bytes of `aux`: one an output, which of the window's elements won.
    /// The encoding is the backend's own.
    pub const fn aux_bytes(&self) -> usize {
        self.y().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_shapes() {
        let y = |h, w, k, s| MaxPool2d::new(Shape::new(1, 1, h, w), k, s).unwrap().y();
        assert_eq!(y(54, 54, 3, 2), Shape::new(1, 1, 26, 26));
        assert_eq!(y(5, 4, 2, 2), Shape::new(1, 1, 2, 2));
        assert!(MaxPool2d::new(Shape::new(1, 1, 1, 8), 2, 2).is_err());
        assert!(MaxPool2d::new(Shape::new(1, 1, 8, 8), 2, 0).is_err());
    }
}
