//! A plot: two axes and what lies between.

use maud::{Markup, html};

use super::axis::{Axis, Scale};
use super::paint::{AXIS, FAINT, GRID};
use super::style::px;
use super::text::{SIZE, fitted, width};

/// Of the tick labels on the left.
pub(super) const TICKS_WIDTH: f64 = 54.0;
const MOST_TICKS: usize = 12;
/// Between numbers beside each other, and for each of those above each other.
const NUMBER_GAP: f64 = 16.0;
const NUMBER_HEIGHT: f64 = 28.0;

/// Where a chart has which values.
#[derive(Clone, Copy)]
pub(super) struct Plot {
    pub x: Scale,
    pub y: Scale,
}

impl Plot {
    /// Ticks, lines of a grid at these, and what the numbers are; without `x` those of another plot
    /// below.
    pub(super) fn axes(&self, x: Option<&Axis>, y: &Axis) -> Markup {
        let (left, right, top, bottom) = (self.x.start, self.x.end, self.y.end, self.y.start);
        let placed = |scale: &Scale, most| {
            let ticks = scale.ticks(most).into_iter();
            ticks.filter_map(|(value, text)| Some((px(scale.at(value)?), text))).collect::<Vec<_>>()
        };
        // Numbers beside each other need as much room as they are long.
        let has_room = |ticks: &Vec<(f64, String)>| {
            let widest = ticks.iter().map(|(_, text)| width(text, SIZE)).fold(0.0, f64::max);
            (widest + NUMBER_GAP) * ticks.len() as f64 <= right - left
        };
        let x_ticks = (2..=MOST_TICKS).rev().map(|most| placed(&self.x, most)).find(has_room);
        let x_ticks = x_ticks.unwrap_or_default();
        let most = ((bottom - top) / NUMBER_HEIGHT) as usize;
        let y_ticks = placed(&self.y, most.clamp(2, MOST_TICKS));
        let (middle, centre) = (px((left + right) / 2.0), px((top + bottom) / 2.0));
        html! {
            g class=(GRID.class) color=(GRID.colour) stroke="currentColor" {
                @for (at, _) in &x_ticks { path d=(format!("M{at} {}V{}", px(top), px(bottom))) {} }
                @for (at, _) in &y_ticks { path d=(format!("M{} {at}H{}", px(left), px(right))) {} }
            }
            path class=(AXIS.class) d=(format!("M{} {}V{}H{}", px(left), px(top), px(bottom), px(right)))
                color=(AXIS.colour) stroke="currentColor" fill="none" {}
            g class=(FAINT.class) color=(FAINT.colour) fill="currentColor" font-size=(SIZE) {
                @if let Some(x) = x {
                    @for (at, text) in &x_ticks {
                        text x=(at) y=(px(bottom + 16.0)) text-anchor="middle" { (text) }
                    }
                    text x=(middle) y=(px(bottom + 33.0)) text-anchor="middle" {
                        (fitted(&x.label, SIZE, right - left))
                    }
                }
                @for (at, text) in &y_ticks {
                    text x=(px(left - 7.0)) y=(px(at + 4.0)) text-anchor="end" { (text) }
                }
                @if !y.label.is_empty() {
                    text x="14" y=(centre) text-anchor="middle"
                        transform=(format!("rotate(-90 14 {centre})")) {
                        (fitted(&y.label, SIZE, bottom - top))
                    }
                }
            }
        }
    }
}
