//! `data`: what to know of a folder of images before training on it.

pub(crate) mod check;
pub(crate) mod pack;
pub(crate) mod stats;
