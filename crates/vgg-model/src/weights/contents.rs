//! What a file of weights has.

use std::collections::HashMap;

use super::source::Located;

/// The tensors in a file, and what it says beside them.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tensors: Vec<Located>,
    /// Those that do not lie within their storage, or are of another kind. They do not matter unless
    /// they are a network's.
    pub(super) faulty: Vec<Faulty>,
    /// Functions and classes of Python that it asks for and that are not known, the first few.
    pub(super) asks: Vec<String>,
    /// The side of the network's images, if it is said.
    pub(super) side: Option<usize>,
    /// The side of the maps that an average pool leaves, if it is said that there is one.
    pub(super) avg_pool: Option<usize>,
    /// How many max-pools there are, if that is known.
    pub(super) pools: Option<usize>,
    /// What a file of Keras tells.
    pub(super) keras: Option<Keras>,
    /// What it says of the images and classes, if it does.
    pub(super) said: Option<Said>,
}

/// What a file of Keras tells of its network beside the weights.
#[derive(Debug)]
pub(super) struct Keras {
    /// Layers that have another name in the file, by the one that they got.
    pub(super) layers: HashMap<String, String>,
    /// Whether its convolutions have the published names.
    pub(super) may_be_published: bool,
    /// What is added to variances, beside what we add.
    pub(super) to_variance: f32,
}

/// What a model that was exported here says of its images and classes.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) mean: Vec<f32>,
    pub(super) std: Vec<f32>,
    pub(super) short_side: Option<usize>,
    /// Their names, if they have any.
    pub(super) classes: Vec<String>,
}

/// A tensor's name, and why there is none.
pub(super) type Faulty = (String, String);
