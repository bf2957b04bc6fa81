//! What a run is, and what came out, at a glance.

use maud::{Markup, html};

use super::{Section, percent, three};
use crate::config::BestBy;
use crate::report::folder::RunFolder;
use crate::report::{Look, Report};
use crate::terminal::numbers::{clock, grouped, millions, rate};

/// The head of the page: name, words, and the numbers that one wants first.
pub(super) fn header(report: &Report) -> Markup {
    let Report { folder, network, look: Look { examined, .. }, .. } = report;
    let config = &folder.config;
    let tested_on = config.data.tested_on();
    let tile = |name: &str, value: String, small: String| {
        html! { div { dt { (name) } dd { (value) @if !small.is_empty() { small { (small) } } } } }
    };
    let done = folder.overview.epochs.last().map_or(0, |last| last.epoch);
    html! {
        header {
            h1 { (folder.name()) }
            p.about { (report.about()) }
            @if let Some(process) = folder.processes.last() {
                p.about {
                    "Trained on " (process.device) " by vgg-train " (process.program)
                    ", from " (process.started) " UTC"
                    @if folder.processes.len() > 1 { " on, when it was resumed at step " (grouped(process.step)) }
                }
            }
            dl.tiles {
                @if let Some(best) = folder.overview.best() {
                    @let by = config.train.best_by;
                    @let name = match by { BestBy::Accuracy => "best accuracy", _ => "accuracy" };
                    @let chosen = match by {
                        BestBy::Accuracy => String::new(),
                        _ => format!(", the best{}", by.words()),
                    };
                    (tile(name, percent(best.test_accuracy),
                        format!("{tested_on} images, epoch {}{chosen}", best.epoch)))
                }
                @if let Some(last) = folder.overview.epochs.last() {
                    (tile("last loss", format!("{:.4}", last.test_loss),
                        format!("{tested_on} images; {:.4} in training", last.train_loss)))
                }
                @if let Some(iou) = folder.overview.best().and_then(|best| best.test_mean_iou) {
                    (tile("mean IoU", format!("{iou:.3}"), "of boxes; accuracy counts those above 0.5".into()))
                }
                @if let Some(examined) = examined {
                    @let scored = &examined.scored;
                    (tile("macro F1", three(scored.per_class.macro_mean.map(|mean| mean.f1)), "each class counts the same".into()))
                    (tile("calibration error", scored.calibration.ece.map(percent).unwrap_or_default(),
                        "expected, of the confidence".into()))
                }
                (tile("epochs", format!("{done} of {}", config.train.epochs), folder.overview.state.name().into()))
                @if let Some(speed) = folder.overview.epochs.last().and_then(|last| last.images_per_second) {
                    (tile("speed", rate(speed), "images/s in training, last epoch".into()))
                }
                @if let Some(time) = folder.overview.time() {
                    (tile("time", clock(time), "epochs with their tests".into()))
                }
                @if let Some(network) = network {
                    (tile("parameters", millions(network.params), format!("{} multiply-adds an image", grouped(network.macs))))
                }
            }
        }
    }
}

/// All keys of the config, those first that are not as they are by default.
pub(super) fn config(run: &RunFolder) -> Section {
    let (own, same): (Vec<_>, Vec<_>) = run.settings.iter().partition(|it| it.default.is_some());
    let content = html! {
        div.scroll {
            table.sortable {
                thead { tr { th { "key" } th.left { "value" } th.left { "default" } } }
                tbody { @for setting in own { tr {
                    td { code { (setting.key) } }
                    td.wrap.changed { code { (setting.value) } }
                    td.wrap { code { (setting.default.as_deref().unwrap_or_default()) } }
                } } }
                caption { "Keys that differ from their defaults" }
            }
        }
        details id="same" {
            summary { "The " (same.len()) " others, which are as they are by default" }
            div.scroll { table {
                thead { tr { th { "key" } th.left { "value" } } }
                tbody { @for setting in same { tr {
                    td { code { (setting.key) } } td.wrap { code { (setting.value) } }
                } } }
            } }
        }
    };
    Section { id: "config", title: "Config", content }
}
