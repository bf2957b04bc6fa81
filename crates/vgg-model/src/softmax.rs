//! From logits to probabilities.

/// The softmax of an image's logits, in `f64` and without overflow for large ones.
///
/// It is kept as what all classes have in common, so that who wants one class's probability
/// computes one. If a logit is NaN or plus infinity, or all are minus infinity, every
/// probability is NaN.
///
/// ```
/// use vgg_model::Softmax;
///
/// let logits = [1000.0, 1000.0 + 3_f32.ln()];
/// let softmax = Softmax::of(&logits);
/// assert!((softmax.probability(logits[1]) - 0.75).abs() < 1e-4);
/// assert!((softmax.loss(logits[1]) + 0.75_f64.ln()).abs() < 1e-4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    max: f64,
    /// Of all exponentials, the largest of which is 1.
    sum: f64,
}

impl Softmax {
    /// The softmax of `logits`, one a class.
    pub fn of(logits: &[f32]) -> Self {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum = logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum();
        Self { max, sum }
    }

    /// The probability of the class with this logit, which is one of those.
    pub fn probability(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.max).exp() / self.sum
    }

    /// The cross-entropy of an image of the class with this logit: minus the logarithm of the class's
    /// probability, and a number also where that is too small for one.
    pub fn loss(&self, logit: f32) -> f64 {
        self.max + self.sum.ln() - f64::from(logit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_do_not_overflow() {
        let logits = [3e38, -3e38];
        let softmax = Softmax::of(&logits);
        assert_eq!(logits.map(|logit| softmax.probability(logit)), [1.0, 0.0]);
        assert_eq!(softmax.loss(3e38), 0.0);
        assert!(softmax.loss(-3e38) > 5e38);
    }

    #[test]
    fn no_class_has_a_probability_beside_one_that_is_no_number() {
        for logits in [[0.0, f32::NAN], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            let softmax = Softmax::of(&logits);
            assert!(logits.iter().all(|logit| softmax.probability(*logit).is_nan()), "{logits:?}");
        }
        let softmax = Softmax::of(&[f32::NEG_INFINITY, 0.0]);
        assert_eq!(softmax.probability(f32::NEG_INFINITY), 0.0);
    }
}
