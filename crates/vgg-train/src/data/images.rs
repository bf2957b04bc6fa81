//! Images, and how they become a network's input.

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use vgg_data::{Crop, CutMix, Images, Loader, Mixup, Moment, Transform};
use vgg_tensor::hex;

use crate::failure::{Code, Failure};
use crate::machine::memory::Host;
use crate::scores::predictions::Predictions;

/// What to do about damaged images.
pub(super) const DAMAGED_HELP: &str =
    "`vgg-train data check` lists all damaged images, data.skip_damaged = true leaves them out";

/// … by a command that has an option for it.
pub(crate) const DAMAGED_OPTION_HELP: &str =
    "`vgg-train data check` lists all damaged images, --skip-damaged leaves them out";

/// The least share of an object that must be in a training image: of less, nothing can be learnt.
const LEAST_SEEN: f64 = 0.5;

/// Images that are read at once where they are looked at.
const LOOKED_AT: usize = 8;

/// What is trained on and what is tested on.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub train: Part,
    pub test: Part,
}

impl Data {
    /// What tells the images from others: how many, of which classes, and whose each is. That files and packs
    /// are the config's is known where they are opened.
    pub(crate) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for part in [&self.train, &self.test] {
            for class in part.classes() {
                digest.update(class);
                digest.update([0]);
            }
            digest.update((part.len() as u64).to_le_bytes());
            part.labels().iter().for_each(|label| digest.update(label.to_le_bytes()));
        }
        hex(&digest.finalize())
    }

    /// Host memory of training on batches of `batch` images and testing on `test_batch`.
    pub(crate) fn memory(&self, batch: usize, test_batch: usize) -> Result<Host> {
        let (train, test) = (self.train.loader(batch)?, self.test.loader(test_batch)?);
        // A part of the images that the other part is held out of has the same in memory.
        let data = self.train.images.bytes_with(&self.test.images);
        let batches = train.bytes().max(test.bytes());
        let predictions = Predictions::bytes(self.test.len(), self.test.classes().len());
        Ok(Host { data, batches, predictions, held: data, others: 0 })
    }
}

/// Images, and how they become a network's input.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub images: Images,
    pub(super) transform: Transform,
    pub(super) mixup: Option<Mixup>,
    pub(super) cutmix: Option<CutMix>,
    /// Whether a shuffled epoch has each class as often as any other.
    pub(super) balanced: bool,
    /// Whether batches say where objects are.
    pub(super) located: bool,
    pub(super) threads: usize,
}

impl Part {
    /// Batches of these images in stored order.
    pub(crate) fn loader(&self, batch_size: usize) -> Result<Loader> {
        let (images, transform) = (self.images.clone(), self.transform.clone());
        let loader = Loader::new(images, transform, batch_size, self.threads)?;
        let loader = if self.balanced { loader.balanced() } else { loader };
        let loader = if self.located { loader.locating(LEAST_SEEN)? } else { loader };
        let loader = match self.mixup {
            Some(mixup) => loader.mixed(mixup),
            None => loader,
        };
        Ok(match self.cutmix {
            Some(cutmix) => loader.cut_mixed(cutmix),
            None => loader,
        })
    }

    /// Where the first view of image `i` is from.
    ///
    /// # Errors
    /// When the size of the image cannot be read.
    pub(crate) fn crop(&self, i: usize) -> Result<Crop> {
        // Nothing of a test is random.
        let moment = Moment { seed: 0, epoch: 0 };
        Ok(self.transform.crops(&self.images, i, moment)?[0])
    }

    /// The images with these numbers, in this order.
    pub(crate) fn subset(&self, indices: &[usize]) -> Self {
        Self { images: self.images.subset(indices), ..self.clone() }
    }

    /// Shows the images with these numbers, in this order: `[c, h, w]` bytes each, as batches have
    /// them.
    ///
    /// # Errors
    /// When an image cannot be read; those of `show`.
    pub(crate) fn look(
        &self,
        numbers: &[usize],
        mut show: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let part = self.subset(numbers);
        let loader = part.loader(LOOKED_AT)?;
        let (mut batches, mut numbers) = (loader.epoch(0, 0), numbers.iter());
        while let Some(batch) = batches.next_batch().with_context(|| unreadable(&part.images))? {
            let images = batch.pixels.chunks_exact(part.shape().iter().product());
            for (pixels, number) in images.zip(&mut numbers) {
                show(*number, pixels)?;
            }
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    /// Of each image.
    pub(crate) fn labels(&self) -> &[u32] {
        self.images.labels()
    }

    /// Channels, height and width of what a batch has of an image.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.transform.shape()
    }

    pub(crate) fn classes(&self) -> &[String] {
        self.images.classes()
    }
}

/// Why there is no batch of `images`, as the context of the reason.
pub(crate) fn unreadable(images: &Images) -> Failure {
    let failure = Failure::new(Code::Data, "cannot read an image");
    match images.folder() {
        Some(_) => failure.help(DAMAGED_HELP),
        None => failure,
    }
}
