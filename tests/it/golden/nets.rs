//! Every network: its logits and its gradients.
//!
//! Parameters and pixels follow from a hash, here as in the generator. Narrow networks have so few
//! decisions of ReLU and max-pool that rounding swaps none that matters, as PyTorch's `f32` shows; for
//! those at full size the generator replaces filters, as for `whole_step.rs`.

use std::env;
use std::path::Path;

use vgg_cpu::{Config, Cpu};
use vgg_model::{Arch, Input, ParamSpec, Params, Session, SgdConfig, Trainer, Vgg, VggConfig};
use vgg_tensor::{Backend, Result, Tensor};
use vgg_testkit::Golden;
use vgg_testkit::compare::max_norm;

use super::golden;
use super::whole_step::{hashed, norm, numbers, relative_error, sample};

/// How much more than others these tests allow: up to nineteen layers add up. It is allowed of the
/// largest logit, and of each gradient's norm.
const LAYERS: f64 = 3.0;

/// A network as the generator has it.
struct Net {
    name: &'static str,
    config: VggConfig,
    images: usize,
    std: f32,
}

fn net(name: &'static str, arch: Arch, width: f64, input: [usize; 3], images: usize) -> Net {
    let small = VggConfig { arch, width, input, classes: 10, dropout: 0.0, ..VggConfig::default() };
    let config = match arch {
        Arch::LeNet => small,
        _ => VggConfig { fc_width: 32, ..small },
    };
    Net { name, config, images, std: 1.0 }
}

fn with_avg_pool(net: Net) -> Net {
    Net { config: VggConfig { avg_pool: Some(7), ..net.config }, ..net }
}

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let nets = [
        net("vgg11", Arch::Vgg11, 0.05, [1, 224, 224], 1),
        Net { std: 0.02, ..net("vgg11-lrn", Arch::Vgg11Lrn, 0.05, [1, 64, 96], 2) },
        with_avg_pool(net("vgg13", Arch::Vgg13, 0.05, [1, 96, 64], 2)),
        net("vgg16-c", Arch::Vgg16C, 0.05, [1, 64, 64], 2),
        with_avg_pool(net("vgg16", Arch::Vgg16, 0.05, [1, 160, 96], 2)),
        net("vgg19", Arch::Vgg19, 0.05, [3, 64, 64], 2),
        net("alexnet", Arch::AlexNet, 0.1, [1, 99, 83], 2),
        net("lenet", Arch::LeNet, 1.0, [1, 28, 28], 3),
    ];
    let golden = golden("nets");
    nets.iter().try_for_each(|net| net.check(make(), make(), &golden, error))
}

/// Where `generate.py --wide` wrote its file. It takes gigabytes and minutes, so that only those who
/// set this try the networks at full size.
const WIDE: &str = "VGG_WIDE_GOLDENS";

#[test]
fn at_full_size() -> Result<()> {
    let Some(folder) = env::var_os(WIDE) else { return Ok(()) };
    let golden = Golden::open(Path::new(&folder).join("nets_wide.safetensors"));
    for (name, arch) in [("vgg11", Arch::Vgg11), ("vgg16", Arch::Vgg16)] {
        let config = VggConfig { arch, dropout: 0.0, ..VggConfig::default() };
        let cpu = || Cpu::new(Config::default());
        Net { name, config, images: 1, std: 1.0 }.check(cpu()?, cpu()?, &golden, super::F32)?;
    }
    Ok(())
}

impl Net {
    #[expect(clippy::print_stdout, reason = "how near it is, for whoever asks with --nocapture")]
    fn check<B: Backend>(&self, infer: B, train: B, golden: &Golden, error: f64) -> Result<()> {
        let vgg = Vgg::new(&self.config)?;
        let [channels, h, w] = self.config.input;
        let input = Input {
            mean: vec![0.5; channels],
            std: vec![self.std; channels],
            ..Input::unnormalized(channels, h, w)
        };
        let salts_of = format!("{}.salts.", self.name);
        let parameter = |(i, spec): (usize, &ParamSpec)| {
            let layer = spec.name.rsplit_once('.').map_or("", |(layer, _)| layer);
            let salts = match golden.names(&salts_of).any(|replaced| replaced == layer) {
                true => golden.bytes(&format!("{salts_of}{layer}")),
                false => &vec![0; spec.dims[0]],
            };
            let tensor = Tensor::new(&*spec.dims, numbers(i as u32, spec, salts))?;
            Ok((spec.name.clone(), tensor))
        };
        let tensors = vgg.params().iter().enumerate().map(parameter);
        let params = Params::new(&vgg, tensors.collect::<Result<Vec<_>>>()?)?;
        let images = self.images;
        let len = (images * channels * h * w) as u32;
        let pixels: Vec<u8> = (0..len).map(|i| (hashed(255, i) >> 24) as u8).collect();
        let labels: Vec<u32> = (3..3 + images as u32).collect();
        let expected = |what: &str| golden.numbers(&format!("{}.{what}", self.name));

        let sgd = SgdConfig::plain(0.0);
        let mut trainer = Trainer::new(train, &vgg, &input, &params, images, sgd, 0)?;
        let (_, gradients) = trainer.gradients(&pixels, &labels)?;
        drop(trainer);
        let mut session = Session::new(infer, &vgg, &input, params, images)?;
        let logits = session.logits(&pixels)?;
        let logits_error = largest_error(&logits, expected("logits"));
        assert!(logits_error <= LAYERS * error, "{}: logits off by {logits_error:e}", self.name);

        let names = format!("{}.norm.", self.name);
        assert_eq!(gradients.iter().count(), golden.names(&names).count(), "{}", self.name);
        let mut worst: f64 = 0.0;
        for (name, gradient) in gradients.iter() {
            let kept = expected(&format!("sample.{name}"));
            let of_sample = relative_error(&sample(gradient.data(), kept.len()), kept);
            let of_norm =
                relative_error(&[norm(gradient.data()) as f32], expected(&format!("norm.{name}")));
            let off = of_sample.max(of_norm);
            assert!(off <= LAYERS * error, "{}: {name} is off by {off:e}", self.name);
            worst = worst.max(off);
        }
        println!("{}: logits are off by {logits_error:.1e}, gradients by {worst:.1e}", self.name);
        Ok(())
    }
}

/// The largest error, as a share of the largest number.
fn largest_error(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let error = |(a, e): (&f32, &f32)| f64::from((a - e).abs());
    actual.iter().zip(expected).map(error).fold(0.0, f64::max) / max_norm(expected)
}
