//! How near is near enough: bounds from rounding, and comparisons that say what is worst.

use std::ops::Add;

/// The error that rounding to `f32` may cause in `k` operations, each on numbers of up to `scale`:
/// `c · eps · sqrt(k) · scale`. Roundings add up like a random walk, hence the root.
pub fn tolerance(c: f64, k: usize, scale: f64) -> f64 {
    c * f64::from(f32::EPSILON) * (k as f64).sqrt() * scale
}

/// The error of a sum of `k` products of numbers from `a` and from `b`. The scale is the largest sum
/// of magnitudes there can be, so that cancellation is allowed for. `c` is 1 for plain sums; an
/// algorithm that is less exact than its definition documents a larger one.
pub fn sum_tolerance(c: f64, k: usize, a: &[f32], b: &[f32]) -> f64 {
    tolerance(c, k, k as f64 * max_norm(a) * max_norm(b))
}

/// The largest magnitude.
pub fn max_norm(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |max, value| f64::max(max, f64::from(value.abs())))
}

/// How far a number may be from the expected one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// Whatever the expected number is.
    pub absolute: f64,
    /// For each unit of the expected number's magnitude.
    pub relative: f64,
}

impl Tolerance {
    /// The same everywhere.
    pub const fn absolute(absolute: f64) -> Self {
        Self { absolute, relative: 0.0 }
    }
}

impl Add for Tolerance {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { absolute: self.absolute + other.absolute, relative: self.relative + other.relative }
    }
}

/// Checks that no number is further from the expected one than allowed, and returns the largest error
/// as a share of that. NaN is never near; a tolerance of zero asks for equal numbers.
///
/// # Panics
/// If one is, naming the worst place and how many there are.
#[track_caller]
pub fn assert_near(what: &str, actual: &[f32], expected: &[f32], tolerance: Tolerance) -> f64 {
    assert_eq!(actual.len(), expected.len(), "{what}: numbers");
    let error = |i: usize| match (f64::from(actual[i]) - f64::from(expected[i])).abs() {
        error if error.is_nan() => f64::INFINITY,
        error => error,
    };
    let allowed = |i: usize| tolerance.absolute + tolerance.relative * f64::from(expected[i]).abs();
    let share = |i: usize| match error(i) {
        0.0 => 0.0,
        error => error / allowed(i),
    };
    let worst = (0..actual.len()).max_by(|a, b| share(*a).total_cmp(&share(*b)));
    let Some(worst) = worst else { return 0.0 };
    if share(worst) > 1.0 {
        let count = (0..actual.len()).filter(|i| share(*i) > 1.0).count();
        panic!(
            "{what}: {count} of {} are wrong; worst is [{worst}]: {:e} instead of {:e}, \
             off by {:e} where {:e} is allowed",
            actual.len(),
            actual[worst],
            expected[worst],
            error(worst),
            allowed(worst)
        );
    }
    share(worst)
}

/// As [`assert_near`], with the same tolerance everywhere.
///
/// # Panics
/// As [`assert_near`].
#[track_caller]
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    assert_near(what, actual, expected, Tolerance::absolute(tolerance));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_near() {
        let tolerance = Tolerance { absolute: 0.05, relative: 0.2 };
        assert_eq!(assert_near("y", &[1.0, 2.0], &[1.0, 2.25], tolerance), 0.5);
        assert_close("y", &[0.0], &[-0.0], 0.0);
    }

    #[test]
    #[should_panic = "y: 2 of 3 are wrong; worst is [2]: 4e0 instead of 3e0, off by 1e0"]
    fn far_is_reported_with_the_worst() {
        assert_close("y", &[1.0, 2.5, 4.0], &[1.0, 2.0, 3.0], 0.25);
    }

    #[test]
    #[should_panic = "worst is [1]: NaN instead of 2e0"]
    fn nan_is_far() {
        assert_close("y", &[1.5, f32::NAN], &[1.0, 2.0], 0.25);
    }

    #[test]
    #[should_panic = "numbers"]
    fn lengths_count() {
        assert_close("y", &[1.0], &[1.0, 2.0], 0.25);
    }
}
