//! How fast image files become batches: decoded, scaled, cropped, mirrored.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use vgg_data::image_folder::{OpenOptions, TRAIN, class_names};
use vgg_data::pack::{self, Contents, Pack};
use vgg_data::{Augment, Decoding, ImageFolder, Images, Loader, Transform};

use super::peers::Python;
use super::statistics::median;
use super::table::Table;

const BATCH: usize = 32;
/// The first and last short side of training in the paper.
const SHORT_SIDE: [usize; 2] = [256, 512];
const SIDE: usize = 224;

/// What pixels are packed at, and cut from as they are.
const PACKED: usize = 256;

/// Each way is measured for so long in a round; they alternate.
const ROUND: Duration = Duration::from_secs(2);
/// A peer's workers have to get going.
const PEERS_ROUND: Duration = Duration::from_secs(6);

/// A way to make images ready, and images a second that were measured.
struct Way {
    name: String,
    loader: Loader,
    speeds: Vec<f64>,
}

impl Way {
    fn new(name: &str, images: &Images, transform: &Transform, threads: usize) -> Result<Self> {
        let plural = if threads == 1 { "" } else { "s" };
        let loader = Loader::new(images.clone(), transform.clone(), BATCH, threads)?.shuffled(0);
        Ok(Self { name: format!("{name}, {threads} thread{plural}"), loader, speeds: vec![] })
    }
}

/// Images a second as the paper trains: the short side from 256 to 512, 224×224 cut anywhere, every
/// other one mirrored; with one thread and with all, and with `python` by torchvision's workers.
/// Then from packs: of the same files, and of pixels that are not scaled any more, beside copies of
/// their bytes.
pub(super) fn measure(dir: &Path, rounds: usize, python: Option<&Python>) -> Result<String> {
    let train = dir.join(TRAIN);
    let classes = class_names(&train)?;
    let open = |decoding| ImageFolder::open(&train, &classes, &OpenOptions::of(decoding));
    let decoding = Decoding::stored(3);
    let whole: Images = open(decoding)?.into();
    let scaled: Images = open(Decoding { scaled: true, ..decoding })?.into();
    let packs = tempfile::tempdir().context("no temporary folder")?;
    let pack = |name: &str, contents| -> Result<Images> {
        let path = packs.path().join(name);
        let mut file = BufWriter::new(File::create(&path)?);
        pack::write(&path, &mut file, &[(TRAIN, open(decoding)?)], contents)?;
        file.into_inner()?;
        Ok(Images::from_pack(&Arc::new(Pack::open(&path)?), TRAIN, decoding)?)
    };
    let files = pack("files", Contents::Files)?;
    let pixels = pack("pixels", Contents::Pixels { decoding, short_side: PACKED })?;

    let transform = |short_side| -> Result<Transform> {
        let augment = Augment { random_crop: true, flip: true, ..Augment::default() };
        Ok(Transform::scaled([3, SIDE, SIDE], short_side)?.with(augment)?)
    };
    let (as_paper, as_packed) = (transform(SHORT_SIDE)?, transform([PACKED; 2])?);
    let all = std::thread::available_parallelism()?.get();
    let mut ways = [
        Way::new("folder", &whole, &as_paper, 1)?,
        Way::new("folder", &whole, &as_paper, all)?,
        Way::new("folder, decode = \"scaled\"", &scaled, &as_paper, all)?,
        Way::new("pack of files", &files, &as_paper, all)?,
        Way::new("pack of pixels, not scaled", &pixels, &as_packed, all)?,
    ];
    let (mut copies, len) = (vec![], mean_len(&pixels)?);
    let request = json!({
        "folder": train,
        "batch": BATCH,
        "short_side": SHORT_SIDE,
        "workers": all,
        "seconds": PEERS_ROUND.as_secs_f64(),
    });
    let (mut peer, mut peers) = (String::new(), vec![]);
    for round in 0..rounds {
        for Way { loader, speeds, .. } in &mut ways {
            speeds.push(images_per_second(loader, round as u64)?);
        }
        copies.push(copies_per_second(len, all));
        if let Some(python) = python {
            let measured = python.load_images(&request)?;
            peer = format!("{}, {all} workers", measured.program);
            peers.push(measured.img_per_s);
        }
    }
    let mut table = Table::new(1, &["way", "images/s", "ours / theirs"]);
    for Way { name, speeds, .. } in ways {
        let ratio =
            python.map(|_| format!("{:.2} ×", median(speeds.clone()) / median(peers.clone())));
        table.row(vec![name, format!("{:.0}", median(speeds)), ratio.unwrap_or_default()]);
    }
    let copies = format!("{:.0}", median(copies));
    table.row(vec![format!("copies of {len} bytes, its pixels, {all} threads"), copies]);
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

/// Bytes that the pixels of an image take.
fn mean_len(images: &Images) -> Result<usize> {
    let mut sum = 0;
    for i in 0..images.len() {
        let [h, w] = images.size(i)?;
        sum += images.channels() * h * w;
    }
    Ok(sum / images.len().max(1))
}

/// Copies of so many bytes a second, by all threads, from memory that no cache holds to memory that one
/// does: the least that making an image ready takes.
fn copies_per_second(len: usize, threads: usize) -> f64 {
    const IMAGES: usize = 512;
    let copy = || {
        let (from, mut to) = (vec![1_u8; IMAGES * len], vec![0_u8; len]);
        let (mut copied, start) = (0, Instant::now());
        while start.elapsed() < ROUND / 2 {
            for image in from.chunks_exact(len) {
                std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(image));
            }
            copied += IMAGES;
        }
        copied as f64 / start.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(copy)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}
