//! One step of VGG-11 on 1×224×224, at the widths it is used with: the loss and its gradient.
//!
//! The weights are too many to be stored; they follow from a hash, here as in the generator. The
//! generator chose them so that no ReLU and no max-pool has two outcomes that rounding could swap,
//! for there the gradient jumps.

use std::iter::zip;

use vgg_cpu::{Config, Cpu};
use vgg_model::{Input, ParamSpec, Params, Role, SgdConfig, Trainer, Vgg, VggConfig};
use vgg_tensor::{Result, Tensor};
use vgg_testkit::Golden;

use super::golden;

/// Largest error of a gradient, relative to its norm. PyTorch's own `f32` strays by 3e-6.
const ERROR: f64 = 1e-4;
const PIXELS: usize = 2 * 224 * 224;

#[test]
fn small_width() -> Result<()> {
    check("small", 0.25)
}

#[test]
fn full_width() -> Result<()> {
    check("full", 1.0)
}

#[expect(clippy::print_stdout, reason = "how near it is, for whoever asks with --nocapture")]
fn check(net: &str, width: f64) -> Result<()> {
    let golden = golden("whole_step");
    let mut trainer = trainer(&golden, net, width)?;
    let pixels: Vec<u8> = (0..PIXELS as u32).map(|i| (hashed(255, i) >> 24) as u8).collect();
    let labels: Vec<u32> = golden.bytes("labels").iter().map(|label| u32::from(*label)).collect();
    let (metrics, gradients) = trainer.gradients(&pixels, &labels)?;

    let expected = |name: &str| golden.numbers(&format!("{net}.{name}"));
    let mut errors = vec![("loss", relative_error(&[metrics.loss_sum / 2.0], expected("loss")))];
    for (name, gradient) in gradients.iter() {
        let kept = expected(&format!("sample.{name}"));
        let sample = sample(gradient.data(), kept.len());
        errors.push((name, relative_error(&sample, kept)));
        let norm = norm(gradient.data()) as f32;
        errors.push((name, relative_error(&[norm], expected(&format!("norm.{name}")))));
    }
    let (name, error) = errors.into_iter().max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap();
    println!("{net}: the largest relative error is {error:.1e}, of {name}");
    assert!(error <= ERROR, "{net}: {name} has a relative error of {error:e}");
    Ok(())
}

fn trainer(golden: &Golden, net: &str, width: f64) -> Result<Trainer<Cpu>> {
    let config = VggConfig {
        width,
        input: [1, 224, 224],
        classes: 10,
        dropout: 0.0,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config)?;
    let named = |(i, spec): (usize, &ParamSpec)| {
        let layer = spec.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        let salts = golden.bytes(&format!("{net}.salts.{layer}"));
        Ok((spec.name.clone(), Tensor::new(&*spec.dims, numbers(i as u32, spec, salts))?))
    };
    let tensors = vgg.params().iter().enumerate().map(named).collect::<Result<Vec<_>>>()?;
    let params = Params::new(&vgg, tensors)?;
    let (input, sgd) = (Input::unnormalized(1, 224, 224), SgdConfig::plain(0.0));
    Trainer::new(Cpu::new(Config::default())?, &vgg, &input, &params, 2, sgd, 0)
}

/// A hash of a number: the finaliser of MurmurHash3 (Appleby 2011).
fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    let x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}

/// Number `i` of a stream.
pub(super) fn hashed(stream: u32, i: u32) -> u32 {
    mix(mix(i).wrapping_add(stream))
}

/// Parameter `i`: uniform within Kaiming's bound, or ±0.1 for biases. Its rows have salts.
pub(super) fn numbers(i: u32, spec: &ParamSpec, salts: &[u8]) -> Vec<f32> {
    let bound = match spec.role {
        Role::Weight => (6.0 / spec.fan_in as f64).sqrt(),
        _ => 0.1,
    };
    let row_len = (spec.content.len() / salts.len()) as u32;
    let mut numbers = Vec::with_capacity(spec.content.len());
    for (row, salt) in zip(0.., salts) {
        let stream = i + 256 * u32::from(*salt);
        numbers.extend((row * row_len..(row + 1) * row_len).map(|j| {
            let bits = f64::from(hashed(stream, j));
            (bound * ((bits + 0.5) / 2f64.powi(31) - 1.0)) as f32
        }));
    }
    numbers
}

/// The numbers of a gradient that the generator kept: all, or these many from all over it.
pub(super) fn sample(gradient: &[f32], kept: usize) -> Vec<f32> {
    match gradient.len() {
        len if len == kept => gradient.to_vec(),
        len => (0..kept as u32).map(|i| gradient[mix(i) as usize % len]).collect(),
    }
}

pub(super) fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// The norm of the difference, relative to that of the expected numbers.
pub(crate) fn relative_error(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let difference: Vec<f32> = zip(actual, expected).map(|(a, e)| a - e).collect();
    norm(&difference) / norm(expected)
}
