//! How fast image files become batches: decoded, scaled, cropped, mirrored.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vgg_data::image_folder::{OpenOptions, TRAIN, class_names};
use vgg_data::{Augment, Decoding, ImageFolder, Images, Loader, Transform};

const BATCH: usize = 32;

/// A round of each number of threads; they alternate, and the fastest round counts.
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

/// Images a second with one thread and with all, as the paper trains: the short side from 256 to 512,
/// 224×224 cut anywhere, every other one mirrored.
pub(super) fn measure(dir: &Path) -> Result<String> {
    let train = dir.join(TRAIN);
    let options = OpenOptions::of(Decoding::stored(3));
    let images: Images = ImageFolder::open(&train, &class_names(&train)?, &options)?.into();
    let augment = Augment { random_crop: true, flip: true, ..Augment::default() };
    let transform = Transform::scaled([3, 224, 224], [256, 512])?.with(augment)?;
    let all = std::thread::available_parallelism()?.get();
    let loader = |threads| -> Result<Loader> {
        Ok(Loader::new(images.clone(), transform.clone(), BATCH, threads)?.shuffled(0))
    };
    let loaders = [loader(1)?, loader(all)?];
    let mut fastest = [0.0_f64; 2];
    for round in 0..ROUNDS {
        for (loader, fastest) in loaders.iter().zip(&mut fastest) {
            *fastest = fastest.max(images_per_second(loader, round as u64)?);
        }
    }
    let mut text = format!("{} images of {}\n", images.len(), train.display());
    for (threads, speed) in [1, all].iter().zip(fastest) {
        writeln!(text, "{threads:>3} threads  {speed:8.0} images/s")?;
    }
    Ok(text)
}

/// Of whole batches, over epochs from `epoch` on, until a round is over.
fn images_per_second(loader: &Loader, epoch: u64) -> Result<f64> {
    let (mut seen, start) = (0, Instant::now());
    for epoch in epoch.. {
        let mut batches = loader.epoch(epoch, 0);
        while let Some(batch) = batches.next_batch()? {
            seen += batch.labels.len();
            if start.elapsed() >= ROUND {
                return Ok(seen as f64 / start.elapsed().as_secs_f64());
            }
        }
    }
    None.context("epochs do not end")
}
