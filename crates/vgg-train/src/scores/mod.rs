//! How good predictions are.

pub(crate) mod calibration;
pub(crate) mod confusion;
pub(crate) mod evaluation;
#[cfg_attr(not(test), expect(dead_code, reason = "the report reads it"))]
pub(crate) mod mistakes;
pub(crate) mod per_class;
pub(crate) mod posteriors;
pub(crate) mod predictions;
pub(crate) mod ranking;
mod thinned;
