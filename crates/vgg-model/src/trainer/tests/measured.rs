//! Running statistics of averaged weights.

use super::*;

const DECAY: f32 = 0.75;

fn normed(recipe: Recipe) -> Trainer<Reference<f32>> {
    let (vgg, input, _) = network(0.5);
    let vgg = Vgg::new(&VggConfig { batch_norm: true, ..vgg.config().clone() }).unwrap();
    let params = Params::init(&vgg, &Init::default(), 5).unwrap();
    Trainer::new(Reference::new(), &vgg, &input, &params, BATCH, recipe, 42).unwrap()
}

/// What a training step of the averaged weights would move.
#[test]
fn statistics_of_the_ema_are_those_of_its_own_passes() {
    let (pixels, labels) = images(BATCH);
    let recipe = Recipe { ema_decay: Some(DECAY), ..SgdConfig::plain(0.1).into() };
    let mut trainer = normed(recipe);
    for _ in 0..3 {
        trainer.step(&pixels, &labels, 0.1).unwrap();
    }
    let (params, ema) = (trainer.params().unwrap(), trainer.ema().unwrap().unwrap());
    let is_statistic = |name: &str| name.contains("running");

    let mut start = ema.clone();
    let statistics = params.iter().filter(|(name, _)| is_statistic(name));
    for (name, own) in statistics {
        let at = ema.iter().position(|(other, _)| other == name).unwrap();
        assert_ne!(start.tensors_mut().nth(at).unwrap().data(), own.data(), "{name}");
        start.tensors_mut().nth(at).unwrap().data_mut().copy_from_slice(own.data());
    }
    let mut expected = normed(SgdConfig::plain(0.1).into());
    expected.restore(&start, &Moments::new(), 0).unwrap();
    for _ in 0..2 {
        expected.step(&pixels, &labels, 0.0).unwrap();
    }
    let expected = expected.params().unwrap();

    // Whatever was measured before, it begins anew; images may be more than in a batch.
    trainer.measure_ema(&pixels[..256], true).unwrap();
    trainer.measure_ema(&pixels.repeat(2), true).unwrap();
    assert_eq!(trainer.ema().unwrap().unwrap(), expected);
    assert_eq!(trainer.params().unwrap(), params, "the weights have theirs");
    assert!(trainer.measure_ema(&pixels[..255], true).is_err());
}

#[test]
fn what_has_no_statistics_is_not_measured() {
    let (pixels, _) = images(BATCH);
    let recipe = Recipe { ema_decay: Some(DECAY), ..SgdConfig::plain(0.1).into() };
    for mut trainer in [trainer(0.0, recipe), normed(SgdConfig::plain(0.1).into())] {
        let before = trainer.params().unwrap();
        assert!(!trainer.measures_ema());
        trainer.measure_ema(&pixels, true).unwrap();
        assert_eq!(trainer.params().unwrap(), before);
    }
}
