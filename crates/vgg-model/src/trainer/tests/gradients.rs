//! Gradients that are asked for between steps.

use super::*;

/// A network with all that a step changes besides weights.
fn trainer(recipe: Recipe) -> Trainer<Reference<f32>> {
    let config = VggConfig {
        width: 0.05,
        input: [1, 32, 32],
        classes: 3,
        fc_width: 12,
        batch_norm: true,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config).unwrap();
    let params = Params::init(&vgg, &Init::default(), 5).unwrap();
    let input = Input::unnormalized(1, 16, 16);
    Trainer::new(Reference::new(), &vgg, &input, &params, BATCH, recipe, 42).unwrap()
}

fn recipes() -> [Recipe; 4] {
    let plain = Recipe::from(momentum());
    [
        plain.clone(),
        // Less is kept for the backward pass of a step than gradients of all parameters take.
        Recipe { freeze: vec!["features".into()], ..plain.clone() },
        Recipe { micro_batches: 2, ema_decay: Some(0.9), ..plain.clone() },
        Recipe { mixes: true, clip_norm: Some(1.0), label_smoothing: 0.1, ..plain },
    ]
}

#[test]
fn asking_changes_no_step() {
    for recipe in recipes() {
        let (pixels, labels) = images(BATCH);
        let n = recipe.micro_batch_of(BATCH);
        let mix = if recipe.mixes { vec![(1, 0.25); BATCH] } else { vec![] };
        let measured = Recipe { measures_gradients: true, ..recipe.clone() };
        let train = |mut trainer: Trainer<_>, asked: bool| {
            for _ in 0..3 {
                if asked {
                    let mix = mix.get(..n).unwrap_or_default();
                    trainer
                        .gradients(&pixels[..n * 256], Target::mixed(&labels[..n], mix))
                        .unwrap();
                }
                trainer.submit(&pixels, Target::mixed(&labels, &mix), 0.05).unwrap();
                trainer.next_metrics(true).unwrap();
            }
            (trainer.params().unwrap(), trainer.moments().unwrap(), trainer.ema().unwrap())
        };
        let alone = train(trainer(recipe.clone()), false);
        assert_eq!(train(trainer(recipe.clone()), true), alone, "{recipe:?}");
        assert_eq!(train(trainer(measured), true), alone, "{recipe:?}");
    }
}

#[test]
fn mixed_gradients_are_those_of_a_mixed_step() {
    let recipe = Recipe { mixes: true, ..SgdConfig::plain(0.5).into() };
    let mut trainer = trainer(recipe);
    let ((pixels, labels), mix) = (images(BATCH), [(1, 0.25); BATCH]);
    let (_, unmixed) = trainer.gradients(&pixels, &labels).unwrap();
    let (_, gradients) = trainer.gradients(&pixels, Target::mixed(&labels, &mix)).unwrap();
    assert_ne!(gradients, unmixed);
    let before = trainer.params().unwrap();
    trainer.submit(&pixels, Target::mixed(&labels, &mix), 0.5).unwrap();
    let after = trainer.params().unwrap();
    // Running statistics come after the parameters, and have no gradients.
    for (((name, w), (_, new)), (_, g)) in before.iter().zip(after.iter()).zip(gradients.iter()) {
        for ((w, new), g) in w.data().iter().zip(new.data()).zip(g.data()) {
            assert_eq!(*new, w - 0.5 * g, "{name}");
        }
    }
}

#[test]
fn their_memory_is_in_the_plan_if_they_will_be_asked_for() {
    for recipe in recipes() {
        let (pixels, labels) = images(recipe.micro_batch_of(BATCH));
        let bytes = |recipe: Recipe| {
            let mut trainer = trainer(recipe);
            let planned = trainer.plan().bytes();
            assert_eq!(trainer.network.memory.bytes(), planned);
            assert_eq!(trainer.plan().rows().iter().map(|row| row.bytes).sum::<u64>(), planned);
            trainer.gradients(&pixels, &labels).unwrap();
            (planned, trainer.network.memory.bytes())
        };
        let (planned, taken) = bytes(recipe.clone());
        let params = trainer(SgdConfig::plain(0.1).into()).vgg().param_count() as u64;
        assert!(taken >= planned + 4 * params, "{planned} {taken}");
        assert_eq!(bytes(Recipe { measures_gradients: true, ..recipe }), (taken, taken));
    }
}
