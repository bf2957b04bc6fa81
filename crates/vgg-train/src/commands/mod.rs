//! What the program can be asked to do: a file or a folder a verb.

pub(crate) mod completions;
pub(crate) mod configs;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod find_lr;
pub(crate) mod finetune;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod predict;
mod profile;
pub(crate) mod report;
pub(crate) mod resume;
pub(crate) mod runs;
pub(crate) mod summary;
pub(crate) mod train;
pub(crate) mod watch;
