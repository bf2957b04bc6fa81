//! Tensors in host memory.

use crate::{Error, Result, room_for, zeros};

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
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn zeros(dims: impl Into<Vec<usize>>) -> Result<Self> {
        let dims = dims.into();
        let data = zeros(dims.iter().product())?;
        Ok(Self { dims, data })
    }

    /// The same again: `clone`, where there is memory for it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn try_clone(&self) -> Result<Self> {
        let mut data = room_for(self.data.len())?;
        data.extend_from_slice(&self.data);
        Ok(Self { dims: self.dims.clone(), data })
    }

    /// The same numbers under other dimensions.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn reshaped(self, dims: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(dims, self.data)
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The numbers, last dimension innermost.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The numbers alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
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
        let tensor = Tensor::zeros([2, 3]).unwrap();
        assert_eq!(tensor.try_clone().unwrap().reshaped([3, 2]).unwrap().dims(), [3, 2]);
        assert!(tensor.reshaped([3, 3]).is_err());
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let error = Tensor::zeros([1 << 30, 1 << 30]).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { bytes } if bytes == 1 << 62));
    }
}
