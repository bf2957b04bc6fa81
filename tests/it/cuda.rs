//! Training on CUDA: beside the CPU, recorded, interrupted, and in half precision.

use vgg_cpu::Cpu;
use vgg_cuda::{Config, Cuda, Precision, roofline};
use vgg_model::{
    AdamWConfig, Arch, BiasInit, Group, Init, Input, Metrics, Mode, Params, Plan, Recipe, Session,
    SgdConfig, Target, Trainer, Vgg, VggConfig, WeightInit,
};
use vgg_tensor::spec::WeightType;
use vgg_tensor::{Backend, Result};
use vgg_testkit::compare::{assert_close, max_norm};
use vgg_testkit::inputs;

use crate::golden::whole_step::relative_error;
use crate::one_by_one::OneByOne;
use crate::simulated::{has_gpu, make, on_cuda};

pub(crate) const BATCH: usize = 6;
pub(crate) const IMAGE: usize = 16 * 16;

fn config(precision: Precision) -> Config {
    Config { precision, deterministic: true, ..Config::default() }
}

/// A loss scale with which this network's gradients do not overflow, unlike with the first one.
const SMALL_SCALE: f32 = 64.0;

/// The state of a backend in `f16`. Others ignore it.
fn loss_scale(scale: f32) -> [u32; 5] {
    [scale.to_bits(), scale.recip().to_bits(), 0, 0, 0]
}

pub(crate) fn network(dropout: f32, batch_norm: bool) -> (Vgg, Input, Params) {
    let config = VggConfig {
        batch_norm,
        width: 0.1,
        input: [1, 32, 32],
        classes: 3,
        fc_width: 24,
        dropout,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config).expect("a network");
    let init = Init { weights: WeightInit::KaimingNormal, biases: BiasInit::Torch };
    let params = Params::init(&vgg, &init, 5).unwrap();
    (vgg, Input { mean: vec![0.5], std: vec![0.25], ..Input::unnormalized(1, 16, 16) }, params)
}

fn trainer<B: Backend>(backend: B, dropout: f32, momentum: f32) -> Result<Trainer<B>> {
    trainer_of(network(dropout, false), backend, momentum)
}

fn normed_trainer<B: Backend>(backend: B) -> Result<Trainer<B>> {
    trainer_of(network(0.5, true), backend, 0.9)
}

fn trainer_of<B: Backend>(
    (vgg, input, params): (Vgg, Input, Params),
    backend: B,
    momentum: f32,
) -> Result<Trainer<B>> {
    let sgd = SgdConfig { lr: 0.01, momentum, weight_decay: 1e-3, nesterov: false };
    Trainer::new(backend, &vgg, &input, &params, BATCH, sgd, 42)
}

on_cuda! {
    /// On a real GPU, which algorithms there are is cuDNN's business. The simulated one has some that
    /// were not the fastest.
    fn algorithms_are_measured_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("algorithms.txt");
        let tuned = Config {
            autotune: Some(file.clone()),
            deterministic: false,
            ..config(Precision::F32)
        };
        let mut first = trainer(make(tuned.clone()), 0.0, 0.0)?;
        train(&mut first, 0..1)?;
        let measured = std::fs::read_to_string(&file).expect("what was measured is kept");
        // Of eight convolutions the first is not cuDNN's, and the last two are alike.
        assert_eq!(measured.lines().count(), 3 * 6, "{measured}");
        let [name, version] = gpu_and_cudnn()?;
        let setting = format!("{name}, cuDNN {version}, f32");
        assert!(measured.lines().all(|line| line.starts_with(&setting)), "{setting}: {measured}");
        // What is remembered is used.
        let other = match &*name {
            "Simulated GPU" => measured.replace("FILTER_ALGO_0", "FILTER_ALGO_1"),
            _ => measured,
        };
        std::fs::write(&file, &other).expect("the file can be written");
        let mut second = trainer(make(tuned), 0.0, 0.0)?;
        train(&mut second, 0..1)?;
        assert_eq!(std::fs::read_to_string(&file).expect("the file is there"), other);
        for ((name, first), (_, second)) in first.params()?.iter().zip(second.params()?.iter()) {
            assert_close(name, first.data(), second.data(), 1e-6 * max_norm(second.data()));
        }
    }
}

/// What the file of measured algorithms names.
fn gpu_and_cudnn() -> Result<[String; 2]> {
    let [_, cudnn, _] = vgg_cuda::libraries();
    Ok([vgg_cuda::find(0, Precision::F32)?.name, cudnn.version.expect("cuDNN is used")])
}

on_cuda! {
    /// cuDNN counts the numbers of a map with 31 bits. Here those are the maps of full width before
    /// the second pool, 128 × 112 × 112 numbers of an image, or, of colour images where no kernel of ours
    /// computes the first stage, before the first. Of a narrow VGG-13, they are those of 64 channels in
    /// the third stage, or where none of its convolutions is ours, of 16 in the first.
    fn the_largest_batches_that_cudnn_takes() {
        let cuda = |precision| make(config(precision));
        let (ours, cudnn) = (cuda(Precision::Bf16), cuda(Precision::F32));
        let full = VggConfig::default();
        let narrow = VggConfig { arch: Arch::Vgg13, width: 0.25, ..VggConfig::default() };
        let fits = |cuda: &Cuda, config: &VggConfig, channels: usize, batch: usize, mode: &Mode| {
            let input = [channels, 224, 224];
            let vgg = Vgg::new(&VggConfig { input, ..config.clone() }).expect("a network");
            let input = Input::unnormalized(channels, 28, 28);
            let plan = Plan::new(&vgg, &input, batch, mode.clone());
            plan.expect("a plan").check_on(cuda).is_ok()
        };
        let infer = Mode::Infer { linear_weights: WeightType::F32 };
        for mode in [Mode::Train(SgdConfig::plain(0.1).into()), infer] {
            for (cuda, config, channels, most) in [
                (&ours, &full, 1, 1337),
                (&ours, &full, 3, 1337),
                (&cudnn, &full, 3, 668),
                (&ours, &narrow, 1, 10_699),
                (&ours, &narrow, 3, 10_699),
                (&cudnn, &narrow, 1, 2674),
            ] {
                let more = most + 1;
                assert!(fits(cuda, config, channels, most, &mode), "{most} images of {channels}");
                assert!(!fits(cuda, config, channels, more, &mode), "{more} images of {channels}");
            }
        }
    }
}

/// The images of a step, whose stripes tell the class. Every third batch is short.
pub(crate) fn batch(step: u64) -> (Vec<u8>, Vec<u32>) {
    let n = if step % 3 == 2 { BATCH - 2 } else { BATCH };
    let labels: Vec<u32> = (0..n as u32).map(|i| (i + step as u32) % 3).collect();
    let noise = inputs::bytes(step, n * IMAGE);
    let pixel = |(i, noise): (usize, &u8)| match i % 16 / (labels[i / IMAGE] as usize + 1) % 2 {
        0 => 255 - noise / 8,
        _ => noise / 4,
    };
    (noise.iter().enumerate().map(pixel).collect(), labels)
}

/// The rate changes from step to step, as in a warm-up.
pub(crate) fn lr(step: u64) -> f32 {
    0.001 + 0.0002 * step as f32
}

fn train<B: Backend>(
    trainer: &mut Trainer<B>,
    steps: std::ops::Range<u64>,
) -> Result<Vec<Metrics>> {
    steps
        .map(|step| {
            let (pixels, labels) = batch(step);
            trainer.step(&pixels, &labels, lr(step))
        })
        .collect()
}

fn losses(metrics: &[Metrics]) -> Vec<f32> {
    metrics.iter().map(|metrics| metrics.loss_sum).collect()
}

pub(crate) fn bits(params: &Params) -> Vec<u32> {
    params.iter().flat_map(|(_, tensor)| tensor.data()).map(|x| x.to_bits()).collect()
}

on_cuda! {
    /// With dropout, momentum and weight decay. After more steps, any rounding makes another run.
    fn losses_are_those_of_the_cpu() {
        let mut cpu = trainer(Cpu::new(vgg_cpu::Config::default())?, 0.5, 0.9)?;
        let expected = losses(&train(&mut cpu, 0..5)?);
        let errors = [
            (Precision::F32, 1e-6),
            (Precision::Tf32, 1e-2),
            (Precision::F16, 1e-2),
            (Precision::Bf16, 5e-2),
        ];
        for (precision, error) in errors {
            let mut cuda = trainer(make(config(precision)), 0.5, 0.9)?;
            cuda.restore_backend(&loss_scale(SMALL_SCALE))?;
            let actual = losses(&train(&mut cuda, 0..5)?);
            assert_close(precision.name(), &actual, &expected, error * max_norm(&expected));
        }
    }
}

/// On Turing, whose tensor cores our kernels do not use, and where nobody wants them to be used.
#[test]
fn losses_are_those_of_the_cpu_without_our_matrix_products() -> Result<()> {
    let test = concat!(module_path!(), "::losses_are_those_of_the_cpu_without_our_matrix_products");
    for setting in [("VGG_SIMULATED_CAPABILITY", "7.5"), ("VGG_CUDA_KERNELS", "cudnn")] {
        if has_gpu(test, &[setting]) {
            let mut cpu = trainer(Cpu::new(vgg_cpu::Config::default())?, 0.5, 0.9)?;
            let expected = losses(&train(&mut cpu, 0..2)?);
            let mut cuda = trainer(make(config(Precision::F16)), 0.5, 0.9)?;
            cuda.restore_backend(&loss_scale(SMALL_SCALE))?;
            let actual = losses(&train(&mut cuda, 0..2)?);
            assert_close("f16", &actual, &expected, 1e-2 * max_norm(&expected));
        }
    }
    Ok(())
}

fn is_conv_bias(params: &Params, name: &str) -> bool {
    let weight = name.strip_suffix("bias").map(|layer| format!("{layer}weight"));
    weight.and_then(|weight| params.get(&weight)).is_some_and(|weight| weight.dims().len() == 4)
}

on_cuda! {
    /// What the scale multiplies, and what divides by it again.
    fn the_loss_scale_does_not_change_gradients() {
        let (pixels, labels) = batch(0);
        for batch_norm in [false, true] {
            let network = network(0.0, batch_norm);
            let mut trainer = trainer_of(network, make(config(Precision::F16)), 0.0)?;
            let mut gradients = |scale: f32| -> Result<Params> {
                trainer.restore_backend(&loss_scale(scale))?;
                Ok(trainer.gradients(&pixels, &labels)?.1)
            };
            let (with, without) = (gradients(SMALL_SCALE)?, gradients(1.0)?);
            for ((name, scaled), (_, plain)) in with.iter().zip(without.iter()) {
                if batch_norm && is_conv_bias(&with, name) {
                    continue; // A normalisation takes it away again: its gradient is rounding.
                }
                // Small numbers are more exact with the scale.
                assert_close(name, scaled.data(), plain.data(), 2e-2 * max_norm(plain.data()));
            }
        }
    }
}

on_cuda! {
    /// Nor the loss scale that they are computed with.
    fn gradients_between_steps_change_no_step() {
        for precision in [Precision::F32, Precision::F16] {
            let mut plain = trainer(make(config(precision)), 0.5, 0.9)?;
            let mut asked = trainer(make(config(precision)), 0.5, 0.9)?;
            for step in 0..5 {
                let (pixels, labels) = batch(step);
                asked.gradients(&pixels, &labels)?;
                let (a, b) = (train(&mut asked, step..step + 1)?, train(&mut plain, step..step + 1)?);
                assert_eq!(a, b, "{}", precision.name());
            }
            assert!(bits(&asked.params()?) == bits(&plain.params()?), "{}", precision.name());
            assert_eq!(asked.backend_state()?, plain.backend_state()?);
        }
    }
}

on_cuda! {
    fn recorded_steps_are_the_same_to_the_bit() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let mut recorded = trainer(make(config(precision)), 0.5, 0.9)?;
            let mut ordered = trainer(OneByOne(make(config(precision))), 0.5, 0.9)?;
            let (a, b) = (train(&mut recorded, 0..9)?, train(&mut ordered, 0..9)?);
            assert_eq!(a, b, "{}", precision.name());
            assert!(bits(&recorded.params()?) == bits(&ordered.params()?));
            // Logits come of another program in the same buffers.
            let (pixels, _) = batch(0);
            assert_eq!(recorded.logits(&pixels)?, ordered.logits(&pixels)?);
            train(&mut recorded, 9..11)?;
            train(&mut ordered, 9..11)?;
            assert!(bits(&recorded.params()?) == bits(&ordered.params()?));
        }
    }
}

on_cuda! {
    /// Micro-batches, clipped gradients, an EMA, smooth and mixed targets.
    fn a_recipe_is_that_of_the_cpu_and_recorded() {
        fn run<B: Backend>(backend: B) -> Result<(Vec<Metrics>, Params, Params)> {
            let (vgg, input, params) = network(0.5, true);
            let recipe = Recipe {
                micro_batches: 2,
                clip_norm: Some(0.5),
                ema_decay: Some(0.8),
                label_smoothing: 0.1,
                class_weights: vec![0.5, 1.0, 2.0],
                mixes: true,
                ..SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.01) }.into()
            };
            let mut trainer = Trainer::new(backend, &vgg, &input, &params, BATCH, recipe, 42)?;
            let mut metrics = Vec::new();
            for step in 0..5 {
                let (pixels, labels) = batch(step);
                let mix: Vec<_> = labels.iter().map(|label| ((label + 1) % 3, 0.25)).collect();
                trainer.submit(&pixels, Target::mixed(&labels, &mix), lr(step))?;
                metrics.extend(trainer.next_metrics(true)?);
            }
            let ema = trainer.ema()?.expect("the recipe keeps one");
            Ok((metrics, trainer.params()?, ema))
        }
        let (expected, _, cpus_ema) = run(Cpu::new(vgg_cpu::Config::default())?)?;
        for precision in [Precision::F32, Precision::Bf16] {
            let (metrics, params, ema) = run(make(config(precision)))?;
            let ordered = run(OneByOne(make(config(precision))))?;
            assert_eq!(metrics, ordered.0, "{}", precision.name());
            assert!(bits(&params) == bits(&ordered.1) && bits(&ema) == bits(&ordered.2));
            if precision == Precision::F32 {
                let (losses, expected) = (losses(&metrics), losses(&expected));
                assert_close("losses", &losses, &expected, 1e-5 * max_norm(&expected));
                for ((name, ours), (_, cpus)) in ema.iter().zip(cpus_ema.iter()) {
                    assert_close(name, ours.data(), cpus.data(), 1e-4 * max_norm(cpus.data()));
                }
            }
        }
    }
}

on_cuda! {
    fn steps_can_be_submitted_ahead() {
        let mut waiting = trainer(make(config(Precision::F32)), 0.5, 0.0)?;
        let expected = train(&mut waiting, 0..7)?;
        let mut ahead = trainer(make(config(Precision::F32)), 0.5, 0.0)?;
        let mut metrics = Vec::new();
        for step in 0..7 {
            let (pixels, labels) = batch(step);
            ahead.submit(&pixels, &labels, lr(step))?;
            metrics.extend(ahead.next_metrics(ahead.in_flight() > 3)?);
        }
        while let Some(next) = ahead.next_metrics(true)? {
            metrics.push(next);
        }
        assert_eq!(metrics, expected);
        assert_eq!((ahead.in_flight(), ahead.steps()), (0, 7));
        assert!(bits(&ahead.params()?) == bits(&waiting.params()?));
    }
}

on_cuda! {
    fn an_interrupted_run_goes_on_to_the_bit() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let make = || trainer(make(config(precision)), 0.5, 0.9);
            goes_on_to_the_bit(make).unwrap_or_else(|error| panic!("{}: {error}", precision.name()));
        }
    }
}

on_cuda! {
    /// In f16 the first steps overflow: they do not count.
    fn an_interrupted_run_of_adamw_goes_on_to_the_bit() {
        for precision in [Precision::F32, Precision::F16] {
            let make = || {
                let (vgg, input, params) = network(0.5, true);
                let recipe = Recipe {
                    ema_decay: Some(0.8),
                    groups: vec![Group {
                        layers: "features".into(),
                        lr: 0.5,
                        weight_decay: Some(0.1),
                    }],
                    ..AdamWConfig { weight_decay: 0.01, ..AdamWConfig::usual(0.01) }.into()
                };
                let backend = make(config(precision));
                Trainer::new(backend, &vgg, &input, &params, BATCH, recipe, 42)
            };
            goes_on_to_the_bit(make).unwrap_or_else(|error| panic!("{}: {error}", precision.name()));
        }
    }
}

/// Checks that training that is interrupted after five steps goes on as if it had not been.
fn goes_on_to_the_bit(make: impl Fn() -> Result<Trainer<Cuda>>) -> Result<()> {
    let mut whole = make()?;
    train(&mut whole, 0..8)?;

    let mut first = make()?;
    train(&mut first, 0..5)?;
    let (params, moments, ema) = (first.params()?, first.moments()?, first.ema()?);
    let (state, steps) = (first.backend_state()?, first.steps());
    drop(first);
    let mut second = make()?;
    second.restore(&params, &moments, steps)?;
    ema.iter().try_for_each(|ema| second.restore_ema(ema))?;
    second.restore_backend(&state)?;
    train(&mut second, 5..8)?;
    assert!(bits(&second.params()?) == bits(&whole.params()?));
    assert_eq!(second.moments()?, whole.moments()?);
    assert_eq!(second.ema()?, whole.ema()?);
    assert_eq!(second.backend_state()?, whole.backend_state()?);
    Ok(())
}

on_cuda! {
    fn weights_move_between_cpu_and_cuda() {
        let mut cuda = trainer(make(config(Precision::F32)), 0.0, 0.9)?;
        train(&mut cuda, 0..3)?;
        let mut cpu = trainer(Cpu::new(vgg_cpu::Config::default())?, 0.0, 0.9)?;
        cpu.restore(&cuda.params()?, &cuda.moments()?, cuda.steps())?;
        assert!(bits(&cpu.params()?) == bits(&cuda.params()?));
        let (pixels, _) = batch(1);
        let (on_cpu, on_cuda) = (cpu.logits(&pixels)?, cuda.logits(&pixels)?);
        assert_close("logits", &on_cuda, &on_cpu, 1e-5 * max_norm(&on_cpu));
        // And back.
        train(&mut cpu, 3..5)?;
        cuda.restore(&cpu.params()?, &cpu.moments()?, cpu.steps())?;
        let (on_cpu, on_cuda) = (losses(&train(&mut cpu, 5..6)?), losses(&train(&mut cuda, 5..6)?));
        assert_close("loss", &on_cuda, &on_cpu, 1e-5 * max_norm(&on_cpu));
    }
}

on_cuda! {
    /// The larger scale makes gradients of logits infinite.
    fn a_loss_scale_that_overflows_comes_down_and_training_learns() {
        let mut trainer = trainer(make(config(Precision::F16)), 0.0, 0.0)?;
        let scale = |trainer: &mut Trainer<Cuda>| {
            trainer.backend_state().map(|state| f32::from_bits(state[0]))
        };
        assert_eq!(scale(&mut trainer)?, 65536.0);
        let too_large = (1 << 20) as f32;
        trainer.restore_backend(&loss_scale(too_large))?;
        let metrics = train(&mut trainer, 0..30)?;
        let scale = scale(&mut trainer)?;
        assert!((1.0..too_large).contains(&scale), "{scale}");
        let mean = |metrics: &[Metrics]| losses(metrics).iter().sum::<f32>();
        assert!(mean(&metrics[24..]) < 0.8 * mean(&metrics[..6]), "{metrics:?}");
    }
}

on_cuda! {
    /// Some of them in programs that were recorded, short batches among them.
    fn heatmaps_are_those_of_the_cpu_and_recorded() {
        fn heatmaps<B: Backend>(backend: B) -> Result<Vec<f32>> {
            let (vgg, input, params) = network(0.5, true);
            let mut session = Session::new(backend, &vgg, &input, params, BATCH)?;
            let mut values = Vec::new();
            for step in 0..6 {
                let (pixels, classes) = batch(step);
                session.logits(&pixels)?;
                let maps = session.grad_cam(&pixels, &classes)?;
                values.extend(maps.into_iter().flat_map(|map| map.values));
            }
            Ok(values)
        }
        let expected = heatmaps(Cpu::new(vgg_cpu::Config::default())?)?;
        // Where less is exact, some of a ReLU's and a pool's decisions are other ones.
        let halves = [Precision::Tf32, Precision::F16, Precision::Bf16].map(|low| (low, 0.1));
        for (precision, error) in [(Precision::F32, 1e-5)].into_iter().chain(halves) {
            let recorded = heatmaps(make(config(precision)))?;
            let ordered = heatmaps(OneByOne(make(config(precision))))?;
            assert_eq!(recorded, ordered, "{}", precision.name());
            let off = relative_error(&recorded, &expected);
            assert!(off <= error, "{} is off by {off:e}", precision.name());
        }
    }
}

on_cuda! {
    fn the_roofs_are_measured() {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::F16] {
            let mut cuda = make(config(precision));
            let copy = roofline::copy_bandwidth(&mut cuda, 1 << 12)?;
            let product = roofline::product_rate(&mut cuda, 16)?;
            assert!(copy > 0.0 && copy.is_finite(), "{copy}");
            assert!(product > 0.0 && product.is_finite(), "{product}");
        }
    }
}

on_cuda! {
    fn batch_normalisations_train_as_on_the_cpu_and_are_recorded() {
        let mut cpu = normed_trainer(Cpu::new(vgg_cpu::Config::default())?)?;
        let expected = losses(&train(&mut cpu, 0..4)?);
        let errors = [(Precision::F32, 1e-5), (Precision::F16, 5e-2), (Precision::Bf16, 2e-1)];
        for (precision, error) in errors {
            let mut recorded = normed_trainer(make(config(precision)))?;
            let mut ordered = normed_trainer(OneByOne(make(config(precision))))?;
            recorded.restore_backend(&loss_scale(SMALL_SCALE))?;
            ordered.restore_backend(&loss_scale(SMALL_SCALE))?;
            let actual = losses(&train(&mut recorded, 0..4)?);
            assert_close(precision.name(), &actual, &expected, error * max_norm(&expected));
            train(&mut ordered, 0..4)?;
            // Running statistics among them: a step changes these once, however often it is tried.
            train(&mut recorded, 4..9)?;
            train(&mut ordered, 4..9)?;
            assert!(bits(&recorded.params()?) == bits(&ordered.params()?), "{}", precision.name());
            let (pixels, _) = batch(0);
            assert_eq!(recorded.logits(&pixels)?, ordered.logits(&pixels)?);
        }
    }
}
