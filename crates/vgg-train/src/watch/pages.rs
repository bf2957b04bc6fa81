//! The pages: those of reports, which look again and again whether something has changed.

use std::fs;
use std::path::{Path, PathBuf};

use super::looked::Looked;
use super::response::{self, Response};
use super::watched::{address, version};
use crate::report::page::{self, Live};
use crate::run::folder::REPORT;
use crate::run::overview::look;

/// The page of all runs.
pub(super) fn index(folder: &Path, runs: &[PathBuf]) -> Response {
    let live = Live {
        page: "/".into(),
        version: "/version".into(),
        // Before what the page shows: what changes in between is seen as new.
        current: version(runs),
        report: None,
        classify: None,
    };
    let title = folder.display().to_string();
    response::page(200, page::index(&title, &look(runs), |run| address(&run.path), &live))
}

/// The page of a run.
pub(super) fn run(run: &Path, looked: &Looked) -> Response {
    let live = live(&address(run), version(&[run.into()]), run.join(REPORT).is_file());
    response::page(
        200,
        match looked.report(run) {
            Ok(report) => page::single(&report, Some(&live)),
            Err(error) => page::notice(&run.display().to_string(), &format!("{error:#}"), &live),
        },
    )
}

/// What is there instead of the page of a run that is not there, of this address.
pub(super) fn no_run(address: &str, name: &str) -> Response {
    let live = live(address, NO_RUN.into(), false);
    let text = "There is no run of this name, or none any more.";
    response::page(404, page::notice(name, text, &live))
}

/// What is told instead of the version of a run that is not there.
pub(super) const NO_RUN: &str = "there is no such run";

/// The report that training left in a run's folder, or that was asked for.
pub(super) fn report(run: &Path) -> Response {
    match fs::read_to_string(run.join(REPORT)) {
        Ok(page) => response::page(200, page),
        Err(_) => response::text(404, "there is no report yet"),
    }
}

fn live(address: &str, current: String, has_report: bool) -> Live {
    Live {
        page: address.into(),
        version: format!("{address}/version"),
        current,
        report: has_report.then(|| format!("{address}/report")),
        classify: Some(format!("{address}/classify")),
    }
}
