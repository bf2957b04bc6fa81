//! Training a network: from a config, or where a run was, to its last epoch.

mod background;
mod begin;
mod checkpoint_writer;
mod epochs;
mod flat_loss;
pub(crate) mod initial;
pub(crate) mod outcome;
mod pace;
pub(crate) mod processes;
mod ranks;
pub(crate) mod rate;
pub(crate) mod ready;
pub(crate) mod seen_images;
pub(crate) mod start;
pub(crate) mod state;
mod together;
