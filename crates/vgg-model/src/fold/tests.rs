//! Networks with batch normalisations: folded, trained, kept.

use vgg_testkit::Reference;
use vgg_testkit::compare::{assert_close, max_norm};

use crate::{
    Checkpoint, Init, Input, Mode, Params, Plan, Progress, Recipe, Session, SgdConfig, Trainer,
    Vgg, VggConfig, WeightInit, WeightType,
};

const BATCH: usize = 4;

fn config() -> VggConfig {
    VggConfig {
        width: 0.05,
        batch_norm: true,
        input: [1, 32, 32],
        classes: 3,
        fc_width: 12,
        ..VggConfig::default()
    }
}

fn input() -> Input {
    Input { mean: vec![0.5], std: vec![0.25], ..Input::unnormalized(1, 16, 16) }
}

fn initial() -> (Vgg, Params) {
    let vgg = Vgg::new(&config()).unwrap();
    let init = Init { weights: WeightInit::KaimingNormal, ..Init::default() };
    let params = Params::init(&vgg, &init, 5).unwrap();
    (vgg, params)
}

fn trainer(weight_decay: f32) -> Trainer<Reference<f32>> {
    let (vgg, params) = initial();
    let sgd = SgdConfig { lr: 0.05, momentum: 0.9, weight_decay, nesterov: false };
    Trainer::new(Reference::new(), &vgg, &input(), &params, BATCH, sgd, 42).unwrap()
}

/// The images of a step, and their labels.
fn batch(step: usize) -> (Vec<u8>, Vec<u32>) {
    let n = if step % 3 == 2 { BATCH - 1 } else { BATCH };
    let pixel = |i: usize| (i * 37 + step * 11 + i / 256 * i % 97) as u8;
    ((0..n * 256).map(pixel).collect(), (0..n as u32).map(|i| (i + step as u32) % 3).collect())
}

fn train(trainer: &mut Trainer<Reference<f32>>, steps: std::ops::Range<usize>) {
    for step in steps {
        let (pixels, labels) = batch(step);
        trainer.step(&pixels, &labels, 0.02).unwrap();
    }
}

#[test]
fn normalisations_start_as_nothing() {
    let (vgg, params) = initial();
    for spec in vgg.tensors().filter(|spec| spec.name.starts_with("features.1.")) {
        let expected = match spec.name.as_str() {
            "features.1.weight" | "features.1.running_var" => 1.0,
            _ => 0.0,
        };
        let tensor = params.get(&spec.name).unwrap();
        assert!(tensor.data().iter().all(|x| *x == expected), "{}", spec.name);
    }
}

#[test]
fn a_session_gives_what_the_trainers_evaluation_gives() {
    let mut trainer = trainer(1e-3);
    train(&mut trainer, 0..4);
    let (pixels, _) = batch(0);
    let params = trainer.params().unwrap();
    let vgg = trainer.vgg().clone();
    let mut session = Session::new(Reference::<f32>::new(), &vgg, &input(), params, 3).unwrap();
    let rows = session.plan().rows();
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    let pooled = "conv 3×3 + relu + max-pool 2×2";
    assert_eq!(kinds[1..4], [pooled, pooled, "conv 3×3 + relu"]);
    let plain = Vgg::new(&VggConfig { batch_norm: false, ..config() }).unwrap();
    assert_eq!(session.vgg().param_count(), plain.param_count());
    let expected = trainer.logits(&pixels).unwrap();
    let actual = session.logits(&pixels).unwrap();
    assert_close("logits", &actual, &expected, 1e-5 * max_norm(&expected));
    // Halves, and other images, go the same way.
    let params = trainer.params().unwrap();
    let backend = Reference::<f32>::new();
    let half = Session::with_linear_weights(WeightType::F16, backend, &vgg, &input(), params, 2);
    let mut half = half.unwrap();
    half.set_input(&input(), 1).unwrap();
    assert_close(
        "in halves",
        &half.logits(&pixels).unwrap(),
        &expected,
        1e-3 * max_norm(&expected),
    );
}

#[test]
fn evaluation_does_not_depend_on_the_batch_and_changes_nothing() {
    let mut trainer = trainer(0.0);
    train(&mut trainer, 0..2);
    let before = trainer.params().unwrap();
    let (pixels, labels) = batch(0);
    let together = trainer.logits(&pixels).unwrap();
    for (i, image) in pixels.chunks(256).enumerate() {
        assert_eq!(trainer.logits(image).unwrap(), together[3 * i..3 * i + 3]);
    }
    trainer.gradients(&pixels, &labels).unwrap();
    assert_eq!(trainer.params().unwrap(), before);
}

#[test]
fn running_statistics_are_no_parameters() {
    let mut decayed = trainer(0.5);
    let mut plain = trainer(0.0);
    for trainer in [&mut decayed, &mut plain] {
        train(trainer, 0..1);
    }
    let (decayed, plain) = (decayed.params().unwrap(), plain.params().unwrap());
    let same = |name| decayed.get(name) == plain.get(name);
    // The first step's statistics are those of the first weights, whatever the decay.
    assert!(same("features.1.running_mean") && same("features.1.running_var"));
    assert!(!same("features.1.weight") && !same("features.0.weight"));
    let (vgg, _) = initial();
    assert_eq!(Params::zeros(&vgg).unwrap().iter().count(), vgg.params().len());
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let (vgg, params) = initial();
    let (pixels, labels) = batch(0);
    let gradients = |params: &Params| {
        let (backend, sgd) = (Reference::<f64>::new(), SgdConfig::plain(0.1));
        let mut trainer = Trainer::new(backend, &vgg, &input(), params, BATCH, sgd, 42).unwrap();
        trainer.gradients(&pixels, &labels).unwrap()
    };
    let (_, all) = gradients(&params);
    for name in ["features.1.weight", "features.5.bias", "features.8.weight", "features.26.bias"] {
        let gradient = all.get(name).unwrap().data();
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let loss = |distance: f64| {
            let mut moved = params.clone();
            let numbers = moved.get_mut(name).unwrap().data_mut();
            for (value, g) in numbers.iter_mut().zip(gradient) {
                *value += (distance * f64::from(*g) / norm) as f32;
            }
            f64::from(gradients(&moved).0.loss_sum) / BATCH as f64
        };
        let slope = (loss(1e-3) - loss(-1e-3)) / 2e-3;
        assert!((slope / norm - 1.0).abs() < 0.02, "{name}: slope {slope}, gradient {norm}");
    }
}

#[test]
fn a_checkpoint_has_the_running_statistics_and_a_run_goes_on_to_the_bit() {
    let mut whole = trainer(1e-3);
    train(&mut whole, 0..5);
    let mut half = trainer(1e-3);
    train(&mut half, 0..2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let saved = Checkpoint {
        vgg: config(),
        input: input(),
        classes: Vec::new(),
        params: half.params().unwrap(),
        moments: half.moments().unwrap(),
        unaveraged: None,
        progress: Progress::default(),
        run: serde_json::Value::Null,
    };
    saved.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded, saved);
    let mean = loaded.params.get("features.26.running_mean").unwrap();
    assert!(mean.data().iter().any(|x| *x != 0.0));
    let mut resumed = trainer(1e-3);
    resumed.restore(&loaded.params, &loaded.moments, half.steps()).unwrap();
    train(&mut resumed, 2..5);
    assert_eq!(resumed.params().unwrap(), whole.params().unwrap());
    assert_eq!(resumed.moments().unwrap(), whole.moments().unwrap());
}

#[test]
fn rows_add_up_to_all_memory() {
    let (vgg, _) = initial();
    for mode in [
        Mode::Train(SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.1) }.into()),
        Mode::Train(Recipe { ema_decay: Some(0.9), ..SgdConfig::plain(0.1).into() }),
        Mode::Infer { linear_weights: WeightType::F32 },
    ] {
        let plan = Plan::new(&vgg, &input(), BATCH, mode).unwrap();
        assert_eq!(plan.rows().iter().map(|row| row.bytes).sum::<u64>(), plan.bytes());
    }
    let plan = Plan::new(&vgg, &input(), BATCH, Mode::Train(SgdConfig::plain(0.1).into())).unwrap();
    let rows = plan.rows();
    let kinds: Vec<_> = rows[1..5].iter().map(|row| row.kind.as_str()).collect();
    let norm = "batch norm + relu + max-pool 2×2";
    assert_eq!(kinds, ["conv 3×3", norm, "conv 3×3", norm]);
    assert_eq!(plan.rows().iter().map(|row| row.params).sum::<usize>(), vgg.param_count());
}
