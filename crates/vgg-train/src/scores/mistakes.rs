//! Images that are worth looking at, by their numbers. Those without probabilities are in no order,
//! and left out where one is asked for.

use std::collections::BTreeMap;

use super::predictions::{Prediction, Predictions};

/// An image that is taken for another class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mistake {
    /// Its number among the tested images.
    pub image: usize,
    pub label: usize,
    pub predicted: usize,
    /// The probability of the latter.
    pub confidence: f32,
}

/// The mistakes with the highest confidence of the images seen so far.
#[derive(Debug)]
pub(crate) struct MostConfident {
    /// How many are kept.
    most: usize,
    /// How many images were seen.
    images: usize,
    /// Of equals the first in stored order comes first.
    mistakes: Vec<Mistake>,
}

impl MostConfident {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, images: 0, mistakes: vec![] }
    }

    /// Takes in a batch of `logits`, `[labels.len(), classes]`.
    pub(crate) fn add(&mut self, logits: &[f32], labels: &[u32]) {
        let classes = logits.len() / labels.len().max(1);
        for (logits, label) in logits.chunks_exact(classes).zip(labels) {
            self.add_one(&Prediction::new(logits, *label as usize));
        }
    }

    fn add_one(&mut self, prediction: &Prediction<'_>) {
        let image = self.images;
        self.images += 1;
        let predicted = prediction.class().filter(|class| *class != prediction.label);
        let Some((predicted, confidence)) = predicted.zip(prediction.confidence()) else { return };
        let place = self.mistakes.partition_point(|other| other.confidence >= confidence);
        if place < self.most {
            self.mistakes.truncate(self.most - 1);
            let label = prediction.label;
            self.mistakes.insert(place, Mistake { image, label, predicted, confidence });
        }
    }

    /// The most confident one first.
    pub(crate) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }
}

/// At most `most` images that are taken for another class, with the highest confidence first.
pub(crate) fn most_confident(predictions: &Predictions, most: usize) -> Vec<usize> {
    let mut mistakes = MostConfident::new(most);
    predictions.iter().for_each(|prediction| mistakes.add_one(&prediction));
    mistakes.into_mistakes().into_iter().map(|mistake| mistake.image).collect()
}

/// At most `most` images whose first two classes are the hardest to tell apart: with the smallest
/// difference of probabilities first.
pub(crate) fn least_certain(predictions: &Predictions, most: usize) -> Vec<usize> {
    let margins = predictions.iter().enumerate();
    let mut margins: Vec<_> = margins.filter_map(|(i, image)| Some((image.margin()?, i))).collect();
    // Stable, so that the first of equals in stored order comes first.
    margins.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    margins.into_iter().take(most).map(|(_, i)| i).collect()
}

/// For each true class and the class that images of it are taken for at most `most` of those
/// images, in stored order.
pub(crate) fn of_cells(
    predictions: &Predictions,
    most: usize,
) -> BTreeMap<(usize, usize), Vec<usize>> {
    let mut cells: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (i, prediction) in predictions.iter().enumerate() {
        let Some(class) = prediction.class() else { continue };
        let images = cells.entry((prediction.label, class)).or_default();
        if images.len() < most {
            images.push(i);
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::Evaluation;
    use super::*;

    /// Confidences of 0.5, 0.9, 0.9, 0.6, 0.9 and none; only the first and the fourth are correct.
    fn predictions() -> Predictions {
        let logits = [[1.0, 1.0], [9.0, 1.0], [1.0, 9.0], [1.5, 1.0], [9.0, 1.0], [f32::NAN, 0.0]];
        let logits = logits.map(|shares| shares.map(f32::ln));
        let mut predictions = Predictions::new(2);
        predictions.add(logits.as_flattened(), &[0, 1, 0, 0, 1, 0]);
        predictions
    }

    #[test]
    fn the_surest_of_the_wrong_ones_come_first() {
        assert_eq!(most_confident(&predictions(), 9), [1, 2, 4]);
        assert_eq!(most_confident(&predictions(), 2), [1, 2]);
        assert_eq!(most_confident(&predictions(), 0), [0; 0]);

        let mut mistakes = MostConfident::new(1);
        mistakes.add(&[0.0, 0.0, 0.0, 3.0_f32.ln()], &[0, 0]);
        let mistake = Mistake { image: 1, label: 0, predicted: 1, confidence: 0.75 };
        assert_eq!(mistakes.into_mistakes(), [mistake]);
    }

    #[test]
    fn the_least_certain_come_first() {
        assert_eq!(least_certain(&predictions(), 9), [0, 3, 1, 2, 4]);
        assert_eq!(least_certain(&predictions(), 1), [0]);
    }

    #[test]
    fn cells_are_those_of_the_confusion_matrix() {
        let predictions = predictions();
        let cells = of_cells(&predictions, 9);
        let expected = [((0, 0), vec![0, 3]), ((0, 1), vec![2, 5]), ((1, 0), vec![1, 4])];
        assert_eq!(
            cells.iter().map(|(cell, images)| (*cell, images.clone())).collect::<Vec<_>>(),
            expected
        );
        let confusion = Evaluation::of(&predictions).confusion;
        for ((label, class), images) in cells {
            let row = confusion.rows().nth(label).unwrap();
            assert_eq!(row[class], images.len() as u64);
        }
        assert_eq!(of_cells(&predictions, 1)[&(1, 0)], [1]);
    }
}
