//! Initial values of parameters.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use serde::{Deserialize, Serialize};
use vgg_tensor::{Draw, Result, Tensor};

use crate::{ParamSpec, Role, invalid, streams};

/// How parameters start, but for those of batch normalisations: their weights and running variances
/// start as 1, their biases and running means as 0. The default is what Dive into Deep Learning trains with: Xavier weights,
/// and biases as PyTorch's layers leave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Init {
    /// The weights.
    pub weights: WeightInit,
    /// The biases.
    pub biases: BiasInit,
}

/// Initial weights, by the layer's [`ParamSpec::fan_in`] and [`ParamSpec::fan_out`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WeightInit {
    /// Uniform in `±√(6 / (fan_in + fan_out))` (Glorot & Bengio 2010, equation 16).
    #[default]
    XavierUniform,
    /// Normal with standard deviation `√(2 / fan_in)` (He et al. 2015, equation 10).
    KaimingNormal,
    /// Uniform in `±√(6 / fan_in)`: the same deviation.
    KaimingUniform,
    /// Normal with this standard deviation.
    Normal {
        /// Standard deviation.
        std: f32,
    },
}

/// Initial biases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasInit {
    /// Uniform in `±1 / √fan_in`, the default of PyTorch's layers.
    #[default]
    Torch,
    /// Zeros.
    Zeros,
}

impl Init {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] with the key, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        match self.weights {
            WeightInit::Normal { std } if !(std.is_finite() && std >= 0.0) => {
                Err(invalid("std", std, "finite and at least 0"))
            }
            _ => Ok(()),
        }
    }

    fn distribution(&self, spec: &ParamSpec) -> Distribution {
        let (fan_in, fan_out) = (spec.fan_in as f64, spec.fan_out as f64);
        match (spec.role, self.weights, self.biases) {
            (Role::Bias, _, BiasInit::Torch) => Distribution::Uniform(1.0 / fan_in.sqrt()),
            (Role::Bias, _, BiasInit::Zeros) => Distribution::Constant(0.0),
            // Normalised numbers as they are.
            (Role::Scale | Role::RunningVar, ..) => Distribution::Constant(1.0),
            (Role::Shift | Role::RunningMean, ..) => Distribution::Constant(0.0),
            (Role::Weight, WeightInit::XavierUniform, _) => {
                Distribution::Uniform((6.0 / (fan_in + fan_out)).sqrt())
            }
            (Role::Weight, WeightInit::KaimingNormal, _) => {
                Distribution::Normal((2.0 / fan_in).sqrt())
            }
            (Role::Weight, WeightInit::KaimingUniform, _) => {
                Distribution::Uniform((6.0 / fan_in).sqrt())
            }
            (Role::Weight, WeightInit::Normal { std }, _) => Distribution::Normal(f64::from(std)),
        }
    }
}

enum Distribution {
    Constant(f32),
    /// In ± the bound.
    Uniform(f64),
    /// With the standard deviation.
    Normal(f64),
}

/// The initial values of parameter `index` of a network.
pub(crate) fn tensor(init: &Init, spec: &ParamSpec, index: usize, seed: u64) -> Result<Tensor> {
    let draw = Draw { seed, stream: streams::init(index), step: 0 };
    let mut tensor = Tensor::zeros(spec.dims.clone())?;
    match init.distribution(spec) {
        Distribution::Constant(value) => tensor.data_mut().fill(value),
        // Element `i` is `(2 u − 1) · bound` with `u = draw.uniform(i)`.
        Distribution::Uniform(bound) => fill(tensor.data_mut(), |block, values| {
            let words = draw.block(block);
            for (value, word) in values.iter_mut().zip(words) {
                let u = f64::from(Draw::uniform_from(word));
                *value = ((2.0 * u - 1.0) * bound) as f32;
            }
        }),
        // Element `i` is `draw.normal(i) · std`, which takes two words.
        Distribution::Normal(std) => fill(tensor.data_mut(), |block, values| {
            for (i, value) in values.iter_mut().enumerate() {
                let index = (BLOCK * block as usize + i) as u64;
                *value = (f64::from(draw.normal(index)) * std) as f32;
            }
        }),
    }
    Ok(tensor)
}

/// Values that are drawn together.
const BLOCK: usize = 4;

/// Fewer values than these are not worth a thread.
const MIN_PER_THREAD: usize = 1 << 16;

/// Gives each [`BLOCK`] of values, the last of which may be shorter, to `draw` with its number, on
/// as many threads as the process may use, or as can be started. A full network has more than 10⁸
/// values, and normal ones take a logarithm and a cosine each.
fn fill(values: &mut [f32], draw: impl Fn(u32, &mut [f32]) + Sync) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let per_part = values.len().div_ceil(threads).max(MIN_PER_THREAD).div_ceil(BLOCK);
    let count = values.len().div_ceil(per_part * BLOCK);
    let parts = Mutex::new(values.chunks_mut(per_part * BLOCK).enumerate());
    let next = || parts.lock().expect("no holder of this lock panics").next();
    let work = || {
        while let Some((part, values)) = next() {
            for (i, values) in values.chunks_mut(BLOCK).enumerate() {
                draw((part * per_part + i) as u32, values);
            }
        }
    };
    thread::scope(|scope| {
        // This thread takes what no other has taken.
        for _ in 1..count {
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, Vgg, VggConfig};

    fn small() -> Vgg {
        let config =
            VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..VggConfig::default() };
        Vgg::new(&config).unwrap()
    }

    fn range(spec: &ParamSpec, index: usize, init: &Init) -> (f32, f32) {
        let tensor = tensor(init, spec, index, 1).unwrap();
        let fold = |f: fn(f32, f32) -> f32, from| tensor.data().iter().copied().fold(from, f);
        (fold(f32::min, f32::INFINITY), fold(f32::max, f32::NEG_INFINITY))
    }

    #[test]
    fn the_default_has_the_published_bounds() {
        // Bounds of weights and biases in the small VGG-11 as PyTorch draws them.
        let bounds = [
            (0.19803, 0.33333),
            (0.11785, 0.08333),
            (0.08333, 0.05893),
            (0.07217, 0.04167),
            (0.05893, 0.04167),
            (0.05103, 0.02946),
            (0.05103, 0.02946),
            (0.05103, 0.02946),
            (0.02406, 0.01263),
            (0.02706, 0.01563),
            (0.03823, 0.01563),
        ];
        let vgg = small();
        for (i, spec) in vgg.params().iter().enumerate() {
            let (weight, bias) = bounds[i / 2];
            let bound = if spec.role == Role::Weight { weight } else { bias };
            match Init::default().distribution(spec) {
                Distribution::Uniform(b) => assert!((b - bound).abs() < 5.1e-6, "{}", spec.name),
                _ => panic!("{} is not uniform", spec.name),
            }
            let (min, max) = range(spec, i, &Init::default());
            let bound = bound as f32 + 1e-5;
            assert!(-bound <= min && max <= bound, "{}: {min} to {max}", spec.name);
            assert!(min < -0.6 * bound && max > 0.6 * bound, "{}: {min} to {max}", spec.name);
        }
    }

    #[test]
    fn deviations() {
        let vgg = small();
        let spec = &vgg.params()[6]; // features.8.weight, fan_in 576
        let cases = [
            (WeightInit::XavierUniform, (2.0 / 1152.0f64).sqrt()),
            (WeightInit::KaimingNormal, (2.0 / 576.0f64).sqrt()),
            (WeightInit::KaimingUniform, (2.0 / 576.0f64).sqrt()),
            (WeightInit::Normal { std: 0.01 }, 0.01),
        ];
        for (weights, std) in cases {
            let init = Init { weights, biases: BiasInit::Zeros };
            let tensor = tensor(&init, spec, 6, 3).unwrap();
            let squares: f64 = tensor.data().iter().map(|x| f64::from(*x).powi(2)).sum();
            let actual = (squares / tensor.data().len() as f64).sqrt();
            assert!((actual / std - 1.0).abs() < 0.02, "{weights:?}: {actual} for {std}");
        }
        let zeros = Init { biases: BiasInit::Zeros, ..Init::default() };
        assert_eq!(range(&vgg.params()[1], 1, &zeros), (0.0, 0.0));
    }

    #[test]
    fn values_are_the_documented_draws() {
        let vgg = small();
        let normal = WeightInit::Normal { std: 0.5 };
        // The second is drawn by two threads, and the last block of the third is short.
        for (index, weights) in [(1, normal), (8, normal), (0, normal), (8, WeightInit::default())]
        {
            let spec = &vgg.params()[index];
            let draw = Draw { seed: 9, stream: 0x1000 + index as u32, step: 0 };
            let init = Init { weights, biases: BiasInit::Torch };
            let expected = |i| match init.distribution(spec) {
                Distribution::Constant(value) => f64::from(value),
                Distribution::Uniform(bound) => (2.0 * f64::from(draw.uniform(i)) - 1.0) * bound,
                Distribution::Normal(std) => f64::from(draw.normal(i)) * std,
            };
            let tensor = tensor(&init, spec, index, 9).unwrap();
            for (i, value) in tensor.data().iter().enumerate() {
                assert_eq!(*value, expected(i as u64) as f32, "{} of {}", i, spec.name);
            }
        }
        assert!(vgg.params()[8].dims.iter().product::<usize>() > MIN_PER_THREAD);
    }

    /// A thread with a stack that no machine has cannot be started. This test runs itself in a process
    /// where all have one.
    #[test]
    fn threads_that_cannot_be_started_are_done_without() {
        const NAME: &str = "init::tests::threads_that_cannot_be_started_are_done_without";
        const STACK: (&str, &str) = ("RUST_MIN_STACK", "1125899906842624");
        if std::env::var(STACK.0).as_deref() != Ok(STACK.1) {
            let mut itself = std::process::Command::new(std::env::current_exe().unwrap());
            itself.args([NAME, "--exact", "--test-threads=1"]).env(STACK.0, STACK.1);
            assert!(itself.status().unwrap().success());
            return;
        }
        assert!(thread::Builder::new().spawn(|| ()).is_err());
        let mut values = vec![0.0; 3 * MIN_PER_THREAD + 1];
        fill(&mut values, |block, values| values.fill(block as f32));
        assert!(values.iter().enumerate().all(|(i, value)| *value == (i / BLOCK) as f32));
    }

    #[test]
    fn the_seed_matters_and_nothing_else() {
        let config =
            VggConfig { input: [1, 32, 32], width: 0.1, fc_width: 8, ..small().config().clone() };
        let vgg = Vgg::new(&config).unwrap();
        let wider = Vgg::new(&VggConfig { classes: 11, ..config }).unwrap();
        let init = |vgg, seed| Params::init(vgg, &Init::default(), seed).unwrap();
        let (a, b) = (init(&vgg, 1), init(&vgg, 2));
        assert!(a.iter().zip(b.iter()).all(|((_, a), (_, b))| a != b));
        // Another number of classes leaves the other layers as they are.
        let wider = init(&wider, 1);
        assert!(a.iter().zip(wider.iter()).take(20).all(|(a, b)| a == b));
    }

    #[test]
    fn configs_read_as_documented() {
        let parse = serde_json::from_str::<Init>;
        assert_eq!(parse("{}").unwrap(), Init::default());
        let normal = Init { weights: WeightInit::Normal { std: 0.1 }, biases: BiasInit::Zeros };
        let text = r#"{"weights": {"normal": {"std": 0.1}}, "biases": "zeros"}"#;
        assert_eq!(parse(text).unwrap(), normal);
        assert!(parse(r#"{"weights": "kaiming_normal"}"#).is_ok());
        assert!(Init { weights: WeightInit::Normal { std: f32::NAN }, ..normal }.check().is_err());
    }
}
