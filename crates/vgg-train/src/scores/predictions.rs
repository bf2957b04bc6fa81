//! What a network says of images.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::path::Path;

use vgg_model::Softmax;

use crate::terminal::table::write_csv;

/// What a network says of all tested images, in stored order; all other scores follow from it.
#[derive(Clone, Debug)]
pub(crate) struct Predictions {
    classes: usize,
    /// `[images, classes]`
    logits: Vec<f32>,
    softmax: Vec<Softmax>,
    labels: Vec<u32>,
}

impl Predictions {
    pub(crate) fn new(classes: usize) -> Self {
        Self { classes, logits: vec![], softmax: vec![], labels: vec![] }
    }

    /// Takes in a batch of `logits`, `[labels.len(), classes]`.
    pub(crate) fn add(&mut self, logits: &[f32], labels: &[u32]) {
        self.logits.extend_from_slice(logits);
        self.softmax.extend(logits.chunks_exact(self.classes).map(Softmax::of));
        self.labels.extend_from_slice(labels);
    }

    /// Bytes that those of so many images take.
    pub(crate) fn bytes(images: usize, classes: usize) -> u64 {
        let own = size_of::<f32>() * classes + size_of::<Softmax>() + size_of::<u32>();
        (own * images) as u64
    }

    /// `[images, classes]`
    pub(crate) fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// `[images]`
    pub(crate) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The number of images.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// What the network says of image `i`.
    pub(crate) fn get(&self, i: usize) -> Prediction<'_> {
        Prediction {
            logits: &self.logits[i * self.classes..][..self.classes],
            softmax: self.softmax[i],
            label: self.labels[i] as usize,
        }
    }

    /// What it says of each image.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Prediction<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// How many images have no probabilities, because a logit is no number.
    pub(crate) fn without_probabilities(&self) -> usize {
        self.iter().filter(|prediction| prediction.probability(0).is_none()).count()
    }

    /// Writes CSV: a row an image with its number, its `file` if it is one, its class and the class it
    /// is taken for, by their names, the probability of the latter, and that of each class. A
    /// probability is written so that reading gives the same `f32`; one that does not exist is empty.
    pub(crate) fn write_csv<'a>(
        &self,
        out: &mut dyn Write,
        names: &[String],
        file: impl Fn(usize) -> Option<&'a Path>,
    ) -> io::Result<()> {
        let first = ["image", "file", "true class", "predicted class", "probability"];
        let header = first.into_iter().chain(names.iter().map(String::as_str));
        let header = header.map(|cell| cell.as_bytes().to_vec()).collect();
        // With an exponent where it is short.
        let cell = |p: Option<f32>| p.map_or(vec![], |p| format!("{p:?}").into_bytes());
        let rows = self.iter().enumerate().map(|(i, prediction)| {
            let file = file(i).map_or(&[][..], |path| path.as_os_str().as_encoded_bytes());
            let predicted = prediction.class().map_or("", |class| &*names[class]);
            let first = [i.to_string().as_bytes(), file, names[prediction.label].as_bytes()]
                .map(<[u8]>::to_vec);
            let chosen = [predicted.as_bytes().to_vec(), cell(prediction.confidence())];
            let each = (0..self.classes).map(|class| cell(prediction.probability(class)));
            first.into_iter().chain(chosen).chain(each).collect()
        });
        write_csv(out, [header].into_iter().chain(rows))
    }
}

/// What a network says of an image.
///
/// Ranks are those of [`vgg_tensor::Command::SoftmaxCrossEntropy`]: where logits are equal, the lower
/// class is first, and NaN is before all numbers, but never correct.
/// Probabilities are `f32`, as `predict` prints them and `eval --predictions` writes them, so that
/// scores which are computed from what was written are these. An image of which a logit is NaN or
/// plus infinity has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prediction<'a> {
    logits: &'a [f32],
    softmax: Softmax,
    /// The image's true class.
    pub label: usize,
}

impl<'a> Prediction<'a> {
    /// The classes that rank before the true one, in their own order.
    fn ahead(&self) -> impl Iterator<Item = usize> + use<'a> {
        let Self { logits, label, .. } = *self;
        let own = logits[label];
        let behind =
            move |class: usize| logits[class] < own || (logits[class] == own && class > label);
        (0..logits.len()).filter(move |class| *class != label && !behind(*class))
    }

    /// How many classes rank before the true one; none if its logit is NaN.
    pub(crate) fn rank(&self) -> Option<usize> {
        (!self.logits[self.label].is_nan()).then(|| self.ahead().count())
    }

    /// The class that the image is taken for; none if there is a single one, whose logit is NaN.
    pub(crate) fn class(&self) -> Option<usize> {
        let first = |a: usize, b: usize| {
            if self.logits[a].is_nan() || self.logits[a] >= self.logits[b] { a } else { b }
        };
        self.ahead().reduce(first).or_else(|| self.rank().map(|_| self.label))
    }

    /// Whether that is the true one.
    pub(crate) fn is_correct(&self) -> bool {
        self.class() == Some(self.label)
    }

    /// The cross-entropy, which is NaN or infinite where a logit is.
    pub(super) fn loss(&self) -> f64 {
        self.softmax.loss(self.logits[self.label])
    }

    /// The probability of a class.
    pub(crate) fn probability(&self, class: usize) -> Option<f32> {
        let probability = self.softmax.probability(self.logits[class]);
        (!probability.is_nan()).then_some(probability as f32)
    }

    /// The probability of the class that the image is taken for, which is the largest one.
    pub(crate) fn confidence(&self) -> Option<f32> {
        self.probability(self.class()?)
    }

    /// By how much that is larger than the second one; none if there is a single class.
    pub(crate) fn margin(&self) -> Option<f64> {
        let first = self.class()?;
        let others = (0..self.logits.len()).filter(|class| *class != first);
        let second = others.filter_map(|class| self.probability(class)).reduce(f32::max)?;
        Some(f64::from(self.probability(first)?) - f64::from(second))
    }

    /// The `k` most probable classes and their probabilities, the first of equals first; nothing if
    /// there are no probabilities.
    pub(crate) fn top(&self, k: usize) -> Vec<(usize, f32)> {
        let each = (0..self.logits.len()).map(|class| Some((class, self.probability(class)?)));
        let Some(mut top) = each.collect::<Option<Vec<_>>>() else { return vec![] };
        // Logits tell apart what has the same probability; the sort is stable.
        let logit = |(class, _): &(usize, f32)| self.logits[*class];
        top.sort_by(|a, b| logit(b).partial_cmp(&logit(a)).unwrap_or(Ordering::Equal));
        top.truncate(k);
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;

    /// Of an image.
    fn of(logits: &[f32], label: u32) -> Predictions {
        let mut predictions = Predictions::new(logits.len());
        predictions.add(logits, &[label]);
        predictions
    }

    #[test]
    fn classes_are_in_the_order_of_their_logits() {
        let prediction = of(&[1.0, 3.0, 2.0, 3.0], 2);
        let prediction = prediction.get(0);
        assert_eq!((prediction.rank(), prediction.class()), (Some(2), Some(1)));
        let classes: Vec<_> = prediction.top(3).iter().map(|(class, _)| *class).collect();
        assert_eq!(classes, [1, 3, 2]);
        assert_eq!(prediction.margin(), Some(0.0));
        // So little probability that it is the same `f32`.
        let prediction = of(&[-200.0, -190.0, 0.0], 0);
        let prediction = prediction.get(0);
        assert_eq!(prediction.top(9), [(2, 1.0), (1, 0.0), (0, 0.0)]);
        assert_eq!((prediction.margin(), prediction.is_correct()), (Some(1.0), false));
        let single = of(&[5.0], 0);
        let single = single.get(0);
        assert_eq!((single.margin(), single.confidence()), (None, Some(1.0)));
    }

    #[test]
    fn beside_nan_there_are_no_probabilities() {
        for logits in [[0.0, NAN], [NAN; 2]] {
            for label in [0, 1] {
                let prediction = of(&logits, label);
                let prediction = prediction.get(0);
                assert!(!prediction.is_correct());
                assert_eq!((prediction.confidence(), prediction.margin()), (None, None));
                assert_eq!(prediction.top(2), []);
            }
        }
        assert_eq!(of(&[NAN], 0).get(0).class(), None);
    }

    #[test]
    fn predictions_as_csv() {
        let mut predictions = Predictions::new(2);
        predictions.add(&[0.0, 30.0, 3_f32.ln(), 0.0, NAN, 0.0], &[1, 1, 0]);
        let names = ["a, b", "c"].map(String::from);
        let file = |i| [Some(Path::new("val/c/1.png")), None, None][i];
        let mut csv = vec![];
        predictions.write_csv(&mut csv, &names, file).unwrap();
        insta::assert_snapshot!(String::from_utf8(csv).unwrap(), @r#"
        image,file,true class,predicted class,probability,"a, b",c
        0,val/c/1.png,c,c,1.0,9.357623e-14,1.0
        1,,c,"a, b",0.75,0.75,0.25
        2,,"a, b",c,,,
        "#);
    }
}
