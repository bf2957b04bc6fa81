//! How well a class's probability tells its images from the others, wherever the line is drawn.

use serde::Serialize;

use super::predictions::{Prediction, Predictions};
use super::thinned::thinned;

/// The images that have probabilities, from the one on that is most probably of a class.
///
/// Images of one probability are together: there is no threshold between them, as in scikit-learn.
pub(crate) struct Ranked {
    /// For each probability how many images have at least that: images of the class, and others.
    above: Vec<[u64; 2]>,
}

impl Ranked {
    /// By the probability of `class`; none unless there are images of it and others.
    pub(crate) fn by(predictions: &Predictions, class: usize) -> Option<Self> {
        let image = |prediction: Prediction<'_>| {
            Some((prediction.probability(class)?, prediction.label == class))
        };
        let mut images: Vec<(f32, bool)> = predictions.iter().filter_map(image).collect();
        images.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let (mut above, mut sum) = (vec![], [0, 0]);
        for same in images.chunk_by(|(a, _), (b, _)| a == b) {
            for (_, is_of_class) in same {
                sum[usize::from(!is_of_class)] += 1;
            }
            above.push(sum);
        }
        (sum[0] > 0 && sum[1] > 0).then_some(Self { above })
    }

    /// How many images are of the class, and how many are not.
    fn all(&self) -> [f64; 2] {
        self.above.last().map_or([0.0; 2], |all| all.map(|n| n as f64))
    }

    /// Neighbouring thresholds, from one on that no image is above.
    fn steps(&self) -> impl Iterator<Item = ([u64; 2], [u64; 2])> {
        let before = [[0, 0]].into_iter().chain(self.above.iter().copied());
        before.zip(self.above.iter().copied())
    }

    /// The area under [`Ranked::roc`]: how often an image of the class has a larger probability of it
    /// than another image, where a tie counts half. scikit-learn's `roc_auc_score`.
    pub(crate) fn auc(&self) -> f64 {
        let twice = self.steps().map(|([t0, f0], [t1, f1])| (f1 - f0) * (t0 + t1)).sum::<u64>();
        let [of_class, others] = self.all();
        twice as f64 / (2.0 * of_class * others)
    }

    /// The area under [`Ranked::precision_recall`]: the mean, over the images of the class, of the
    /// precision at their probability. scikit-learn's `average_precision_score`.
    pub(crate) fn average_precision(&self) -> f64 {
        let [of_class, _] = self.all();
        let step = |([t0, _], [t1, f1]): ([u64; 2], [u64; 2])| {
            (t1 - t0) as f64 * (t1 as f64 / (t1 + f1) as f64)
        };
        self.steps().map(step).sum::<f64>() / of_class
    }

    /// The ROC curve to draw with straight lines, of at most `most` points (false positive rate, true
    /// positive rate), from (0, 0) to (1, 1): [`thinned`].
    pub(crate) fn roc(&self, most: usize) -> Vec<[f64; 2]> {
        let [of_class, others] = self.all();
        let points = [[0, 0]].into_iter().chain(self.above.iter().copied());
        let rates = points.map(|[t, f]| [f as f64 / others, t as f64 / of_class]);
        thinned(&rates.collect::<Vec<_>>(), most)
    }

    /// The precision-recall curve to draw with straight lines, of at most `most` points (recall,
    /// precision), from recall 0 to 1: [`thinned`].
    ///
    /// Precision between two thresholds is that of the lower one, so that the curve is a staircase, and
    /// the area under it the average precision.
    pub(crate) fn precision_recall(&self, most: usize) -> Vec<[f64; 2]> {
        let [of_class, _] = self.all();
        let stair = |([t0, _], [t1, f1]): ([u64; 2], [u64; 2])| {
            let precision = t1 as f64 / (t1 + f1) as f64;
            [t0, t1].map(|t| [t as f64 / of_class, precision])
        };
        let risen = self.steps().filter(|([t0, _], [t1, _])| t1 > t0);
        thinned(&risen.flat_map(stair).collect::<Vec<_>>(), most)
    }
}

/// The areas under a class's curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Areas {
    /// [`Ranked::auc`]
    pub auc: f64,
    /// [`Ranked::average_precision`]
    pub average_precision: f64,
}

impl Areas {
    /// Of each class that has images and is not all of them.
    pub(crate) fn of_classes(predictions: &Predictions) -> Vec<Option<Self>> {
        let areas = |class| {
            let ranked = Ranked::by(predictions, class)?;
            Some(Self { auc: ranked.auc(), average_precision: ranked.average_precision() })
        };
        (0..predictions.classes()).map(areas).collect()
    }

    /// The mean of those that exist, in which each class counts the same.
    pub(crate) fn macro_mean(classes: &[Option<Self>]) -> Option<Self> {
        let known = || classes.iter().flatten();
        let n = known().count() as f64;
        (n > 0.0).then(|| Self {
            auc: known().map(|areas| areas.auc).sum::<f64>() / n,
            average_precision: known().map(|areas| areas.average_precision).sum::<f64>() / n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of two classes, by whether they are of the second one and its probability.
    fn predictions(images: &[(u32, f32)]) -> Predictions {
        let mut predictions = Predictions::new(2);
        for (label, share) in images {
            predictions.add(&[(1.0 - share).ln(), share.ln()], &[*label]);
        }
        predictions
    }

    /// With ties within a class and across.
    fn tied() -> Ranked {
        let labels = [0, 0, 1, 1, 0, 1, 0, 1];
        let shares = [0.1, 0.4, 0.35, 0.8, 0.35, 0.7, 0.7, 0.7];
        let images: Vec<_> = labels.into_iter().zip(shares).collect();
        Ranked::by(&predictions(&images), 1).unwrap()
    }

    /// As many images as a test set has, of which the class is told apart somewhat.
    fn many() -> Ranked {
        let mut state = 1_u32;
        let images = (0..20_000).map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (share, label) = ((state >> 8) as f32 / (1 << 24) as f32, u32::from(i % 10 == 0));
            (label, if label == 1 { share.sqrt() } else { share })
        });
        Ranked::by(&predictions(&images.collect::<Vec<_>>()), 1).unwrap()
    }

    fn area(curve: &[[f64; 2]]) -> f64 {
        let trapezoid = |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]) * (pair[0][1] + pair[1][1]);
        curve.windows(2).map(trapezoid).sum::<f64>() / 2.0
    }

    /// `roc_auc_score`, `average_precision_score` and `roc_curve(…, drop_intermediate=False)` of
    /// scikit-learn 1.9.1.
    #[test]
    fn areas_and_curves_are_those_of_scikit_learn() {
        let ranked = tied();
        assert_eq!(ranked.auc(), 0.78125);
        assert!((ranked.average_precision() - 0.7678571428571428).abs() < 1e-12);
        let roc = [[0.0, 0.0], [0.0, 0.25], [0.25, 0.75], [0.5, 0.75], [0.75, 1.0], [1.0, 1.0]];
        assert_eq!(ranked.roc(usize::MAX), roc);
    }

    #[test]
    fn areas_are_those_below_the_curves() {
        for ranked in [tied(), many()] {
            let [roc, pr] =
                [ranked.roc(usize::MAX), ranked.precision_recall(usize::MAX)].map(|all| area(&all));
            assert!((roc - ranked.auc()).abs() < 1e-12, "{roc}");
            assert!((pr - ranked.average_precision()).abs() < 1e-12, "{pr}");
        }
    }

    #[test]
    fn thinned_curves_have_the_same_area() {
        let ranked = many();
        let (roc, pr) = (ranked.roc(50), ranked.precision_recall(50));
        assert_eq!((roc.len(), pr.len()), (50, 50));
        let off = [area(&roc) - ranked.auc(), area(&pr) - ranked.average_precision()];
        assert!(off.iter().all(|off| off.abs() < 1e-3), "{off:?}");
    }

    #[test]
    fn a_class_without_images_or_others_has_no_curve() {
        let one_class = predictions(&[(1, 0.5), (1, 0.25)]);
        assert!(Ranked::by(&one_class, 0).is_none());
        assert!(Ranked::by(&one_class, 1).is_none());
        let areas = Areas::of_classes(&one_class);
        assert_eq!((Areas::macro_mean(&areas), areas), (None, vec![None, None]));
        // The other image has no probability.
        assert!(Ranked::by(&predictions(&[(1, 0.5), (0, f32::NAN)]), 1).is_none());
    }

    #[test]
    fn means_are_of_the_classes_that_have_areas() {
        let areas = |auc, average_precision| Some(Areas { auc, average_precision });
        let mean = Areas::macro_mean(&[areas(0.5, 0.25), None, areas(1.0, 0.75)]);
        assert_eq!(mean, areas(0.75, 0.5));
    }
}
