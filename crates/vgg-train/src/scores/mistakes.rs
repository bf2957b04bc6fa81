//! Images that are worth looking at, by their numbers. Those without probabilities are in no order,
//! and left out where one is asked for.

use std::collections::BTreeMap;

use super::predictions::{Prediction, Predictions};

/// At most `most` images that are taken for another class, with the highest confidence first.
pub(crate) fn most_confident(predictions: &Predictions, most: usize) -> Vec<usize> {
    let confidence = |prediction: Prediction<'_>| match prediction.is_correct() {
        true => None,
        false => prediction.confidence(),
    };
    let images = predictions.iter().map(confidence).enumerate();
    let mut images: Vec<_> = images.filter_map(|(i, confidence)| Some((confidence?, i))).collect();
    // Stable, so that the first of equals in stored order comes first.
    images.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    images.into_iter().take(most).map(|(_, i)| i).collect()
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
