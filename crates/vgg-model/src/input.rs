//! What arrives: the images as they are stored.

use serde::{Deserialize, Serialize};
use vgg_tensor::Result;
use vgg_tensor::spec::Normalize;

use crate::invalid;

/// The images a network is fed with: bytes in C, H, W order, and how they become numbers.
///
/// The backend resizes them to the network's own rows and columns and then computes
/// `(pixel / 255 − mean[c]) / std[c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Channels of the stored images: the network's.
    pub channels: usize,
    /// Rows of the stored images.
    pub height: usize,
    /// Columns of the stored images.
    pub width: usize,
    /// Mean of each channel, on the scale 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, on the scale 0 to 1.
    pub std: Vec<f32>,
    /// How an image of another size becomes one of these: its short side is scaled to so many
    /// pixels, and the centre is cut. Left out, the whole image is stretched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_side: Option<usize>,
    /// Whether an image's file is turned and mirrored as its EXIF data say; left out, it stays as it is
    /// stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turned: bool,
    /// The colour that an image is put over where it is transparent: red, green, blue. Left out,
    /// transparency is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 3]>,
    /// Whether a JPEG is decoded at a part of its size where that will do; left out, it is decoded at
    /// its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
}

impl Input {
    /// Images that are not normalised, a pixel becomes 0 to 1, and whose files are stretched as they
    /// are stored.
    pub fn unnormalized(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
            short_side: None,
            turned: false,
            background: None,
            scaled: false,
        }
    }

    /// Bytes of one image.
    pub fn image_bytes(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The checked normalisation for a network of `channels` input channels.
    pub(crate) fn normalize(&self, channels: usize) -> Result<Normalize> {
        if self.channels != channels {
            return Err(invalid(
                "image channels",
                self.channels,
                &format!("{channels}, as the network's input"),
            ));
        }
        let normalize = Normalize::new(self.mean.clone(), self.std.clone())?;
        if normalize.channels() != channels {
            return Err(invalid(
                "mean and std of channels",
                normalize.channels(),
                &format!("{channels}, as the network's input"),
            ));
        }
        Ok(normalize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_normalisation_must_fit() {
        let gray = Input::unnormalized(1, 28, 28);
        assert_eq!(gray.image_bytes(), 784);
        assert!(gray.normalize(1).is_ok());
        let message = gray.normalize(3).unwrap_err().to_string();
        assert_eq!(message, "image channels = 1, but it must be 3, as the network's input");
        let short = Input { mean: vec![], std: vec![], ..gray.clone() };
        assert!(short.normalize(1).unwrap_err().to_string().starts_with("mean and std of"));
        assert!(Input { std: vec![0.0], ..gray }.normalize(1).is_err());
    }
}
