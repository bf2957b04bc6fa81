//! Axes: which values they show, and where.

use crate::terminal::numbers::{grouped, short};

/// Numbers beyond are as good as infinite: the length of an axis is a number, too.
const LARGEST: f64 = 1e300;
/// Of an axis is kept free at either end.
const MARGIN: f64 = 0.04;

/// An axis, as it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axis {
    /// What its numbers are.
    pub label: String,
    /// What it shows; if it is left open, all values there are.
    pub range: Option<(f64, f64)>,
    /// As far from 1 to 10 as from 10 to 100.
    pub log: bool,
    /// Numbers that are counted, as epochs: there is nothing to be told between 1 and 2.
    pub whole: bool,
    /// Zero is shown, however far away: of what is more or less, and not better or worse.
    pub zero: bool,
}

impl Axis {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    pub(crate) fn within(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    pub(crate) fn log(self) -> Self {
        Self { log: true, ..self }
    }

    pub(crate) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    pub(crate) fn with_zero(self) -> Self {
        Self { zero: true, ..self }
    }

    /// The axis on paper, from px `start` to px `end`, for these values.
    pub(super) fn scale(
        &self,
        values: impl Iterator<Item = f64>,
        (start, end): (f64, f64),
    ) -> Scale {
        let is_shown = |value: &f64| value.abs() <= LARGEST && (!self.log || *value > 0.0);
        let is_range = |(low, high): &(f64, f64)| is_shown(low) && is_shown(high) && low < high;
        let of_values = || {
            let (low, high) =
                values.filter(is_shown).fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
                    (range.0.min(value), range.1.max(value))
                });
            match self.log {
                _ if low > high => (if self.log { 0.1 } else { 0.0 }, 1.0),
                true => {
                    let factor = (high / low).powf(MARGIN).max(1.1);
                    (low / factor, high * factor)
                }
                false => self.around(low, high),
            }
        };
        let (low, high) = self.range.filter(is_range).unwrap_or_else(of_values);
        Scale { low, high, log: self.log, whole: self.whole, start, end }
    }

    /// A range with some room around these values, from zero on if they come near it.
    fn around(&self, low: f64, high: f64) -> (f64, f64) {
        let largest = low.abs().max(high.abs());
        let margin = match high - low {
            // They are one value.
            length if length <= 1e-4 * largest || largest == 0.0 => match self.whole {
                true => 0.5,
                false if largest == 0.0 => 1.0,
                false => 0.1 * largest,
            },
            length if self.whole => (MARGIN * length).min(0.5),
            length => MARGIN * length,
        };
        let is_near = !self.whole && (low - margin < 0.0 || low < high / 3.0);
        let from_zero = low >= 0.0 && (self.zero || is_near);
        let from = if from_zero { 0.0 } else { low - margin };
        (from, high + margin.max(MARGIN * (high - from)))
    }
}

/// An axis on paper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
    pub log: bool,
    whole: bool,
    /// Where `low` is, in px, and `high`.
    pub start: f64,
    pub end: f64,
}

impl Scale {
    /// Where a value is, in px. What is not a number is nowhere.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let is_somewhere = value.abs() <= LARGEST && (!self.log || value > 0.0);
        is_somewhere.then(|| {
            let share = match self.log {
                true => (value / self.low).ln() / (self.high / self.low).ln(),
                false => (value - self.low) / (self.high - self.low),
            };
            // Far outside, at worst.
            (self.start + share * (self.end - self.start)).clamp(-1e5, 1e5)
        })
    }

    /// Round numbers, at most about `most` of them, and how they are written.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if self.log
            && let ticks = self.log_ticks(most)
            && ticks.len() > 1
        {
            return ticks.into_iter().map(|value| (value, signed(&short(value)))).collect();
        }
        let step = match self.round_step(most) {
            step if self.whole => step.max(1.0),
            step => step,
        };
        let first = (self.low / step - 1e-9).ceil();
        let ticks = (0..=most).map(|index| (first + index as f64) * step);
        let largest = self.low.abs().max(self.high.abs());
        let ticks = ticks.take_while(|value| *value <= self.high + 1e-9 * step);
        ticks.map(|value| (value, tick(value, step, largest))).collect()
    }

    /// 1, 2 or 5 times a power of ten.
    fn round_step(&self, most: usize) -> f64 {
        let step = (self.high - self.low) / most as f64;
        let power = 10_f64.powf(step.log10().floor());
        let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= step);
        times.unwrap_or(10.0) * power
    }

    /// Powers of ten; where they are few, twice and five times these, too.
    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let is_shown = |value: &f64| (self.low..=self.high).contains(value);
        let of = |times: &'static [i32]| {
            let values = powers.clone().flat_map(move |power| {
                // As it is written, for `10_f64.powi(-3)` is not 0.001.
                times.iter().map(move |times| format!("{times}e{power}").parse().unwrap_or(0.0))
            });
            values.filter(is_shown).collect::<Vec<f64>>()
        };
        match of(&[1, 2, 5]) {
            ticks if ticks.len() <= most => ticks,
            _ => {
                let ticks = of(&[1]);
                let every = ticks.len().div_ceil(most);
                ticks.into_iter().step_by(every).collect()
            }
        }
    }
}

/// A tick among others that are `step` apart, all with as many decimals.
fn tick(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step / 2.0 {
        return "0".to_owned();
    }
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    signed(&match decimals {
        _ if largest >= 1e6 || decimals > 5 => {
            let rounded = format!("{value:.4e}").parse().unwrap_or(value);
            format!("{rounded:e}")
        }
        0 if value >= 0.0 => grouped(value.round() as u64),
        _ => format!("{value:.decimals$}"),
    })
}

/// With a minus that is as wide as a plus.
fn signed(number: &str) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis, values: &[f64]) -> Vec<String> {
        let scale = axis.scale(values.iter().copied(), (0.0, 100.0));
        let ticks = scale.ticks(5);
        for (value, text) in &ticks {
            let at = scale.at(*value).unwrap();
            assert!((-0.01..100.01).contains(&at), "{text} is at {at}");
        }
        ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        let value = Axis::new("");
        for (values, expected) in [
            (&[0.73, 0.14][..], &["0", "0.2", "0.4", "0.6"][..]),
            (&[86.2, 91.8], &["86", "88", "90", "92"]),
            (&[-3.0, 2.0], &["−2", "0", "2"]),
            (&[0.0, 9141.0], &["0", "2 000", "4 000", "6 000", "8 000"]),
            (&[0.5], &["0.45", "0.50", "0.55"]),
            (&[0.0], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (&[], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (&[1e-9, 5e-9], &["0", "2e−9", "4e−9"]),
            (
                &[-1e300, 1e300, f64::NAN, f64::INFINITY],
                &["−1e300", "−5e299", "0", "5e299", "1e300"],
            ),
        ] {
            assert_eq!(ticks(&value, values), expected, "{values:?}");
        }
        let with_zero = Axis::new("").with_zero();
        assert_eq!(ticks(&with_zero, &[80.0, 100.0]), ["0", "50", "100"]);
        let given = Axis::new("").within(0.0, 100.0);
        assert_eq!(ticks(&given, &[50.0]), ["0", "20", "40", "60", "80", "100"]);
    }

    #[test]
    fn epochs_are_whole() {
        let epoch = Axis::new("epoch").whole();
        assert_eq!(ticks(&epoch, &[1.0]), ["1"]);
        assert_eq!(ticks(&epoch, &[1.0, 2.0]), ["1", "2"]);
        assert_eq!(ticks(&epoch, &[1.0, 8.0]), ["2", "4", "6", "8"]);
    }

    #[test]
    fn powers_of_ten_are_as_far_apart() {
        let log = Axis::new("").log();
        assert_eq!(ticks(&log, &[1e-6, 1.0, 0.0, -1.0]), ["1e−6", "0.0001", "0.01", "1"]);
        assert_eq!(ticks(&log, &[0.001, 0.1]), ["0.001", "0.01", "0.1"]);
        assert_eq!(ticks(&log, &[0.3, 3.0]), ["0.5", "1", "2"]);
        assert_eq!(ticks(&log, &[0.30, 0.31]), ["0.28", "0.30", "0.32", "0.34"]);
        let scale = log.scale([1.0, 100.0].into_iter(), (0.0, 100.0));
        assert!((scale.at(10.0).unwrap() - 50.0).abs() < 1e-9);
        assert_eq!(scale.at(0.0), None);
    }
}
