//! `extract RUN FILES…`: descriptors of images, as in the paper's appendix B.

mod format;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_data::Images;
use vgg_model::{Input, Vgg};
use vgg_tensor::Backend;

use crate::cli::Which;
use crate::config::{self, Override};
use crate::device::{self, Job};
use crate::exit::{Code, Failure};
use crate::file::Output;
use crate::run_dir::CONFIG;
use crate::ui::{Ui, grouped};
use crate::views::Shown;
use crate::{stored, views};
use format::{Descriptors, Format};

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
        _ => h.max(w),
    };
    let scales = views::scales(&options.scales, tested, vgg.config(), &path)?;
    let images = Images::from_files(files, channels)
        .context(Failure::new(Code::Data, "cannot read an image"))?;

    let dims = [images.len(), features.outputs()];
    let job = Extract {
        device: &device,
        path: &path,
        vgg: &vgg,
        input: &input,
        layer,
        scales: &scales,
        flip: *flip,
        images: &images,
        dims,
        ui,
    };
    let numbers = device::run(&device, job)?;
    let scales: Vec<_> = scales.iter().map(usize::to_string).collect();
    let about =
        [("layer", layer.clone()), ("scales", scales.join(",")), ("flip", flip.to_string())];
    let descriptors = Descriptors { dims, numbers: &numbers, files, about: &about };
    place.write(|out| out.write_all(&descriptors.to_bytes(format)))?;
    let [n, d] = dims.map(|n| grouped(n as u64));
    ui.status("Extracted", &format!("{n} descriptors of {d} numbers to {}", output.display()));
    Ok(())
}

struct Extract<'a> {
    device: &'a config::Device,
    path: &'a Path,
    vgg: &'a Vgg,
    input: &'a Input,
    layer: &'a str,
    scales: &'a [usize],
    flip: bool,
    images: &'a Images,
    /// Images, and numbers of each.
    dims: [usize; 2],
    ui: &'a Ui,
}

impl Job for Extract<'_> {
    type Output = Vec<f32>;

    fn run<B: Backend>(self, backend: B) -> Result<Vec<f32>> {
        let Self { images, scales, ui, dims: [n, d], .. } = self;
        device::tell(self.device, &backend, ui);
        let network = |size| self.vgg.features(self.layer, size);
        let [_, h, w] = self.vgg.config().input;
        let checkpoint = stored::load(self.path)?;
        let mut session = stored::session_of(backend, checkpoint, &network([h, w])?)?;
        let shown =
            Shown { images, input: self.input, network: &network, threads: self.device.threads };
        let (mut sums, mut done) = (vec![0.0; n * d], 0);
        let all = (n * scales.len()) as u64;
        for scale in scales {
            let groups = views::whole(images, *scale, self.flip);
            shown.to(&mut session, &groups, &mut |image, _, outputs| {
                let sums = &mut sums[image * d..][..d];
                for view in outputs.chunks_exact(d) {
                    sums.iter_mut().zip(view).for_each(|(sum, x)| *sum += x);
                }
                done += 1;
                ui.bar(done, all, &format!("{done} of {all} images"));
            })?;
        }
        ui.end_bar();
        sums.chunks_exact_mut(d).for_each(normalize);
        Ok(sums)
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
