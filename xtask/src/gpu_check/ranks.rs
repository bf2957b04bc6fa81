//! Several ranks, each on a GPU of its own, by the program itself.

use std::time::Duration;

use anyhow::Result;

use super::report::Report;
use super::training::train;
use super::{Check, NO_TIME, programs};
use crate::status;

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Shards of a batch, and so the most ranks that are tried.
const SHARDS: usize = 8;

/// The second one is timed: memory has been touched and graphs are recorded then.
const EPOCHS: usize = 2;

/// Trains on 1, 2, 4 and 8 ranks, as far as there are GPUs: to the same bits, and how fast.
pub(super) fn check(check: &Check, report: &mut Report) -> Result<()> {
    report.section("Ranks");
    let gpus = vgg_cuda::devices()?.len();
    if gpus == 1 {
        report.text("There is one GPU. Ranks that share it are among the tests of conformance.");
        return Ok(());
    }
    let (program, config) =
        (programs::vgg_train()?, if check.tiny { "smoke" } else { "vgg11_small" });
    let (config, precision) = (format!("configs/{config}.toml"), check.precisions[0]);
    report.text(format!("{config}, train.shards = {SHARDS}, {}:\n", precision.name()));
    report.text("| ranks | img/s | times one |");
    report.text("|---|---|---|");
    let mut first = None;
    for ranks in [1, 2, 4, SHARDS].into_iter().filter(|ranks| *ranks <= gpus) {
        let name = format!("{ranks} rank(s)");
        status("Training", &name);
        let limit = check.limit(LIMIT);
        if limit.is_zero() {
            report.failed(&name, NO_TIME);
            continue;
        }
        let options = [format!("--set=train.shards={SHARDS}"), format!("--ranks={ranks}")];
        let run = train(&program, &config, EPOCHS, precision, &options, limit);
        let trained = run.and_then(|run| {
            let rate = run.epochs.last().and_then(|epoch| epoch.images_per_second);
            Ok((rate.unwrap_or(f64::NAN), run.last()?))
        });
        let (rate, last) = match trained {
            Ok(trained) => trained,
            Err(error) => {
                report.failed(&name, format!("{error:#}"));
                continue;
            }
        };
        let (rate_of_one, last_of_one) = first.get_or_insert_with(|| (rate, last.clone()));
        report.text(format!("| {ranks} | {rate:.0} | {:.2} |", rate / *rate_of_one));
        match last == *last_of_one {
            true => report.passed(&name, "the same weights"),
            false => report.failed(&name, "other weights than the first ones"),
        }
    }
    Ok(())
}
