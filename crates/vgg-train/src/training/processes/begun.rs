//! What the first process tells the others when all is ready for the first step.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use vgg_model::{Moment, Moments, Params, Progress, Vgg};
use vgg_tensor::ranks::{Peers, broadcast};

use super::Processes;
use crate::run::metrics::EpochRecord;
use crate::signals::Stop;
use crate::training::begin::{Begin, Weights};
use crate::training::state::State;

/// Where a run is.
#[derive(Serialize, Deserialize)]
pub(in crate::training) struct Begun {
    pub(super) run: PathBuf,
    pub(super) position: Progress,
    pub(super) state: State,
    pub(super) epochs: Vec<EpochRecord>,
    /// Whether there is an average of the weights.
    averaged: bool,
    /// The names of what the optimiser keeps.
    moments: Vec<String>,
}

impl Processes {
    /// Tells the others how to begin: with these weights.
    pub(in crate::training) fn tell(&self, begin: &Begin<'_>, weights: &mut Weights) -> Result<()> {
        let begun = Begun {
            run: begin.run.into(),
            position: begin.position,
            state: begin.state.clone(),
            epochs: begin.epochs.clone(),
            averaged: weights.ema.is_some(),
            moments: weights.moments.keys().map(|moment| moment.name().into()).collect(),
        };
        self.say(&serde_json::to_vec(&begun)?)?;
        Begun::share(&*self.peers, weights)
    }

    /// Hears from the first one how to begin, and with which weights.
    pub(super) fn hear_of_begin(&self, vgg: &Vgg) -> Result<(Begun, Weights)> {
        let begun: Begun = serde_json::from_slice(&self.hear()?)?;
        let kept = |moment: &Moment| begun.moments.iter().any(|name| name == moment.name());
        let zeros = |moment| Ok((moment, Params::zeros(vgg)?));
        let moments = Moment::ALL.into_iter().filter(kept).map(zeros);
        let mut weights = Weights {
            params: Params::zeros_with_state(vgg)?,
            ema: begun.averaged.then(|| Params::zeros_with_state(vgg)).transpose()?,
            moments: moments.collect::<Result<Moments>>()?,
        };
        Begun::share(&*self.peers, &mut weights)?;
        Ok((begun, weights))
    }

    /// From here on the run is in the folder, and a signal is a request to stop.
    pub(in crate::training) fn begin(&self, run: &Path, stop: &Stop) {
        self.patience.begin(self.peers.rank(), run, stop);
    }
}

impl Begun {
    /// Gives all the first one's numbers.
    fn share(peers: &dyn Peers, Weights { params, ema, moments }: &mut Weights) -> Result<()> {
        let all = std::iter::once(params).chain(ema).chain(moments.values_mut());
        let mut tensors = all.flat_map(Params::tensors_mut);
        tensors.try_for_each(|tensor| Ok(broadcast(peers, tensor.data_mut())?))
    }
}
