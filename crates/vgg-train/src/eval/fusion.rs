//! Networks on many views of an image, whose posteriors are averaged: the paper's testing.
//!
//! A network after the other sees all images, at one scale after another. So memory holds one network,
//! and images of one size, wherever they are in the data set, pass through it together.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::json;
use vgg_data::Images;
use vgg_data::names::composed;
use vgg_model::{Input, Vgg};
use vgg_tensor::Backend;

use super::posteriors::Posteriors;
use super::{Evaluation, Mode, Outcome, Request, Views};
use crate::cli::{LinearWeights, Network};
use crate::config::{self, Config, Override};
use crate::device::{self, Job};
use crate::exit::{Code, Failure};
use crate::lines::images_line;
use crate::run_dir::{CONFIG, require_run};
use crate::ui::{Ui, count};
use crate::views::{Group, Shown};
use crate::{data, stored, views};

/// Crops along each axis of a scaled image.
const GRID: usize = 5;

/// What of a scaled image a network sees in one pass over the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// So many crops along each axis.
    Crops(usize),
}

impl Mode {
    /// What it averages, to equal shares.
    fn parts(self) -> &'static [Part] {
        match self {
            Mode::Center => &[Part::Crops(1)],
            Mode::Dense => &[Part::Whole],
            Mode::Multicrop => &[Part::Crops(GRID)],
            Mode::Both => &[Part::Whole, Part::Crops(GRID)],
        }
    }
}

/// A network of those that are averaged.
struct Member {
    path: PathBuf,
    vgg: Vgg,
    input: Input,
    scales: Vec<usize>,
}

/// Evaluates the networks of `request`'s runs together, on the images of the first one.
pub(super) fn evaluate(request: &Request<'_>, overrides: &[Override], ui: &Ui) -> Result<Outcome> {
    let Request { runs, network, views, .. } = *request;
    let mode = views.mode.unwrap_or(Mode::Center);
    if network.linear_weights == LinearWeights::F16 && mode.parts().contains(&Part::Whole) {
        let message = "--linear-weights f16 is for --mode center and multicrop alone";
        let help = "on whole images fully connected layers are convolutions, whose weights are f32";
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    let load = |run: &PathBuf| {
        require_run(run)?;
        Ok(config::load(&run.join(CONFIG), overrides.to_vec())?.config)
    };
    let configs = runs.iter().map(load).collect::<Result<Vec<_>>>()?;
    let first = configs.first().ok_or_else(|| anyhow!("there is no run"))?;
    let images = data::open(first, ui)?.test.images;
    let members = runs
        .iter()
        .zip(&configs)
        .map(|(run, config)| Member::open(run, config, network, views, images.classes()))
        .collect::<Result<Vec<_>>>()?;
    let job = Fusion {
        device: &first.device,
        members: &members,
        mode,
        flip: views.flip,
        linear_weights: network.linear_weights,
        images: &images,
        ui,
    };
    let evaluation = device::run(&first.device, job)?;
    let member = |member: &Member| json!({ "checkpoint": member.path, "scales": member.scales });
    let settings = json!({
        "networks": members.iter().map(member).collect::<Vec<_>>(),
        "linear_weights": network.linear_weights,
        "mode": mode,
        "flip": views.flip,
    });
    Ok(Outcome { evaluation, classes: images.classes().to_vec(), settings })
}

impl Member {
    /// The network of a run, which must tell `classes` apart.
    ///
    /// All is read, so that what is wrong is told before anything is computed, and forgotten, so
    /// that memory need not hold the weights of all networks.
    fn open(
        run: &Path,
        config: &Config,
        network: Network,
        options: &Views,
        classes: &[String],
    ) -> Result<Self> {
        let path = stored::find(run, network.checkpoint)?;
        let checkpoint = stored::load(&path)?;
        if let Some(difference) = difference(classes, &checkpoint.classes) {
            let message =
                format!("{} has other classes than the images: {difference}", path.display());
            return Err(Failure::new(Code::Checkpoint, message).into());
        }
        let tested = config.data.test_short_side(config.model.image_size);
        let scales = views::scales(&options.scales, tested, &checkpoint.vgg, &path)?;
        Ok(Self { path, vgg: Vgg::new(&checkpoint.vgg)?, input: checkpoint.input, scales })
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

struct Fusion<'a> {
    device: &'a config::Device,
    members: &'a [Member],
    mode: Mode,
    flip: bool,
    linear_weights: LinearWeights,
    images: &'a Images,
    ui: &'a Ui,
}

impl Job for Fusion<'_> {
    type Output = Evaluation;

    fn run<B: Backend>(self, mut backend: B) -> Result<Evaluation> {
        let Self { members, images, ui, .. } = self;
        device::tell(self.device, &backend, ui);
        let mut posteriors = Posteriors::new(images.len(), images.classes().len());
        let parts = self.mode.parts();
        let passes = members.iter().map(|member| parts.len() * member.scales.len());
        let all = (images.len() * passes.sum::<usize>()) as u64;
        let (start, mut waited, mut done) = (Instant::now(), Duration::ZERO, 0);
        for member in members {
            ui.status("Evaluating", &self.describe(member));
            self.warn_of_equal_crops(member);
            let images = images.with_channels(member.input.channels)?;
            for part in parts {
                let mut session = self.session(backend, member, *part)?;
                let network = |size| match part {
                    Part::Whole => member.vgg.dense(size),
                    Part::Crops(_) => Ok(member.vgg.clone()),
                };
                let shown = Shown {
                    images: &images,
                    input: &member.input,
                    network: &network,
                    threads: self.device.threads,
                };
                for scale in &member.scales {
                    let groups = self.groups(&images, member, *part, *scale)?;
                    let equal_parts = members.len() * parts.len() * member.scales.len();
                    waited += shown.to(&mut session, &groups, &mut |image, views, logits| {
                        posteriors.add(image, logits, 1.0 / (equal_parts * views) as f64);
                        done += 1;
                        ui.bar(done, all, &images_line(done, all));
                    })?;
                }
                backend = session.into_backend();
            }
        }
        super::tell(ui, images.len() as u64, start.elapsed(), waited);
        Ok(posteriors.evaluate(images.labels()))
    }
}

impl Fusion<'_> {
    /// A network as it sees a part of each image.
    fn session<B: Backend>(
        &self,
        backend: B,
        member: &Member,
        part: Part,
    ) -> Result<vgg_model::Session<B>> {
        let checkpoint = stored::load(&member.path)?;
        match part {
            Part::Crops(_) => stored::session(backend, checkpoint, self.linear_weights, 1),
            Part::Whole => {
                let [_, h, w] = member.vgg.config().input;
                stored::session_of(backend, checkpoint, &member.vgg.dense([h, w])?)
            }
        }
    }

    fn groups(
        &self,
        images: &Images,
        member: &Member,
        part: Part,
        scale: usize,
    ) -> Result<Vec<Group>> {
        match part {
            Part::Whole => {
                let sizes = (0..images.len()).map(|i| images.size(i).map(Some));
                let sizes = sizes.collect::<vgg_tensor::Result<Vec<_>>>()?;
                Ok(views::whole(&sizes, images.channels(), scale, self.flip))
            }
            Part::Crops(grid) => {
                views::crops(images, member.vgg.config().input, scale, grid, self.flip)
            }
        }
    }

    /// Says where crops are not several: of an image that is no larger than they are.
    fn warn_of_equal_crops(&self, member: &Member) {
        let [_, h, w] = member.vgg.config().input;
        let many = self.mode.parts().contains(&Part::Crops(GRID));
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
            Mode::Center => "centre",
            Mode::Dense => "dense",
            Mode::Multicrop => "5×5 crops",
            Mode::Both => "dense and 5×5 crops",
        };
        let scales: Vec<_> = member.scales.iter().map(usize::to_string).collect();
        let mirrored = if self.flip { ", with mirror images" } else { "" };
        let images = count(self.images.len() as u64, "image");
        let (path, scales) = (member.path.display(), scales.join(", "));
        format!("{path} on {images}: {mode} at {scales}{mirrored}")
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
