//! Image files, each as a descriptor.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use vgg_data::Images;
use vgg_model::{Input, Vgg};
use vgg_tensor::{Backend, zeros};

use super::shown::{self, Shown, Views};
use crate::config;
use crate::data;
use crate::machine::device::{self, Job};
use crate::run::checkpoints;
use crate::terminal::throughput::images_line;
use crate::terminal::ui::Ui;

/// Numbers of descriptors that are in memory at once.
const NUMBERS: usize = 16 << 20;

/// Files that are looked at together, so that those of one size pass through the network together.
const FILES: usize = 1024;

/// Writes descriptors in the order of the files. Memory does not depend on how many there are.
pub(crate) struct Extract<'a> {
    pub device: &'a config::Device,
    pub path: &'a Path,
    pub vgg: &'a Vgg,
    pub input: &'a Input,
    pub layer: &'a str,
    pub scales: &'a [usize],
    pub views: Views,
    pub files: &'a [PathBuf],
    pub channels: usize,
    /// Files, and numbers of each.
    pub dims: [usize; 2],
    pub out: &'a mut dyn Write,
    pub ui: &'a Ui,
}

/// A failure of the file that descriptors go to.
#[derive(Debug)]
pub(crate) struct Unwritten(pub io::Error);

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
        let checkpoint = checkpoints::load(self.path)?;
        let mut session = checkpoints::session_of(backend, checkpoint, &network([h, w])?)?;
        let (all, mut done, mut passed) = ((n * scales.len()) as u64, 0, 0);
        for files in self.files.chunks((NUMBERS / d).clamp(1, FILES)) {
            let images = &Images::from_files(files, data::decoding(self.input));
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
                let groups = shown::whole(&sizes, channels, *scale, self.views)?;
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
