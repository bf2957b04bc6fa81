//! The reference and the CPU against PyTorch and Pillow.
//!
//! `golden/generate.py` says how the numbers were computed. They are exact to `f32`; its runs in
//! `f32` stray from them by up to 1e-6 of the largest number, and so may ours.

use std::path::Path;

use vgg_model::{
    Decay, Input, Metrics, Params, Schedule, Session, SgdConfig, Trainer, Vgg, VggConfig,
};
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn, MaxPool2d, Normalize, PrepareImages};
use vgg_tensor::{Backend, Content, Result, Tensor};
use vgg_testkit::compare::{assert_close, max_norm};
use vgg_testkit::{Golden, Reference};

/// Largest error of a backend in `f32`, as a share of the largest number of a tensor: ten times
/// what PyTorch's own `f32` needs, for Winograd's sake.
const F32: f64 = 1e-5;
/// The same for the reference in `f64`, whose results are rounded to `f32` at the end.
const F64: f64 = 1e-7;

fn golden(name: &str) -> Golden {
    Golden::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name))
}

/// Calls `$check(backend, largest error)` for each backend.
macro_rules! on_each_backend {
    ($check:ident) => {
        mod $check {
            use super::*;

            #[test]
            fn reference_f64() -> Result<()> {
                super::$check(Reference::<f64>::new, F64)
            }

            #[test]
            fn reference_f32() -> Result<()> {
                super::$check(Reference::<f32>::new, F32)
            }

            #[test]
            fn cpu() -> Result<()> {
                let default = vgg_cpu::Config::default();
                super::$check(|| vgg_cpu::Cpu::new(default).expect("a CPU"), F32)
            }
        }
    };
}

on_each_backend!(operations);
on_each_backend!(resize);
on_each_backend!(logits_and_gradients);
on_each_backend!(training);

/// Checks a tensor of a golden file.
fn check(golden: &Golden, name: &str, actual: &[f32], error: f64) {
    let expected = golden.numbers(name);
    assert_close(name, actual, expected, error * max_norm(expected));
}

fn up<B: Backend>(backend: &mut B, content: Content, numbers: &[f32]) -> Result<B::Buffer> {
    let mut buffer = backend.alloc(content)?;
    backend.upload(content, numbers, &mut buffer)?;
    Ok(buffer)
}

fn down<B: Backend>(backend: &mut B, content: Content, buffer: &B::Buffer) -> Result<Vec<f32>> {
    let mut numbers = vec![f32::NAN; content.len()];
    backend.download(content, buffer, &mut numbers)?;
    Ok(numbers)
}

fn operations<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let (golden, mut backend) = (golden("operations.safetensors"), make());
    let convs = [
        ("bias_3x3", 1, ConvEpilogue::Bias),
        ("bias_1x1", 0, ConvEpilogue::Bias),
        ("relu_3x3", 1, ConvEpilogue::BiasRelu),
        ("relu_5x5", 0, ConvEpilogue::BiasRelu),
        ("relu_ties", 1, ConvEpilogue::BiasRelu),
        ("pool_3x3", 1, ConvEpilogue::BiasReluMaxPool),
        ("pool_ties", 1, ConvEpilogue::BiasReluMaxPool),
    ];
    for (name, padding, epilogue) in convs {
        conv2d(&mut backend, &golden, name, padding, epilogue, error)?;
    }
    for name in ["linear.relu", "linear.relu_ties"] {
        linear(&mut backend, &golden, name, error)?;
    }
    for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
        max_pool2d(&mut backend, &golden, kernel, stride)?;
    }
    for channels in [3, 9] {
        lrn(&mut backend, &golden, &format!("lrn.{channels}"), error)?;
    }
    Ok(())
}

fn conv2d<B: Backend>(
    backend: &mut B,
    golden: &Golden,
    name: &str,
    padding: usize,
    epilogue: ConvEpilogue,
    error: f64,
) -> Result<()> {
    let of = |tensor: &str| format!("conv2d.{name}.{tensor}");
    let [c_out, _, kernel, _] = *golden.dims(&of("weight")) else { panic!("a weight has 4 dims") };
    let op = Conv2d::new(golden.shape(&of("x")), c_out, kernel, padding, epilogue)?;
    let (x_maps, y_maps) = (Content::Maps(op.x()), Content::Maps(op.y()));
    let vector = Content::Vector(c_out);
    let x = up(backend, x_maps, golden.numbers(&of("x")))?;
    let weight = up(backend, op.weight(), golden.numbers(&of("weight")))?;
    let bias = up(backend, vector, golden.numbers(&of("bias")))?;
    let dy = up(backend, y_maps, golden.numbers(&of("dy")))?;
    let (mut y, mut dx) = (backend.alloc(y_maps)?, backend.alloc(x_maps)?);
    let (mut dw, mut db) = (backend.alloc(op.weight())?, backend.alloc(vector)?);
    let mut aux = backend.alloc(Content::Bytes(op.aux_bytes()))?;
    backend.conv2d(&op, &x, &weight, &bias, &mut y, Some(&mut aux))?;
    backend.conv2d_backward(&op, &x, &weight, &dy, &aux, &mut dw, &mut db, Some(&mut dx))?;
    check(golden, &of("y"), &down(backend, y_maps, &y)?, error);
    check(golden, &of("dx"), &down(backend, x_maps, &dx)?, error);
    check(golden, &of("dweight"), &down(backend, op.weight(), &dw)?, error);
    check(golden, &of("dbias"), &down(backend, vector, &db)?, error);
    Ok(())
}

fn linear<B: Backend>(backend: &mut B, golden: &Golden, name: &str, error: f64) -> Result<()> {
    let of = |tensor: &str| format!("{name}.{tensor}");
    let outputs = golden.dims(&of("bias"))[0];
    let op = Linear::new(golden.shape(&of("x")), outputs, LinearEpilogue::BiasRelu)?;
    let (x_maps, y_maps) = (Content::Maps(op.x()), Content::Maps(op.y()));
    let vector = Content::Vector(outputs);
    let x = up(backend, x_maps, golden.numbers(&of("x")))?;
    let weight = up(backend, op.weight(), golden.numbers(&of("weight")))?;
    let bias = up(backend, vector, golden.numbers(&of("bias")))?;
    let dy = up(backend, y_maps, golden.numbers(&of("dy")))?;
    let (mut y, mut dx) = (backend.alloc(y_maps)?, backend.alloc(x_maps)?);
    let (mut dw, mut db) = (backend.alloc(op.weight())?, backend.alloc(vector)?);
    let mut aux = backend.alloc(Content::Bytes(op.aux_bytes()))?;
    backend.linear(&op, &x, &weight, &bias, &mut y, Some(&mut aux))?;
    backend.linear_backward(&op, &x, &weight, &dy, &aux, &mut dw, &mut db, Some(&mut dx))?;
    check(golden, &of("y"), &down(backend, y_maps, &y)?, error);
    check(golden, &of("dx"), &down(backend, x_maps, &dx)?, error);
    check(golden, &of("dweight"), &down(backend, op.weight(), &dw)?, error);
    check(golden, &of("dbias"), &down(backend, vector, &db)?, error);
    Ok(())
}

/// With ties in most windows, and exact.
fn max_pool2d<B: Backend>(
    backend: &mut B,
    golden: &Golden,
    kernel: usize,
    stride: usize,
) -> Result<()> {
    let of = |tensor: &str| format!("max_pool2d.{kernel}_{stride}.{tensor}");
    let op = MaxPool2d::new(golden.shape(&of("x")), kernel, stride)?;
    let (x_maps, y_maps) = (Content::Maps(op.x()), Content::Maps(op.y()));
    let x = up(backend, x_maps, golden.numbers(&of("x")))?;
    let dy = up(backend, y_maps, golden.numbers(&of("dy")))?;
    let (mut y, mut dx) = (backend.alloc(y_maps)?, backend.alloc(x_maps)?);
    let mut aux = backend.alloc(Content::Bytes(op.aux_bytes()))?;
    backend.max_pool2d(&op, &x, &mut y, Some(&mut aux))?;
    backend.max_pool2d_backward(&op, &dy, &aux, &mut dx)?;
    check(golden, &of("y"), &down(backend, y_maps, &y)?, 0.0);
    check(golden, &of("dx"), &down(backend, x_maps, &dx)?, 0.0);
    Ok(())
}

fn lrn<B: Backend>(backend: &mut B, golden: &Golden, name: &str, error: f64) -> Result<()> {
    let of = |tensor: &str| format!("{name}.{tensor}");
    let op = Lrn::new(golden.shape(&of("x")))?;
    let maps = Content::Maps(op.x());
    let x = up(backend, maps, golden.numbers(&of("x")))?;
    let dy = up(backend, maps, golden.numbers(&of("dy")))?;
    let (mut y, mut dx) = (backend.alloc(maps)?, backend.alloc(maps)?);
    backend.lrn(&op, &x, &mut y)?;
    backend.lrn_backward(&op, &x, &dy, &mut dx)?;
    check(golden, &of("y"), &down(backend, maps, &y)?, error);
    check(golden, &of("dx"), &down(backend, maps, &dx)?, error);
    Ok(())
}

/// Bytes are the same as Pillow's.
fn resize<B: Backend>(make: impl Fn() -> B, _error: f64) -> Result<()> {
    let (golden, mut backend) = (golden("resize.safetensors"), make());
    for set in ["fashion", "noise", "checks"] {
        let source = format!("{set}.source");
        let prefix = format!("{set}.");
        for size in golden.names(&prefix).filter(|name| *name != "source") {
            let target = format!("{prefix}{size}");
            let to = golden.shape(&target);
            // Of the largest size, only the first image is kept.
            let from = vgg_tensor::Shape { n: to.n, ..golden.shape(&source) };
            let op = PrepareImages::new(from, to.h, to.w)?;
            let mut pixels = backend.alloc(Content::Bytes(from.len()))?;
            backend.upload_bytes(&golden.bytes(&source)[..from.len()], &mut pixels)?;
            let mut x = backend.alloc(Content::Maps(to))?;
            backend.prepare_images(&op, &Normalize::identity(to.c), &pixels, &mut x)?;
            let expected = golden.bytes(&target).iter().map(|byte| f32::from(*byte) / 255.0);
            let expected: Vec<f32> = expected.collect();
            assert_close(&target, &down(&mut backend, Content::Maps(to), &x)?, &expected, 0.0);
        }
    }
    Ok(())
}

/// The small VGG-11, its twelve images and its labels.
struct SmallVgg {
    golden: Golden,
    vgg: Vgg,
    input: Input,
    initial: Params,
    labels: Vec<u32>,
}

const BATCH: usize = 8;
const LR: f32 = 1.0 / 16.0;
const IMAGE: usize = 32 * 32;

impl SmallVgg {
    fn new() -> Result<Self> {
        let golden = golden("vgg11.safetensors");
        let vgg = Vgg::new(&VggConfig {
            width: 0.05,
            input: [1, 32, 32],
            classes: 10,
            fc_width: 32,
            dropout: 0.0,
            ..VggConfig::default()
        })?;
        let named = |name: &str| {
            let tensor = format!("initial.{name}");
            Tensor::new(golden.dims(&tensor), golden.numbers(&tensor).to_vec())
                .map(|tensor| (name.to_owned(), tensor))
        };
        let tensors = golden.names("initial.").map(named).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            initial: Params::new(&vgg, tensors)?,
            input: Input {
                mean: vec![0.2860],
                std: vec![0.3530],
                ..Input::unnormalized(1, 32, 32)
            },
            labels: golden.bytes("labels").iter().map(|label| u32::from(*label)).collect(),
            vgg,
            golden,
        })
    }

    fn pixels(&self) -> &[u8] {
        self.golden.bytes("pixels")
    }

    fn trainer<B: Backend>(&self, backend: B, sgd: SgdConfig) -> Result<Trainer<B>> {
        Trainer::new(backend, &self.vgg, &self.input, &self.initial, BATCH, sgd, 0)
    }
}

fn logits_and_gradients<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let small = SmallVgg::new()?;
    let (pixels, labels) = (&small.pixels()[..BATCH * IMAGE], &small.labels[..BATCH]);
    let mut session = Session::new(make(), &small.vgg, &small.input, &small.initial, BATCH)?;
    check(&small.golden, "logits", &session.logits(pixels)?, error);

    let mut trainer = small.trainer(make(), SgdConfig::plain(LR))?;
    check(&small.golden, "logits", &trainer.logits(pixels)?, error);
    let (Metrics { loss_sum, .. }, gradients) = trainer.gradients(pixels, labels)?;
    check(&small.golden, "loss", &[loss_sum / BATCH as f32], error);
    assert_eq!(gradients.iter().count(), small.golden.names("gradient.").count());
    for (name, gradient) in gradients.iter() {
        check(&small.golden, &format!("gradient.{name}"), gradient.data(), error);
    }
    Ok(())
}

/// Ten steps, every other one on a short batch, with each kind of SGD.
fn training<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let small = SmallVgg::new()?;
    let plain = SgdConfig::plain(LR);
    let runs = [
        ("plain", plain),
        ("momentum", SgdConfig { momentum: 0.875, ..plain }),
        ("weight_decay", SgdConfig { weight_decay: 1.0 / 256.0, ..plain }),
        (
            "nesterov",
            SgdConfig { lr: LR, momentum: 0.875, nesterov: true, weight_decay: 1.0 / 256.0 },
        ),
    ];
    for (run, sgd) in runs {
        let mut trainer = small.trainer(make(), sgd)?;
        let mut losses = Vec::new();
        for step in 0..10 {
            let images = if step % 2 == 0 { 0..BATCH } else { BATCH..small.labels.len() };
            let labels = &small.labels[images.clone()];
            let pixels = &small.pixels()[images.start * IMAGE..images.end * IMAGE];
            losses.push(trainer.step(pixels, labels, LR)?.loss_sum / labels.len() as f32);
        }
        check(&small.golden, &format!("losses.{run}"), &losses, error);
        if run == "nesterov" {
            for (name, weight) in trainer.params()?.iter() {
                check(&small.golden, &format!("final.{run}.{name}"), weight.data(), error);
            }
        }
    }
    Ok(())
}

#[test]
fn schedules() {
    let golden = golden("schedules.safetensors");
    let check_schedule = |name: &str, schedule: Schedule| {
        let lrs: Vec<f32> = (0..40).map(|step| schedule.lr(0.4, step, 5, 40)).collect();
        check(&golden, name, &lrs, F64);
    };
    let step = Decay::Step { every_epochs: 3, factor: 0.1 };
    check_schedule("step", Schedule { decay: step, warmup_steps: 0 });
    let cosine = Decay::Cosine { min_lr: 0.01 };
    check_schedule("warmup_cosine", Schedule { decay: cosine, warmup_steps: 6 });
}
