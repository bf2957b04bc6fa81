//! How good predictions are.

pub(crate) mod confusion;
pub(crate) mod evaluation;
pub(crate) mod posteriors;
