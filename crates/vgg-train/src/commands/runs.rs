//! `runs [FOLDER]`: the runs of a folder, as a table.

use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::run::overview::{Folders, Overview, folders, look};
use crate::terminal::numbers::{clock, count};
use crate::terminal::print;
use crate::terminal::table::Table;
use crate::terminal::ui::Ui;

/// Names of other folders that are told.
const NAMED: usize = 5;

/// What runs are sorted by; the last one is what one most likely looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    /// When something was last recorded
    Changed,
    Name,
    /// The best accuracy, the highest last
    Accuracy,
    /// The training loss, the lowest last
    Loss,
    /// The time that training took
    Time,
}

/// Prints a row a run.
pub(crate) fn command(folder: &Path, sort: SortKey, json: bool, ui: &Ui) -> Result<()> {
    let Folders { runs, others } = folders(folder)?;
    let mut runs = look(&runs);
    sort_by(&mut runs, sort);
    match json {
        true => runs.iter().try_for_each(|run| print::json(&to_json(run)))?,
        false if runs.is_empty() => {}
        false => {
            let table = table(&runs);
            print::lines(match print::columns() {
                Some(width) => table.fit(width, RANKS),
                None => table.lines(),
            })?;
        }
    }
    for run in &runs {
        if let Some(problem) = &run.problem {
            ui.warn(&format!("{}: {problem}", run.path.display()));
        }
    }
    if runs.is_empty() {
        ui.status("Empty", &format!("{} has no runs", folder.display()));
    }
    if !others.is_empty() {
        let more = if others.len() > NAMED { ", …" } else { "" };
        let named = others[..others.len().min(NAMED)].join(", ");
        ui.detail(&format!("not runs: {} ({named}{more})", count(others.len() as u64, "folder")));
    }
    Ok(())
}

fn sort_by(runs: &mut [Overview], key: SortKey) {
    let best = |run: &Overview| run.best().map_or(-1.0, |best| best.test_accuracy);
    let loss = |run: &Overview| run.loss().unwrap_or(f64::INFINITY);
    match key {
        // As they come.
        SortKey::Changed => {}
        SortKey::Name => runs.sort_by(Overview::by_name),
        SortKey::Accuracy => runs.sort_by(|a, b| best(a).total_cmp(&best(b))),
        SortKey::Loss => runs.sort_by(|a, b| loss(b).total_cmp(&loss(a))),
        SortKey::Time => runs.sort_by_key(Overview::time),
    }
}

/// Which columns a narrow screen does without, those of the highest ranks first.
const RANKS: [u8; 9] = [0, 1, 7, 6, 2, 3, 8, 4, 5];

fn table(runs: &[Overview]) -> Table<9> {
    let header = ["run", "state", "network", "data", "epochs", "best", "on", "loss", "time"];
    let mut table = Table::new(4, header);
    for run in runs {
        let config = run.config.as_ref();
        let best = run.best();
        let tested_on = best.and(config).map(|config| config.data.tested_on());
        table.row([
            run.path.display().to_string(),
            run.state.name().into(),
            config.map(|config| config.vgg().to_string()).unwrap_or_default(),
            config.map(|config| config.data.called().into_owned()).unwrap_or_default(),
            match config {
                Some(config) => format!("{}/{}", run.done(), config.train.epochs),
                None => run.done().to_string(),
            },
            best.map(|best| {
                format!("{:.2} %{}", 100.0 * best.test_accuracy, run.best_by().words())
            })
            .unwrap_or_default(),
            tested_on.unwrap_or_default().into(),
            run.loss().map(|loss| format!("{loss:.3}")).unwrap_or_default(),
            run.time().map(clock).unwrap_or_default(),
        ]);
    }
    table
}

fn to_json(run: &Overview) -> Value {
    let config = run.config.as_ref();
    let last = run.epochs.last();
    let changed = run.changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    json!({
        "run": run.path,
        "state": run.state.name(),
        "problem": run.problem,
        "network": config.map(|config| config.vgg().to_string()),
        "data": config.map(|config| config.data.called()),
        "tested_on": config.map(|config| config.data.tested_on()),
        "epochs": run.done(),
        "epochs_asked": config.map(|config| config.train.epochs),
        "best": run.best().map(|best| {
            let by = run.best_by();
            let (epoch, accuracy) = (best.epoch, best.test_accuracy);
            json!({ "epoch": epoch, "accuracy": accuracy, "by": by, "score": best.score(by) })
        }),
        "train_loss": run.loss(),
        "test_loss": last.map(|last| last.test_loss),
        "test_accuracy": last.map(|last| last.test_accuracy),
        "seconds": run.time().map(|time| time.as_secs_f64()),
        "changed": changed.map(|time| time.as_secs()),
    })
}
