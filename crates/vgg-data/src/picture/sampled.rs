//! What an image is scaled from.

use std::borrow::Cow;
use std::ops::Range;

use super::{Picture, View, luma};

/// The pixels of an image that is to be scaled: its own, or fewer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sampled<'a> {
    /// `[h, w, c]`, where they are, or decoded from there.
    pixels: Cow<'a, [u8]>,
    size: [usize; 2],
    c: usize,
    /// Where the image is among the pixels, down and across: all of them, unless it was decoded at a
    /// part of its size, whose last pixels go beyond the image.
    pub extent: [Range<f64>; 2],
    /// The image's own height and width.
    pub own: [usize; 2],
    /// The height and width that it is to be scaled to.
    pub wanted: [usize; 2],
}

impl<'a> Sampled<'a> {
    /// All of an image as it is, `[h, w, c]`.
    pub(crate) fn whole(pixels: impl Into<Cow<'a, [u8]>>, size: [usize; 2], c: usize) -> Self {
        let extent = size.map(|side| 0.0..side as f64);
        Self { pixels: pixels.into(), size, c, extent, own: size, wanted: size }
    }

    /// The same pixels, of an image of another height and width that is in this part of them.
    pub(crate) fn of_image(self, own: [usize; 2], extent: [Range<f64>; 2]) -> Self {
        Self { own, extent, ..self }
    }

    /// The same, to be scaled to another height and width.
    pub(crate) fn scaled_to(self, wanted: [usize; 2]) -> Self {
        Self { wanted, ..self }
    }

    /// The same as `channels` channels, where both are 1 or 3.
    pub(crate) fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.c, channels) {
            (1, 3) => self.pixels.iter().flat_map(|level| [*level; 3]).collect(),
            (3, 1) => self.pixels.as_chunks().0.iter().map(|pixel| luma(*pixel)).collect(),
            _ => self.pixels,
        };
        Self { pixels, c: channels, ..self }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.pixels, self.size, self.c)
    }

    pub(crate) fn into_picture(self) -> Picture {
        let ([h, w], c) = (self.size, self.c);
        Picture { pixels: self.pixels.into_owned(), h, w, c }
    }
}

impl From<Picture> for Sampled<'static> {
    fn from(picture: Picture) -> Self {
        let Picture { pixels, h, w, c } = picture;
        Self::whole(pixels, [h, w], c)
    }
}
