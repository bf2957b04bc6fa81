//! From bytes to numbers.

use crate::{Error, Result};

/// How a pixel becomes a number: `(pixel / 255 − mean[c]) / std[c]`, computed in `f32` in this order
/// (torchvision's `ToTensor` followed by `Normalize`).
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalize {
    /// With the given mean and standard deviation of each channel, on the scale 0 to 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ, or a number is not finite, or a `std` is not positive.
    pub fn new(mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Result<Self> {
        let (mean, std) = (mean.into(), std.into());
        let valid = mean.len() == std.len()
            && mean.iter().all(|m| m.is_finite())
            && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if valid {
            Ok(Self { mean, std })
        } else {
            Err(Error::Shape(format!("normalisation with mean {mean:?} and std {std:?}")))
        }
    }

    /// No normalisation: pixels become 0 to 1 (`ToTensor` alone).
    pub fn identity(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// The number for `pixel` in channel `c`.
    pub fn apply(&self, c: usize, pixel: u8) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean[c]) / self.std[c]
    }
}
