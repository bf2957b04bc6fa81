//! `report RUN…`: what runs came to, as an HTML page.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_tensor::new_file;

use crate::config::Override;
use crate::failure::{Code, Failure};
use crate::report::folder::RunFolder;
use crate::report::{Report, page};
use crate::run::folder::{REPORT, config_of};
use crate::run::output::Output;
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// What is special to reports.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportOptions {
    /// File of the page [default: report.html in the run's folder; of several runs, in this one]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the page and prints where it is.
pub(crate) fn command(
    runs: &[PathBuf],
    options: &ReportOptions,
    overrides: &[Override],
    ui: &Ui,
) -> Result<()> {
    let configs = runs.iter().filter_map(|run| Some(config_of(run, vec![]).ok()?.config));
    let configs: Vec<_> = configs.collect();
    let read: Vec<&Path> = configs.iter().flat_map(|config| config.data.files()).collect();
    let given = options.output.as_deref();
    let given = given.map(|path| Output::new(path, &read)).transpose()?;
    let html = match runs {
        [run] => {
            let config = config_of(run, overrides.to_vec())?.config;
            let report = Report::whole(run, &config, ui)?;
            for note in report.notes.iter().chain(&report.look.notes) {
                ui.warn(&format!("the report is without {note}"));
            }
            page::single(&report, None)
        }
        _ => {
            let folders =
                runs.iter().map(|run| RunFolder::read(run)).collect::<Result<Vec<_>>>()?;
            page::several(&folders)
        }
    };
    let path: PathBuf = match (given, runs) {
        (Some(output), _) => {
            output.write(|out| out.write_all(html.as_bytes()))?;
            if output.is_standard_output() {
                return Ok(());
            }
            output.path().into()
        }
        (None, [run]) => {
            let path = run.join(REPORT);
            new_file::replace(&path, |out| out.write_all(html.as_bytes())).with_context(|| {
                let message = format!("cannot write {}", path.display());
                Failure::new(Code::Other, message).help("--output FILE writes it elsewhere")
            })?;
            path
        }
        (None, _) => {
            let output = Output::new(Path::new(REPORT), &[])?;
            output.write(|out| out.write_all(html.as_bytes()))?;
            output.path().into()
        }
    };
    print::lines([path.display().to_string()])
}
