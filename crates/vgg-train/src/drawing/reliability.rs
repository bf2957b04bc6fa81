//! Whether a network is right as often as it is sure to be.

use maud::{Markup, html};

use super::axis::Axis;
use super::paint::{FAINT, GUIDE, TEXT};
use super::picture::Picture;
use super::plot::{Plot, TICKS_WIDTH};
use super::shade::RIGHT;
use super::style::{Style, px};
use super::text::{self, SIZE};
use crate::scores::calibration::{Bin, Calibration};
use crate::terminal::numbers::count;

const WIDTH: f64 = 420.0;
const LEFT: f64 = TICKS_WIDTH + 18.0;
const SIDE: f64 = WIDTH - LEFT - 16.0;
const LEGEND: f64 = 59.0;
const TOP: f64 = 76.0;
/// Of the bars of how many images there are, below the plot.
const IMAGES_TOP: f64 = TOP + SIDE + 14.0;
const IMAGES_HEIGHT: f64 = 64.0;

/// A bar a bin of confidences, as high as its accuracy, against the diagonal on which a network is
/// right as often as it is sure to be; and below, how many images each bin has.
pub(crate) fn picture(title: &str, calibration: &Calibration) -> Picture {
    let bins = &calibration.bins[..];
    let percent = |label: &str| Axis::new(label).within(0.0, 100.0);
    let (accuracy, confidence) = (percent("accuracy, %"), percent("confidence, %"));
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or_default().max(1);
    let images = Axis::new("images").within(0.0, 1.05 * most as f64);
    let plot = |y: &Axis, top: f64, height: f64| Plot {
        x: confidence.scale([].into_iter(), (LEFT, LEFT + SIDE)),
        y: y.scale([].into_iter(), (top + height, top)),
    };
    let above = plot(&accuracy, TOP, SIDE);
    let below = plot(&images, IMAGES_TOP, IMAGES_HEIGHT);
    let ece = calibration
        .ece
        .map_or(String::new(), |ece| format!("expected calibration error {:.1} %", 100.0 * ece));
    let content = html! {
        (text::title(LEFT, title, SIDE))
        text x=(LEFT) y="42" font-size=(SIZE) class=(FAINT.class) color=(FAINT.colour) fill="currentColor" {
            (ece)
        }
        (legend())
        (above.axes(None, &accuracy))
        (below.axes(Some(&confidence), &images))
        @for bin in bins {
            g class="bin" {
                title { (said(bin)) }
                (bar(&above, bin, bin.accuracy.map(|accuracy| 100.0 * accuracy), 0.75))
                (bar(&below, bin, Some(bin.images as f64), 0.4))
            }
        }
        path class=(GUIDE.class) d=(format!("M{} {}L{} {}", px(LEFT), px(TOP + SIDE), px(LEFT + SIDE), px(TOP)))
            color=(GUIDE.colour) stroke="currentColor" stroke-dasharray="4 4" {}
        // Where the bars would end if the network were as sure as it is right.
        @for bin in bins {
            @if let Some((x, y)) = bin.confidence.and_then(|confidence| {
                above.x.at(50.0 * (bin.above + bin.up_to)).zip(above.y.at(100.0 * confidence))
            }) {
                (dash(x, y))
            }
        }
    };
    let known = bins.iter().filter(|bin| bin.images > 0).map(said);
    let said = [ece.clone()].into_iter().filter(|ece| !ece.is_empty()).chain(known);
    let description = said.collect::<Vec<_>>().join(". ");
    Picture::new((WIDTH, IMAGES_TOP + IMAGES_HEIGHT + 40.0), title, description, content)
}

/// From the bottom of the plot to a value.
fn bar(plot: &Plot, bin: &Bin, value: Option<f64>, opacity: f64) -> Markup {
    let ends = |at: f64| plot.x.at(100.0 * at);
    let (Some(left), Some(right)) = (ends(bin.above), ends(bin.up_to)) else { return html! {} };
    let Some(top) = value.and_then(|value| plot.y.at(value)) else { return html! {} };
    html! {
        rect class=(RIGHT.class) x=(px(left + 1.0)) y=(px(top)) width=(px(right - left - 2.0))
            height=(px(plot.y.start - top)) color=(RIGHT.colour) fill="currentColor"
            fill-opacity=(opacity) {}
    }
}

/// Of a mean confidence.
fn dash(x: f64, y: f64) -> Markup {
    html! {
        path class=(Style::Test.class()) d=(format!("M{} {}h12", px(x - 6.0), px(y))) color=(Style::Test.colour())
            stroke="currentColor" stroke-width="3" {}
    }
}

fn legend() -> Markup {
    let text = |x: f64, text: &str| {
        html! {
            text x=(LEFT + x) y=(LEGEND + 4.0) font-size=(SIZE) class=(TEXT.class) color=(TEXT.colour)
                fill="currentColor" { (text) }
        }
    };
    html! {
        rect class=(RIGHT.class) x=(LEFT) y=(LEGEND - 6.0) width="12" height="12"
            color=(RIGHT.colour) fill="currentColor" fill-opacity="0.75" {}
        (text(18.0, "accuracy"))
        (dash(LEFT + 98.0, LEGEND))
        (text(110.0, "mean confidence"))
    }
}

fn said(bin: &Bin) -> String {
    let percent = |share: Option<f64>| {
        share.map_or("unknown".into(), |share| format!("{:.1} %", 100.0 * share))
    };
    format!(
        "{} with a confidence of {:.0} to {:.0} %: {} recognised, mean confidence {}",
        count(bin.images, "image"),
        100.0 * bin.above,
        100.0 * bin.up_to,
        percent(bin.accuracy),
        percent(bin.confidence)
    )
}
