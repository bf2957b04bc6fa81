//! What has been looked at of a run's images, which its page shows again and again.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Result;

use super::watched::{Stamp, stamp};
use crate::config::CONFIG;
use crate::data::{self, Data};
use crate::report::{Look, Report};
use crate::run::folder::PREDICTIONS;
use crate::terminal::ui::Ui;

/// The images of the run that was asked for last. Nothing is fetched to look at them.
pub(crate) struct Looked(Mutex<(Ui, Option<Last>)>);

struct Last {
    run: PathBuf,
    config: Stamp,
    data: Result<Data>,
    predictions: Stamp,
    look: Look,
}

impl Looked {
    /// At nothing so far. `ui` tells of warnings.
    pub(crate) fn new(ui: &Ui) -> Self {
        Self(Mutex::new((ui.silenced(), None)))
    }

    /// What the folder of a run tells, and its images, unless the data set is not there.
    ///
    /// # Errors
    /// As [`Report::glance`].
    pub(super) fn report(&self, run: &Path) -> Result<Report> {
        let mut looked = self.0.lock().unwrap_or_else(|poisoned| {
            // Whatever a panic left behind.
            let mut looked = poisoned.into_inner();
            looked.1 = None;
            looked
        });
        let (ui, last) = &mut *looked;
        // Before what is read: what changes in between is seen as new.
        let [config, predictions] = [CONFIG, PREDICTIONS].map(|name| stamp(&run.join(name)));
        let mut report = Report::glance(run)?;
        let same = last.take().filter(|last| last.run == run && last.config == config);
        let (data, look) = match same {
            Some(last) if last.predictions == predictions => (last.data, last.look),
            same => {
                let data = match same {
                    Some(last) => last.data,
                    None => {
                        let mut config = report.folder.config.clone();
                        config.data.download = false;
                        data::open(&config, ui)
                    }
                };
                let look = Look::at(&report.folder, data.as_ref());
                (data, look)
            }
        };
        report.look = look.clone();
        *last = Some(Last { run: run.into(), config, data, predictions, look });
        Ok(report)
    }
}
