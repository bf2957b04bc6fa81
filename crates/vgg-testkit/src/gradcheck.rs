//! Gradients by finite differences.

/// How far each variable is moved. In `f64` this leaves some ten digits of the slope.
const STEP: f64 = 1e-5;
/// Largest error of a gradient, as a share of the largest gradient.
const TOLERANCE: f64 = 1e-7;
/// Largest difference of the slopes on both sides, as a share of the largest gradient.
const KINK: f64 = 1e-3;

/// Checks that `gradient` is the gradient of `function` at `x`, by central differences.
///
/// # Panics
/// If it is not, naming the variable; or if `function` has a kink within the step (a ReLU near
/// zero, two nearly equal elements of a pooling window), where differences prove nothing: choose
/// another `x`.
#[track_caller]
pub fn check_gradient(
    what: &str,
    x: &[f64],
    gradient: &[f64],
    mut function: impl FnMut(&[f64]) -> f64,
) {
    assert_eq!(x.len(), gradient.len(), "{what}: a gradient for each variable");
    let largest = gradient.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    assert!(largest > 0.0 && largest.is_finite(), "{what}: the largest gradient is {largest}");
    let mut moved = x.to_vec();
    let middle = function(&moved);
    for i in 0..x.len() {
        moved[i] = x[i] + STEP;
        let above = (function(&moved) - middle) / STEP;
        moved[i] = x[i] - STEP;
        let below = (middle - function(&moved)) / STEP;
        moved[i] = x[i];
        assert!(
            (above - below).abs() <= KINK * largest,
            "{what}: variable {i} is at a kink: slope {above} above, {below} below"
        );
        let slope = 0.5 * (above + below);
        assert!(
            (gradient[i] - slope).abs() <= TOLERANCE * largest,
            "{what}: gradient {i} is {}, finite differences give {slope}",
            gradient[i]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cube(x: &[f64]) -> f64 {
        x[0].powi(3) + 2.0 * x[1]
    }

    #[test]
    fn accepts_the_gradient() {
        check_gradient("cube", &[2.0, 5.0], &[12.0, 2.0], cube);
    }

    #[test]
    #[should_panic = "gradient 1 is 2.00001"]
    fn refuses_another() {
        check_gradient("cube", &[2.0, 5.0], &[12.0, 2.00001], cube);
    }

    #[test]
    #[should_panic = "variable 0 is at a kink"]
    fn refuses_a_kink() {
        check_gradient("ReLU", &[0.0], &[0.5], |x| x[0].max(0.0));
    }
}
