//! How good predictions are.

pub(crate) mod calibration;
pub(crate) mod confusion;
pub(crate) mod evaluation;
pub(crate) mod localisation;
pub(crate) mod merge;
pub(crate) mod mistakes;
pub(crate) mod per_class;
pub(crate) mod posteriors;
pub(crate) mod predictions;
pub(crate) mod ranking;
pub(crate) mod scored;
pub(crate) mod tested;
mod thinned;
