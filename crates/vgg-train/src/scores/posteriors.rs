//! The probabilities of classes, averaged over what an image is seen as and by whom.

use vgg_model::Softmax;

use super::predictions::Predictions;

/// The mean posterior of each image, as far as it is known.
pub(crate) struct Posteriors {
    classes: usize,
    /// `[images, classes]`. That is large for many of both, and smaller than the networks that memory
    /// need not hold at the same time for it.
    means: Vec<f64>,
}

impl Posteriors {
    pub(crate) fn new(images: usize, classes: usize) -> Self {
        Self { classes, means: vec![0.0; images * classes] }
    }

    /// Takes in an image's `logits`, `[views, classes]`: the softmax of each view's has `share` of
    /// the mean.
    pub(crate) fn add(&mut self, image: usize, logits: &[f32], share: f64) {
        let means = &mut self.means[image * self.classes..][..self.classes];
        for logits in logits.chunks_exact(self.classes) {
            let softmax = Softmax::of(logits);
            for (mean, logit) in means.iter_mut().zip(logits) {
                *mean += share * softmax.probability(*logit);
            }
        }
    }

    /// The posterior of one image, whose views have these `logits`, `[views, classes]`.
    pub(crate) fn of(logits: &[f32], classes: usize) -> Vec<f32> {
        let mut posteriors = Self::new(1, classes);
        posteriors.add(0, logits, classes as f64 / logits.len() as f64);
        posteriors.means.into_iter().map(|mean| mean as f32).collect()
    }

    /// As the predictions for images of these `labels`. The logarithms of probabilities are logits
    /// that have them as softmax.
    pub(crate) fn predictions(&self, labels: &[u32]) -> Predictions {
        let mut predictions = Predictions::new(self.classes);
        for (means, label) in self.means.chunks_exact(self.classes).zip(labels) {
            let logits: Vec<f32> = means.iter().map(|mean| mean.ln() as f32).collect();
            predictions.add(&logits, &[*label]);
        }
        predictions
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::Evaluation;
    use super::*;

    #[test]
    fn posteriors_are_averaged_not_scores() {
        let ln = |shares: [f32; 3]| shares.map(f32::ln);
        let mut posteriors = Posteriors::new(2, 3);
        // Two views of the first image by one network, and one by another, which counts as much.
        // The scores may have any offset.
        let views = [ln([0.7, 0.2, 0.1]), ln([0.5, 0.2, 0.3]).map(|score| score + 100.0)];
        posteriors.add(0, &views.concat(), 0.25);
        posteriors.add(0, &ln([0.1, 0.8, 0.1]), 0.5);
        posteriors.add(1, &ln([0.2, 0.2, 0.6]), 1.0);
        let expected = [0.35, 0.5, 0.15, 0.2, 0.2, 0.6];
        for (mean, expected) in posteriors.means.iter().zip(expected) {
            assert!((mean - expected).abs() < 1e-6, "{mean} for {expected}");
        }
        let evaluation = Evaluation::of(&posteriors.predictions(&[1, 1]));
        assert_eq!(evaluation.accuracy(), 0.5);
        let loss = -(0.5_f64.ln() + 0.2_f64.ln()) / 2.0;
        assert!((evaluation.loss() - loss).abs() < 1e-6, "{} for {loss}", evaluation.loss());
    }

    #[test]
    fn a_class_may_have_no_probability() {
        let mut posteriors = Posteriors::new(1, 2);
        posteriors.add(0, &[0.0, -2000.0], 1.0);
        let evaluation = Evaluation::of(&posteriors.predictions(&[0]));
        assert_eq!((evaluation.loss(), evaluation.accuracy()), (0.0, 1.0));
    }

    #[test]
    fn nan_is_never_correct() {
        let mut posteriors = Posteriors::new(1, 2);
        posteriors.add(0, &[0.0, f32::NAN], 1.0);
        assert_eq!(Evaluation::of(&posteriors.predictions(&[0])).accuracy(), 0.0);
    }
}
