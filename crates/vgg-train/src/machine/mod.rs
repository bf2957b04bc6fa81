//! What is computed on: the device, its memory, and what is remembered of it.

pub(crate) mod cache;
pub(crate) mod device;
pub(crate) mod equipment;
pub(crate) mod free;
pub(crate) mod host;
pub(crate) mod memory;
