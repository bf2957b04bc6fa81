//! The curves of a run.

use maud::html;

use super::Section;
use crate::drawing::axis::Axis;
use crate::drawing::chart::{Chart, Series};
use crate::drawing::style::Style;
use crate::report::folder::RunFolder;
use crate::run::curves::charts;
use crate::run::metrics::EpochRecord;
use crate::terminal::numbers::{rate, short};

/// Nothing before there is an epoch.
pub(super) fn section(run: &RunFolder) -> Option<Section> {
    let points: Vec<(f64, f64)> =
        run.steps.iter().map(|step| (step.step as f64, step.batch_loss)).collect();
    if run.overview.epochs.is_empty() && points.is_empty() {
        return None;
    }
    let tested_on = run.config.data.tested_on();
    // The losses of the first steps are many times those of the last.
    let (x, y) = (Axis::new("step").whole(), Axis::default().log());
    let steps =
        Chart::new("loss of single steps", x, y, vec![Series::new("", Style::Plain, points)]);
    let content = html! {
        div.charts {
            @if !run.overview.epochs.is_empty() {
                @for chart in charts(tested_on, run.config.train.best_by, &run.overview.epochs) { (chart.picture()) }
            }
            (steps.picture())
        }
        @if !run.overview.epochs.is_empty() {
            details id="epochs" {
                summary { "The numbers of each epoch" }
                (table(tested_on, &run.overview.epochs))
            }
        }
    };
    Some(Section { id: "curves", title: "Curves", content })
}

fn table(tested_on: &str, epochs: &[EpochRecord]) -> maud::Markup {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    html! {
        div.scroll.long {
            table.sortable {
                thead { tr {
                    th { "epoch" } th { "train loss" } th { "train accuracy, %" }
                    th { (tested_on) " loss" } th { (tested_on) " accuracy, %" } th { "top-5, %" }
                    th { "balanced, %" } th { "macro F1, %" }
                    th { "rate" } th { "images/s" } th { "waiting, %" } th { "seconds" }
                } }
                tbody { @for epoch in epochs { tr {
                    td { (epoch.epoch) }
                    td { (format!("{:.4}", epoch.train_loss)) }
                    td { (percent(epoch.train_accuracy)) }
                    td { (format!("{:.4}", epoch.test_loss)) }
                    td { (percent(epoch.test_accuracy)) }
                    td { (epoch.test_top5.map(percent).unwrap_or_default()) }
                    td { @if let Some(score) = epoch.test_balanced_accuracy { (percent(score)) } }
                    td { @if let Some(score) = epoch.test_macro_f1 { (percent(score)) } }
                    td { (short(epoch.lr)) }
                    td data-value=[epoch.images_per_second] {
                        @if let Some(speed) = epoch.images_per_second { (rate(speed)) }
                    }
                    td { @if let Some(share) = epoch.wait_share { (percent(share)) } }
                    td { @if let Some(seconds) = epoch.seconds { (format!("{seconds:.1}")) } }
                } } }
            }
        }
    }
}
