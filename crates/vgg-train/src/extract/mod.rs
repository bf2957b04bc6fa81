//! `extract RUN FILES…`: descriptors of images, as in the paper's appendix B.

mod format;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use vgg_data::Images;
use vgg_model::{Input, Vgg};
use vgg_tensor::{Backend, zeros};

use crate::cli::Which;
use crate::config::{self, Override};
use crate::device::{self, Job};
use crate::file::Output;
use crate::lines::images_line;
use crate::run_dir::CONFIG;
use crate::ui::{Ui, count};
use crate::views::Shown;
use crate::{predict, stored, views};
use format::{Format, Header};

/// Which descriptors, and where they go.
#[derive(Debug, Args)]
pub(crate) struct ExtractOptions {
    /// Layer whose outputs they are, with its ReLU: the paper's name, as fc7 or conv5_3, or ours
    #[arg(long, default_value = "fc7")]
    layer: String,

    /// Short sides that images are scaled to, such as 256,384,512; descriptors are averaged over them
    ///
    /// Without it, the scale that the run is tested at, or the network's own size.
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    scales: Vec<usize>,

    /// Average over each image and its mirror image
    #[arg(long)]
    flip: bool,

    /// File to write, over an older one: .npy, or .safetensors, where the files' names are, too
    ///
    /// It has a row for each file, in their order; that of a file that cannot be read is not a number.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Which checkpoint of the run: that with the best test accuracy or the last one
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: Which,
}

/// `extract RUN FILES…`.
pub(crate) fn command(
    run: &Path,
    files: &[PathBuf],
    options: &ExtractOptions,
    overrides: &[Override],
    ui: &Ui,
) -> Result<()> {
    let ExtractOptions { layer, flip, output, .. } = options;
    let format = Format::of(output)?;
    let device = config::device(overrides)?;
    let path = stored::find(run, options.checkpoint)?;
    let inputs = files.iter().chain([&path]).map(PathBuf::as_path).collect::<Vec<_>>();
    let place = Output::new(output, &inputs)?;
    let checkpoint = stored::load(&path)?;
    let (vgg, input) = (Vgg::new(&checkpoint.vgg)?, checkpoint.input);
    drop(checkpoint.params);
    let [channels, h, w] = vgg.config().input;
    let features = vgg.features(layer, [h, w])?;
    // At which scale a network was tested, its run knows.
    let tested = match run.join(CONFIG) {
        path if path.is_file() => {
            let config = config::load(&path, vec![])?.config;
            config.data.test_short_side(config.model.image_size)
        }
        _ => input.short_side.unwrap_or(h.max(w)),
    };
    let scales = views::scales(&options.scales, tested, vgg.config(), &path)?;
    let dims = [files.len(), features.outputs()];
    let names: Vec<_> = scales.iter().map(usize::to_string).collect();
    let about = [("layer", layer.clone()), ("scales", names.join(",")), ("flip", flip.to_string())];
    let header = Header { dims, files, about: &about }.to_bytes(format);
    let mut extracted = Ok(0);
    let written = place.write(|out| {
        out.write_all(&header)?;
        let job = Extract {
            device: &device,
            path: &path,
            vgg: &vgg,
            input: &input,
            layer,
            scales: &scales,
            flip: *flip,
            files,
            channels,
            dims,
            out,
            ui,
        };
        match device::run(&device, job).map_err(anyhow::Error::downcast::<Unwritten>) {
            Ok(unreadable) => extracted = Ok(unreadable),
            Err(Ok(Unwritten(error))) => return Err(error),
            Err(Err(error)) => {
                extracted = Err(error);
                return Err(io::Error::other("there is not all of it"));
            }
        }
        Ok(())
    });
    let unreadable = extracted?;
    written?;
    let [n, d] = [files.len() - unreadable, features.outputs()].map(|n| n as u64);
    let (descriptors, numbers) = (count(n, "descriptor"), count(d, "number"));
    ui.status("Extracted", &format!("{descriptors} of {numbers} to {}", output.display()));
    predict::unreadable(unreadable, files.len())
}

/// Numbers of descriptors that are in memory at once.
const NUMBERS: usize = 16 << 20;

/// Files that are looked at together, so that those of one size pass through the network together.
const FILES: usize = 1024;

/// Writes descriptors in the order of the files. Memory does not depend on how many there are.
struct Extract<'a> {
    device: &'a config::Device,
    path: &'a Path,
    vgg: &'a Vgg,
    input: &'a Input,
    layer: &'a str,
    scales: &'a [usize],
    flip: bool,
    files: &'a [PathBuf],
    channels: usize,
    /// Files, and numbers of each.
    dims: [usize; 2],
    out: &'a mut dyn Write,
    ui: &'a Ui,
}

/// A failure of the file that descriptors go to.
#[derive(Debug)]
struct Unwritten(io::Error);

impl std::fmt::Display for Unwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unwritten {}

impl Job for Extract<'_> {
    /// How many files could not be read: their descriptors are not numbers.
    type Output = usize;

    fn run<B: Backend>(self, backend: B) -> Result<usize> {
        let Self { scales, channels, ui, dims: [n, d], out, .. } = self;
        device::tell(self.device, &backend, ui);
        let network = |size| self.vgg.features(self.layer, size);
        let [_, h, w] = self.vgg.config().input;
        let checkpoint = stored::load(self.path)?;
        let mut session = stored::session_of(backend, checkpoint, &network([h, w])?)?;
        let (all, mut done, mut passed) = ((n * scales.len()) as u64, 0, 0);
        for files in self.files.chunks((NUMBERS / d).clamp(1, FILES)) {
            let images = &Images::from_files(files, channels);
            let shown = Shown {
                images,
                input: self.input,
                network: &network,
                threads: self.device.threads,
            };
            let mut unreadable = vec![false; files.len()];
            let mut pass = |image: usize, reason: &str| {
                ui.error(&anyhow!("{reason}"));
                unreadable[image] = true;
            };
            let mut sizes = Vec::with_capacity(files.len());
            for image in 0..files.len() {
                sizes.push(match images.size(image) {
                    Err(error) if error.is_of_a_file() => {
                        pass(image, &error.to_string());
                        None
                    }
                    size => Some(size?),
                });
            }
            let mut sums = zeros(files.len() * d)?;
            for scale in scales {
                let groups = views::whole(&sizes, channels, *scale, self.flip);
                let mut lost = Vec::new();
                let mut add = |image: usize, _, outputs: &[f32]| {
                    let sums = &mut sums[image * d..][..d];
                    for view in outputs.chunks_exact(d) {
                        sums.iter_mut().zip(view).for_each(|(sum, x)| *sum += x);
                    }
                    done += 1;
                    ui.bar(done, all, &images_line(done, all));
                };
                shown.to_readable(&mut session, &groups, &mut add, &mut |image, reason| {
                    pass(image, reason);
                    lost.push(image);
                })?;
                // It is told once, not at each scale.
                lost.into_iter().for_each(|image| sizes[image] = None);
            }
            for (descriptor, unreadable) in sums.chunks_exact_mut(d).zip(&unreadable) {
                match unreadable {
                    true => descriptor.fill(f32::NAN),
                    false => normalize(descriptor),
                }
            }
            for number in &sums {
                out.write_all(&number.to_le_bytes()).map_err(Unwritten)?;
            }
            passed += unreadable.iter().filter(|unreadable| **unreadable).count();
        }
        ui.end_bar();
        Ok(passed)
    }
}

/// To length 1, unless it is zero: so that a sum will do for a mean.
fn normalize(descriptor: &mut [f32]) {
    let square: f64 = descriptor.iter().map(|x| f64::from(*x).powi(2)).sum();
    if square > 0.0 {
        descriptor.iter_mut().for_each(|x| *x = (f64::from(*x) / square.sqrt()) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_length_1() {
        let mut descriptor = [3.0, 0.0, -4.0];
        normalize(&mut descriptor);
        assert_eq!(descriptor, [0.6, 0.0, -0.8]);
        let mut nothing = [0.0; 2];
        normalize(&mut nothing);
        assert_eq!(nothing, [0.0; 2]);
    }
}
