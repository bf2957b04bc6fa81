//! Where the objects in images are.

mod affine;
mod bounding_box;

pub use affine::Affine;
pub use bounding_box::BoundingBox;
