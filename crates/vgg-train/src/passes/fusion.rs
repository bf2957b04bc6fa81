//! Networks on many views of an image, whose posteriors are averaged: the paper's testing.
//!
//! A network after the other sees all images, at one scale after another. So memory holds one network,
//! and images of one size, wherever they are in the data set, pass through it together.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use vgg_data::Images;
use vgg_data::names::composed;
use vgg_model::{Input, Vgg};
use vgg_tensor::Backend;

use super::evaluate::tell;
use super::shown::{self, Group, Shown, Views};
use crate::config::{self, Config};
use crate::failure::{Code, Failure};
use crate::machine::device::{self, Job};
use crate::run::checkpoints::{self, LinearWeights, NetworkOptions};
use crate::scores::posteriors::Posteriors;
use crate::scores::predictions::Predictions;
use crate::terminal::numbers::count;
use crate::terminal::throughput::images_line;
use crate::terminal::ui::Ui;

/// Crops along each axis of a scaled image.
const GRID: usize = 5;

/// What of scaled images networks see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TestMode {
    /// A crop of the network's size from the centre
    Center,
    /// All of it: fully connected layers become convolutions, and class scores are averaged over
    /// places, before the softmax
    Dense,
    /// 5×5 crops of the network's size, from corner to corner
    Multicrop,
    /// The mean of dense and multicrop
    Both,
}

/// What of a scaled image a network sees in one pass over the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    Whole,
    /// So many crops along each axis.
    Crops(usize),
}

impl TestMode {
    /// Whether a network sees all of an image.
    pub(crate) fn shows_whole(self) -> bool {
        self.portions().contains(&Portion::Whole)
    }

    /// What it averages, to equal shares.
    fn portions(self) -> &'static [Portion] {
        match self {
            TestMode::Center => &[Portion::Crops(1)],
            TestMode::Dense => &[Portion::Whole],
            TestMode::Multicrop => &[Portion::Crops(GRID)],
            TestMode::Both => &[Portion::Whole, Portion::Crops(GRID)],
        }
    }
}

/// A network of those that are averaged.
pub(crate) struct Member {
    pub path: PathBuf,
    pub vgg: Vgg,
    pub input: Input,
    pub scales: Vec<usize>,
}

impl Member {
    /// The network of a run, which must tell `classes` apart, if it classifies, or locate their objects.
    ///
    /// All is read, so that what is wrong is told before anything is computed, and forgotten, so
    /// that memory need not hold the weights of all networks.
    pub(crate) fn open(
        run: &Path,
        config: &Config,
        network: NetworkOptions,
        scales: &[usize],
        views: Views,
        classes: &[String],
        ui: &Ui,
    ) -> Result<Self> {
        let path = checkpoints::network(run, network.checkpoint, config.data.download, ui)?;
        let checkpoint = checkpoints::load(&path)?;
        if let Some(difference) = difference(classes, &checkpoint.classes) {
            let message =
                format!("{} has other classes than the images: {difference}", path.display());
            return Err(Failure::new(Code::Checkpoint, message).into());
        }
        let tested = config.data.test_short_side(config.model.image_size);
        let scales = shown::scales(scales, tested, views, &checkpoint.vgg, &path)?;
        Ok(Self { path, vgg: Vgg::new(&checkpoint.vgg)?, input: checkpoint.input, scales })
    }

    /// The network as it sees a part of each image; `whole` makes it one of whole images.
    pub(super) fn session<B: Backend>(
        &self,
        backend: B,
        portion: Portion,
        linear_weights: LinearWeights,
        whole: impl Fn(&Vgg, [usize; 2]) -> vgg_tensor::Result<Vgg>,
    ) -> Result<vgg_model::Session<B>> {
        let checkpoint = checkpoints::load(&self.path)?;
        match portion {
            Portion::Crops(_) => checkpoints::session(backend, checkpoint, linear_weights, 1),
            Portion::Whole => {
                let [_, h, w] = self.vgg.config().input;
                checkpoints::session_of(backend, checkpoint, &whole(&self.vgg, [h, w])?)
            }
        }
    }

    /// The images as it sees them at a scale.
    pub(super) fn groups(
        &self,
        images: &Images,
        portion: Portion,
        scale: usize,
        views: Views,
    ) -> Result<Vec<Group>> {
        match portion {
            Portion::Whole => {
                let sizes = (0..images.len()).map(|i| images.size(i).map(Some));
                let sizes = sizes.collect::<vgg_tensor::Result<Vec<_>>>()?;
                shown::whole(&sizes, images.channels(), scale, views)
            }
            Portion::Crops(grid) => {
                shown::crops(images, self.vgg.config().input, scale, grid, views)
            }
        }
    }
}

/// The first difference of `found` to `expected`.
fn difference(expected: &[String], found: &[String]) -> Option<String> {
    let mut pairs = expected.iter().zip(found).enumerate();
    let different = pairs.find(|(_, (a, b))| composed(a) != composed(b));
    match different {
        Some((i, (expected, found))) => Some(format!("class {i} is {found}, not {expected}")),
        None => (expected.len() != found.len())
            .then(|| format!("it has {} of them, not {}", found.len(), expected.len())),
    }
}

/// Tests networks together.
pub(crate) struct Fusion<'a> {
    pub device: &'a config::Device,
    pub members: &'a [Member],
    pub mode: TestMode,
    pub views: Views,
    pub linear_weights: LinearWeights,
    pub images: &'a Images,
    pub ui: &'a Ui,
}

impl Job for Fusion<'_> {
    type Output = Predictions;

    fn run<B: Backend>(self, mut backend: B) -> Result<Predictions> {
        let Self { members, images, ui, .. } = self;
        device::tell(self.device, &backend, ui);
        let mut posteriors = Posteriors::new(images.len(), images.classes().len());
        let portions = self.mode.portions();
        let passes = members.iter().map(|member| portions.len() * member.scales.len());
        let all = (images.len() * passes.sum::<usize>()) as u64;
        let (start, mut waited, mut done) = (Instant::now(), Duration::ZERO, 0);
        for member in members {
            ui.status("Evaluating", &self.describe(member));
            self.warn_of_equal_crops(member);
            let images = images.with_channels(member.input.channels)?;
            for portion in portions {
                let mut session =
                    member.session(backend, *portion, self.linear_weights, Vgg::dense)?;
                let network = |size| match portion {
                    Portion::Whole => member.vgg.dense(size),
                    Portion::Crops(_) => Ok(member.vgg.clone()),
                };
                let shown = Shown {
                    images: &images,
                    input: &member.input,
                    network: &network,
                    threads: self.device.threads,
                };
                for scale in &member.scales {
                    let groups = member.groups(&images, *portion, *scale, self.views)?;
                    let equal_parts = members.len() * portions.len() * member.scales.len();
                    waited += shown.to(&mut session, &groups, &mut |image, views, logits| {
                        posteriors.add(image, logits, 1.0 / (equal_parts * views) as f64);
                        done += 1;
                        ui.bar(done, all, &images_line(done, all));
                    })?;
                }
                backend = session.into_backend();
            }
        }
        tell(ui, images.len() as u64, start.elapsed(), waited);
        Ok(posteriors.predictions(images.labels()))
    }
}

impl Fusion<'_> {
    /// Says where crops are not several: of an image that is no larger than they are.
    fn warn_of_equal_crops(&self, member: &Member) {
        let [_, h, w] = member.vgg.config().input;
        let many = self.mode.portions().contains(&Portion::Crops(GRID));
        for scale in member.scales.iter().filter(|scale| many && **scale == h.max(w)) {
            self.ui.warn(&format!(
                "at scale {scale} the crops of {h}×{w} lie on each other along an image's short \
                 side: of square ones all {GRID}×{GRID} are the same"
            ));
            self.ui.help("larger --scales have crops that differ");
        }
    }

    /// A member and what it sees, in words.
    fn describe(&self, member: &Member) -> String {
        let mode = match self.mode {
            TestMode::Center => "centre",
            TestMode::Dense => "dense",
            TestMode::Multicrop => "5×5 crops",
            TestMode::Both => "dense and 5×5 crops",
        };
        let scales: Vec<_> = member.scales.iter().map(usize::to_string).collect();
        let images = count(self.images.len() as u64, "image");
        let (path, scales, views) =
            (member.path.display(), scales.join(", "), self.views.describe());
        format!("{path} on {images}: {mode} at {scales}{views}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_compared_by_name_and_place() {
        let names = |names: &str| names.split(' ').map(String::from).collect::<Vec<_>>();
        let difference = |a, b| difference(&names(a), &names(b));
        assert_eq!(difference("cat dog", "cat dog"), None);
        assert_eq!(difference("caf\u{e9} dog", "cafe\u{301} dog"), None);
        assert_eq!(difference("cat dog", "dog cat").unwrap(), "class 0 is dog, not cat");
        assert_eq!(difference("cat dog", "cat cow").unwrap(), "class 1 is cow, not dog");
        assert_eq!(difference("cat dog", "cat").unwrap(), "it has 1 of them, not 2");
    }
}
