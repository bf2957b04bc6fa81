//! How near is near enough: bounds from rounding, and comparisons that say what is worst.

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

/// Checks that no number is further than `tolerance` from the expected one, and returns the largest
/// error. NaN is never near; a tolerance of zero asks for equal numbers.
///
/// # Panics
/// If one is, naming the worst place and how many there are.
#[track_caller]
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) -> f64 {
    assert_eq!(actual.len(), expected.len(), "{what}: numbers");
    let error = |i: usize| match (f64::from(actual[i]) - f64::from(expected[i])).abs() {
        error if error.is_nan() => f64::INFINITY,
        error => error,
    };
    let wrong = (0..actual.len()).filter(|i| error(*i) > tolerance);
    let (count, worst) = wrong.fold((0, None), |(count, worst), i| match worst {
        Some(worst) if error(worst) >= error(i) => (count + 1, Some(worst)),
        _ => (count + 1, Some(i)),
    });
    if let Some(worst) = worst {
        panic!(
            "{what}: {count} of {} are wrong; worst is [{worst}]: {:e} instead of {:e}, \
             off by {:e} where {tolerance:e} is allowed",
            actual.len(),
            actual[worst],
            expected[worst],
            error(worst)
        );
    }
    (0..actual.len()).map(error).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_near() {
        assert_eq!(assert_close("y", &[1.0, 2.0], &[1.0, 2.25], 0.25), 0.25);
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
