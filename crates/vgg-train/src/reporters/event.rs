//! What happens in training, as far as anybody wants to know.

use std::time::Duration;

use anyhow::Result;

use crate::config::Config;
use crate::data::Data;
use crate::run::metrics::{EpochRecord, StepRecord};
use crate::scores::tested::Tested;
use crate::terminal::throughput::Throughput;

/// Something that has happened in training.
pub(crate) enum Event<'a> {
    /// The process is about to train, on a `device` that is so described. So many steps and these
    /// epochs of the run are done already.
    Started { device: &'a str, step: u64, epochs: &'a [EpochRecord] },
    /// A step has ended: its metrics are back on the host.
    Step {
        record: &'a StepRecord,
        /// The step's place in its epoch, from 1 on.
        batch: u64,
        /// Whether it is one of those that the run's files have, the same in every run of the config.
        is_recorded: bool,
        /// Steps that are done of [`Work::steps`].
        done: u64,
        /// The time to the end of the run, once it can be estimated.
        eta: Option<Duration>,
    },
    /// Something looks wrong, and what may help.
    Doubt { text: &'a str, help: &'a str },
    /// Test images of an epoch have been seen: `images` so far.
    Testing { epoch: u64, images: u64, done: u64 },
    /// An epoch is finished and tested. Its state is saved once all have taken this.
    Epoch {
        record: &'a EpochRecord,
        /// The run's finished epochs, of which it is the last.
        epochs: &'a [EpochRecord],
        /// The test.
        tested: &'a Tested,
        /// Whether its network is the best so far.
        is_best: bool,
        /// The norms of each layer, if the run's config has a report that shows them (the config's
        /// table `report`).
        norms: &'a [LayerNorms],
    },
    /// Training was asked to stop after so many steps of an epoch, and its state is saved.
    Stopped { epoch: u64, batch: u64 },
    /// All epochs are done and saved, or no more are, and `early` says why.
    Finished {
        epochs: u64,
        early: Option<&'a str>,
        /// Steps done in the whole run.
        step: u64,
        /// What this process did of them.
        done: Throughput,
    },
}

/// The L2 norms of what a layer learns, its weight and its bias together, and of their gradients.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerNorms {
    pub layer: String,
    pub weights: f64,
    pub gradients: f64,
}

/// How much there is to do in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub epochs: u64,
    pub steps_per_epoch: u64,
    pub train_images: u64,
    pub test_images: u64,
    pub classes: usize,
    /// What the images are called that each epoch is tested on.
    pub tested_on: &'static str,
}

impl Work {
    /// That of a config with its images.
    pub(crate) fn of(config: &Config, data: &Data) -> Result<Self> {
        let batches = data.train.loader(config.train.batch_size)?.batches_per_epoch();
        Ok(Self {
            epochs: config.train.epochs,
            steps_per_epoch: batches as u64,
            train_images: data.train.len() as u64,
            test_images: data.test.len() as u64,
            classes: data.train.classes().len(),
            tested_on: config.data.tested_on(),
        })
    }

    /// Steps of all epochs.
    pub(crate) fn steps(&self) -> u64 {
        self.epochs * self.steps_per_epoch
    }
}
