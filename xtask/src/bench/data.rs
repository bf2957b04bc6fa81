//! How fast image files become batches: decoded, scaled, cropped, mirrored.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use vgg_data::image_folder::{OpenOptions, TRAIN, class_names};
use vgg_data::{Augment, Decoding, ImageFolder, Images, Loader, Transform};

use super::peers::Python;
use super::statistics::median;
use super::table::Table;

const BATCH: usize = 32;
/// The first and last short side of training in the paper.
const SHORT_SIDE: [usize; 2] = [256, 512];
const SIDE: usize = 224;

/// Each way is measured for so long in a round; they alternate.
const ROUND: Duration = Duration::from_secs(2);
/// A peer's workers have to get going.
const PEERS_ROUND: Duration = Duration::from_secs(6);

/// Images a second as the paper trains: the short side from 256 to 512, 224×224 cut anywhere, every
/// other one mirrored; with one thread and with all, and with `python` by torchvision's workers.
pub(super) fn measure(dir: &Path, rounds: usize, python: Option<&Python>) -> Result<String> {
    let train = dir.join(TRAIN);
    let classes = class_names(&train)?;
    let open = |decoding| -> Result<Images> {
        Ok(ImageFolder::open(&train, &classes, &OpenOptions::of(decoding))?.into())
    };
    let whole = open(Decoding::stored(3))?;
    let scaled = open(Decoding { scaled: true, ..Decoding::stored(3) })?;
    let augment = Augment { random_crop: true, flip: true, ..Augment::default() };
    let transform = Transform::scaled([3, SIDE, SIDE], SHORT_SIDE)?.with(augment)?;
    let all = std::thread::available_parallelism()?.get();
    let mut ways = Vec::new();
    for (what, images, threads) in [
        ("folder", &whole, 1),
        ("folder", &whole, all),
        ("folder, decode = \"scaled\"", &scaled, all),
    ] {
        let loader = Loader::new(images.clone(), transform.clone(), BATCH, threads)?.shuffled(0);
        let plural = if threads == 1 { "" } else { "s" };
        ways.push((format!("{what}, {threads} thread{plural}"), loader, vec![]));
    }
    let request = json!({
        "folder": train,
        "batch": BATCH,
        "short_side": SHORT_SIDE,
        "workers": all,
        "seconds": PEERS_ROUND.as_secs_f64(),
    });
    let (mut peer, mut peers) = (String::new(), vec![]);
    for round in 0..rounds {
        for (_, loader, speeds) in &mut ways {
            speeds.push(images_per_second(loader, round as u64)?);
        }
        if let Some(python) = python {
            let measured = python.load_images(&request)?;
            peer = format!("{}, {all} workers", measured.program);
            peers.push(measured.img_per_s);
        }
    }
    let mut table = Table::new(1, &["way", "images/s", "ours / theirs"]);
    for (way, _, speeds) in ways {
        let ratio =
            python.map(|_| format!("{:.2} ×", median(speeds.clone()) / median(peers.clone())));
        table.row(vec![way, format!("{:.0}", median(speeds)), ratio.unwrap_or_default()]);
    }
    if python.is_some() {
        table.row(vec![peer, format!("{:.0}", median(peers))]);
    }
    Ok(format!("{} images of {}\n{table}", whole.len(), train.display()))
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
