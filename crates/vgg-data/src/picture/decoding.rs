//! What can be chosen of how files become pixels.

use vgg_tensor::{Error, Result};

/// How an image's file becomes a [`Picture`](crate::Picture).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoding {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Whether it is turned and mirrored as its EXIF data say, as Pillow's `ImageOps.exif_transpose`
    /// does: what a viewer shows. Otherwise it stays as it is stored, which torchvision's data sets
    /// leave it as.
    pub turned: bool,
    /// The colour that it is put over where it is transparent: red, green, blue. Without one,
    /// transparency is dropped, and what is beneath it shows, as by Pillow's `convert("RGB")`.
    pub background: Option<[u8; 3]>,
    /// Whether a JPEG that is scaled down is decoded at a half, a quarter or an eighth of its size, the
    /// least that is no smaller than what it is scaled to. That takes less time, and other pixels come
    /// out: they are averaged by blocks first.
    pub scaled: bool,
}

impl Decoding {
    /// Images of so many channels as they are stored, at their own size, without their transparency.
    pub fn stored(channels: usize) -> Self {
        Self { channels, turned: false, background: None, scaled: false }
    }

    /// Images of so many channels as a viewer shows them, but for transparency, which is dropped.
    pub fn turned(channels: usize) -> Self {
        Self { turned: true, ..Self::stored(channels) }
    }

    /// Refuses channels that no picture has.
    pub(super) fn check(&self) -> Result<()> {
        match self.channels {
            1 | 3 => Ok(()),
            n => Err(Error::Shape(format!("images have 1 or 3 channels, not {n}"))),
        }
    }
}
