//! The runs of a folder, each with a link to its page.

use maud::html;
use serde_json::{Value, json};

use super::{Live, document, percent};
use crate::report::json;
use crate::run::overview::Overview;
use crate::terminal::numbers::clock;

/// The page of all runs, those that changed last first. `link` says where a run's page is.
pub(crate) fn index(
    title: &str,
    runs: &[Overview],
    link: impl Fn(&Overview) -> String,
    live: &Live,
) -> String {
    let main = html! {
        header { h1 { (title) } }
        @if runs.is_empty() { p { "There is no run here yet." } }
        @else {
            div.scroll { table.sortable {
                thead { tr {
                    th { "run" } th.left { "network" } th { "epochs" } th { "best accuracy" } th { "last loss" }
                    th { "time" } th.left { "state" }
                } }
                tbody { @for run in runs.iter().rev() {
                    @let last = run.epochs.last();
                    @let best = run.best().map(|best| best.test_accuracy);
                    @let time = run.time();
                    tr {
                        td { a href=(link(run)) { (run.name()) } }
                        td.left { @if let Some(config) = &run.config { (config.vgg()) } }
                        td data-value=(last.map_or(0, |last| last.epoch)) {
                            (last.map_or(0, |last| last.epoch))
                            @if let Some(config) = &run.config { " of " (config.train.epochs) }
                        }
                        td data-value=[best] {
                            @if let Some(best) = best { (percent(best)) (run.best_by().words()) }
                        }
                        td { @if let Some(last) = last { (format!("{:.4}", last.test_loss)) } }
                        td data-value=[time.map(|time| time.as_secs_f64())] { (time.map(clock).unwrap_or_default()) }
                        td.wrap {
                            span class=(format!("state {}", run.state.name())) { (run.state.name()) }
                            @if let Some(problem) = &run.problem { span.faint { ": " (problem) } }
                        }
                    }
                } }
            } }
        }
    };
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| json!({ "name": run.name(), "state": run.state.name(), "epochs": run.epochs }))
        .collect();
    document(title, &main, &json!({ "schema": json::SCHEMA, "runs": runs }), Some(live))
}
