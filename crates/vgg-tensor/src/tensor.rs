//! Tensors in host memory.

use crate::{Error, Result};

/// A dense `f32` tensor in host memory, last dimension innermost (PyTorch's contiguous order).
///
/// This is how parameters, images and logits look outside of a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    dims: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of the given dimensions and numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data.len()` is not the product of `dims`.
    pub fn new(dims: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let dims = dims.into();
        match dims.iter().try_fold(1usize, |len, d| len.checked_mul(*d)) {
            Some(len) if len == data.len() => Ok(Self { dims, data }),
            _ => Err(Error::Shape(format!("{} numbers do not fill {dims:?}", data.len()))),
        }
    }

    /// A tensor of zeros.
    pub fn zeros(dims: impl Into<Vec<usize>>) -> Self {
        let dims = dims.into();
        let data = vec![0.0; dims.iter().product()];
        Self { dims, data }
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The numbers, last dimension innermost.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The numbers, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_must_fill_the_dimensions() {
        assert!(Tensor::new([2, 3], vec![0.0; 6]).is_ok());
        let error = Tensor::new([2, 3], vec![0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "5 numbers do not fill [2, 3]");
        assert!(Tensor::new([usize::MAX, 2], vec![0.0; 2]).is_err());
    }
}
