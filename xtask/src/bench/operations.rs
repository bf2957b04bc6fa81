//! The operations that are limited by memory: time, and bytes a second of those that must move.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use vgg_tensor::spec::{AdamW, Lrn, MaxPool2d, Normalize, PrepareImages, Sgd, SoftmaxCrossEntropy};
use vgg_tensor::{BufferId, Command, Content, In, InOut, Optimizer, Out, Scalars, Shape};

use super::buffers::{Buffers, moved};
use super::case::Net;
use super::clock::Clock;
use super::device::{Measurable, Roofs};
use super::statistics::Repeat;
use super::table::{Table, percent};
use crate::status;

/// The operations with the sizes of a network at a batch size.
#[derive(Serialize)]
pub(super) struct Operations {
    net: String,
    batch: usize,
    operations: Vec<Operation>,
}

#[derive(Serialize)]
struct Operation {
    name: String,
    ms: f64,
    /// Inputs read once and outputs written once.
    bytes: u64,
    gb_per_s: f64,
    of_copy: f64,
}

/// Times each operation with the sizes it has in `net`. Max-pool (fused into the convolutions) and
/// response normalisation (which no network here has) work on the first pool's output.
pub(super) fn measure<B: Measurable>(
    backend: &mut B,
    roofs: &Roofs,
    net: Net,
    batch: usize,
) -> Result<Operations> {
    let vgg = net.vgg()?;
    let [channels, h, w] = vgg.config().input;
    let first_maps = vgg.params()[0].content;
    let Content::ConvWeight { c_out, .. } = first_maps else {
        unreachable!("a VGG network begins with a convolution")
    };
    let clock = Clock::new(backend)?;
    let mut bench = Bench { backend, clock, roofs, operations: Vec::new() };
    bench.prepare_images(Shape::new(batch, channels, 28, 28), h, w)?;
    bench.max_pool2d(Shape::new(batch, c_out, h / 2, w / 2))?;
    bench.lrn(Shape::new(batch, c_out, h / 2, w / 2))?;
    bench.dropout(Shape::flat(batch, vgg.config().fc_width), vgg.config().dropout)?;
    bench.softmax_cross_entropy(batch, vgg.config().classes)?;
    bench.optimizers(vgg.param_count())?;
    Ok(Operations { net: net.to_string(), batch, operations: bench.operations })
}

struct Bench<'a, B: Measurable> {
    backend: &'a mut B,
    clock: Clock<B>,
    roofs: &'a Roofs,
    operations: Vec<Operation>,
}

impl<B: Measurable> Bench<'_, B> {
    fn add(&mut self, name: String, buffers: &mut Buffers<B>, command: &Command) -> Result<()> {
        status("Measuring", &name);
        let (clock, backend) = (&self.clock, &mut *self.backend);
        let mut executable = buffers.compile(backend, command)?;
        let scalars = Scalars { lr: 1e-3, step: 0 };
        let run = || Ok(clock.time(backend, &mut executable, scalars)?);
        let seconds = Repeat::OPERATION.median(run)?.as_secs_f64();
        let bytes = moved(self.backend, command);
        let gb_per_s = bytes as f64 / seconds / 1e9;
        let of_copy = gb_per_s / self.roofs.copy_gb_per_s;
        self.operations.push(Operation { name, ms: 1e3 * seconds, bytes, gb_per_s, of_copy });
        Ok(())
    }

    fn prepare_images(&mut self, source: Shape, h: usize, w: usize) -> Result<()> {
        let spec = PrepareImages::new(source, h, w)?;
        let normalize = Normalize::new(vec![0.5; source.c], vec![0.5; source.c])?;
        let bytes: Vec<u8> = (0..source.len()).map(|i| (i * 7919 % 251) as u8).collect();
        let (pixels, x) = (BufferId(0), BufferId(1));
        let mut buffers = Buffers::new();
        buffers.put(self.backend, pixels, &bytes)?;
        let command = Command::PrepareImages { spec, normalize, pixels: In(pixels), x: Out(x) };
        self.add(format!("prepare_images {source} to {h}×{w}"), &mut buffers, &command)
    }

    fn max_pool2d(&mut self, shape: Shape) -> Result<()> {
        let spec = MaxPool2d::new(shape, 2, 2)?;
        let (x, y, aux) = (BufferId(0), BufferId(1), BufferId(2));
        let mut buffers = Buffers::new();
        let forward = Command::MaxPool2d { spec, x: In(x), y: Out(y), aux: Some(Out(aux)) };
        self.add(format!("max_pool2d {shape}"), &mut buffers, &forward)?;
        let backward = Command::MaxPool2dBackward { spec, dy: In(y), aux: In(aux), dx: Out(x) };
        self.add(format!("max_pool2d_backward {shape}"), &mut buffers, &backward)
    }

    fn lrn(&mut self, shape: Shape) -> Result<()> {
        let spec = Lrn::new(shape)?;
        let (x, y, dx) = (BufferId(0), BufferId(1), BufferId(2));
        let mut buffers = Buffers::new();
        let forward = Command::Lrn { spec, x: In(x), y: Out(y) };
        self.add(format!("lrn {shape}"), &mut buffers, &forward)?;
        let backward = Command::LrnBackward { spec, x: In(x), dy: In(y), dx: Out(dx) };
        self.add(format!("lrn_backward {shape}"), &mut buffers, &backward)
    }

    fn dropout(&mut self, shape: Shape, p: f32) -> Result<()> {
        let x = InOut(BufferId(0));
        let command = Command::Dropout { shape, p, seed: 0, stream: 0, x };
        self.add(format!("dropout {shape}"), &mut Buffers::new(), &command)
    }

    fn softmax_cross_entropy(&mut self, n: usize, classes: usize) -> Result<()> {
        let spec = SoftmaxCrossEntropy::new(n, classes)?;
        let command = Command::SoftmaxCrossEntropy {
            spec,
            logits: In(BufferId(0)),
            labels: In(BufferId(1)), // all of class 0
            metrics: Out(BufferId(2)),
            dlogits: Out(BufferId(3)),
        };
        let name = format!("softmax_cross_entropy {}", spec.logits());
        self.add(name, &mut Buffers::new(), &command)
    }

    fn optimizers(&mut self, len: usize) -> Result<()> {
        let content = Content::Vector(len);
        let numbers = format!("{:.1} M numbers", len as f64 / 1e6);
        let (weight, dweight) = (InOut(BufferId(0)), In(BufferId(1)));
        let [first, second] = [2, 3].map(|id| InOut(BufferId(id)));
        let momentum = Sgd { momentum: 0.9, ..Sgd::default() };
        let mut buffers = Buffers::new();
        for (name, optimizer) in [
            ("sgd", Optimizer::Sgd { spec: Sgd::default(), velocity: None }),
            ("sgd with momentum", Optimizer::Sgd { spec: momentum, velocity: Some(first) }),
            ("adamw", Optimizer::AdamW { spec: AdamW::default(), mean: first, square: second }),
        ] {
            let step = Command::Step { optimizer, content, weight, dweight };
            self.add(format!("{name}, {numbers}"), &mut buffers, &step)?;
        }
        Ok(())
    }
}

const LEGEND: &str = "\
moved: inputs read once and outputs written once; an operation is faster than a copy if it works
in cache, or in place, so that no line is fetched just to be overwritten
";

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(1, &["operation", "time", "moved", "GB/s", "of a copy"]);
        for Operation { name, ms, bytes, gb_per_s, of_copy } in &self.operations {
            table.row(vec![
                name.clone(),
                format!("{ms:.3} ms"),
                format!("{:.1} MB", *bytes as f64 / 1e6),
                format!("{gb_per_s:.1}"),
                percent(*of_copy),
            ]);
        }
        writeln!(f, "Operations with the sizes of {}, batch {}", self.net, self.batch)?;
        writeln!(f, "{table}")?;
        f.write_str(LEGEND)
    }
}
