//! What a recipe has besides the optimiser.

use super::*;
use crate::{Group, TrainerState};

fn recipe() -> Recipe {
    Recipe::from(momentum())
}

fn assert_near(what: &str, a: &Params, b: &Params, allowed: f32) {
    for ((name, a), (_, b)) in a.iter().zip(b.iter()) {
        let far = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= allowed, "{what}: {name} is off by {far}");
    }
}

/// How far two states of the parameters are apart.
fn distance(a: &Params, b: &Params) -> f64 {
    let numbers = |params: &Params| -> Vec<f32> {
        params.iter().flat_map(|(_, tensor)| tensor.data().to_vec()).collect()
    };
    let squares = numbers(a).into_iter().zip(numbers(b)).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

#[test]
fn a_batch_in_micro_batches_is_the_batch() {
    for n in [4, 3] {
        let (pixels, labels) = images(n);
        let mut whole = trainer(0.0, recipe());
        // The last micro-batch of three images is a short one.
        let mut micro = trainer(0.0, Recipe { micro_batches: 2, ..recipe() });
        assert_eq!(micro.plan().batch(), 2);
        for step in 0..3 {
            let expected = whole.step(&pixels, &labels, 0.05).unwrap();
            let metrics = micro.step(&pixels, &labels, 0.05).unwrap();
            assert!((metrics.loss_sum - expected.loss_sum).abs() < 1e-4, "{metrics:?}");
            assert_eq!(metrics.score, expected.score);
            assert_eq!(micro.steps(), step + 1);
        }
        let (whole, micro) = (whole.params().unwrap(), micro.params().unwrap());
        assert_near("in micro-batches", &micro, &whole, 1e-5);
    }
    let error = Recipe { micro_batches: 0, ..recipe() }.check(&network(0.0).0).unwrap_err();
    assert_eq!(error.to_string(), "micro_batches = 0, but it must be at least 1");
}

/// Otherwise all micro-batches would lose the same.
#[test]
fn micro_batches_drop_out_differently() {
    let (pixels, labels) = images(1);
    let twice = (pixels.repeat(2), labels.repeat(2));
    let mut one = trainer(0.5, Recipe { micro_batches: 4, ..recipe() });
    let mut two = trainer(0.5, Recipe { micro_batches: 4, ..recipe() });
    let one = one.step(&pixels, &labels, 0.05).unwrap();
    let two = two.step(&twice.0, &twice.1, 0.05).unwrap();
    assert!((two.loss_sum - 2.0 * one.loss_sum).abs() > 1e-4, "{one:?} {two:?}");
}

#[test]
fn clipped_gradients_go_as_far_as_they_may() {
    let (pixels, labels) = images(4);
    let sgd = SgdConfig::plain(0.1);
    let moved = |recipe: Recipe| {
        let mut trainer = trainer(0.0, recipe);
        let before = trainer.params().unwrap();
        trainer.step(&pixels, &labels, 0.1).unwrap();
        distance(&before, &trainer.params().unwrap())
    };
    let free = moved(sgd.into());
    for micro_batches in [1, 2] {
        let clipped = moved(Recipe { clip_norm: Some(0.01), micro_batches, ..sgd.into() });
        assert!((clipped - 0.1 * 0.01).abs() < 1e-6, "{clipped} of {free}");
        let wide = moved(Recipe { clip_norm: Some(100.0), micro_batches, ..sgd.into() });
        assert!((wide - free).abs() < 1e-5, "{wide} instead of {free}");
    }
    assert!(free > 0.01);
}

#[test]
fn the_ema_follows_the_weights() {
    let (pixels, labels) = images(4);
    let decay = 0.75f32;
    let mut trainer = trainer(0.0, Recipe { ema_decay: Some(decay), ..recipe() });
    let mut expected = trainer.params().unwrap();
    for _ in 0..3 {
        trainer.step(&pixels, &labels, 0.05).unwrap();
        let params = trainer.params().unwrap();
        for (ema, (_, weight)) in expected.tensors_mut().zip(params.iter()) {
            for (ema, weight) in ema.data_mut().iter_mut().zip(weight.data()) {
                *ema = decay * *ema + (1.0 - decay) * weight;
            }
        }
    }
    let ema = trainer.ema().unwrap().unwrap();
    assert_near("ema", &ema, &expected, 1e-6);

    // It is what is evaluated, if asked for, and no step takes it for the weights.
    let weights = trainer.params().unwrap();
    let of_weights = trainer.logits(&pixels).unwrap();
    trainer.set_ema_evaluated(true);
    let of_ema = trainer.logits(&pixels).unwrap();
    assert_ne!(of_weights, of_ema);
    let (vgg, input, _) = network(0.0);
    let mut session = Session::new(Reference::<f32>::new(), &vgg, &input, ema.clone(), 4).unwrap();
    assert_eq!(session.logits(&pixels).unwrap(), of_ema);
    assert_eq!(trainer.params().unwrap(), weights);
    trainer.set_ema_evaluated(false);
    assert_eq!(trainer.logits(&pixels).unwrap(), of_weights);

    // An interrupted run goes on to the bit.
    let mut again = super::trainer(0.0, Recipe { ema_decay: Some(decay), ..recipe() });
    let moments = trainer.moments().unwrap();
    again.restore(&weights, &moments, trainer.steps()).unwrap();
    again.restore_ema(&ema).unwrap();
    for trainer in [&mut trainer, &mut again] {
        trainer.step(&pixels, &labels, 0.05).unwrap();
    }
    assert_eq!(again.ema().unwrap(), trainer.ema().unwrap());
    assert_eq!(again.params().unwrap(), trainer.params().unwrap());
    let mut plain = super::trainer(0.0, recipe());
    assert_eq!(plain.ema().unwrap(), None);
    assert!(plain.restore_ema(&ema).is_err());
}

#[test]
fn a_step_sets_evaluation_back_to_the_weights() {
    let (pixels, labels) = images(4);
    let recipe = Recipe { ema_decay: Some(0.75), ..recipe() };
    let [mut plain, mut submitted, mut profiled] = [(); 3].map(|()| trainer(0.0, recipe.clone()));
    submitted.set_ema_evaluated(true);
    profiled.set_ema_evaluated(true);
    plain.step(&pixels, &labels, 0.05).unwrap();
    submitted.step(&pixels, &labels, 0.05).unwrap();
    profiled.profile(&pixels, &labels, 0.05).unwrap();
    let expected = plain.logits(&pixels).unwrap();
    assert_eq!(submitted.logits(&pixels).unwrap(), expected);
    assert_eq!(profiled.logits(&pixels).unwrap(), expected);
}

#[test]
fn a_snapshot_is_of_its_moment() {
    let ema_decay = Some(0.5);
    let mut trainer = trainer(0.5, Recipe { ema_decay, ..recipe() });
    let (pixels, labels) = images(BATCH);
    trainer.step(&pixels, &labels, 0.05).unwrap();
    // What is evaluated makes no difference.
    trainer.set_ema_evaluated(true);
    let snapshot = trainer.start_snapshot().unwrap();
    let params = trainer.params().unwrap();
    let (moments, ema) = (trainer.moments().unwrap(), trainer.ema().unwrap());
    trainer.step(&pixels, &labels, 0.05).unwrap();
    assert_ne!(trainer.params().unwrap(), params);
    assert!(snapshot.is_finite().unwrap());
    let state = snapshot.wait().unwrap();
    assert!(moments.len() == 1 && ema.is_some() && ema != Some(params.clone()));
    assert_eq!(state, TrainerState { params: params.clone(), moments, ema });

    let mut damaged = params;
    *damaged.tensors_mut().last().unwrap().data_mut().last_mut().unwrap() = f32::NAN;
    trainer.restore(&damaged, &Moments::default(), 1).unwrap();
    assert!(!trainer.start_snapshot().unwrap().is_finite().unwrap());
}

#[test]
fn what_is_frozen_stays() {
    let (pixels, labels) = images(4);
    let frozen = |prefixes: &[&str]| {
        let freeze = prefixes.iter().map(|prefix| prefix.to_string()).collect();
        let mut trainer = trainer(0.5, Recipe { freeze, clip_norm: None, ..recipe() });
        let before = trainer.params().unwrap();
        trainer.step(&pixels, &labels, 0.05).unwrap();
        (before, trainer.params().unwrap())
    };
    let (_, free) = frozen(&[]);
    let cases: [&[&str]; 4] =
        [&["features"], &["features", "classifier.0"], &["classifier.3"], &["features.0.bias"]];
    for prefixes in cases {
        let (before, after) = frozen(prefixes);
        for (((name, before), (_, after)), (_, free)) in
            before.iter().zip(after.iter()).zip(free.iter())
        {
            let stays = prefixes.iter().any(|prefix| name.starts_with(prefix));
            assert_eq!(after, if stays { before } else { free }, "{name} of {prefixes:?}");
        }
    }
}

/// They take memory that a step of this recipe has no use for, and steps go on in what there is then.
#[test]
fn frozen_layers_have_gradients_for_whoever_asks() {
    let (pixels, labels) = images(4);
    let run = |freeze: &[&str], asks: bool| {
        let freeze = freeze.iter().map(|prefix| prefix.to_string()).collect();
        let mut trainer = trainer(0.5, Recipe { freeze, ..recipe() });
        trainer.step(&pixels, &labels, 0.0).unwrap();
        let gradients = asks.then(|| trainer.gradients(&pixels, &labels).unwrap());
        trainer.step(&pixels, &labels, 0.05).unwrap();
        (gradients, trainer.params().unwrap())
    };
    let frozen = ["features", "classifier.0"];
    assert_eq!(run(&frozen, true).0, run(&[], true).0);
    assert_eq!(run(&frozen, true).1, run(&frozen, false).1);
}

#[test]
fn mixed_images_have_a_share_of_both_losses() {
    let (pixels, labels) = images(3);
    let others = [labels[1], labels[2], labels[0]];
    let mixes = Recipe { mixes: true, ..recipe() };
    let loss = |labels: &[u32], mix: &[(u32, f32)]| {
        let mut trainer = trainer(0.0, mixes.clone());
        trainer.submit(&pixels, Target::mixed(labels, mix), 0.05).unwrap();
        trainer.next_metrics(true).unwrap().unwrap().loss_sum
    };
    let (own, other) = (loss(&labels, &[]), loss(&others, &[]));
    let mix = others.map(|other| (other, 0.25));
    let mixed = loss(&labels, &mix);
    assert!((mixed - (0.75 * own + 0.25 * other)).abs() < 1e-5, "{mixed} of {own} and {other}");

    let mut trainer = trainer(0.0, recipe());
    let error = trainer.submit(&pixels, Target::mixed(&labels, &mix), 0.05).unwrap_err();
    assert_eq!(error.to_string(), "other classes = 3, but it must be none: the recipe mixes none");
    let mut trainer = super::trainer(0.0, mixes);
    for bad in [vec![(3, 0.5); 3], vec![(0, 1.5); 3], vec![(0, f32::NAN); 3], vec![(0, 0.5)]] {
        assert!(trainer.submit(&pixels, Target::mixed(&labels, &bad), 0.05).is_err(), "{bad:?}");
    }
}

#[test]
fn smooth_targets_are_for_training() {
    let (pixels, labels) = images(3);
    let mut plain = trainer(0.0, recipe());
    let mut smooth = trainer(0.0, Recipe { label_smoothing: 0.3, ..recipe() });
    let logits = smooth.logits(&pixels).unwrap();
    assert_eq!(plain.logits(&pixels).unwrap(), logits);
    // The loss of each class in turn has a third of what is smoothed away.
    let of_all: f32 = (0..3).map(|class| loss(&logits, &[class; 3]) / 3.0).sum();
    let expected = 0.7 * loss(&logits, &labels) + 0.3 * of_all;
    let metrics = smooth.step(&pixels, &labels, 0.05).unwrap();
    assert!((metrics.loss_sum - expected).abs() < 1e-5, "{metrics:?}, {expected}");
}

/// PyTorch's mean by weights: of labels by the sum of theirs, of probabilities by the images.
#[test]
fn classes_count_by_their_weights() {
    let (pixels, labels) = images(3);
    let class_weights = vec![0.5, 1.0, 3.0];
    let weight = |label: &u32| class_weights[*label as usize];
    let logits = trainer(0.0, recipe()).logits(&pixels).unwrap();
    let images = logits.chunks(3).zip(&labels);
    let losses = images.map(|(logits, label)| weight(label) * loss(logits, &[*label]));
    let (all, weights) = (losses.sum::<f32>(), labels.iter().map(weight).sum::<f32>());
    for micro_batches in [1, 2] {
        let recipe =
            Recipe { class_weights: class_weights.clone(), mixes: true, micro_batches, ..recipe() };
        let mut trainer = trainer(0.0, recipe);
        let metrics = trainer.step(&pixels, &labels, 0.0).unwrap();
        assert!((metrics.loss_sum - 3.0 * all / weights).abs() < 1e-5, "{metrics:?}");
        let unmixed = labels.iter().map(|label| (*label, 0.25)).collect::<Vec<_>>();
        trainer.submit(&pixels, Target::mixed(&labels, &unmixed), 0.0).unwrap();
        let metrics = trainer.next_metrics(true).unwrap().unwrap();
        assert!((metrics.loss_sum - all).abs() < 1e-5, "{metrics:?}, {all}");
    }
}

#[test]
fn ranges() {
    let (vgg, ..) = network(0.0);
    let refused = |recipe: Recipe| recipe.check(&vgg).unwrap_err().to_string();
    let message = refused(Recipe { clip_norm: Some(0.0), ..recipe() });
    assert_eq!(message, "clip_norm = 0, but it must be finite and above 0");
    let message = refused(Recipe { ema_decay: Some(1.0), ..recipe() });
    assert_eq!(message, "ema_decay = 1, but it must be at least 0 and below 1");
    let message = refused(Recipe { label_smoothing: f32::NAN, ..recipe() });
    assert_eq!(message, "label_smoothing = NaN, but it must be at least 0 and below 1");
    let message = refused(Recipe { class_weights: vec![1.0; 2], ..recipe() });
    assert_eq!(message, "class_weights = 2, but it must be 3, one a class");
    let message = refused(Recipe { class_weights: vec![1.0, 0.0, 1.0], ..recipe() });
    assert_eq!(message, "class_weights = 0, but it must be finite and above 0");
    let message = refused(Recipe { freeze: vec!["features.1".into()], ..recipe() });
    assert!(message.starts_with("freeze = features.1, but it must be how parameters' names begin"));
    let groups = |layers: &[&str]| {
        let group =
            |layers: &&str| Group { layers: layers.to_string(), lr: 0.5, weight_decay: None };
        layers.iter().map(group).collect()
    };
    let message = refused(Recipe { groups: groups(&["features.1"]), ..recipe() });
    assert!(message.starts_with("groups.layers = features.1, but it must be how"), "{message}");
    let message = refused(Recipe { groups: groups(&["features", "features.0"]), ..recipe() });
    assert_eq!(message, "groups.layers = features.0, but it must be layers of no other group");
    let (groups, freeze) = (groups(&["features.0"]), vec!["features".into()]);
    let message = refused(Recipe { groups, freeze, ..recipe() });
    assert_eq!(message, "groups.layers = features.0, but it must be layers that are not frozen");
    let everything = vec!["features".into(), "classifier".into()];
    let message = refused(Recipe { freeze: everything, ..recipe() });
    assert_eq!(message, "freeze = features, classifier, but it must be less than all parameters");
}
