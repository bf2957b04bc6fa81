//! `cargo xtask image-folder`: Fashion-MNIST as a folder of image files, to try such folders with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::{GrayImage, imageops};
use vgg_data::Dataset;
use vgg_data::fashion_mnist::{self, Split};
use vgg_data::image_folder::{TRAIN, VAL};

use crate::{checkout, status};

/// Write Fashion-MNIST as PNG files, train/CLASS/FILE and val/CLASS/FILE
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The new folder
    dir: PathBuf,

    /// At most so many images of each part, as many of each class
    #[arg(long, value_name = "N")]
    images: Option<usize>,

    /// Enlarge the images so many times
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=32))]
    upscale: u32,

    /// Folder of the data sets [default: `data` in the checkout; env: VGG_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if args.dir.exists() {
        bail!("{} is there already", args.dir.display());
    }
    for (split, part) in [(Split::Train, TRAIN), (Split::Test, VAL)] {
        let chosen = load(args.data_dir.as_deref(), split, args.images)?;
        let dirs = fashion_mnist::CLASSES.map(|class| args.dir.join(part).join(folder_name(class)));
        for dir in &dirs {
            fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        for (i, &label) in chosen.labels().iter().enumerate() {
            let path = dirs[label as usize].join(format!("{i:05}.png"));
            write(&path, chosen.image(i), args.upscale)?;
        }
        status("Wrote", format!("{} images to {}", chosen.len(), args.dir.join(part).display()));
    }
    Ok(())
}

/// The images of a part, at most so many.
pub(crate) fn load(
    data_dir: Option<&Path>,
    split: Split,
    images: Option<usize>,
) -> Result<Dataset> {
    let from = fashion_mnist::folder(&checkout::data_dir(data_dir));
    let all = fashion_mnist::load(&from, split)
        .context("the whole data set is needed: cargo xtask fetch-data")?;
    Ok(all.take(images.unwrap_or(all.len())))
}

/// "T-shirt/top" would be a folder in a folder.
pub(crate) fn folder_name(class: &str) -> String {
    class.replace(['/', ' '], "-").to_lowercase()
}

fn write(path: &Path, pixels: &[u8], times: u32) -> Result<()> {
    let side = fashion_mnist::SIDE as u32;
    let image = GrayImage::from_raw(side, side, pixels.to_vec()).context("an image of 28×28")?;
    let (w, h) = (times * side, times * side);
    imageops::resize(&image, w, h, imageops::FilterType::Triangle)
        .save(path)
        .with_context(|| path.display().to_string())
}
