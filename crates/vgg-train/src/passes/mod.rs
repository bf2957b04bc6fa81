//! Networks that are shown images, as jobs for a device.

pub(crate) mod classify;
pub(crate) mod evaluate;
pub(crate) mod extract;
pub(crate) mod fusion;
pub(crate) mod given;
pub(crate) mod locate;
pub(crate) mod outputs;
pub(crate) mod shown;
