//! Fully connected layers.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::{Linear, LinearEpilogue, WeightType};

const EPILOGUES: [LinearEpilogue; 2] = [LinearEpilogue::Bias, LinearEpilogue::BiasRelu];
const WEIGHT_TYPES: [WeightType; 3] = [WeightType::F32, WeightType::F16, WeightType::Factors];

/// n, c, h, w, out_features.
const TABLE: [[usize; 5]; 19] = [
    [1, 1, 1, 1, 1],
    [1, 7, 1, 1, 10],
    [3, 5, 1, 1, 17],
    [7, 33, 1, 1, 8],
    [13, 128, 1, 1, 128],
    [128, 16, 1, 1, 10],
    [1, 300, 1, 1, 129],
    [65, 40, 1, 1, 70],
    [2, 515, 1, 1, 200],
    [4, 257, 1, 1, 65],
    [5, 600, 1, 1, 40],
    // more inputs or outputs than a cache holds at a time
    [3, 20, 1, 1, 700],
    [2, 450, 1, 1, 300],
    // on maps, whose order in memory is the backend's own
    [1, 3, 2, 2, 10],
    [2, 8, 7, 7, 17],
    [5, 17, 3, 2, 24],
    [3, 16, 1, 5, 128],
    [16, 64, 2, 2, 96],
    [2, 1, 9, 4, 33],
];

/// The awkward ones, each with every epilogue and stored in every way.
pub fn table() -> Vec<Linear> {
    let whole = TABLE.iter().flat_map(|dims| EPILOGUES.iter().filter_map(|e| spec(*dims, *e)));
    whole.flat_map(|op| WEIGHT_TYPES.map(|t| op.with_weight_type(t))).collect()
}

/// Random ones.
pub fn random() -> impl Strategy<Value = Linear> {
    let dims = [1..20usize, 1..40, 1..6, 1..6, 1..100];
    let ways = (prop::sample::select(&EPILOGUES[..]), prop::sample::select(&WEIGHT_TYPES[..]));
    (dims, ways).prop_filter_map("fits", |(d, (e, t))| Some(spec(d, e)?.with_weight_type(t)))
}

fn spec([n, c, h, w, outputs]: [usize; 5], epilogue: LinearEpilogue) -> Option<Linear> {
    Linear::new(Shape::new(n, c, h, w), outputs, epilogue).ok()
}
