//! What the user sees: results on standard output, all else on standard error; and the log.

pub(crate) mod chart;
pub(crate) mod error;
pub(crate) mod fetching;
pub(crate) mod fields;
pub(crate) mod log;
pub(crate) mod numbers;
pub(crate) mod print;
pub(crate) mod shell;
pub(crate) mod table;
pub(crate) mod throughput;
pub(crate) mod ui;
