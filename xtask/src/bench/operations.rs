//! The operations that are limited by memory: time, and bytes a second of those that must move.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use vgg_tensor::spec::{
    Lrn, MaxPool2d, Metrics, Normalize, PrepareImages, Sgd, SoftmaxCrossEntropy,
};
use vgg_tensor::{Content, Draw, Shape};

use super::buffers::{filled, maps};
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
    bytes: usize,
    gb_per_s: f64,
    of_copy: f64,
}

/// Times each operation with the sizes it has in `net`. Max-pool (fused into the convolutions) and
/// response normalisation (which VGG-11 has not) work on the first pool's output.
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
    bench.sgd(vgg.param_count())?;
    Ok(Operations { net: net.to_string(), batch, operations: bench.operations })
}

struct Bench<'a, B: Measurable> {
    backend: &'a mut B,
    clock: Clock<B>,
    roofs: &'a Roofs,
    operations: Vec<Operation>,
}

impl<B: Measurable> Bench<'_, B> {
    fn add(
        &mut self,
        name: String,
        bytes: usize,
        mut work: impl FnMut(&mut B) -> vgg_tensor::Result<()>,
    ) -> Result<()> {
        status("Measuring", &name);
        let (clock, backend) = (&self.clock, &mut *self.backend);
        let run = || Ok(clock.time(backend, &mut work)?);
        let seconds = Repeat::OPERATION.median(run)?.as_secs_f64();
        let gb_per_s = bytes as f64 / seconds / 1e9;
        let of_copy = gb_per_s / self.roofs.copy_gb_per_s;
        self.operations.push(Operation { name, ms: 1e3 * seconds, bytes, gb_per_s, of_copy });
        Ok(())
    }

    /// Bytes of feature maps.
    fn bytes(&self, maps: Shape) -> usize {
        self.backend.bytes(Content::Maps(maps)) as usize
    }

    fn prepare_images(&mut self, source: Shape, h: usize, w: usize) -> Result<()> {
        let op = PrepareImages::new(source, h, w)?;
        let normalize = Normalize::new(vec![0.5; source.c], vec![0.5; source.c])?;
        let bytes: Vec<u8> = (0..source.len()).map(|i| (i * 7919 % 251) as u8).collect();
        let mut pixels = self.backend.alloc(Content::Bytes(source.len()))?;
        self.backend.upload_bytes(&bytes, &mut pixels)?;
        let mut x = self.backend.alloc(Content::Maps(op.x()))?;
        let name = format!("prepare_images {source} to {h}×{w}");
        self.add(name, source.len() + self.bytes(op.x()), |backend| {
            backend.prepare_images(&op, &normalize, &pixels, &mut x)
        })
    }

    fn max_pool2d(&mut self, shape: Shape) -> Result<()> {
        let op = MaxPool2d::new(shape, 2, 2)?;
        let bytes = self.bytes(op.x()) + self.bytes(op.y()) + op.aux_bytes();
        let mut x = maps(self.backend, op.x())?;
        let mut y = self.backend.alloc(Content::Maps(op.y()))?;
        let mut aux = self.backend.alloc(Content::Bytes(op.aux_bytes()))?;
        self.add(format!("max_pool2d {shape}"), bytes, |backend| {
            backend.max_pool2d(&op, &x, &mut y, Some(&mut aux))
        })?;
        let (dy, dx) = (&y, &mut x);
        self.add(format!("max_pool2d_backward {shape}"), bytes, |backend| {
            backend.max_pool2d_backward(&op, dy, &aux, dx)
        })
    }

    fn lrn(&mut self, shape: Shape) -> Result<()> {
        let op = Lrn::new(shape)?;
        let x = maps(self.backend, shape)?;
        let mut y = self.backend.alloc(Content::Maps(shape))?;
        let bytes = self.bytes(shape);
        self.add(format!("lrn {shape}"), 2 * bytes, |backend| backend.lrn(&op, &x, &mut y))?;
        let mut dx = self.backend.alloc(Content::Maps(shape))?;
        self.add(format!("lrn_backward {shape}"), 3 * bytes, |backend| {
            backend.lrn_backward(&op, &x, &y, &mut dx)
        })
    }

    fn dropout(&mut self, shape: Shape, p: f32) -> Result<()> {
        let mut x = maps(self.backend, shape)?;
        let draw = Draw { seed: 0, stream: 0, step: 0 };
        self.add(format!("dropout {shape}"), 2 * self.bytes(shape), |backend| {
            backend.dropout(shape, p, draw, &mut x)
        })
    }

    fn softmax_cross_entropy(&mut self, n: usize, classes: usize) -> Result<()> {
        let op = SoftmaxCrossEntropy::new(n, classes)?;
        let logits = maps(self.backend, op.logits())?;
        let labels_bytes = size_of::<u32>() * n;
        let mut labels = self.backend.alloc(Content::Bytes(labels_bytes))?; // all of class 0
        self.backend.upload_bytes(&vec![0; labels_bytes], &mut labels)?;
        let mut metrics = self.backend.alloc(Content::Vector(Metrics::LEN))?;
        let mut dlogits = self.backend.alloc(Content::Maps(op.logits()))?;
        let name = format!("softmax_cross_entropy {}", op.logits());
        self.add(name, 2 * self.bytes(op.logits()) + labels_bytes, |backend| {
            backend.softmax_cross_entropy(&op, &logits, &labels, &mut metrics, Some(&mut dlogits))
        })
    }

    fn sgd(&mut self, len: usize) -> Result<()> {
        let content = Content::Vector(len);
        let mut weight = filled(self.backend, content, 0.1)?;
        let dweight = filled(self.backend, content, 0.1)?;
        let plain = Sgd::plain(1e-3);
        let numbers = format!("{:.1} M numbers", len as f64 / 1e6);
        self.add(format!("sgd, {numbers}"), 3 * content.bytes(), |backend| {
            backend.sgd(&plain, content, &mut weight, &dweight, None)
        })?;
        let mut velocity = self.backend.alloc(content)?;
        let momentum = Sgd { momentum: 0.9, ..plain };
        self.add(format!("sgd with momentum, {numbers}"), 5 * content.bytes(), |backend| {
            backend.sgd(&momentum, content, &mut weight, &dweight, Some(&mut velocity))
        })
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
        writeln!(f, "Operations with the sizes of VGG-11 {}, batch {}", self.net, self.batch)?;
        writeln!(f, "{table}")?;
        f.write_str(LEGEND)
    }
}
