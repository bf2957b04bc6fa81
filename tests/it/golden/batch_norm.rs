//! A narrow `vgg11_bn`: evaluation, gradients, and running statistics after steps of training.
//!
//! Parameters and pixels follow from a hash, as in `nets.rs`.

use vgg_model::{Input, ParamSpec, Params, Role, Session, SgdConfig, Trainer, Vgg, VggConfig};
use vgg_tensor::{Backend, Result, Tensor};
use vgg_testkit::Golden;

use super::golden;
use super::whole_step::{hashed, norm, numbers, relative_error, sample};

/// How much more than others these tests allow: errors add up over layers and steps.
const LAYERS_AND_STEPS: f64 = 5.0;

const BATCH: usize = 4;
const STEPS: usize = 4;
const IMAGE: usize = 64 * 96;
const LR: f32 = 1.0 / 64.0;

fn network() -> Result<(Vgg, Params)> {
    let vgg = Vgg::new(&VggConfig {
        batch_norm: true,
        width: 0.05,
        input: [1, 64, 96],
        classes: 10,
        fc_width: 32,
        dropout: 0.0,
        ..VggConfig::default()
    })?;
    let parameter = |(i, spec): (usize, &ParamSpec)| {
        let mut values = numbers(i as u32, spec, &vec![0; spec.dims[0]]);
        if spec.role == Role::Scale {
            values.iter_mut().for_each(|x| *x += 1.0);
        }
        Ok((spec.name.clone(), Tensor::new(&*spec.dims, values)?))
    };
    let state = |spec: &ParamSpec| {
        let start = if spec.role == Role::RunningVar { 1.0 } else { 0.0 };
        Ok((spec.name.clone(), Tensor::new(&*spec.dims, vec![start; spec.content.len()])?))
    };
    let tensors = vgg.params().iter().enumerate().map(parameter);
    let tensors = tensors.chain(vgg.state().iter().map(state)).collect::<Result<Vec<_>>>()?;
    let params = Params::new(&vgg, tensors)?;
    Ok((vgg, params))
}

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let golden = golden("batch_norm");
    let near = |what: &str, actual: &[f32]| {
        let off = relative_error(actual, golden.numbers(what));
        assert!(off <= LAYERS_AND_STEPS * error, "{what} is off by {off:e}");
    };
    let (vgg, params) = network()?;
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
