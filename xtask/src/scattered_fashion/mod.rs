//! `cargo xtask scattered-fashion`: Fashion-MNIST at random places of larger images, with boxes.

mod scene;
mod texture;

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};
use vgg_data::Dataset;
use vgg_data::fashion_mnist::{self, Split};
use vgg_data::image_folder::{TRAIN, VAL};
use vgg_tensor::Draw;
use vgg_tensor::new_file::NewFile;

use self::scene::{Scene, scene};
use crate::image_folder::{folder_name, load};
use crate::status;

/// The file of the boxes, in the new folder.
const BOXES: &str = "boxes.csv";

/// Write Fashion-MNIST at random sizes and places of larger images with a textured background, as
/// train/CLASS/FILE and val/CLASS/FILE, and where it is as boxes.csv
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The new folder
    dir: PathBuf,

    /// Height and width of the images in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 96)]
    #[arg(value_parser = clap::value_parser!(u32).range(40..=1024))]
    side: u32,

    /// At most so many images of each part, as many of each class
    #[arg(long, value_name = "N")]
    images: Option<usize>,

    /// Decides sizes, places and backgrounds
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Folder of the data sets [default: `data` in the checkout; env: VGG_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if args.dir.exists() {
        bail!("{} is there already", args.dir.display());
    }
    let load = |split| load(args.data_dir.as_deref(), split, args.images);
    let parts = [load(Split::Train)?, load(Split::Test)?];
    write(&args.dir, &parts, args.side, args.seed)?;
    for (part, images) in [TRAIN, VAL].into_iter().zip(&parts) {
        status("Wrote", format!("{} images to {}", images.len(), args.dir.join(part).display()));
    }
    status("Wrote", args.dir.join(BOXES).display());
    Ok(())
}

/// Writes the images of both parts, and then their boxes.
fn write(dir: &Path, parts: &[Dataset; 2], side: u32, seed: u64) -> Result<()> {
    let mut lines = vec!["path,label,x0,y0,x1,y1".to_owned()];
    for (stream, (part, images)) in (0..).zip([TRAIN, VAL].into_iter().zip(parts)) {
        for class in fashion_mnist::CLASSES {
            let folder = dir.join(part).join(folder_name(class));
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let draw = |i: usize| Draw { seed, stream, step: i as u64 };
        lines.extend(write_part(dir, part, images, side, &draw)?);
    }
    let file = NewFile::beside_others(&dir.join(BOXES))?;
    file.write(|out| out.write_all((lines.join("\n") + "\n").as_bytes()))?;
    file.finish()?.rename(&dir.join(BOXES))?;
    Ok(())
}

/// Writes the images of a part, on all cores, and says where garments are in each: a line an image.
fn write_part(
    dir: &Path,
    part: &str,
    images: &Dataset,
    side: u32,
    draw: &(dyn Fn(usize) -> Draw + Sync),
) -> Result<Vec<String>> {
    let write = |i: usize| -> Result<String> {
        let class = folder_name(fashion_mnist::CLASSES[images.labels()[i] as usize]);
        let path = format!("{part}/{class}/{i:05}.png");
        let Scene { canvas, corners: [x0, y0, x1, y1] } = scene(images.image(i), side, draw(i))?;
        canvas.save(dir.join(&path)).with_context(|| path.clone())?;
        Ok(format!("{path},{class},{x0},{y0},{x1},{y1}"))
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = images.len().div_ceil(threads).max(1);
    let numbers: Vec<usize> = (0..images.len()).collect();
    thread::scope(|scope| {
        let shares = numbers.chunks(share).map(|share| {
            scope.spawn(|| share.iter().map(|i| write(*i)).collect::<Result<Vec<_>>>())
        });
        let mut lines = Vec::new();
        for thread in shares.collect::<Vec<_>>() {
            match thread.join() {
                Ok(of_share) => lines.extend(of_share?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(lines)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vgg_data::boxes::{Boxes, ReadOptions};
    use vgg_data::image_folder::{Arrangement, OpenOptions};
    use vgg_data::{Decoding, sample};

    use super::*;

    fn parts() -> [Dataset; 2] {
        [Split::Train, Split::Test].map(|split| sample::load(split).unwrap().take(40))
    }

    /// All files in a folder, by where they are in it.
    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![dir.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        let name = path.strip_prefix(dir).unwrap().to_owned();
                        files.insert(name, fs::read(path).unwrap());
                    }
                }
            }
        }
        files
    }

    #[test]
    fn the_seed_alone_decides() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, seed| {
            write(&dir.path().join(name), &parts(), 48, seed).unwrap();
            files(&dir.path().join(name))
        };
        let first = of("a", 3);
        assert_eq!(first.len(), 81);
        assert!(first == of("b", 3) && first != of("c", 4));
    }

    #[test]
    fn every_image_has_its_box() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &parts(), 96, 0).unwrap();
        let arrangement = Arrangement::default();
        let classes = arrangement.class_names(dir.path()).unwrap();
        let options = OpenOptions::of(Decoding::turned(1));
        let parts = arrangement.open(dir.path(), &classes, &options).unwrap();
        let boxes = Boxes::read(&dir.path().join(BOXES), &parts, &ReadOptions::default()).unwrap();
        for (part, (_, folder)) in parts.iter().enumerate() {
            assert_eq!(folder.files().len(), 40);
            for (file, objects) in folder.files().iter().zip(boxes.of_part(part)) {
                assert!(matches!(objects[..], [object] if object.label == file.label));
            }
            assert!(folder.sizes().iter().all(|size| *size == [96, 96]));
        }
    }
}
