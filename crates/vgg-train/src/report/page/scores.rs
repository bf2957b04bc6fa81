//! Whether probabilities can be trusted.

use maud::html;

use super::{Section, percent};
use crate::drawing::axis::Axis;
use crate::drawing::chart::{Chart, Series};
use crate::drawing::reliability;
use crate::drawing::style::Style;
use crate::report::examined::Examined;
use crate::scores::ranking::Ranked;
use crate::scores::scored::Scored;
use crate::terminal::numbers::grouped;

/// Points of a curve, at most.
const POINTS: usize = 200;
/// Classes that have curves of their own.
const CURVES: usize = 10;

/// The reliability diagram.
pub(super) fn calibration(examined: &Examined) -> Section {
    let calibration = &examined.scored.calibration;
    let error = |value: Option<f64>| value.map_or("none".into(), percent);
    let content = html! {
        p.about {
            "Images by how sure the network is of them, and how often it is right (Guo et al. 2017): "
            "expected calibration error " b { (error(calibration.ece)) }
            ", in the worst bin " (error(calibration.mce))
            @if let Some(brier) = calibration.brier { ", Brier score " (format!("{brier:.4}")) }
            ". Bars below the diagonal are of a network that is too sure."
        }
        div.charts {
            (reliability::picture("reliability", calibration))
        }
        details id="bins" {
            summary { "The numbers" }
            div.scroll { table {
                thead { tr { th { "confidence" } th { "images" } th { "mean confidence" } th { "accuracy" } } }
                tbody { @for bin in &calibration.bins { tr {
                    td { (format!("{:.3} to {:.3}", bin.above, bin.up_to)) }
                    td { (grouped(bin.images)) }
                    td { @if let Some(confidence) = bin.confidence { (percent(confidence)) } }
                    td { @if let Some(accuracy) = bin.accuracy { (percent(accuracy)) } }
                } } }
            } }
        }
    };
    Section { id: "calibration", title: "Calibration", content }
}

/// ROC and precision-recall of each class, or of those with the smallest areas. Nothing where no
/// class has both.
pub(super) fn ranking(examined: &Examined) -> Option<Section> {
    let Scored { names, predictions, .. } = &examined.scored;
    let mut classes: Vec<(usize, f64)> = examined
        .scored
        .areas
        .iter()
        .enumerate()
        .filter_map(|(class, areas)| Some((class, areas.as_ref()?.average_precision)))
        .collect();
    let all = classes.len();
    if all > CURVES {
        classes.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        classes.truncate(CURVES);
    }
    let ranked: Vec<(String, Ranked)> = classes
        .iter()
        .filter_map(|(class, _)| Some((names[*class].clone(), Ranked::by(predictions, *class)?)))
        .collect();
    if ranked.is_empty() {
        return None;
    }
    let chart = |title: &str,
                 x: &str,
                 y: &str,
                 guide: Option<Series>,
                 curve: fn(&Ranked) -> Vec<[f64; 2]>| {
        let series = ranked.iter().enumerate().map(|(i, (name, ranked))| {
            let points = curve(ranked).into_iter().map(|[x, y]| (x, y)).collect();
            Series::new(name, Style::Nth(i), points)
        });
        let axis = |label: &str| Axis::new(label).within(0.0, 1.0);
        Chart::new(title, axis(x), axis(y), guide.into_iter().chain(series).collect()).square()
    };
    let guide = Series::new("", Style::Guide, vec![(0.0, 0.0), (1.0, 1.0)]);
    let roc =
        chart("ROC", "false positive rate", "true positive rate", Some(guide), |it| it.roc(POINTS));
    let precision = chart("precision and recall", "recall", "precision", None, |it| {
        it.precision_recall(POINTS)
    });
    let content = html! {
        p.about {
            "How well the probability of each class tells its images from all others, wherever the line is drawn"
            @if all > ranked.len() { "; the " (ranked.len()) " classes of the lowest average precision" }
            "."
        }
        div.charts { (roc.picture()) (precision.picture()) }
    };
    Some(Section { id: "ranking", title: "ROC", content })
}
