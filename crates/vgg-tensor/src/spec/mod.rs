//! Layer specs: small values that say what an operation is.
//!
//! A spec is made by a checked constructor, the only place where a shape can be wrong, and is then
//! `Copy + Eq + Hash`: backends key their private caches on it.

mod adamw;
mod avg_pool2d;
mod batch_norm2d;
mod conv2d;
mod euclidean_loss;
mod linear;
mod lrn;
mod max_pool2d;
mod normalize;
mod prepare_images;
mod sgd;
mod softmax_cross_entropy;

pub use adamw::AdamW;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm2d::{BatchNorm2d, BatchNormEpilogue};
pub use conv2d::{Conv2d, ConvEpilogue};
pub use euclidean_loss::{BoxMetrics, EuclideanLoss};
pub use linear::{Linear, LinearEpilogue};
pub use lrn::Lrn;
pub use max_pool2d::MaxPool2d;
pub use normalize::Normalize;
pub use prepare_images::{PrepareImages, TapTable, Taps};
pub use sgd::Sgd;
pub use softmax_cross_entropy::{Metrics, SoftmaxCrossEntropy};

pub use crate::content::WeightType;
