//! Training that regresses boxes.

use vgg_tensor::ranks::Shards;

use super::*;
use crate::{Copying, Regression, Score, Task};

const BOXES: [Option<[f32; 4]>; 3] =
    [Some([0.25, 0.5, 0.5, 0.25]), None, Some([0.6, 0.4, 0.2, 0.7])];

fn locating(boxes: Regression) -> (Vgg, Input, Params) {
    let (vgg, input, _) = network(0.0);
    let config = VggConfig { task: Task::Localisation { boxes }, ..vgg.config().clone() };
    let vgg = Vgg::new(&config).unwrap();
    let params = Params::init(&vgg, &Init::default(), 5).unwrap();
    (vgg, input, params)
}

fn trainer(boxes: Regression, recipe: impl Into<Recipe>) -> Trainer<Reference<f32>> {
    let (vgg, input, params) = locating(boxes);
    Trainer::new(Reference::new(), &vgg, &input, &params, BATCH, recipe, 42).unwrap()
}

#[test]
fn a_network_gives_a_box_or_one_a_class() {
    let outputs = |boxes| locating(boxes).0.outputs();
    assert_eq!([outputs(Regression::Shared), outputs(Regression::PerClass)], [4, 12]);
}

#[test]
fn only_the_box_of_the_true_class_is_trained_of_images_that_have_one() {
    let (pixels, labels) = images(3);
    let target = Target::Boxes { labels: &labels, boxes: &BOXES };
    assert_eq!(target.counted(), 2);
    let mut trainer = trainer(Regression::PerClass, SgdConfig::plain(0.1));
    let outputs = trainer.logits(&pixels).unwrap();
    let (metrics, gradients) = trainer.gradients(&pixels, target).unwrap();
    // The gradient of the last bias is that of the outputs, added up.
    let bias = gradients.get("classifier.6.bias").unwrap().data();
    let mut expected = [0.0; 12];
    let mut loss = 0.0;
    for (i, bounds) in BOXES.iter().enumerate() {
        let Some(bounds) = bounds else { continue };
        for (k, number) in bounds.iter().enumerate() {
            let at = 4 * labels[i] as usize + k;
            let difference = outputs[12 * i + at] - number;
            expected[at] += difference / 2.0;
            loss += 0.5 * difference * difference;
        }
    }
    for (number, expected) in bias.iter().zip(expected) {
        assert!((number - expected).abs() < 1e-6, "{bias:?} for {expected:?}");
    }
    assert!(expected.iter().filter(|x| **x == 0.0).count() == 4 && bias[4..8] == [0.0; 4]);
    assert!((metrics.loss_sum - loss).abs() < 1e-6);
}

#[test]
fn boxes_are_learnt_by_heart() {
    let (pixels, labels) = images(3);
    let target = Target::Boxes { labels: &labels, boxes: &BOXES };
    for boxes in [Regression::Shared, Regression::PerClass] {
        let mut trainer = trainer(boxes, SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.2) });
        let first = trainer.step(&pixels, target, 0.2).unwrap();
        let steps = (0..150).map(|_| trainer.step(&pixels, target, 0.2).unwrap());
        let last = steps.last().unwrap();
        assert!(last.loss_sum < 0.02 * first.loss_sum, "{first:?} to {last:?}");
        let Score::Boxes { right, iou_sum } = last.score else { panic!("{last:?}") };
        assert!(right == 2.0 && iou_sum > 1.6, "{last:?}");
    }
}

#[test]
fn parts_of_a_batch_have_its_gradient() {
    let ((pixels, labels), boxes) = (images(3), BOXES);
    let target = Target::Boxes { labels: &labels, boxes: &boxes };
    let plain = Recipe::from(SgdConfig::plain(0.1));
    let after = |recipe| {
        let mut trainer = trainer(Regression::PerClass, recipe);
        let metrics = trainer.step(&pixels, target, 0.1).unwrap();
        (metrics, trainer.params().unwrap())
    };
    let (whole, params) = after(plain.clone());
    // A part without a box, too.
    let parts = [
        Recipe { micro_batches: BATCH, ..plain.clone() },
        Recipe { shards: Shards::new(BATCH, 0, 1).unwrap(), ..plain },
    ];
    for recipe in parts {
        let (metrics, of_parts) = after(recipe);
        assert!((metrics.loss_sum - whole.loss_sum).abs() < 1e-6);
        assert_eq!(metrics.right(), whole.right());
        for ((name, tensor), (_, expected)) in of_parts.iter().zip(params.iter()) {
            for (x, expected) in tensor.data().iter().zip(expected.data()) {
                assert!((x - expected).abs() < 1e-6, "{name}: {x} for {expected}");
            }
        }
    }
}

#[test]
fn a_batch_without_a_box_changes_nothing() {
    let (pixels, labels) = images(2);
    let mut trainer = trainer(Regression::Shared, SgdConfig::plain(0.1));
    let before = trainer.params().unwrap();
    let target = Target::Boxes { labels: &labels, boxes: &[None; 2] };
    assert_eq!(trainer.step(&pixels, target, 0.1).unwrap().loss_sum, 0.0);
    assert_eq!(trainer.params().unwrap(), before);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (pixels, labels) = images(2);
    let mut boxes = trainer(Regression::Shared, SgdConfig::plain(0.1));
    let message = boxes.step(&pixels, &labels, 0.1).unwrap_err().to_string();
    assert_eq!(message, "target = classes, but it must be boxes: the network regresses them");
    let mut of = |bounds: &[Option<[f32; 4]>]| {
        let target = Target::Boxes { labels: &labels, boxes: bounds };
        boxes.step(&pixels, target, 0.1).unwrap_err().to_string()
    };
    assert_eq!(of(&[None]), "boxes = 1, but it must be 2, one an image or none of it");
    let message = of(&[None, Some([0.5, 0.5, 0.0, 1.0])]);
    assert!(message.starts_with("box 1 = Some([0.5, 0.5, 0.0, 1.0]), but it must be finite"));
    let mut classes = super::trainer(0.0, SgdConfig::plain(0.1));
    let target = Target::Boxes { labels: &labels, boxes: &[None; 2] };
    let message = classes.step(&pixels, target, 0.1).unwrap_err().to_string();
    assert_eq!(message, "target = boxes, but it must be classes: the network classifies");
    let recipe = Recipe { label_smoothing: 0.1, ..SgdConfig::plain(0.1).into() };
    let message = recipe.check(&locating(Regression::Shared).0).unwrap_err().to_string();
    assert_eq!(message, "label_smoothing = 0.1, but it must be 0 where boxes are regressed");
}

#[test]
fn the_last_layer_of_a_classifier_is_not_copied() {
    // As many numbers as a box has.
    let (vgg, _, _) = network(0.0);
    let four = Vgg::new(&VggConfig { classes: 4, ..vgg.config().clone() }).unwrap();
    let trained = Params::init(&four, &Init::default(), 1).unwrap();
    let (vgg, _, mut params) = locating(Regression::Shared);
    let layers = params.copy_from(&vgg, &trained, &four, Copying::All);
    let (head, body) = layers.split_last().unwrap();
    assert_eq!(head.from, Err("what it gives is for another task".into()));
    assert!(body.iter().all(|layer| layer.from.is_ok()));
}
