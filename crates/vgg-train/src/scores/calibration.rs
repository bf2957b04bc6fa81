//! Whether a network is right as often as it is sure to be.

use serde::Serialize;

use super::predictions::Predictions;

/// Bins of the same width, as many as in the paper.
const BINS: usize = 15;

/// How confidence and accuracy go together: Guo et al. 2017, "On Calibration of Modern Neural
/// Networks", section 2.
///
/// It is of the images that have probabilities. What is a mean over none of them does not exist.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Calibration {
    pub bins: Vec<Bin>,
    /// The expected calibration error: how far accuracy and mean confidence of a bin are apart, in
    /// the mean over the images.
    pub ece: Option<f64>,
    /// The maximum calibration error: how far they are apart in the worst bin.
    pub mce: Option<f64>,
    /// The squared distance of the probabilities from those of somebody who knows, summed over
    /// classes, in the mean over the images: from 0 to 2 (Brier 1950).
    pub brier: Option<f64>,
}

/// The images with a confidence above `above` and up to `up_to`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Bin {
    pub above: f64,
    pub up_to: f64,
    pub images: u64,
    /// Mean probability of the class that an image is taken for.
    pub confidence: Option<f64>,
    /// Share of the images that are recognised.
    pub accuracy: Option<f64>,
}

impl Calibration {
    pub(crate) fn of(predictions: &Predictions) -> Self {
        let mut sums = [Sums::default(); BINS];
        let mut brier = 0.0;
        for prediction in predictions.iter() {
            let Some(confidence) = prediction.confidence().map(f64::from) else { continue };
            let bin = (confidence * BINS as f64).ceil() as usize;
            let Sums { images, correct, confidence: sum } = &mut sums[bin.saturating_sub(1)];
            *images += 1;
            *correct += u64::from(prediction.is_correct());
            *sum += confidence;
            let distance = |class: usize| {
                let truth = f64::from(u8::from(class == prediction.label));
                prediction.probability(class).map_or(0.0, |p| (f64::from(p) - truth).powi(2))
            };
            brier += (0..predictions.classes()).map(distance).sum::<f64>();
        }
        let images: u64 = sums.iter().map(|bin| bin.images).sum();
        let bins: Vec<Bin> = sums.iter().enumerate().map(|(i, sums)| sums.bin(i)).collect();
        let gaps = || bins.iter().filter_map(|bin| Some((bin.images, bin.gap()?)));
        Self {
            ece: mean(gaps().map(|(images, gap)| images as f64 * gap).sum(), images),
            mce: gaps().map(|(_, gap)| gap).reduce(f64::max),
            brier: mean(brier, images),
            bins,
        }
    }
}

impl Bin {
    /// How far confidence and accuracy are apart.
    fn gap(&self) -> Option<f64> {
        Some((self.confidence? - self.accuracy?).abs())
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    images: u64,
    correct: u64,
    confidence: f64,
}

impl Sums {
    fn bin(&self, i: usize) -> Bin {
        let Self { images, correct, confidence } = *self;
        Bin {
            above: i as f64 / BINS as f64,
            up_to: (i + 1) as f64 / BINS as f64,
            images,
            confidence: mean(confidence, images),
            accuracy: mean(correct as f64, images),
        }
    }
}

fn mean(sum: f64, of: u64) -> Option<f64> {
    (of > 0).then(|| sum / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions<const N: usize>(shares: &[[f32; N]], labels: &[u32]) -> Predictions {
        let mut predictions = Predictions::new(N);
        for (shares, label) in shares.iter().zip(labels) {
            predictions.add(&shares.map(f32::ln), &[*label]);
        }
        predictions
    }

    #[test]
    fn errors_are_those_of_the_bins() {
        // Three confidences in the bin from 0.8 on, one of which is above a wrong class, and one in
        // the bin from 0.6 on.
        let shares = [[0.86, 0.14], [0.14, 0.86], [0.81, 0.19], [0.38, 0.62]];
        let calibration = Calibration::of(&predictions(&shares, &[0, 1, 1, 1]));
        let seen: Vec<_> = calibration.bins.iter().filter(|bin| bin.images > 0).collect();
        assert_eq!((calibration.bins.len(), seen.len()), (15, 2));
        assert_eq!((seen[0].above, seen[0].up_to, seen[0].images), (0.6, 10.0 / 15.0, 1));
        assert_eq!((seen[1].above, seen[1].up_to, seen[1].images), (0.8, 13.0 / 15.0, 3));
        let near = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-6, "{a:?} for {b}");
        near(seen[0].accuracy, 1.0);
        near(seen[1].accuracy, 2.0 / 3.0);
        near(seen[1].confidence, 2.53 / 3.0);
        near(calibration.mce, 0.38);
        near(calibration.ece, (2.53 - 2.0 + 0.38) / 4.0);
    }

    /// As in the paper.
    #[test]
    fn a_bin_ends_at_its_upper_limit() {
        let calibration = Calibration::of(&predictions(&[[1.0, 0.0]], &[1]));
        let last = calibration.bins[14];
        assert_eq!((last.images, last.confidence, last.accuracy), (1, Some(1.0), Some(0.0)));
        let even = Calibration::of(&predictions(&[[0.0625; 16]], &[0]));
        assert_eq!(even.bins[0].images, 1);
    }

    /// `brier_score_loss([1, 2, 2, 0], shares, labels=[0, 1, 2])` of scikit-learn 1.9.1.
    #[test]
    fn the_brier_score_is_that_of_scikit_learn() {
        let shares = [[0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.35, 0.4, 0.25]];
        let brier = Calibration::of(&predictions(&shares, &[1, 2, 2, 0])).brier.unwrap();
        assert!((brier - 0.52625).abs() < 1e-6, "{brier}");
    }

    #[test]
    fn what_is_no_number_is_in_no_bin() {
        let calibration = Calibration::of(&predictions(&[[f32::NAN, 0.5]], &[1]));
        let Calibration { bins, ece, mce, brier } = calibration;
        assert_eq!((ece, mce, brier), (None, None, None));
        assert!(bins.iter().all(|bin| (bin.images, bin.accuracy) == (0, None)));
    }
}
