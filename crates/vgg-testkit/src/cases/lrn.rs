//! Local response normalisations.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::Lrn;

/// The awkward ones: fewer channels than a window, odd sizes, more channels than a cache would like.
pub fn table() -> Vec<Lrn> {
    let channels = [1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 64, 65, 512, 1030];
    channels.iter().filter_map(|c| spec([2, *c, 3, 5])).collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = Lrn> {
    [1..4usize, 1..40, 1..8, 1..8].prop_filter_map("fits", spec)
}

fn spec([n, c, h, w]: [usize; 4]) -> Option<Lrn> {
    Lrn::new(Shape::new(n, c, h, w)).ok()
}
