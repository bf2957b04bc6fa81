//! What a training step is given.

/// Images and labels of one training step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[n · views, c, h, w]`, 0 to 255; an image is one view unless [`Transform::views`](crate::Transform::views) says
    /// more. Of a loader [for one rank](crate::Loader::for_rank), of that rank's images alone.
    pub pixels: Vec<u8>,
    /// `[n]`.
    pub labels: Vec<u32>,
    /// `[n]`, the class that each image is mixed with and its share; empty without mixup.
    pub mix: Vec<(u32, f32)>,
    /// Images that cannot be read, by their place in the batch, and why: their pixels are zeros. None
    /// but of a loader that [passes them over](crate::Loader::passing_over).
    pub unreadable: Vec<(usize, String)>,
}
