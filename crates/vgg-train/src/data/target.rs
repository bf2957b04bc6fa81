//! What a network is to say of a batch.

use vgg_data::Batch;
use vgg_model::Target;

/// What a network is to say of a batch's images: where their objects are, if its loader locates them, or
/// which classes they are of.
pub(crate) fn target(batch: &Batch) -> Target<'_> {
    let Batch { labels, mix, boxes, .. } = batch;
    match &boxes[..] {
        [] => Target::mixed(labels, mix),
        boxes => Target::Boxes { labels, boxes },
    }
}
