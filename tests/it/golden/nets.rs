//! Every network: its logits and its gradients.
//!
//! Parameters and pixels follow from a hash, here as in the generator. Narrow networks have so few
//! decisions of ReLU and max-pool that rounding swaps none that matters, as PyTorch's `f32` shows.

use vgg_model::{
    Arch, Input, ParamSpec, Params, Role, Session, SgdConfig, Target, Task, Trainer, Vgg, VggConfig,
};
use vgg_tensor::{Backend, Result, Tensor};
use vgg_testkit::Golden;
use vgg_testkit::compare::max_norm;

use super::golden;
use super::whole_step::{hashed, norm, numbers, relative_error, sample};

/// How much more than others these tests allow: up to nineteen layers add up. It is allowed of the
/// largest logit, and of each gradient's norm.
pub(super) const LAYERS: f64 = 3.0;

/// A gradient of this norm is nothing but rounding: that of a bias before a batch normalisation,
/// which has no effect. It is compared with the gradient of the layer's weight.
const NOTHING: f32 = 1e-10;

/// A network as the generator has it.
pub(super) struct Net {
    /// What its tensors' names begin with in the golden file.
    pub(super) prefix: String,
    pub(super) config: VggConfig,
    pub(super) images: usize,
    pub(super) std: f32,
}

/// How far a network is from the expected one.
pub(super) struct Errors {
    /// Of the largest logit.
    pub(super) logits: f64,
    /// Of a gradient's norm, for the gradient that is furthest off.
    pub(super) gradient: f64,
    /// That gradient's name.
    pub(super) worst: String,
}

fn net(name: &str, arch: Arch, width: f64, input: [usize; 3], images: usize) -> Net {
    let small = VggConfig { arch, width, input, classes: 10, dropout: 0.0, ..VggConfig::default() };
    let config = match small.arch {
        Arch::LeNet => small,
        _ => VggConfig { fc_width: 32, ..small },
    };
    Net { prefix: format!("{name}."), config, images, std: 1.0 }
}

fn with_avg_pool(net: Net) -> Net {
    Net { config: VggConfig { avg_pool: Some(7), ..net.config }, ..net }
}

/// Those of the golden files.
pub(super) fn nets() -> [Net; 8] {
    [
        net("vgg11", Arch::Vgg11, 0.05, [1, 224, 224], 1),
        Net { std: 0.02, ..net("vgg11-lrn", Arch::Vgg11Lrn, 0.05, [1, 64, 96], 2) },
        with_avg_pool(net("vgg13", Arch::Vgg13, 0.05, [1, 96, 64], 2)),
        net("vgg16-c", Arch::Vgg16C, 0.05, [1, 64, 64], 2),
        with_avg_pool(net("vgg16", Arch::Vgg16, 0.05, [1, 160, 96], 2)),
        net("vgg19", Arch::Vgg19, 0.05, [3, 64, 64], 2),
        net("alexnet", Arch::AlexNet, 0.1, [1, 99, 83], 2),
        net("lenet", Arch::LeNet, 1.0, [1, 28, 28], 3),
    ]
}

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let golden = golden("nets");
    for net in nets() {
        let Errors { logits, gradient, worst } = net.errors(make(), make(), &golden)?;
        let (name, most) = (&net.prefix, LAYERS * error);
        assert!(logits <= most, "{name}logits are off by {logits:e}");
        assert!(gradient <= most, "{name}{worst} is off by {gradient:e}");
    }
    Ok(())
}

/// A golden network's parameters, and where batch normalisations begin.
pub(super) fn params(prefix: &str, vgg: &Vgg, golden: &Golden) -> Result<Params> {
    let salts_of = format!("{prefix}salts.");
    let parameter = |(i, spec): (usize, &ParamSpec)| {
        let layer = spec.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        let salts = match golden.names(&salts_of).any(|replaced| replaced == layer) {
            true => golden.bytes(&format!("{salts_of}{layer}")),
            false => &vec![0; spec.dims[0]],
        };
        let mut values = numbers(i as u32, spec, salts);
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
    Params::new(vgg, tensors.chain(vgg.state().iter().map(state)).collect::<Result<Vec<_>>>()?)
}

impl Net {
    /// Images of its size, normalised.
    pub(super) fn input(&self) -> Input {
        let [channels, h, w] = self.config.input;
        Input {
            mean: vec![0.5; channels],
            std: vec![self.std; channels],
            ..Input::unnormalized(channels, h, w)
        }
    }

    /// The images.
    pub(super) fn pixels(&self) -> Vec<u8> {
        let len = self.images * self.config.input.iter().product::<usize>();
        (0..len as u32).map(|i| (hashed(255, i) >> 24) as u8).collect()
    }

    /// Compares gradients, and logits of a network that does not train. One with batch
    /// normalisations has taken a step before, of no length, so that its running statistics are
    /// those of the images.
    pub(super) fn errors<B: Backend>(&self, infer: B, train: B, golden: &Golden) -> Result<Errors> {
        let Self { prefix, images, .. } = self;
        let vgg = Vgg::new(&self.config)?;
        let (input, pixels) = (self.input(), self.pixels());
        let labels: Vec<u32> = (3..3 + *images as u32).collect();

        let mut params = params(prefix, &vgg, golden)?;
        let sgd = SgdConfig::plain(0.0);
        let mut trainer = Trainer::new(train, &vgg, &input, &params, *images, sgd, 0)?;
        let boxes = match self.config.task {
            Task::Classification => vec![],
            Task::Localisation { .. } => {
                let boxes = golden.numbers(&format!("{prefix}boxes"));
                boxes.as_chunks().0.iter().copied().map(Some).collect()
            }
        };
        let target = match &boxes[..] {
            [] => Target::Labels(&labels),
            boxes => Target::Boxes { labels: &labels, boxes },
        };
        let (metrics, gradients) = trainer.gradients(&pixels, target)?;
        if self.config.batch_norm {
            trainer.step(&pixels, target, 0.0)?;
            params = trainer.params()?;
        }
        drop(trainer);
        let mut errors = gradient_errors(&gradients, golden, prefix);
        if !boxes.is_empty() {
            let loss = metrics.loss_sum / *images as f32;
            let expected = golden.numbers(&format!("{prefix}loss"));
            errors.push((relative_error(&[loss], expected), "the loss".into()));
        }
        for spec in vgg.state() {
            let (state, name) = (params.get(&spec.name).expect("a statistic"), &spec.name);
            let expected = golden.numbers(&format!("{prefix}state.{name}"));
            errors.push((relative_error(state.data(), expected), name.clone()));
        }
        let (gradient, worst) = errors
            .into_iter()
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .expect("a network has parameters");
        let logits = Session::new(infer, &vgg, &input, params, *images)?.logits(&pixels)?;
        let logits = largest_error(&logits, golden.numbers(&format!("{prefix}logits")));
        Ok(Errors { logits, gradient, worst })
    }
}

/// How far each gradient is off, and its name.
fn gradient_errors(gradients: &Params, golden: &Golden, prefix: &str) -> Vec<(f64, String)> {
    assert_eq!(gradients.iter().count(), golden.names(&format!("{prefix}norm.")).count());
    let error = |(name, gradient): (&str, &Tensor)| {
        let gradient = gradient.data();
        let expected_norm = golden.numbers(&format!("{prefix}norm.{name}"));
        let off = match expected_norm[0] < NOTHING {
            true => {
                let weight = gradients.get(&name.replace(".bias", ".weight")).expect("its weight");
                norm(gradient) / norm(weight.data())
            }
            false => {
                let kept = golden.numbers(&format!("{prefix}sample.{name}"));
                let of_sample = relative_error(&sample(gradient, kept.len()), kept);
                of_sample.max(relative_error(&[norm(gradient) as f32], expected_norm))
            }
        };
        (off, name.to_owned())
    };
    gradients.iter().map(error).collect()
}

/// The largest error, as a share of the largest number.
pub(super) fn largest_error(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let error = |(a, e): (&f32, &f32)| f64::from((a - e).abs());
    actual.iter().zip(expected).map(error).fold(0.0, f64::max) / max_norm(expected)
}
