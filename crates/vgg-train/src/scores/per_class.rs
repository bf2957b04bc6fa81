//! Precision, recall and F1 of each class, and their means.
//!
//! They are those of scikit-learn's `precision_recall_fscore_support(…, zero_division=0)`: a class for
//! which no image is taken has a precision of 0, and one that has no images a recall of 0. A class of
//! which both are true has no scores and no part in any mean, as scikit-learn knows none but the
//! classes that are in its lists.

use serde::Serialize;

use super::confusion::Confusion;

/// How well a class is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Scores {
    /// The share of those that are of the class in the images that are taken for it.
    pub precision: f64,
    /// The share of those that are taken for the class in its images.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

/// A class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassScores {
    /// Images of the class.
    pub support: u64,
    /// Images that are taken for it.
    pub predicted: u64,
    /// None if there are neither.
    pub scores: Option<Scores>,
}

/// All classes, and means over those that have scores.
#[derive(Clone, Debug)]
pub(crate) struct PerClass {
    pub classes: Vec<ClassScores>,
    /// Each class counts the same.
    pub macro_mean: Option<Scores>,
    /// Each image counts the same: classes have the weight of their images.
    pub weighted_mean: Option<Scores>,
    /// The mean recall of the classes that have images.
    pub balanced_accuracy: Option<f64>,
}

impl PerClass {
    pub(crate) fn of(confusion: &Confusion) -> Self {
        let mut predicted = vec![0; confusion.classes()];
        for row in confusion.rows() {
            predicted.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        }
        let class = |(label, row): (usize, &[u64])| {
            let (correct, support, predicted) = (row[label], row.iter().sum(), predicted[label]);
            let share = |of: u64| if of > 0 { correct as f64 / of as f64 } else { 0.0 };
            let scores = (support + predicted > 0).then(|| Scores {
                precision: share(predicted),
                recall: share(support),
                f1: 2.0 * correct as f64 / (support + predicted) as f64,
            });
            ClassScores { support, predicted, scores }
        };
        let classes: Vec<_> = confusion.rows().enumerate().map(class).collect();
        let known = || classes.iter().filter_map(|class| Some((class.support, class.scores?)));
        Self {
            macro_mean: mean(known().map(|(_, scores)| (1, scores))),
            weighted_mean: mean(known()),
            balanced_accuracy: mean(known().map(|(n, scores)| (u64::from(n > 0), scores)))
                .map(|mean| mean.recall),
            classes,
        }
    }

    /// Whether all classes have the same number of images: then the balanced accuracy is the accuracy.
    pub(crate) fn are_equal(&self) -> bool {
        self.classes.windows(2).all(|pair| pair[0].support == pair[1].support)
    }
}

/// The mean of scores by their weights, if there are any.
fn mean(scores: impl Iterator<Item = (u64, Scores)>) -> Option<Scores> {
    let (mut weights, mut sum) = (0, [0.0; 3]);
    for (weight, Scores { precision, recall, f1 }) in scores {
        weights += weight;
        let terms = [precision, recall, f1].map(|score| weight as f64 * score);
        sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
    let [precision, recall, f1] = sum.map(|sum| sum / weights as f64);
    (weights > 0).then_some(Scores { precision, recall, f1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_class(labels: &[usize], predicted: &[usize], classes: usize) -> PerClass {
        let mut confusion = Confusion::new(classes);
        labels.iter().zip(predicted).for_each(|(label, class)| confusion.add(*label, *class));
        PerClass::of(&confusion)
    }

    fn assert_near(scores: Option<Scores>, [precision, recall, f1]: [f64; 3]) {
        let scores = scores.unwrap();
        let pairs = [(scores.precision, precision), (scores.recall, recall), (scores.f1, f1)];
        assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-12), "{scores:?}");
    }

    /// `precision_recall_fscore_support(labels, predicted, zero_division=0)` of scikit-learn 1.9.1,
    /// with `average="macro"` and `"weighted"`; `balanced_accuracy_score(labels, predicted)`.
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let (labels, predicted) = ([0, 0, 0, 0, 1, 1, 2, 2, 2], [0, 0, 1, 2, 1, 0, 2, 2, 3]);
        let PerClass { classes, macro_mean, weighted_mean, balanced_accuracy } =
            per_class(&labels, &predicted, 5);
        let third = 1.0 / 3.0;
        assert_near(classes[0].scores, [2.0 * third, 0.5, 4.0 / 7.0]);
        assert_near(classes[1].scores, [0.5; 3]);
        assert_near(classes[2].scores, [2.0 * third; 3]);
        assert_near(classes[3].scores, [0.0; 3]);
        let counts = classes.iter().map(|class| (class.support, class.predicted));
        assert_eq!(counts.collect::<Vec<_>>(), [(4, 3), (2, 2), (3, 3), (0, 1), (0, 0)]);
        assert_near(macro_mean, [0.45833333333333326, 0.41666666666666663, 0.43452380952380953]);
        assert_near(weighted_mean, [0.6296296296296295, 0.5555555555555556, 0.5873015873015873]);
        assert!((balanced_accuracy.unwrap() - 0.5555555555555555).abs() < 1e-12);
        assert_eq!(classes[4].scores, None, "it is in neither list");
        assert!(!per_class(&[0, 0, 1], &[0, 1, 1], 2).are_equal());
        assert!(per_class(&[0, 1, 1, 0], &[0, 0, 0, 0], 2).are_equal());
    }

    #[test]
    fn without_images_there_is_no_score() {
        let PerClass { macro_mean, weighted_mean, balanced_accuracy, .. } = per_class(&[], &[], 2);
        assert_eq!((macro_mean, weighted_mean, balanced_accuracy), (None, None, None));
    }
}
