//! What a run came to, as a page for the eyes: `report.html`, which holds all that it shows.
//!
//! [`folder`] reads what the run's folder tells, [`network`] what its network is, [`seen`] shows what
//! is trained on, [`examined`] lets the trained network see the test images again, and [`page`] writes
//! HTML of it all.

mod examined;
pub(crate) mod folder;
mod json;
pub(crate) mod located;
mod network;
pub(crate) mod page;
mod profile;
mod seen;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Error, Result};
use vgg_tensor::Backend;

use crate::config::{Config, TaskName};
use crate::data::{self, Data};
use crate::machine::device::{self, Job as _};
use crate::run::folder::{MISTAKES, REPORT, RunDir};
use crate::run::overview::State;
use crate::signals::Stop;
use crate::terminal::numbers::count;
use crate::terminal::shell;
use crate::terminal::ui::Ui;
use examined::{Examine, Examined};
use folder::RunFolder;
use located::{LocatedImages, LookAtBoxes};
use network::NetworkFacts;
use seen::Seen;

/// All that a page tells of a run. A run that is not far has less.
#[derive(Debug)]
pub(crate) struct Report {
    pub folder: RunFolder,
    pub network: Option<NetworkFacts>,
    pub look: Look,
    /// What is left out, and why.
    pub notes: Vec<String>,
}

/// What there is to see of images.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub seen: Option<Arc<Seen>>,
    pub examined: Option<Arc<Examined>>,
    /// Of a network that locates, in the place of the former.
    pub located: Option<Arc<LocatedImages>>,
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
    let what = match config.model.task {
        TaskName::Classification => "where the best network looks",
        TaskName::Localisation => "the worst and the best boxes",
    };
    ui.status("Reporting", &format!("{what}; Ctrl-C leaves the report out"));
    let silent = ui.silenced();
    let write = || -> Result<bool> {
        let mut report = Report::glance(run.path())?;
        report.folder.overview.state = State::Finished;
        report.look.see(config, data);
        match config.model.task {
            TaskName::Classification => {
                let job = Examine::of(&report.folder, config, data, Some(stop), &silent)?;
                let Some(examined) = job.run(backend)? else { return Ok(false) };
                let examined = report.look.examined.insert(Arc::new(examined));
                if let Some(png) = examined.mistakes_png()? {
                    run.write(MISTAKES, png)?;
                }
            }
            TaskName::Localisation => {
                let job = LookAtBoxes::of(&report.folder, config, data, Some(stop), &silent)?;
                let Some(located) = job.run(backend)? else { return Ok(false) };
                report.look.located = Some(Arc::new(located));
            }
        }
        run.write(REPORT, page::single(&report, None))?;
        Ok(true)
    };
    let again = format!("vgg-train report {} makes the report", shell::word(run.path()));
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
        Ok(Self { folder, network, look: Look::default(), notes })
    }

    /// All of it, where the run's best network looks among it. Where the data set or a checkpoint is not
    /// there, the page says so, and has the rest.
    ///
    /// # Errors
    /// As [`Report::glance`].
    pub(crate) fn whole(run: &Path, config: &Config, ui: &Ui) -> Result<Self> {
        let Self { folder, network, mut look, mut notes } = Self::glance(run)?;
        let data = data::open(config, ui);
        let data = data.map_err(|error| notes.push(left_out("the data set", &error))).ok();
        if config.model.task == TaskName::Localisation {
            if let Some(data) = &data {
                look.see(config, data);
                let job = LookAtBoxes::of(&folder, config, data, None, ui);
                match job.and_then(|job| device::run(&config.device, job)) {
                    Ok(located) => look.located = located.map(Arc::new),
                    Err(error) => notes.push(left_out("the boxes of the test images", &error)),
                }
            }
            return Ok(Self { folder, network, look, notes });
        }
        let examined = data.as_ref().and_then(|data| {
            look.see(config, data);
            let job = Examine::of(&folder, config, data, None, ui);
            let examined = job.and_then(|job| device::run(&config.device, job));
            examined
                .map_err(|error| notes.push(left_out("where the network looks", &error)))
                .ok()?
        });
        match examined {
            Some(examined) => look.examined = Some(Arc::new(examined)),
            None => look.test(&folder, data.as_ref()),
        }
        Ok(Self { folder, network, look, notes })
    }

    /// The run in a line: `vgg11 × 0.25 on fashion-mnist, 10 classes, images of 224×224, batches of 128, seed 0`.
    fn about(&self) -> String {
        let Config { model, data, train, .. } = &self.folder.config;
        let (side, classes) = (model.image_size, count(data.class_names().len() as u64, "class"));
        format!(
            "{} on {}, {classes}, images of {side}×{side}, batches of {}, seed {}",
            self.folder.config.vgg(),
            data.called(),
            train.batch_size,
            train.seed,
        )
    }
}

impl Look {
    /// At a run, with its data set or why that is not there. Nothing is computed by its network.
    pub(crate) fn at(folder: &RunFolder, data: Result<&Data, &Error>) -> Self {
        let mut look = Self::default();
        match data {
            Ok(data) => look.see(&folder.config, data),
            Err(error) => look.notes.push(left_out("the data set", error)),
        }
        look.test(folder, data.ok());
        look
    }

    /// At the images that are trained on.
    fn see(&mut self, config: &Config, data: &Data) {
        match Seen::of(config, data) {
            Ok(seen) => self.seen = Some(Arc::new(seen)),
            Err(error) => self.notes.push(left_out("the images that it is trained on", &error)),
        }
    }

    /// At the test of the best network so far, if the run has it, and at the images that it got wrong,
    /// if these are there.
    fn test(&mut self, folder: &RunFolder, data: Option<&Data>) {
        let examined = || {
            let Some(tested) = folder.tested()? else { return Ok(None) };
            let test = data.map(|data| &data.test);
            let test = test.filter(|test| tested.is_of(test.images.labels()));
            Examined::of(tested, test, |_, _| Ok(None)).map(Some)
        };
        match examined() {
            Ok(examined) => self.examined = examined.map(Arc::new),
            Err(error) => self.notes.push(left_out("the test of the best network", &error)),
        }
    }
}

/// A part that a page cannot have, and why.
fn left_out(what: &str, error: &Error) -> String {
    let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.dedup();
    format!("{what}: {}", causes.join(": ").lines().next().unwrap_or_default())
}
