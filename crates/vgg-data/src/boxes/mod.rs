//! Where the objects in images are: boxes beside an image folder.
//!
//! Boxes are in files of three formats, told apart by their endings, or in a folder of such files:
//! [`Boxes::read`] has them all in the same pixels. How each format counts pixels:
//!
//! | file | a box | the whole of an image of `w` × `h` |
//! |---|---|---|
//! | `.csv`: `path,label,x0,y0,x1,y1` | continuous, from 0 | 0, 0, `w`, `h` |
//! | `.json` of COCO: `bbox` is x, y, width, height | continuous, from 0 | 0, 0, `w`, `h` |
//! | `.xml` of Pascal VOC: `xmin`, `ymin`, `xmax`, `ymax` | whole pixels from 1, the last in the box | 1, 1, `w`, `h` |
//!
//! They are of the pixels as they are stored, which is how most programs read them, and are turned as an
//! image's EXIF data say where its pixels are. A file that states the size of an image (COCO's and Pascal
//! VOC's do) and gives that of the image as it is meant has boxes of that.
//!
//! Where pixels go, boxes go along: [`Crop`](crate::Crop).

mod affine;
mod annotation;
mod bounding_box;
mod coco;
mod csv;
mod lookup;
mod read;
#[cfg(test)]
mod tests;
mod voc;

pub use affine::Affine;
pub use bounding_box::BoundingBox;
pub use read::{Boxes, ReadOptions};

/// An object in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Its class.
    pub label: u32,
    /// Where it is, in pixels of the image as it is decoded.
    pub bounds: BoundingBox,
}
