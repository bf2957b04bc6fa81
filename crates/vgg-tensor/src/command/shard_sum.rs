//! What a rank has of a sum over shards.

use crate::{Content, In, InOut};

/// A rank's sums of one gradient over its shards, one for each node of [`crate::ranks::Tree::cover`].
#[derive(Clone, Debug, PartialEq)]
pub struct ShardSum<I = In, U = InOut> {
    /// What each holds.
    pub content: Content,
    /// The first one, which becomes the sum over all shards. What is in it does not count where the rank
    /// has none.
    pub first: U,
    /// The other ones.
    pub others: Vec<I>,
}
