//! Which random stream is whose.
//!
//! A random number is a function of (seed, stream, step, index); see [`vgg_tensor::Draw`]. All uses
//! under one seed therefore need streams of their own. Streams from `0x3000` to `0xFFFF` are left to
//! those who feed a network, for shuffling and augmentation; the bits above tell
//! a batch's micro-batches.

/// Stream of the initial values of parameter `index` (its place in [`crate::Vgg::params`]), at
/// step 0. A parameter's values do not depend on those of the others.
pub const fn init(index: usize) -> u32 {
    0x1000 + index as u32
}

/// Stream of the `index`-th dropout layer of a network; its step is the number of the training
/// step, counted from 0 over the whole run.
pub const fn dropout(index: usize) -> u32 {
    0x2000 + index as u32
}

/// The stream of a micro-batch, by its place in the batch, for what is drawn from `stream` where the
/// batch passes at once.
pub(crate) const fn of_micro_batch(stream: u32, index: u32) -> u32 {
    stream | index << 16
}
