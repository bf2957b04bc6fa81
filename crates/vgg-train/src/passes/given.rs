//! What a network gives for image files.

use anyhow::Result;
use vgg_data::{Images, Loader, Transform};
use vgg_tensor::Backend;

use super::classify::prepared;
use super::shown::of_each;
use crate::config;
use crate::machine::device::Job;
use crate::run::checkpoints::{self, LinearWeights};

/// Images that are shown at once, if memory suffices.
const BATCH: usize = 128;

/// Shows image files to the network of a checkpoint, each as the only view that `transform` makes of it.
pub(crate) struct Given<'a> {
    pub device: &'a config::Device,
    pub path: &'a std::path::Path,
    pub linear_weights: LinearWeights,
    pub images: &'a Images,
    pub transform: &'a Transform,
}

impl Job for Given<'_> {
    /// Of each image the network's numbers, or why it cannot be read.
    type Output = Vec<Result<Vec<f32>, String>>;

    fn run<B: Backend>(self, backend: B) -> Result<Self::Output> {
        let Self { device, path, linear_weights, images, transform } = self;
        let checkpoint = checkpoints::load(path)?;
        let most = images.len().clamp(1, BATCH);
        let (mut session, batch) = prepared(backend, checkpoint, linear_weights, transform, most)?;
        let outputs = session.vgg().outputs();
        let loader = Loader::new(images.clone(), transform.clone(), batch, device.threads)?;
        let mut batches = loader.passing_over().epoch(0, 0);
        let mut given = Vec::with_capacity(images.len());
        while let Some(batch) = batches.next_batch()? {
            let numbers = session.logits(&batch.pixels)?;
            given.extend(
                of_each(batch, &numbers, outputs)
                    .map(|numbers| numbers.map(<[f32]>::to_vec).map_err(str::to_owned)),
            );
        }
        Ok(given)
    }
}
