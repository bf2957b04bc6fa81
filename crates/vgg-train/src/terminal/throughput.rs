//! How fast images pass, in numbers and in words.

use std::time::Duration;

use super::fields::Fields;
use super::numbers::{clock, count, grouped, rate};

/// Images that have passed in a stretch of wall time. Everything in it counts, waiting for images
/// and saving, too, so that a rate is what a stopwatch beside the machine would give.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Throughput {
    pub images: u64,
    pub wall: Duration,
    /// What of the wall time passed in waiting for images, with nothing else to do.
    pub waited: Duration,
}

impl Throughput {
    /// None where nothing has passed.
    pub(crate) fn images_per_second(&self) -> Option<f64> {
        (self.images > 0).then(|| self.images as f64 / self.wall.as_secs_f64().max(1e-9))
    }

    /// The share of the wall time that passed in waiting for images.
    pub(crate) fn wait_share(&self) -> f64 {
        let wall = self.wall.as_secs_f64();
        if wall == 0.0 { 0.0 } else { (self.waited.as_secs_f64() / wall).min(1.0) }
    }

    pub(crate) fn seconds_per_image(&self) -> Option<f64> {
        (self.images > 0).then(|| self.wall.as_secs_f64() / self.images as f64)
    }
}

impl std::ops::Add for Throughput {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            images: self.images + other.images,
            wall: self.wall + other.wall,
            waited: self.waited + other.waited,
        }
    }
}

/// `1 200 of 10 000 images`
pub(crate) fn images_line(done: u64, all: u64) -> Fields {
    format!("{} of {}", grouped(done), count(all, "image")).into()
}

/// `10 000 images in 1:22, 122 img/s, data 0 %`
pub(crate) fn seen(done: &Throughput) -> String {
    let (images, time) = (count(done.images, "image"), clock(done.wall));
    let speed = speed(done).map_or(String::new(), |speed| format!(", {speed}"));
    format!("{images} in {time}{speed}")
}

/// `122 img/s, data 0 %`; nothing where nothing has passed.
pub(crate) fn speed(done: &Throughput) -> Option<String> {
    let rate = rate(done.images_per_second()?);
    Some(format!("{rate} img/s, data {:.0} %", 100.0 * done.wait_share()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_in_words() {
        let second = Duration::from_secs(1);
        let slow = Throughput { images: 300, wall: 40 * second, waited: 30 * second };
        assert_eq!(seen(&slow), "300 images in 40.0 s, 7.5 img/s, data 75 %");
    }
}
