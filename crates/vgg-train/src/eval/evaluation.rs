//! How good predictions are.

use crate::report::Confusion;

/// Sums over the images seen so far.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    images: u64,
    loss_sum: f64,
    top1: u64,
    top5: u64,
    pub confusion: Confusion,
}

impl Evaluation {
    pub(crate) fn new(classes: usize) -> Self {
        let confusion = Confusion::new(classes);
        Self { images: 0, loss_sum: 0.0, top1: 0, top5: 0, confusion }
    }

    /// Takes in a batch of `logits`, `[labels.len(), classes]`.
    ///
    /// Where logits are equal, the lower class ranks first, as in training.
    pub(crate) fn add(&mut self, logits: &[f32], labels: &[u32]) {
        let classes = logits.len() / labels.len().max(1);
        for (logits, &label) in logits.chunks(classes).zip(labels) {
            let label = label as usize;
            let own = logits[label];
            let before = |(class, logit): &(usize, &f32)| {
                **logit > own || (**logit == own && *class < label)
            };
            let rank = logits.iter().enumerate().filter(before).count();
            self.images += 1;
            self.loss_sum += log_sum_exp(logits) - f64::from(own);
            self.top1 += u64::from(rank == 0);
            self.top5 += u64::from(rank < 5);
            self.confusion.add(label, first_max(logits));
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

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    f64::from(max) + sum.ln()
}

fn first_max(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_known_logits() {
        let mut evaluation = Evaluation::new(6);
        // The second image's class ties with a lower one, the third's ranks last of six.
        let logits = [
            [0.0, 3.0, 0.0, 0.0, 0.0, 0.0],
            [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],
        ];
        evaluation.add(&logits.concat(), &[1, 1, 5]);
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
    fn large_logits_do_not_overflow() {
        let mut evaluation = Evaluation::new(2);
        evaluation.add(&[3e38, -3e38], &[0]);
        assert_eq!(evaluation.loss(), 0.0);
    }
}
