//! A narrow `vgg11_bn`: evaluation, gradients, and running statistics after steps of training.
//!
//! Parameters and pixels follow from a hash, as in `nets.rs`.

use vgg_model::{Input, Params, Session, SgdConfig, Trainer, Vgg, VggConfig};
use vgg_tensor::{Backend, Result};
use vgg_testkit::Golden;

use super::whole_step::{hashed, norm, relative_error, sample};
use super::{golden, nets};

/// How much more than others these tests allow: errors add up over layers and steps.
const LAYERS_AND_STEPS: f64 = 5.0;

const BATCH: usize = 4;
const STEPS: usize = 4;
const IMAGE: usize = 64 * 96;
const LR: f32 = 1.0 / 64.0;

fn network(golden: &Golden) -> Result<(Vgg, Params)> {
    let config = VggConfig {
        batch_norm: true,
        width: 0.05,
        input: [1, 64, 96],
        classes: 10,
        fc_width: 32,
        dropout: 0.0,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config)?;
    let params = nets::params("", &vgg, golden)?;
    Ok((vgg, params))
}

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let golden = golden("batch_norm");
    let near = |what: &str, actual: &[f32]| {
        let off = relative_error(actual, golden.numbers(what));
        assert!(off <= LAYERS_AND_STEPS * error, "{what} is off by {off:e}");
    };
    let (vgg, params) = network(&golden)?;
    let input = Input { mean: vec![0.5], std: vec![1.0], ..Input::unnormalized(1, 64, 96) };
    let pixels: Vec<u8> =
        (0..(STEPS * BATCH * IMAGE) as u32).map(|i| (hashed(254, i) >> 24) as u8).collect();
    let batches: Vec<_> = pixels.chunks(BATCH * IMAGE).collect();
    let labels: Vec<u32> = (3..3 + BATCH as u32).collect();
    let folded = |params: Params| -> Result<Vec<f32>> {
        Session::new(make(), &vgg, &input, params, BATCH)?.logits(batches[0])
    };

    let sgd = SgdConfig { lr: LR, momentum: 0.875, weight_decay: 1.0 / 256.0, nesterov: false };
    let mut trainer = Trainer::new(make(), &vgg, &input, &params, BATCH, sgd, 0)?;
    near("logits.0", &trainer.logits(batches[0])?);
    near("logits.0", &folded(params)?);
    check_gradients(&golden, &trainer.gradients(batches[0], &labels)?.1, error);
    let mut losses = Vec::new();
    for (step, pixels) in (1..).zip(&batches) {
        losses.push(trainer.step(pixels, &labels, LR)?.loss_sum / BATCH as f32);
        if step == 1 || step == STEPS {
            let params = trainer.params()?;
            for spec in vgg.state() {
                let state = params.get(&spec.name).expect("running statistics");
                near(&format!("state.{step}.{}", spec.name), state.data());
            }
        }
    }
    near("losses", &losses);
    near("logits.4", &trainer.logits(batches[0])?);
    near("logits.4", &folded(trainer.params()?)?);
    Ok(())
}

fn check_gradients(golden: &Golden, gradients: &Params, error: f64) {
    assert_eq!(gradients.iter().count(), golden.names("norm.").count());
    for (name, gradient) in gradients.iter() {
        let expected_norm = golden.numbers(&format!("norm.{name}"));
        // A bias before a normalisation has no effect: its gradient is nothing but rounding.
        if expected_norm[0] < 1e-12 {
            let weight = gradients.get(&name.replace(".bias", ".weight")).expect("a weight");
            assert!(norm(gradient.data()) <= 10.0 * error * norm(weight.data()), "{name}");
            continue;
        }
        let kept = golden.numbers(&format!("sample.{name}"));
        let of_sample = relative_error(&sample(gradient.data(), kept.len()), kept);
        let of_norm = relative_error(&[norm(gradient.data()) as f32], expected_norm);
        let off = of_sample.max(of_norm);
        assert!(off <= LAYERS_AND_STEPS * error, "{name}: the gradient is off by {off:e}");
    }
}
