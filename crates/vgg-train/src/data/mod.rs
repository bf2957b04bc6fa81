//! The images that runs train and test on, and those that they predict.

pub(crate) mod boxes;
pub(crate) mod fashion;
pub(crate) mod folder;
mod images;
mod noted;
mod open;
mod pack;
mod prediction;
mod target;

pub(crate) use images::{DAMAGED_OPTION_HELP, Data, Part, unreadable};
pub(crate) use noted::{STATISTICS_OF, load_noted, note};
pub(crate) use open::{open, require};
pub(crate) use prediction::{decoding, describe, input, prediction, transform};
pub(crate) use target::target;
