//! `extract RUN FILES…`: descriptors of images, as in the paper's appendix B.

mod format;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use vgg_model::Vgg;

use self::format::{DescriptorFormat, Header};
use super::predict::paths;
use crate::config::{self, Override};
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::classify::{Tally, unreadable};
use crate::passes::extract::{Extract, Unwritten};
use crate::passes::shown::{self, Views};
use crate::run::checkpoints;
use crate::run::folder::Which;
use crate::run::output::Output;
use crate::terminal::numbers::count;
use crate::terminal::ui::Ui;

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
    /// It has a row for each file, in their order, those of a folder in the order of their names; that of a
    /// file that cannot be read is not a number. Where no file can be read, nothing is written.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Which checkpoint of the run: that of the best epoch (train.best_by) or the last one
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
    let format = DescriptorFormat::of(output)?;
    let device = config::device(overrides)?;
    let download = config::may_download(overrides);
    let path = checkpoints::network(run, options.checkpoint, download, ui)?;
    let (files, mut tally) = found(files, ui);
    if tally.files == 0 {
        let message = "there is no image to describe";
        let help = "name image files, or a folder that has some";
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    let inputs = files.iter().chain([&path]).map(PathBuf::as_path).collect::<Vec<_>>();
    let place = Output::new(output, &inputs)?;
    let checkpoint = checkpoints::load(&path)?;
    let (vgg, input) = (Vgg::new(&checkpoint.vgg)?, data::input(run, &checkpoint.input)?);
    drop(checkpoint.params);
    let [channels, h, w] = vgg.config().input;
    let features = vgg.features(layer, [h, w])?;
    // At which scale a network was tested, its run knows.
    let tested = match config::is_run(run) {
        true => {
            let config = config::of(run, vec![])?.config;
            config.data.test_short_side(config.model.image_size)
        }
        false => input.short_side.unwrap_or(h.max(w)),
    };
    let views = Views { flip: *flip, shift: 0 };
    let scales = shown::scales(&options.scales, tested, views, vgg.config(), &path)?;
    let dims = [files.len(), features.outputs()];
    let names: Vec<_> = scales.iter().map(usize::to_string).collect();
    let about = [("layer", layer.clone()), ("scales", names.join(",")), ("flip", flip.to_string())];
    let header = Header { dims, files: &files, about: &about }.to_bytes(format)?;
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
            views,
            files: &files,
            channels,
            dims,
            out,
            ui,
        };
        match device::run(&device, job).map_err(anyhow::Error::downcast::<Unwritten>) {
            Ok(passed) => {
                extracted = Ok(passed);
                if passed == files.len() {
                    return Err(io::Error::other("there is nothing to write"));
                }
            }
            Err(Ok(Unwritten(error))) => return Err(error),
            Err(Err(error)) => {
                extracted = Err(error);
                return Err(io::Error::other("there is not all of it"));
            }
        }
        Ok(())
    });
    let passed = extracted?;
    tally.unreadable += passed;
    if passed == files.len() {
        let output = output.display();
        let message = format!("no file could be read, and nothing is written to {output}");
        return Err(Failure::new(Code::Data, message).into());
    }
    written?;
    let [n, d] = [files.len() - passed, features.outputs()].map(|n| n as u64);
    let (descriptors, numbers) = (count(n, "descriptor"), count(d, "number"));
    ui.status("Extracted", &format!("{descriptors} of {numbers} to {}", output.display()));
    unreadable(tally.unreadable, tally.files)
}

/// The files that are meant, all of them, as what is written begins with their number.
fn found(given: &[PathBuf], ui: &Ui) -> (Vec<PathBuf>, Tally) {
    let (mut all, mut tally) = (Vec::new(), Tally::default());
    let mut files = paths::files(given, b'\n');
    loop {
        let found = tally.next(&mut files, ui);
        match found.is_empty() {
            true => return (all, tally),
            false => all.extend(found),
        }
    }
}
