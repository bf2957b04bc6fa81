//! What a run of the bench found, as one JSON document or as tables.

use std::fmt;

use serde::Serialize;

use super::device::Roofs;
use super::layers::Layers;
use super::machine::Machine;
use super::operations::Operations;
use super::steps::Steps;

/// Everything that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// What the backend says of itself.
    pub(super) device: String,
    pub(super) roofs: Roofs,
    pub(super) layers: Option<Layers>,
    pub(super) operations: Option<Operations>,
    pub(super) steps: Option<Steps>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Roofs { gflop_per_s, what, copy_gb_per_s } = &self.roofs;
        writeln!(f, "{}", self.machine.describe())?;
        writeln!(
            f,
            "{}; {gflop_per_s:.1} GFLOP/s of {what}, a copy at {copy_gb_per_s:.1} GB/s",
            self.device
        )?;
        if let Some(layers) = &self.layers {
            write!(f, "\n{layers}")?;
        }
        if let Some(operations) = &self.operations {
            write!(f, "\n{operations}")?;
        }
        if let Some(steps) = &self.steps {
            write!(f, "\n{steps}")?;
        }
        Ok(())
    }
}
