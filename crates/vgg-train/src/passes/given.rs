//! What a network gives for image files.

use anyhow::Result;
use vgg_data::{Images, Loader, Transform};
use vgg_model::Checkpoint;
use vgg_tensor::Backend;

use super::classify::prepared;
use super::shown::of_each;
use crate::config;
use crate::machine::device::Job;
use crate::run::checkpoints::LinearWeights;

/// Images that are shown at once, if memory suffices.
const BATCH: usize = 128;

/// Shows images to a network. Of each it has the network's numbers, or why it cannot be read.
pub(crate) type Show<'a> = dyn FnMut(&Images) -> Result<Vec<Result<Vec<f32>, String>>> + 'a;

/// Makes a network ready once, for all the images that are shown to it.
pub(crate) struct Given<'a> {
    pub device: &'a config::Device,
    pub checkpoint: Checkpoint,
    pub linear_weights: LinearWeights,
    /// To the only view of an image.
    pub transform: &'a Transform,
    /// The most images that are shown together.
    pub most: usize,
    /// Is given the network, and shows images to it.
    pub then: &'a mut dyn FnMut(&mut Show<'_>) -> Result<()>,
}

impl Job for Given<'_> {
    type Output = ();

    fn run<B: Backend>(self, backend: B) -> Result<()> {
        let Self { device, checkpoint, linear_weights, transform, most, then } = self;
        let most = most.clamp(1, BATCH);
        let (mut session, batch) = prepared(backend, checkpoint, linear_weights, transform, most)?;
        let outputs = session.vgg().outputs();
        then(&mut |images| {
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
        })
    }
}
