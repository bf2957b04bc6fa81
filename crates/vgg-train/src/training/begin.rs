//! What ranks begin with: alike, however many there are.

use std::path::Path;

use anyhow::Result;
use vgg_model::{Input, Moments, Params, Progress, Recipe, Trainer, Vgg};
use vgg_tensor::Backend;

use super::epochs::TrainingLoop;
use super::state::State;
use super::together::Together;
use crate::config::Config;
use crate::data::Data;
use crate::reporters::{Reporters, Work};
use crate::run::metrics::EpochRecord;
use crate::signals::Stop;

/// What ranks begin with, and have in common.
pub(super) struct Begin<'a> {
    pub(super) config: &'a Config,
    pub(super) vgg: &'a Vgg,
    pub(super) input: Input,
    pub(super) data: &'a Data,
    /// The run's folder, which the first one alone writes.
    pub(super) run: &'a Path,
    /// Images in a full batch.
    pub(super) batch: usize,
    pub(super) work: Work,
    pub(super) position: Progress,
    pub(super) state: State,
    pub(super) epochs: Vec<EpochRecord>,
    pub(super) stop: &'a Stop,
}

/// What they train from. Who has its own copy gives it back: it takes as much memory as the weights.
pub(super) struct Weights {
    pub(super) params: Params,
    pub(super) ema: Option<Params>,
    pub(super) moments: Moments,
}

impl<'a> Begin<'a> {
    /// A trainer of a rank.
    pub(super) fn trainer<B: Backend>(
        &self,
        backend: B,
        together: &Together,
        Weights { params, ema, moments }: &Weights,
    ) -> Result<Trainer<B>> {
        let (batch, seed) = (self.batch, self.config.train.seed);
        let recipe = self.config.recipe(self.data.train.labels());
        let recipe = Recipe { shards: together.shards(), ..recipe };
        let mut trainer =
            Trainer::new(backend, self.vgg, &self.input, params, batch, recipe, seed)?;
        if self.position.step > 0 {
            trainer.restore(params, moments, self.position.step)?;
        }
        if let Some(ema) = ema {
            trainer.restore_ema(ema)?;
        }
        trainer.restore_backend(&self.state.backend)?;
        Ok(trainer)
    }

    /// The loop of a rank.
    pub(super) fn training<B: Backend>(
        &self,
        trainer: Trainer<B>,
        reporters: Reporters<'a>,
        together: Together,
    ) -> Result<TrainingLoop<'a, B>> {
        let Self { config, data, run, work, position, stop, .. } = *self;
        let (state, epochs) = (self.state.clone(), self.epochs.clone());
        TrainingLoop::new(
            config, data, run, work, trainer, reporters, position, state, epochs, stop, together,
        )
    }

    /// As many shards as a batch is cut into.
    pub(super) fn shards(&self) -> usize {
        self.config.train.shards
    }
}
