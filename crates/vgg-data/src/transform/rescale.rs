//! Pictures at another size.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use vgg_tensor::{Error, Result};

use crate::Picture;

/// The largest short side that pictures are scaled to.
pub(super) const MAX_SHORT_SIDE: usize = 1 << 14;

/// The height and width that a picture of `h` × `w` pixels is scaled to if its short side is to have
/// `short_side`; the long side is rounded down.
///
/// ```
/// assert_eq!(vgg_data::scaled_size([480, 640], 256), [256, 341]);
/// ```
pub fn scaled_size([h, w]: [usize; 2], short_side: usize) -> [usize; 2] {
    match h <= w {
        true => [short_side, short_side * w / h],
        false => [short_side * h / w, short_side],
    }
}

/// The `window`, height and width, at `corner` of the picture as it is at `size`.
pub(super) fn window(
    picture: &Picture,
    size: [usize; 2],
    corner: [usize; 2],
    window: [usize; 2],
) -> Result<Picture> {
    let (from, [h, w]) = ([picture.h, picture.w], window);
    // The window's borders in the picture. The filter looks beyond them.
    let part = |axis: usize| {
        let scale = from[axis] as f64 / size[axis] as f64;
        let start = corner[axis] as f64 * scale;
        (start, (window[axis] as f64 * scale).min(from[axis] as f64 - start))
    };
    let ((top, part_h), (left, part_w)) = (part(0), part(1));
    let kind = match picture.c {
        1 => PixelType::U8,
        3 => PixelType::U8x3,
        c => return Err(Error::Shape(format!("images have 1 or 3 channels, not {c}"))),
    };
    let problem = |error: &dyn std::fmt::Display| {
        Error::Shape(format!("an image of {}×{}, resized: {error}", picture.h, picture.w))
    };
    let source = ImageRef::new(picture.w as u32, picture.h as u32, &picture.pixels, kind)
        .map_err(|error| problem(&error))?;
    let mut resized = Image::new(w as u32, h as u32, kind);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, part_w, part_h);
    Resizer::new().resize(&source, &mut resized, &options).map_err(|error| problem(&error))?;
    Ok(Picture { pixels: resized.into_vec(), h, w, c: picture.c })
}
