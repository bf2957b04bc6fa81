//! Image files, each classified.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use vgg_data::{Images, Loader, Transform};
use vgg_model::{Checkpoint, Input};
use vgg_tensor::Backend;

use super::shown::of_each;
use crate::config;
use crate::failure::{Code, Failure};
use crate::machine::device::{self, Job};
use crate::machine::memory;
use crate::run::checkpoints::{self, LinearWeights};
use crate::terminal::ui::Ui;

/// Images that are classified at once, if memory suffices.
const BATCH: usize = 16;

/// Classifies files one after the other, in memory that does not depend on how many there are: each
/// thread decodes one and scales it at once, and what is scaled is no more than a few batches ahead.
pub(crate) struct Classify<'a> {
    pub device: &'a config::Device,
    pub checkpoint: Checkpoint,
    pub linear_weights: LinearWeights,
    pub files: &'a [PathBuf],
    /// To the network's size.
    pub transform: Transform,
    /// What that is, in words.
    pub described: String,
    /// Is given a file and the probabilities of its classes.
    pub tell: &'a dyn Fn(&Path, &[f32]) -> Result<()>,
    pub ui: &'a Ui,
}

impl Job for Classify<'_> {
    /// How many files could not be read.
    type Output = usize;

    fn run<B: Backend>(self, backend: B) -> Result<usize> {
        let Self { device, checkpoint, linear_weights, files, transform, described, tell, ui } =
            self;
        device::tell(device, &backend, ui);
        ui.status("Input", &described);
        let [_, height, width] = transform.shape();
        let input = Input { height, width, ..checkpoint.input.clone() };
        let mut session = checkpoints::session(backend, checkpoint, linear_weights, 1)?;
        let (vgg, most) = (session.vgg().clone(), files.len().clamp(1, BATCH));
        let batch = memory::largest_batch(&session, &vgg, &input, most, None)?;
        session.set_input(&input, batch)?;
        let images = Images::from_files(files, input.channels);
        let loader = Loader::new(images, transform, batch, device.threads)?.passing_over();
        let (mut batches, mut files, mut passed) = (loader.epoch(0, 0), files.iter(), 0);
        while let Some(batch) = batches.next_batch()? {
            let probabilities = session.probabilities(&batch.pixels)?;
            let each = of_each(batch, &probabilities, vgg.outputs());
            for (probabilities, file) in each.zip(&mut files) {
                match probabilities {
                    Ok(probabilities) => tell(file, probabilities)?,
                    Err(reason) => {
                        ui.error(&anyhow!("{reason}"));
                        passed += 1;
                    }
                }
            }
        }
        Ok(passed)
    }
}

/// The failure of files that could not be read, each of which was told.
pub(crate) fn unreadable(count: usize, of: usize) -> Result<()> {
    let message = match (count, of) {
        (0, _) => return Ok(()),
        (_, 1) => "the file could not be read".to_owned(),
        _ => format!("{count} of {of} files could not be read"),
    };
    Err(Failure::new(Code::Data, message).into())
}
