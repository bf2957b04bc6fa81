//! What a run came to, as a page for the eyes: `report.html`, which holds all that it shows.
//!
//! [`folder`] reads what the run's folder tells, [`network`] what its network is, [`seen`] shows what
//! is trained on, [`examined`] lets the trained network see the test images again, and [`page`] writes
//! HTML of it all.

mod examined;
pub(crate) mod folder;
mod json;
mod network;
pub(crate) mod page;
mod profile;
mod seen;

use std::path::Path;

use anyhow::{Error, Result};
use vgg_tensor::Backend;

use crate::config::Config;
use crate::data::{self, Data};
use crate::machine::device::{self, Job as _};
use crate::run::folder::{MISTAKES, REPORT, RunDir};
use crate::run::overview::State;
use crate::signals::Stop;
use crate::terminal::numbers::count;
use crate::terminal::ui::Ui;
use examined::{Examine, Examined};
use folder::RunFolder;
use network::NetworkFacts;
use seen::Seen;

/// All that a page tells of a run. A run that is not far has less.
#[derive(Debug)]
pub(crate) struct Report {
    pub folder: RunFolder,
    pub network: Option<NetworkFacts>,
    pub seen: Option<Seen>,
    pub examined: Option<Examined>,
    /// What is left out, and why.
    pub notes: Vec<String>,
}

/// Leaves the page and the pictures of a finished run in its folder, unless asked to stop. No run is
/// lost for want of them: what fails is told, and how to try again.
pub(crate) fn at_end<B: Backend>(
    run: &RunDir,
    config: &Config,
    data: &Data,
    backend: B,
    stop: &Stop,
    ui: &Ui,
) {
    let images = count(data.test.len() as u64, "test image");
    ui.status("Reporting", &format!("the best network sees {images} again; Ctrl-C leaves it out"));
    let silent = ui.silenced();
    let write = || -> Result<bool> {
        let mut report = Report::glance(run.path())?;
        report.folder.overview.state = State::Finished;
        report.see(config, data);
        let job = Examine::of(run.path(), config, data, Some(stop), &silent)?;
        report.examined = job.run(backend)?;
        let Some(examined) = &report.examined else { return Ok(false) };
        if let Some(png) = examined.mistakes_png()? {
            run.write(MISTAKES, png)?;
        }
        run.write(REPORT, page::single(&report, None))?;
        Ok(true)
    };
    let again = format!("vgg-train report {} makes the report", run.path().display());
    match write() {
        Ok(true) => ui.status("Report", &run.file(REPORT).display().to_string()),
        Ok(false) => ui.help(&again),
        Err(error) => {
            ui.warn(&format!("no report: {error:#}"));
            ui.help(&again);
        }
    }
}

impl Report {
    /// What the folder of the run tells, which takes a moment.
    ///
    /// # Errors
    /// If it is no run, or if a file cannot be read.
    pub(crate) fn glance(run: &Path) -> Result<Self> {
        let folder = RunFolder::read(run)?;
        let (network, mut notes) = (NetworkFacts::of(&folder), vec![]);
        let network = network.map_err(|error| notes.push(left_out("the network", &error))).ok();
        Ok(Self { folder, network, seen: None, examined: None, notes })
    }

    /// All of it: the run's best network sees the test images. Where the data set or a checkpoint is
    /// not there, the page says so, and has the rest.
    ///
    /// # Errors
    /// As [`Report::glance`].
    pub(crate) fn whole(run: &Path, config: &Config, ui: &Ui) -> Result<Self> {
        let mut report = Self::glance(run)?;
        let data = match data::open(config, ui) {
            Ok(data) => data,
            Err(error) => {
                report.notes.push(left_out("the data set", &error));
                return Ok(report);
            }
        };
        report.see(config, &data);
        let job = Examine::of(run, config, &data, None, ui);
        match job.and_then(|job| device::run(&config.device, job)) {
            Ok(examined) => report.examined = examined,
            Err(error) => {
                report.notes.push(left_out("what the network makes of the test images", &error));
            }
        }
        Ok(report)
    }

    /// Looks at the images that are trained on.
    fn see(&mut self, config: &Config, data: &Data) {
        match Seen::of(config, data) {
            Ok(seen) => self.seen = Some(seen),
            Err(error) => self.notes.push(left_out("the images that it is trained on", &error)),
        }
    }

    /// The run in a line: `VGG-11 × 0.25 on fashion-mnist, batches of 128`.
    fn about(&self) -> String {
        let Config { model, data, train, .. } = &self.folder.config;
        let (side, classes) = (model.image_size, count(data.class_names().len() as u64, "class"));
        format!(
            "{} on {}, {classes}, images of {side}×{side}, batches of {}, seed {}",
            model.describe(),
            data.called(),
            train.batch_size,
            train.seed,
        )
    }
}

/// What a page says of a part that it cannot have.
fn left_out(what: &str, error: &Error) -> String {
    let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.dedup();
    format!("Without {what}: {}.", causes.join(": ").lines().next().unwrap_or_default())
}
