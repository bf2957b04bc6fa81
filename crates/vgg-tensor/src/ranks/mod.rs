//! Several ranks that train one network: who computes which part of a batch, and in which order
//! the parts are added.
//!
//! A batch is cut into shards, by the config alone. However many ranks share them, their gradients are
//! added in the order of one [`Tree`], so that the sum is the same to the bit. [`Peers`] move bytes and add
//! nothing; all arithmetic is here and in the backends.

mod exchange;
mod peers;
mod shards;
mod tree;

pub use exchange::{Number, Room, ShardSums, broadcast, gather, gather_rows, sum};
pub use peers::{Peers, gather_messages};
pub use shards::Shards;
pub use tree::Tree;
