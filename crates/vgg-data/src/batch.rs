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
    /// `[n · views]`, where the object of an image's class is in the view: centre across and down, width and
    /// height, [as shares of the view](crate::boxes::BoundingBox::relative_to). None if hardly any of it is seen,
    /// or the image has no such object. Empty but of a loader that [locates](crate::Loader::locating) them.
    pub boxes: Vec<Option<[f32; 4]>>,
    /// Images that cannot be read, by their place in the batch, and why: their pixels are zeros. None
    /// but of a loader that [passes them over](crate::Loader::passing_over).
    pub unreadable: Vec<(usize, String)>,
}
