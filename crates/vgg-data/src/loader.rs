//! Shuffled batches, made ready before they are needed.

mod epoch;
#[cfg(test)]
mod located_tests;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use rayon::ThreadPool;
use rayon::prelude::*;
use vgg_tensor::ranks::Shards;
use vgg_tensor::{Draw, Error, Result, room_for};

use crate::order::{class_balanced, shuffled};
use crate::threads::pool;
use crate::transform::Chance;
use crate::{CutMix, Images, Mixup, Moment, Transform, cutmix};
pub use epoch::Epoch;
use epoch::Fill;

/// The random stream that shuffles: no other use of a run's seed may have this number.
const SHUFFLE_STREAM: u32 = 0x3000;

/// The random stream that draws images class by class.
const BALANCED_STREAM: u32 = 0x3002;

/// Threads that fill batches, in turn. Where the images of one are transformed on several threads, those
/// that find none left go on with the next one's, so that nobody waits for the last image of a batch.
const FILLERS: usize = 2;

/// How many batches exist of each thread that fills them: one that is ready, or with the caller, and
/// one being filled …
const PER_FILLER: usize = 2;
/// … and of one alone: that with the caller, one that is ready and one being filled.
const ALONE: usize = 3;

/// What is wrong with images that are mixed and located.
const MIXED: &str = "an image that is mixed with another has boxes of both";

/// Cuts images into batches, in an order that depends on nothing but the seed and the epoch.
#[derive(Clone, Debug)]
pub struct Loader {
    images: Arc<Images>,
    transform: Arc<Transform>,
    batch_size: usize,
    /// Decides the order and what else is random; without it the order is the stored one.
    seed: Option<u64>,
    /// Whether the images of a shuffled epoch are drawn class by class.
    balanced: bool,
    mixup: Option<Mixup>,
    cutmix: Option<CutMix>,
    /// Whether there are boxes, and the least share of an object that must be seen.
    located: Option<f64>,
    /// Whether images that cannot be read are passed over.
    passes_over: bool,
    /// Whose images are decoded.
    shards: Shards,
    /// Transforms images, unless they are copied as they are.
    pool: Option<Arc<ThreadPool>>,
}

impl Loader {
    /// Batches of `batch_size` images in stored order, transformed on `threads` threads (0: one a
    /// processor).
    ///
    /// # Errors
    /// When `batch_size` is 0, or the images have another size or other channels than those that
    /// `transform` is of.
    pub fn new(
        images: Images,
        transform: Transform,
        batch_size: usize,
        threads: usize,
    ) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::Shape("the batch size must be at least 1".into()));
        }
        let copied = transform.is_copy() && images.are_stored_as(transform.shape());
        let pool = match copied {
            true => None,
            false => Some(Arc::new(pool(threads)?)),
        };
        Ok(Loader {
            images: Arc::new(images),
            transform: Arc::new(transform),
            batch_size,
            seed: None,
            balanced: false,
            mixup: None,
            cutmix: None,
            located: None,
            passes_over: false,
            shards: Shards::ONE,
            pool,
        })
    }

    /// The same, shuffled anew every epoch by `seed`, which decides what else is random, too.
    #[must_use]
    pub fn shuffled(self, seed: u64) -> Self {
        Loader { seed: Some(seed), ..self }
    }

    /// The same, where an epoch that is shuffled has as many images as before, drawn with replacement:
    /// each class as often as any other, and each image of a class. It depends on nothing but the seed
    /// and the epoch, too.
    #[must_use]
    pub fn balanced(self) -> Self {
        Loader { balanced: true, ..self }
    }

    /// The same, where batches say [where the objects are](crate::Batch::boxes) of which an image has its
    /// class: of several the one of which most is seen. Of an object less than `least` of which is seen,
    /// from 0 to 1, nothing is said.
    ///
    /// # Errors
    /// [`Error::Shape`] when the objects in the images are not known, `least` is no share, or boxes cannot
    /// follow what becomes of images: images that are mixed, or sheared and rotated by RandAugment or
    /// TrivialAugment.
    pub fn locating(self, least: f64) -> Result<Self> {
        self.transform.check_boxes()?;
        let wrong = match () {
            () if !self.images.has_objects() => "no boxes of the objects in the images".into(),
            () if !(0.0..=1.0).contains(&least) => {
                format!("a least share of {least}, not from 0 to 1")
            }
            () if self.mixup.is_some() || self.cutmix.is_some() => MIXED.into(),
            () => return Ok(Self { located: Some(least), ..self }),
        };
        Err(Error::Shape(wrong))
    }

    /// The same, with the images of each batch mixed.
    ///
    /// # Panics
    /// When objects are located.
    #[must_use]
    pub fn mixed(self, mixup: Mixup) -> Self {
        assert!(self.located.is_none(), "{MIXED}");
        Loader { mixup: Some(mixup), ..self }
    }

    /// The same, with a part of another image in each image of a batch. Of batches that are
    /// [mixed](Self::mixed), too, each has one or the other, by equal chances.
    ///
    /// # Panics
    /// When objects are located.
    #[must_use]
    pub fn cut_mixed(self, cutmix: CutMix) -> Self {
        assert!(self.located.is_none(), "{MIXED}");
        Loader { cutmix: Some(cutmix), ..self }
    }

    /// The same, where a file that cannot be read, or is no image, does not end an epoch:
    /// [`Batch::unreadable`](crate::Batch::unreadable) tells of it.
    #[must_use]
    pub fn passing_over(self) -> Self {
        Loader { passes_over: true, ..self }
    }

    /// The same for one rank of several, which share each batch's shards: pixels are those of its own
    /// images, while labels, what they are mixed with, and boxes are all of the batch's: a loss is divided by
    /// what counts of the whole batch. No other image is read for that, as sizes are known. A full batch is as
    /// large as the images allow.
    #[must_use]
    pub fn for_rank(self, shards: Shards) -> Self {
        Loader { shards, ..self }
    }

    /// The images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The number of batches in an epoch. The last one is smaller when the images do not divide
    /// evenly.
    pub fn batches_per_epoch(&self) -> usize {
        self.images.len().div_ceil(self.batch_size)
    }

    /// Bytes of host memory that an epoch takes: its batches, its order, and images that are being
    /// decoded. What the images themselves take is [`Images::bytes`].
    pub fn bytes(&self) -> u64 {
        let pixels = self.transform.views() * self.transform.shape().iter().product::<usize>();
        let mixes = self.mixup.is_some() || self.cutmix.is_some();
        let mix = if mixes { size_of::<(u32, f32)>() } else { 0 };
        let boxes =
            self.located.map_or(0, |_| self.transform.views() * size_of::<Option<[f32; 4]>>());
        let of_a_batch = self.batch_size * (pixels + size_of::<u32>() + mix + boxes);
        let order = self.images.len() * size_of::<u32>();
        // A decoder has its output and, of a photograph, as much again on its way there.
        let decoded = match &self.pool {
            Some(pool) => 2 * pool.current_num_threads() as u64 * self.images.decoded_bytes(),
            None => 0,
        };
        (self.buffers() * self.fillers() * of_a_batch + order) as u64 + decoded
    }

    /// Threads that fill batches.
    fn fillers(&self) -> usize {
        let transforming = self.pool.as_ref().map_or(0, |pool| pool.current_num_threads());
        if transforming > 1 { FILLERS } else { 1 }
    }

    /// Batches of each of them.
    fn buffers(&self) -> usize {
        if self.fillers() == 1 { ALONE } else { PER_FILLER }
    }

    /// Starts `epoch` at batch number `first_batch`.
    ///
    /// The batches are the same as if the epoch had been started at 0 and the first ones passed
    /// over, so that an interrupted epoch can be taken up where it was.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Epoch {
        let indices = first_batch..self.batches_per_epoch();
        Epoch::start(indices, self.fill(epoch), [self.fillers(), self.buffers()])
    }

    /// What fills the batches of an epoch.
    fn fill(&self, epoch: u64) -> Fill {
        let Self {
            images,
            transform,
            batch_size,
            seed,
            balanced,
            mixup,
            cutmix,
            located,
            passes_over,
            shards,
            pool,
        } = self.clone();
        let draw = |seed, stream| Draw { seed, stream, step: epoch };
        let order: Vec<u32> = match seed {
            Some(seed) if balanced => class_balanced(images.labels(), draw(seed, BALANCED_STREAM)),
            Some(seed) => shuffled(images.len(), draw(seed, SHUFFLE_STREAM)),
            None => (0..images.len() as u32).collect(),
        };
        let moment = Moment { seed: seed.unwrap_or_default(), epoch };
        let image_len = transform.views() * transform.shape().iter().product::<usize>();
        let (full, mixes) = (batch_size.min(images.len()), mixup.is_some() || cutmix.is_some());
        Arc::new(move |index, batch| {
            let start = index * batch_size;
            let chosen = &order[start..images.len().min(start + batch_size)];
            batch.labels.extend(chosen.iter().map(|&i| images.labels()[i as usize]));
            // An image that is drawn again must not look the same.
            let chance = |place: usize| {
                let number = if balanced { start + place } else { chosen[place] as usize };
                Chance::new(moment, number)
            };
            let rows = shards.rows(full, chosen.len());
            let decoded = decoded(&rows, chosen.len(), mixes);
            let len = decoded.len() * image_len;
            if batch.pixels.capacity() < len {
                batch.pixels = room_for(len)?;
            }
            match &pool {
                None => {
                    let pixels = decoded.iter().map(|&row| chosen[row]);
                    let pixels = pixels.filter_map(|i| images.stored_pixels(i as usize));
                    batch.pixels.clear();
                    pixels.for_each(|pixels| batch.pixels.extend_from_slice(pixels));
                }
                Some(pool) => {
                    // Each byte is written anew.
                    batch.pixels.resize(len, 0);
                    let places = batch.pixels.par_chunks_exact_mut(image_len).zip(&decoded);
                    let apply = |(out, &place): (&mut [u8], &usize)| {
                        let (i, chance) = (chosen[place], chance(place));
                        let error =
                            transform.apply_by_chance(&images, i as usize, chance, out).err()?;
                        out.fill(0);
                        Some((place, error))
                    };
                    let failed: Vec<_> = pool.install(|| places.filter_map(apply).collect());
                    for (place, error) in failed {
                        if !passes_over || !error.is_of_a_file() {
                            return Err(error);
                        }
                        batch.unreadable.push((place, error.to_string()));
                    }
                }
            }
            if let Some(least) = located {
                for (place, &i) in chosen.iter().enumerate() {
                    match batch.unreadable.iter().any(|(unreadable, _)| *unreadable == place) {
                        true => batch.boxes.extend((0..transform.views()).map(|_| None)),
                        false => {
                            let seen =
                                transform.locate(&images, i as usize, chance(place), least)?;
                            batch.boxes.extend(seen);
                        }
                    }
                }
            }
            if !mixes || chosen.is_empty() {
                return Ok(());
            }
            // The image after a rank's last one, or where all are there, the first one.
            let wrapped = if decoded.len() > rows.len() { rows.len() } else { 0 };
            let after_last = match batch.pixels.get(wrapped * image_len..(wrapped + 1) * image_len)
            {
                Some(pixels) => pixels.to_vec(),
                None => vec![],
            };
            batch.pixels.truncate(rows.len() * image_len);
            let [_, h, w] = transform.shape();
            match (mixup, cutmix) {
                (Some(mixup), Some(_)) if !cutmix::is_chosen(moment, index) => {
                    mixup.apply(moment, index, batch, &after_last);
                }
                (_, Some(cutmix)) => cutmix.apply(moment, index, [h, w], batch, &after_last),
                (Some(mixup), None) => mixup.apply(moment, index, batch, &after_last),
                (None, None) => {}
            }
            Ok(())
        })
    }
}

/// Which of a batch's `n` images are decoded for those in `rows`: where images are mixed, also the one
/// after the last of these, which comes last, unless it is one of them.
fn decoded(rows: &Range<usize>, n: usize, mixes: bool) -> Vec<usize> {
    let mut decoded: Vec<usize> = rows.clone().collect();
    if mixes && !rows.is_empty() && rows.len() < n {
        decoded.push(rows.end % n);
    }
    decoded
}
