//! Several runs, compared.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{Section, contents, document, exact};
use crate::drawing::axis::Axis;
use crate::drawing::chart::{Chart, Series};
use crate::drawing::style::Style;
use crate::report::folder::RunFolder;
use crate::report::json;
use crate::run::metrics::EpochRecord;
use crate::terminal::numbers::{clock, rate};

/// The page of several runs: their curves over each other, what came out, and in which keys their
/// configs differ.
pub(crate) fn several(runs: &[RunFolder]) -> String {
    let sections = [curves(runs), results(runs), differences(runs)];
    let title = format!("{} runs", runs.len());
    let main = html! {
        header { h1 { (title) } p.about { (names(runs).join(", ")) } }
        (contents(&sections))
        @for section in &sections { (section) }
    };
    let data: Vec<Value> = runs.iter().map(json::run).collect();
    document(&title, &main, &json!({ "schema": json::SCHEMA, "runs": data }), None)
}

/// The runs' names, with their folders where two have the same.
fn names(runs: &[RunFolder]) -> Vec<String> {
    let same = |name: &str| runs.iter().filter(|run| run.name() == name).count() > 1;
    let name = |run: &RunFolder| match same(&run.name()) {
        true => run.overview.path.display().to_string(),
        false => run.name(),
    };
    runs.iter().map(name).collect()
}

fn curves(runs: &[RunFolder]) -> Section {
    let chart = |title: String, value: fn(&EpochRecord) -> Option<f64>| {
        let series = runs.iter().zip(names(runs)).enumerate().map(|(i, (run, name))| {
            let points = run.overview.epochs.iter();
            let points = points.map(|epoch| (epoch.epoch as f64, value(epoch).unwrap_or(f64::NAN)));
            Series::new(name, Style::Nth(i), points.collect())
        });
        Chart::new(title, Axis::new("epoch").whole(), Axis::default(), series.collect()).picture()
    };
    let content = html! {
        div.charts {
            (chart("test accuracy, %".into(), |epoch| Some(100.0 * epoch.test_accuracy)))
            (chart("test loss".into(), |epoch| Some(epoch.test_loss)))
            (chart("training loss".into(), |epoch| Some(epoch.train_loss)))
            (chart("learning rate".into(), |epoch| Some(f64::from(epoch.lr))))
            (chart("training images a second".into(), |epoch| epoch.images_per_second))
        }
    };
    Section { id: "curves", title: "Curves", content }
}

fn results(runs: &[RunFolder]) -> Section {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let number = |value: Option<f64>, shown: &dyn Fn(f64) -> String| -> Markup {
        html! { td data-value=(exact(value)) { @if let Some(value) = value { (shown(value)) } } }
    };
    let four = |value: f64| format!("{value:.4}");
    let content = html! {
        div.scroll { table.sortable {
            thead { tr {
                th { "run" } th { "best, %" } th { "in epoch" } th { "last, %" }
                th { "last test loss" } th { "last train loss" } th { "epochs" } th { "images/s" } th { "time" }
                th.left { "state" }
            } }
            tbody { @for (run, name) in runs.iter().zip(names(runs)) {
                @let (best, last) = (run.overview.best(), run.overview.epochs.last());
                tr {
                    td { (name) }
                    @let by = run.overview.best_by().words();
                    (number(best.map(|it| it.test_accuracy), &|share| percent(share) + &by))
                    td { @if let Some(best) = best { (best.epoch) } }
                    (number(last.map(|it| it.test_accuracy), &percent))
                    (number(last.map(|it| it.test_loss), &four))
                    (number(last.map(|it| it.train_loss), &four))
                    td { (last.map_or(0, |it| it.epoch)) }
                    (number(last.and_then(|it| it.images_per_second), &rate))
                    @let time = run.overview.time();
                    td data-value=[time.map(|time| time.as_secs_f64())] { (time.map(clock).unwrap_or_default()) }
                    td.left { span class=(format!("state {}", run.overview.state.name())) { (run.overview.state.name()) } }
                }
            } }
        } }
    };
    Section { id: "results", title: "Results", content }
}

/// The keys in which configs differ; what a run does not have is empty.
fn differences(runs: &[RunFolder]) -> Section {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (i, run) in runs.iter().enumerate() {
        for setting in &run.settings {
            keys.entry(&setting.key).or_insert_with(|| vec![""; runs.len()])[i] = &setting.value;
        }
    }
    keys.retain(|_, values| values.iter().any(|value| *value != values[0]));
    let content = html! {
        @if keys.is_empty() { p { "The configs do not differ." } }
        @else {
            div.scroll { table.sortable {
                thead { tr { th { "key" } @for name in names(runs) { th.left { (name) } } } }
                tbody { @for (key, values) in &keys { tr {
                    td { code { (key) } }
                    @for value in values { td.left { code.value title=(value) { (value) } } }
                } } }
            } }
        }
    };
    Section { id: "differences", title: "Differences", content }
}
