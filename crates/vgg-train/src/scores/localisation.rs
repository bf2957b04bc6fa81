//! How good boxes are.

use serde_json::{Value, json};
use vgg_data::boxes::BoundingBox;
use vgg_tensor::spec::EuclideanLoss;

/// From this intersection over union on, not included, a box is right, as in ILSVRC.
pub(crate) const RIGHT: f64 = EuclideanLoss::RIGHT as f64;

/// Classes that may be told of an image where it is told which they are, as in ILSVRC.
pub(crate) const GUESSES: usize = 5;

/// A class, and where its object is said to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guess {
    pub class: u32,
    /// In the image's pixels; none if the network's numbers are no box.
    pub bounds: Option<BoundingBox>,
}

/// What networks say of an image, and what is true.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located {
    pub label: u32,
    /// The objects of its class, in its pixels.
    pub objects: Vec<BoundingBox>,
    /// The most probable first; the true class alone where that is given.
    pub guesses: Vec<Guess>,
    /// Half the squared distance of the box of the true class from the true one, in the view that the
    /// network was shown; none where nothing of the object is in the view, or there are several views.
    pub loss: Option<f64>,
}

impl Located {
    /// The largest intersection over union of a box with an object, where the class of the box is true and it
    /// is among the first `k`; zero if there is none.
    pub(crate) fn iou(&self, k: usize) -> f64 {
        let boxes = self.guesses.iter().take(k).filter(|guess| guess.class == self.label);
        let boxes = boxes.filter_map(|guess| guess.bounds.as_ref());
        let ious = boxes.flat_map(|bounds| self.objects.iter().map(|object| object.iou(bounds)));
        ious.fold(0.0, f64::max)
    }
}

/// What networks say of all tested images, in stored order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Localisation {
    images: Vec<Located>,
}

impl Localisation {
    pub(crate) fn new(images: Vec<Located>) -> Self {
        Self { images }
    }

    pub(crate) fn images(&self) -> &[Located] {
        &self.images
    }

    /// The mean loss of the images that have one; not a number if none has.
    pub(crate) fn loss(&self) -> f64 {
        let losses: Vec<f64> = self.images.iter().filter_map(|image| image.loss).collect();
        losses.iter().sum::<f64>() / losses.len() as f64
    }

    /// Share of the images that are right: of the first `k` boxes one is of the true class and has an
    /// intersection over union above `threshold` with an object of it.
    pub(crate) fn accuracy(&self, k: usize, threshold: f64) -> f64 {
        let right = self.images.iter().filter(|image| image.iou(k) > threshold).count();
        right as f64 / self.images.len() as f64
    }

    /// ILSVRC's localisation error, of the first `k` guesses.
    pub(crate) fn error(&self, k: usize) -> f64 {
        1.0 - self.accuracy(k, RIGHT)
    }

    /// The mean intersection over union, of the first `k` guesses.
    pub(crate) fn mean_iou(&self, k: usize) -> f64 {
        self.images.iter().map(|image| image.iou(k)).sum::<f64>() / self.images.len() as f64
    }

    /// Whether networks were to say the class, too.
    pub(crate) fn has_guessed(&self) -> bool {
        self.images.iter().any(|image| image.guesses.len() != 1)
    }

    /// Thresholds from 0 to 0.95, and the share of the images that are right by each.
    pub(crate) fn curve(&self, k: usize) -> Vec<(f64, f64)> {
        let thresholds = (0..20).map(|n| f64::from(n) / 20.0);
        thresholds.map(|threshold| (threshold, self.accuracy(k, threshold))).collect()
    }

    /// All scores.
    pub(crate) fn to_json(&self) -> Value {
        let scores = |k| {
            json!({
                "error": self.error(k),
                "mean_iou": self.mean_iou(k),
                "right_above_iou": self.curve(k),
            })
        };
        let mut json = json!({ "images": self.images.len(), "top1": scores(1) });
        if self.has_guessed() {
            json["top5"] = scores(GUESSES);
        } else {
            json["loss"] = self.loss().into();
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(corners: [f64; 4]) -> BoundingBox {
        BoundingBox::new(corners).unwrap()
    }

    fn guess(class: u32, corners: [f64; 4]) -> Guess {
        Guess { class, bounds: Some(of(corners)) }
    }

    #[test]
    fn an_image_is_right_where_the_class_and_the_box_are() {
        let image = Located {
            label: 2,
            objects: vec![of([0.0, 0.0, 4.0, 4.0]), of([10.0, 0.0, 14.0, 4.0])],
            guesses: vec![
                // Another class's box is right where it is.
                guess(1, [0.0, 0.0, 4.0, 4.0]),
                guess(2, [10.0, 0.0, 14.0, 2.0]),
                Guess { class: 2, bounds: None },
            ],
            loss: None,
        };
        assert_eq!([image.iou(1), image.iou(2), image.iou(5)], [0.0, 0.5, 0.5]);
        let better = Located { guesses: vec![guess(2, [0.0, 0.0, 4.0, 3.0])], ..image.clone() };
        let all = Localisation::new(vec![image, better]);
        assert!(all.has_guessed());
        // A half is not above a half.
        assert_eq!([all.error(1), all.error(5)], [0.5, 0.5]);
        assert_eq!(all.mean_iou(5), 0.625);
        let curve = all.curve(5);
        assert_eq!((curve[9], curve[10], curve[15]), ((0.45, 1.0), (0.5, 0.5), (0.75, 0.0)));
        assert!(all.loss().is_nan());
    }
}
