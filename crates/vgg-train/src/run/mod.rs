//! The folder of a run and all that is in it; and where else results go.

pub(crate) mod best;
pub(crate) mod checkpoints;
pub(crate) mod curves;
pub(crate) mod folder;
pub(crate) mod metrics;
pub(crate) mod new_folder;
pub(crate) mod output;
pub(crate) mod overview;
pub(crate) mod tested;
pub(crate) mod weights;
