//! What can be chosen of how files become pixels.

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
}

impl Decoding {
    /// Images of so many channels as they are stored, without their transparency.
    pub fn stored(channels: usize) -> Self {
        Self { channels, turned: false, background: None }
    }

    /// Images of so many channels as a viewer shows them, but for transparency, which is dropped.
    pub fn turned(channels: usize) -> Self {
        Self { turned: true, ..Self::stored(channels) }
    }
}
