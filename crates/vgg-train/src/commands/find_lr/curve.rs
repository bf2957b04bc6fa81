//! How the loss goes as the rate rises, and what follows from it.

/// How many times its least the loss is when there is nothing to be seen at higher rates.
const RISEN: f64 = 3.0;

/// The steps that the loss is a mean over when that is asked, as a share of all.
const SHARE: f64 = 0.05;

/// The standard deviation, in powers of ten of the rate, of the bell that the curve is smoothed by.
const BELL: f64 = 0.15;

/// The share by which the loss must have fallen, so that it is no chance.
const FALL: f64 = 0.03;

/// A step: its rate, and the loss of its batch before the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub lr: f64,
    pub loss: f64,
}

/// Why there are no more steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// They were all.
    All,
    /// The loss was so many times its least.
    Rose,
    /// The loss was no number.
    NotANumber,
}

/// The steps of a test, by rising rates.
#[derive(Debug)]
pub(super) struct Curve {
    points: Vec<Point>,
    end: End,
    /// What a step's loss has of the mean that is kept.
    share: f64,
    mean: f64,
    /// The least that the mean was.
    least: f64,
}

impl Curve {
    /// One without steps, of which there are to be so many.
    pub(super) fn new(steps: u64) -> Self {
        let share = (1.0 / (SHARE * steps as f64)).min(1.0);
        Self { points: vec![], end: End::All, share, mean: 0.0, least: f64::INFINITY }
    }

    /// Takes a step in, and says whether there is nothing to be seen at higher rates.
    pub(super) fn push(&mut self, point: Point) -> bool {
        if !point.loss.is_finite() {
            self.end = End::NotANumber;
            return true;
        }
        self.points.push(point);
        self.mean += self.share * (point.loss - self.mean);
        // As if there had been steps before the first one, with the same mean.
        let mean = self.mean / (1.0 - (1.0 - self.share).powf(self.points.len() as f64));
        self.least = self.least.min(mean);
        let rose = mean > RISEN * self.least;
        if rose {
            self.end = End::Rose;
        }
        rose
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// The same steps, with the mean loss of those around each: by a bell on the axis of powers of ten.
    pub(super) fn smoothed(&self) -> Vec<Point> {
        let at: Vec<f64> = self.points.iter().map(|point| point.lr.log10()).collect();
        let smooth = |(point, x): (&Point, &f64)| {
            let weights = at.iter().map(|other| (-((x - other) / BELL).powi(2) / 2.0).exp());
            let (sum, weight) = self
                .points
                .iter()
                .zip(weights)
                .fold((0.0, 0.0), |(sum, all), (Point { loss, .. }, weight)| {
                    (sum + weight * loss, all + weight)
                });
            Point { loss: sum / weight, ..*point }
        };
        self.points.iter().zip(&at).map(smooth).collect()
    }
}

/// The point of a smoothed curve at which the loss is least, if it has fallen so far: below where it was
/// at first, and below `guess`, that of who knows nothing.
///
/// Training at this rate does well. A tenth of it is often named, and steeper parts of the curve: they lie
/// where the loss falls from that of initial weights to that of guessing, whatever is learned then.
pub(super) fn least(smoothed: &[Point], guess: f64) -> Option<Point> {
    let least = smoothed.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?;
    let start = smoothed.first()?.loss.min(guess);
    (least.loss < (1.0 - FALL) * start).then_some(*least)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curve of 200 steps of these losses, by the power of ten of the rate, with some noise.
    fn curve(loss: impl Fn(f64) -> f64) -> Curve {
        let mut curve = Curve::new(200);
        for step in 0..200 {
            let at = 7.0 * f64::from(step) / 199.0 - 6.0;
            let noise = 0.05 * f64::from(step * 37 % 19 - 9) / 9.0;
            if curve.push(Point { lr: 10_f64.powf(at), loss: loss(at) + noise }) {
                break;
            }
        }
        curve
    }

    fn suggested(curve: &Curve) -> Option<f64> {
        least(&curve.smoothed(), 10_f64.ln()).map(|point| point.lr.log10())
    }

    /// From 4 on to the guess at once, then slowly to 1 at 0.01, and up.
    fn usual(at: f64) -> f64 {
        match at {
            at if at < -2.0 => 1.0 + 0.25 * (-2.0 - at) + 2.0 * (-5.0 - at).max(0.0),
            at => 1.0 + (at + 2.0).powi(2) * 3.0,
        }
    }

    #[test]
    fn the_least_loss_is_found_in_noise_and_the_test_ends_where_it_has_risen() {
        let curve = curve(usual);
        assert!((suggested(&curve).unwrap() + 2.0).abs() < 0.15);
        assert_eq!(curve.end(), End::Rose);
        let last = curve.points().last().unwrap().lr.log10();
        assert!((-1.2..-0.5).contains(&last), "{last}");
    }

    #[test]
    fn a_loss_that_stays_or_only_comes_to_that_of_guessing_suggests_nothing() {
        let flat = curve(|_| 2.303);
        assert_eq!((suggested(&flat), flat.end()), (None, End::All));
        let guessing = curve(|at| if at < -4.0 { 6.0 } else { 2.303 });
        assert_eq!(suggested(&guessing), None);
        let rising = curve(|at| 0.3 + (at + 6.0) / 9.0);
        assert_eq!(suggested(&rising), None);
    }

    #[test]
    fn what_is_no_number_ends_the_test_and_is_no_part_of_it() {
        let curve = curve(|at| if at > -3.0 { f64::NAN } else { usual(at) });
        assert_eq!(curve.end(), End::NotANumber);
        assert!(curve.points().iter().all(|point| point.lr <= 1e-3 && point.loss.is_finite()));
        assert!(suggested(&curve).unwrap() > -3.2);
        assert!(Curve::new(20).smoothed().is_empty());
    }
}
