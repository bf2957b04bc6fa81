//! Images of pixels, within pages and pictures.

use std::io::Cursor;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image::{ImageBuffer, ImageFormat, Pixel, PixelWithColorType, RgbaImage};
use maud::{Markup, html};

use super::style::px;

/// An image as it is, as an address that holds it.
pub(crate) fn png_uri(image: &RgbaImage) -> String {
    data_uri("png", &png(image))
}

/// An image as a file.
pub(crate) fn png<P>(image: &ImageBuffer<P, Vec<u8>>) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + PixelWithColorType,
{
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).expect("memory takes all that is written");
    bytes.into_inner()
}

/// An image file as an address that holds it.
pub(crate) fn data_uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", BASE64_STANDARD.encode(bytes))
}

/// The image of an address in a box on a picture, as large as fits; if `is_coarse`, with its pixels
/// to be seen as what they are.
pub(super) fn draw(
    uri: &str,
    is_coarse: bool,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
) -> Markup {
    html! {
        image class=[is_coarse.then_some("coarse")] x=(px(x)) y=(px(y)) width=(px(width))
            height=(px(height)) image-rendering=[is_coarse.then_some("pixelated")] href=(uri) {}
    }
}
