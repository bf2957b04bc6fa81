//! How good predictions are, in a few numbers.

use super::confusion::Confusion;
use super::predictions::{Prediction, Predictions};

/// Sums over the tested images.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    images: u64,
    loss_sum: f64,
    top1: u64,
    top5: u64,
    pub confusion: Confusion,
}

impl Evaluation {
    pub(crate) fn of(predictions: &Predictions) -> Self {
        let confusion = Confusion::new(predictions.classes());
        let mut evaluation = Self { images: 0, loss_sum: 0.0, top1: 0, top5: 0, confusion };
        predictions.iter().for_each(|prediction| evaluation.add_one(&prediction));
        evaluation
    }

    /// Takes in an image.
    fn add_one(&mut self, prediction: &Prediction<'_>) {
        let rank = prediction.rank();
        self.images += 1;
        self.loss_sum += prediction.loss();
        self.top1 += u64::from(rank == Some(0));
        self.top5 += u64::from(rank.is_some_and(|rank| rank < 5));
        if let Some(class) = prediction.class() {
            self.confusion.add(prediction.label, class);
        }
    }

    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    /// Mean cross-entropy.
    pub(crate) fn loss(&self) -> f64 {
        self.loss_sum / self.images as f64
    }

    /// Share of the images whose true class ranks first.
    pub(crate) fn accuracy(&self) -> f64 {
        self.top1 as f64 / self.images as f64
    }

    /// Share of the images whose true class is among the first five.
    pub(crate) fn top5(&self) -> f64 {
        self.top5 as f64 / self.images as f64
    }
}

/// Whether it says anything that a true class is among the first five.
pub(crate) fn tells_top5(classes: usize) -> bool {
    classes > 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(classes: usize, logits: &[f32], labels: &[u32]) -> Evaluation {
        let mut predictions = Predictions::new(classes);
        predictions.add(logits, labels);
        Evaluation::of(&predictions)
    }

    #[test]
    fn metrics_of_known_logits() {
        // The second image's class ties with a lower one, the third's ranks last of six.
        let logits = [
            [0.0, 3.0, 0.0, 0.0, 0.0, 0.0],
            [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],
        ];
        let evaluation = evaluation(6, &logits.concat(), &[1, 1, 5]);
        assert_eq!((evaluation.images, evaluation.top1, evaluation.top5), (3, 1, 2));
        let exp = |xs: [f64; 6]| xs.iter().map(|x| x.exp()).sum::<f64>().ln();
        let expected =
            exp([0.0, 3.0, 0.0, 0.0, 0.0, 0.0]) - 3.0 + exp([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]) - 1.0
                + exp([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        assert!((evaluation.loss() - expected / 3.0).abs() < 1e-6);
        assert_eq!(evaluation.confusion.accuracy(1), Some(0.5));
        assert_eq!(evaluation.confusion.accuracy(0), None);
    }

    #[test]
    fn nan_is_never_correct() {
        const NAN: f32 = f32::NAN;
        let correct = |logits: &[f32], label| {
            let evaluation = evaluation(logits.len(), logits, &[label]);
            let recognised = evaluation.confusion.accuracy(label as usize);
            (evaluation.top1, evaluation.top5, recognised)
        };
        assert_eq!(correct(&[NAN, NAN, NAN], 0), (0, 0, Some(0.0)));
        assert_eq!(correct(&[NAN, 1.0], 0), (0, 0, Some(0.0)));
        assert_eq!(correct(&[1.0, NAN], 0), (0, 1, Some(0.0)));
        assert_eq!(correct(&[NAN], 0), (0, 0, None));
        assert_eq!(correct(&[0.0, 2.0, 2.0], 1), (1, 1, Some(1.0)));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        assert_eq!(evaluation(2, &[3e38, -3e38], &[0]).loss(), 0.0);
    }
}
