//! Training on the reference backend.

use vgg_testkit::Reference;

use super::*;
use crate::{
    AdamWConfig, BiasInit, Init, Moment, OptimizerConfig, Session, SgdConfig, VggConfig, WeightInit,
};

mod boxes;
mod gradients;
mod measured;
mod recipe;
mod shards;

const BATCH: usize = 4;

fn network(dropout: f32) -> (Vgg, Input, Params) {
    let config = VggConfig {
        width: 0.05,
        input: [1, 32, 32],
        classes: 3,
        fc_width: 12,
        dropout,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config).unwrap();
    let params = Params::init(&vgg, &Init::default(), 5).unwrap();
    let input = Input { mean: vec![0.5], std: vec![0.25], ..Input::unnormalized(1, 16, 16) };
    (vgg, input, params)
}

fn trainer(dropout: f32, recipe: impl Into<Recipe>) -> Trainer<Reference<f32>> {
    let (vgg, input, params) = network(dropout);
    Trainer::new(Reference::new(), &vgg, &input, &params, BATCH, recipe, 42).unwrap()
}

/// `n` images of stripes whose width tells the class.
fn images(n: usize) -> (Vec<u8>, Vec<u32>) {
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    let image = |label: u32| {
        (0..256u32).map(move |i| match i % 16 / (label + 1) % 2 {
            0 => 255,
            _ => i as u8,
        })
    };
    (labels.iter().flat_map(|label| image(*label)).collect(), labels)
}

fn adamw() -> AdamWConfig {
    AdamWConfig { weight_decay: 0.01, ..AdamWConfig::usual(0.01) }
}

fn momentum() -> SgdConfig {
    SgdConfig { lr: 0.05, momentum: 0.9, weight_decay: 1e-4, nesterov: false }
}

/// The cross-entropy of images of three classes, added up.
fn loss(logits: &[f32], labels: &[u32]) -> f32 {
    let loss = |(logits, label): (&[f32], &u32)| {
        logits.iter().map(|logit| logit.exp()).sum::<f32>().ln() - logits[*label as usize]
    };
    logits.chunks(3).zip(labels).map(loss).sum()
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let (vgg, input, _) = network(0.0);
    // Kaiming's weights keep the signal through ReLUs; Xavier's need many steps to wake up.
    let init = Init { weights: WeightInit::KaimingNormal, biases: BiasInit::Zeros };
    let params = Params::init(&vgg, &init, 5).unwrap();
    let backend = Reference::<f32>::new();
    let mut trainer = Trainer::new(backend, &vgg, &input, &params, BATCH, momentum(), 1).unwrap();
    let (pixels, labels) = images(3);
    let before = loss(&trainer.logits(&pixels).unwrap(), &labels);
    assert!(before / 3.0 > 0.5, "{before}");
    for _ in 0..60 {
        trainer.step(&pixels, &labels, 0.006).unwrap();
    }
    let after = loss(&trainer.logits(&pixels).unwrap(), &labels);
    assert!(after / 3.0 < 0.05, "{after}");
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let (vgg, input, params) = network(0.5);
    let make = |params: &Params| {
        let sgd = SgdConfig::plain(0.1);
        Trainer::new(Reference::<f64>::new(), &vgg, &input, params, BATCH, sgd, 42).unwrap()
    };
    let (pixels, labels) = images(3);
    let (_, gradients) = make(&params).gradients(&pixels, &labels).unwrap();
    // Along the gradient of one parameter the loss must rise by its squared length; dropout draws
    // the same each time, because the step's number is the same.
    for name in
        ["features.0.weight", "features.11.bias", "classifier.0.weight", "classifier.6.bias"]
    {
        let gradient = gradients.get(name).unwrap().data();
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0, "{name}");
        let loss = |distance: f64| {
            let mut moved = params.clone();
            let index = vgg.params().iter().position(|spec| spec.name == name).unwrap();
            let tensor = moved.tensors_mut().nth(index).unwrap();
            for (value, g) in tensor.data_mut().iter_mut().zip(gradient) {
                *value += (distance * f64::from(*g) / norm) as f32;
            }
            let (metrics, _) = make(&moved).gradients(&pixels, &labels).unwrap();
            f64::from(metrics.loss_sum) / 3.0
        };
        let slope = (loss(2e-3) - loss(-2e-3)) / 4e-3;
        assert!((slope / norm - 1.0).abs() < 0.02, "{name}: slope {slope}, gradient {norm}");
    }
}

#[test]
fn a_profiled_step_computes_the_same() {
    let (mut profiled, mut plain) = (trainer(0.5, momentum()), trainer(0.5, momentum()));
    let mut events = Vec::new();
    for n in [3, BATCH] {
        let (pixels, labels) = images(n);
        events = profiled.profile(&pixels, &labels, 0.05).unwrap();
        plain.step(&pixels, &labels, 0.05).unwrap();
    }
    assert_eq!(profiled.params().unwrap(), plain.params().unwrap());
    assert_eq!(profiled.moments().unwrap(), plain.moments().unwrap());
    assert_eq!(profiled.steps(), 2);
    // The last batch was a full one: its pixels, its labels, each command, and the metrics.
    let operations: Vec<_> = events.iter().map(|event| event.operation.clone()).collect();
    let commands = plain.plan().program().commands().map(|command| command.to_string());
    let copies = ["upload 1024 bytes", "upload 16 bytes", "download 12 bytes"];
    let [pixels, labels, metrics] = copies.map(String::from);
    let expected = [pixels, labels].into_iter().chain(commands).chain([metrics]);
    assert_eq!(operations, expected.collect::<Vec<_>>());
    assert!(events.is_sorted_by_key(|event| event.start + event.duration));
    // Forward, and backward twice but for the gradient of the images.
    let macs = |layer: &str| -> Vec<u64> {
        let of_layer = events.iter().filter(|event| event.layer == layer && event.macs > 0);
        of_layer.map(|event| event.macs).collect()
    };
    let (first, second) = (macs("features.0"), macs("features.3"));
    assert_eq!((first.len(), first[0]), (2, first[1]));
    assert_eq!((second.len(), 2 * second[0]), (2, second[1]));
}

#[test]
fn an_update_is_the_optimisers_formula() {
    let mut trainer = trainer(0.5, SgdConfig { weight_decay: 0.1, ..SgdConfig::plain(0.05) });
    let (pixels, labels) = images(4);
    let before = trainer.params().unwrap();
    let (metrics, gradients) = trainer.gradients(&pixels, &labels).unwrap();
    assert_eq!(trainer.params().unwrap(), before, "gradients are no update");
    assert_eq!(trainer.steps(), 0);
    assert_eq!(trainer.step(&pixels, &labels, 0.25).unwrap(), metrics);
    assert_eq!(trainer.steps(), 1);
    let after = trainer.params().unwrap();
    for (((name, w), (_, g)), (_, new)) in before.iter().zip(gradients.iter()).zip(after.iter()) {
        for ((w, g), new) in w.data().iter().zip(g.data()).zip(new.data()) {
            // To the bit, whether the gradient was stored or applied at once.
            assert_eq!(*new, w - 0.25 * (g + 0.1 * w), "{name}");
        }
    }
    assert!(trainer.moments().unwrap().is_empty());
}

#[test]
fn a_restored_run_goes_on_to_the_bit() {
    let (pixels, labels) = images(11);
    let batch = |i: usize| {
        let images = [0..4, 4..8, 8..11][i % 3].clone(); // the last one is short
        (&pixels[images.start * 256..images.end * 256], &labels[images])
    };
    let run = |trainer: &mut Trainer<_>, steps: std::ops::Range<usize>| {
        for i in steps {
            let (pixels, labels) = batch(i);
            trainer.step(pixels, labels, 0.05).unwrap();
        }
    };
    for optimizer in [OptimizerConfig::from(momentum()), adamw().into()] {
        let mut whole = trainer(0.5, optimizer);
        run(&mut whole, 0..5);
        let mut half = trainer(0.5, optimizer);
        run(&mut half, 0..2);
        let (params, moments) = (half.params().unwrap(), half.moments().unwrap());
        let mut resumed = trainer(0.5, optimizer);
        run(&mut resumed, 0..1); // whatever it did before does not count
        resumed.restore(&params, &moments, half.steps()).unwrap();
        // Looking at the network does not change the run.
        resumed.logits(&pixels).unwrap();
        run(&mut resumed, 2..5);
        assert_eq!(resumed.steps(), 5);
        assert_eq!(resumed.params().unwrap(), whole.params().unwrap());
        assert_eq!(resumed.moments().unwrap(), whole.moments().unwrap());
        // With another step number dropout draws something else.
        resumed.restore(&params, &moments, 0).unwrap();
        run(&mut resumed, 2..5);
        assert_ne!(resumed.params().unwrap(), whole.params().unwrap());
    }
}

/// Without dropout, the number of a step is what AdamW counts by.
#[test]
fn averages_are_corrected_by_the_steps_in_them() {
    let (pixels, labels) = images(4);
    let after = |steps| {
        let mut trainer = trainer(0.0, adamw());
        let (params, zeros) = (trainer.params().unwrap(), trainer.moments().unwrap());
        trainer.restore(&params, &zeros, steps).unwrap();
        trainer.step(&pixels, &labels, 0.01).unwrap();
        trainer.params().unwrap()
    };
    assert_eq!(after(0), after(0));
    assert_ne!(after(0), after(1));
}

#[test]
fn a_restored_run_without_velocity_starts_from_zeros() {
    let (pixels, labels) = images(4);
    let (mut fresh, mut restored) = (trainer(0.5, momentum()), trainer(0.5, momentum()));
    let start = fresh.params().unwrap();
    restored.step(&pixels, &labels, 0.05).unwrap();
    restored.restore(&start, &Moments::new(), 0).unwrap();
    for trainer in [&mut fresh, &mut restored] {
        trainer.step(&pixels, &labels, 0.05).unwrap();
    }
    assert_eq!(fresh.params().unwrap(), restored.params().unwrap());
}

#[test]
fn batches_of_any_size_give_the_same_logits() {
    let (vgg, input, params) = network(0.5);
    let (pixels, _) = images(7);
    let mut trainer = trainer(0.5, momentum());
    let logits = trainer.logits(&pixels).unwrap();
    assert_eq!(logits.len(), 7 * 3);
    for max_batch in [1, 3, 7, 50] {
        let backend = Reference::<f32>::new();
        let mut session = Session::new(backend, &vgg, &input, params.clone(), max_batch).unwrap();
        assert_eq!(session.logits(&pixels).unwrap(), logits, "{max_batch}");
        let probabilities = session.probabilities(&pixels).unwrap();
        for (p, z) in probabilities.chunks(3).zip(logits.chunks(3)) {
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(((p[1] / p[0]).ln() - (z[1] - z[0])).abs() < 1e-4);
        }
    }
    assert!(trainer.logits(&[]).unwrap().is_empty());
}

#[test]
fn a_short_batch_is_the_mean_over_its_own_images() {
    let (pixels, labels) = images(4);
    let (pixels, labels) = (&pixels[..3 * 256], &labels[..3]);
    let mut trainer = trainer(0.0, SgdConfig::plain(0.1));
    let (_, together) = trainer.gradients(pixels, labels).unwrap();
    let mut sum = Params::zeros(trainer.vgg()).unwrap();
    for (pixels, label) in pixels.chunks(256).zip(labels.chunks(1)) {
        let (_, one) = trainer.gradients(pixels, label).unwrap();
        for (sum, (_, one)) in sum.tensors_mut().zip(one.iter()) {
            for (sum, one) in sum.data_mut().iter_mut().zip(one.data()) {
                *sum += one / 3.0;
            }
        }
    }
    for ((name, a), (_, b)) in together.iter().zip(sum.iter()) {
        let worst = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut trainer = trainer(0.5, SgdConfig::plain(0.1));
    let (pixels, labels) = images(5);
    let refused = |result: Result<Metrics>| result.unwrap_err().to_string();
    assert_eq!(
        refused(trainer.step(&pixels, &labels, 0.1)),
        "images in a batch = 5, but it must be 1 to 4"
    );
    assert_eq!(
        refused(trainer.step(&[], &[], 0.1)),
        "images in a batch = 0, but it must be 1 to 4"
    );
    assert_eq!(
        refused(trainer.step(&pixels[..700], &labels, 0.1)),
        "700 bytes are not whole images of 1×16×16 = 256 bytes"
    );
    assert_eq!(refused(trainer.step(&pixels[..512], &[0], 0.1)), "1 labels for 2 images");
    assert_eq!(
        refused(trainer.step(&pixels[..512], &[0, 3], 0.1)),
        "label 1 = 3, but it must be below 3 classes"
    );
    assert_eq!(
        refused(trainer.step(&pixels[..256], &[0], f32::NAN)),
        "lr = NaN, but it must be finite and at least 0"
    );
    assert_eq!(trainer.steps(), 0);

    let params = trainer.params().unwrap();
    let velocity = Moments::from([(Moment::Velocity, params.clone())]);
    let message = trainer.restore(&params, &velocity, 0).unwrap_err().to_string();
    let allowed = "SGD with momentum to go on from a velocity";
    assert_eq!(message, format!("the optimiser = SGD, but it must be {allowed}"));
    let other = Vgg::new(&VggConfig { width: 0.1, ..trainer.vgg().config().clone() }).unwrap();
    let message = trainer
        .restore(&Params::zeros(&other).unwrap(), &Moments::new(), 0)
        .unwrap_err()
        .to_string();
    assert_eq!(message, "features.0.weight is [6, 1, 3, 3], but [3, 1, 3, 3] in the network");
    let (vgg, input, _) = network(0.5);
    let backend = Reference::<f32>::new();
    assert!(Session::new(backend, &vgg, &input, Params::zeros(&other).unwrap(), 1).is_err());
}
