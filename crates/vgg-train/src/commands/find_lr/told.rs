//! A test in words, in letters, as JSON and as a picture.

use serde_json::{Value, json};

use super::curve::{Curve, End, Point, least};
use crate::config::Config;
use crate::drawing::axis::Axis;
use crate::drawing::chart::{Chart, Series};
use crate::drawing::picture::Picture;
use crate::drawing::style::Style;
use crate::terminal::chart;
use crate::terminal::numbers::short;

/// The key that a rate is for.
const KEY: &str = "optimizer.lr";

/// Columns of the plot in letters, and its rows.
const SIZE: [usize; 2] = [64, 12];

/// A test that is over.
pub(super) struct Told<'a> {
    config: &'a Config,
    curve: &'a Curve,
    smoothed: Vec<Point>,
    least: Option<Point>,
}

impl<'a> Told<'a> {
    /// The test of a config whose images are of so many classes.
    pub(super) fn new(config: &'a Config, curve: &'a Curve, classes: usize) -> Self {
        let smoothed = curve.smoothed();
        let least = least(&smoothed, (classes as f64).ln());
        Self { config, curve, smoothed, least }
    }

    /// The rate to train at, to two digits.
    pub(super) fn suggestion(&self) -> Option<f64> {
        self.least.map(|least| format!("{:.1e}", least.lr).parse().unwrap_or(least.lr))
    }

    /// Why that one.
    fn reason(&self) -> Option<String> {
        let least = self.least?.loss;
        let last = self.curve.points().last()?.lr;
        let then = match self.curve.end() {
            End::Rose => format!(", and three times that at {}", short(last)),
            End::NotANumber => format!(", and no number beyond {}", short(last)),
            End::All => String::new(),
        };
        Some(format!("the loss is least there, {least:.3}{then}"))
    }

    pub(super) fn to_text(&self) -> Vec<String> {
        let points: Vec<_> = self.smoothed.iter().map(|it| (it.lr.log10(), it.loss)).collect();
        let [low, high] = self.range();
        let ticks: Vec<_> =
            (-6..=1).map(|power| (f64::from(power), short(10_f64.powi(power)))).collect();
        let chart = chart::Chart {
            size: SIZE,
            points: &points,
            y: [low, high].map(|loss| (loss, format!("{loss:.2}"))),
            x_ticks: &ticks,
            mark: self.suggestion().map(f64::log10),
        };
        let mut lines = vec!["loss by learning rate".to_owned()];
        lines.extend(chart.lines());
        if let (Some(lr), Some(reason)) = (self.suggestion(), self.reason()) {
            let own = short(self.config.optimizer.lr);
            lines.push(String::new());
            lines.push(format!("--set {KEY}={}, where the config has {own}:", short(lr)));
            lines.push(reason);
        }
        lines
    }

    pub(super) fn to_json(&self) -> Value {
        let steps = self.curve.points().iter().zip(&self.smoothed);
        let step = |(point, smoothed): (&Point, &Point)| json!({ "lr": point.lr, "loss": point.loss, "smoothed_loss": smoothed.loss });
        json!({
            "key": KEY,
            "suggestion": self.suggestion(),
            "reason": self.reason(),
            "config": self.config.optimizer.lr,
            "end": match self.curve.end() {
                End::All => "all",
                End::Rose => "rose",
                End::NotANumber => "not_a_number",
            },
            "steps": steps.map(step).collect::<Vec<_>>(),
        })
    }

    pub(super) fn picture(&self) -> Picture {
        let line = |name, style, points: &[Point]| {
            Series::new(name, style, points.iter().map(|it| (it.lr, it.loss)).collect())
        };
        let [low, high] = self.range();
        let room = 0.1 * (high - low);
        let title = format!("{}: loss by learning rate", self.config.name);
        let x = Axis::new("learning rate").log();
        let y = Axis::new("loss").within(low - room, high + room);
        let lines = vec![
            line("a batch", Style::Guide, self.curve.points()),
            line("smoothed", Style::Train, &self.smoothed),
        ];
        let chart = Chart { width: 640.0, ..Chart::new(title, x, y, lines) };
        match self.suggestion() {
            Some(lr) => chart.mark(lr, format!("{KEY} = {}", short(lr))).picture(),
            None => chart.picture(),
        }
    }

    /// The losses that are of interest: what the loss rises to in the end would make a line of all
    /// before it.
    fn range(&self) -> [f64; 2] {
        let losses = || self.smoothed.iter().map(|point| point.loss);
        let low = losses().fold(f64::INFINITY, f64::min);
        let until = losses().position(|loss| loss == low).unwrap_or_default();
        let high = losses().take(until + 1).fold(1.1 * low, f64::max);
        [low, high]
    }
}
