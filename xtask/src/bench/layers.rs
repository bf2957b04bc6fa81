//! Each layer of a network, forward and backward.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use vgg_model::{Input, Mode, Plan, Training, Vgg};
use vgg_tensor::profile::Operation;
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, Sgd};
use vgg_tensor::{Content, Shape, WeightGradient};

use super::buffers::{filled, maps};
use super::case::Net;
use super::clock::Clock;
use super::device::{Measurable, Roofs};
use super::statistics::Repeat;
use super::table::{Table, percent};
use crate::status;

/// The layers of a network at a batch size.
#[derive(Serialize)]
pub(super) struct Layers {
    net: String,
    batch: usize,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    forward: Pass,
    /// Everything in one call: `dx` (but for the first layer), `dw` and `db`.
    backward: Pass,
    /// `dw` and `db` alone.
    wgrad: Pass,
    /// What `dx` adds to that; `None` for the first layer, and where it is lost in the noise.
    dgrad: Option<Pass>,
}

/// One pass of one layer.
#[derive(Clone, Copy, Serialize)]
struct Pass {
    ms: f64,
    /// As if it were computed directly, whatever the algorithm: twice the multiply-adds.
    gflop_per_s: f64,
    of_peak: f64,
}

/// Times every layer of `net`.
pub(super) fn measure<B: Measurable>(
    backend: &mut B,
    roofs: &Roofs,
    net: Net,
    batch: usize,
) -> Result<Layers> {
    let ops = ops(&net.vgg()?, batch)?;
    let mut layers = Vec::new();
    for (i, op) in ops.iter().enumerate() {
        status("Measuring", format_args!("{}, {} of {} layers", op.name(), i + 1, ops.len()));
        layers.push(layer(backend, roofs, op, i == 0)?);
    }
    Ok(Layers { net: net.to_string(), batch, layers })
}

fn layer<B: Measurable>(backend: &mut B, roofs: &Roofs, op: &Op, first: bool) -> Result<Layer> {
    let mut buffers = Buffers::new(backend, op)?;
    let clock = Clock::new(backend)?;
    let mut measure = |work: &dyn Fn(&mut B, &mut Buffers<B>) -> vgg_tensor::Result<()>| {
        Repeat::OPERATION.median(|| {
            // A weight has just been updated when a step needs it, and what was derived from it
            // must be derived again. The update itself is not this layer's.
            let Buffers { weight, dw, .. } = &mut buffers;
            backend.sgd(&Sgd::plain(0.0), op.weight(), weight, dw, None)?;
            Ok(clock.time(backend, |backend| work(backend, &mut buffers))?)
        })
    };
    let forward = measure(&|backend, buffers| op.forward(backend, buffers))?;
    let wgrad = measure(&|backend, buffers| op.backward(backend, buffers, false))?;
    let backward = match first {
        true => wgrad,
        false => measure(&|backend, buffers| op.backward(backend, buffers, true))?,
    };
    let pass = |products: u64, duration: Duration| {
        let gflop_per_s = (2 * products * op.macs()) as f64 / duration.as_secs_f64() / 1e9;
        let of_peak = gflop_per_s / roofs.gflop_per_s;
        Pass { ms: 1e3 * duration.as_secs_f64(), gflop_per_s, of_peak }
    };
    Ok(Layer {
        name: op.name(),
        forward: pass(1, forward),
        backward: pass(if first { 1 } else { 2 }, backward),
        wgrad: pass(1, wgrad),
        dgrad: (backward > wgrad).then(|| pass(1, backward - wgrad)),
    })
}

/// A layer with parameters.
enum Op {
    Conv2d(Conv2d),
    Linear(Linear),
}

/// The layers that have parameters, each with the ReLU and the max-pool that follow it.
fn ops(vgg: &Vgg, batch: usize) -> Result<Vec<Op>> {
    let [c, h, w] = vgg.config().input;
    let mode = Mode::Train(Training::default());
    let plan = Plan::new(vgg, &Input::unnormalized(c, h, w), batch, mode)?;
    let op = |operation| match operation {
        Operation::Conv2d(op) => Some(Op::Conv2d(op)),
        Operation::Linear(op) => Some(Op::Linear(op)),
        _ => None,
    };
    Ok(plan.operations().filter_map(op).collect())
}

impl Op {
    fn name(&self) -> String {
        match self {
            Op::Conv2d(op) => {
                let pool = match op.epilogue() {
                    ConvEpilogue::BiasReluMaxPool => " + pool",
                    ConvEpilogue::Bias | ConvEpilogue::BiasRelu => "",
                };
                format!("conv {}→{}@{}{pool}", op.x().c, op.c_out(), op.x().h)
            }
            Op::Linear(op) => format!("linear {}→{}", op.in_features(), op.out_features()),
        }
    }

    fn x(&self) -> Shape {
        match self {
            Op::Conv2d(op) => op.x(),
            Op::Linear(op) => op.x(),
        }
    }

    fn y(&self) -> Shape {
        match self {
            Op::Conv2d(op) => op.y(),
            Op::Linear(op) => op.y(),
        }
    }

    fn weight(&self) -> Content {
        match self {
            Op::Conv2d(op) => op.weight(),
            Op::Linear(op) => op.weight(),
        }
    }

    fn bias(&self) -> Content {
        Content::Vector(self.y().c)
    }

    fn aux(&self) -> Content {
        Content::Bytes(match self {
            Op::Conv2d(op) => op.aux_bytes(),
            Op::Linear(op) => op.aux_bytes(),
        })
    }

    fn macs(&self) -> u64 {
        match self {
            Op::Conv2d(op) => op.macs(),
            Op::Linear(op) => op.macs(),
        }
    }

    fn forward<B: Measurable>(
        &self,
        backend: &mut B,
        buffers: &mut Buffers<B>,
    ) -> vgg_tensor::Result<()> {
        let Buffers { x, weight, bias, y, aux, .. } = buffers;
        match self {
            Op::Conv2d(op) => backend.conv2d(op, x, weight, bias, y, Some(aux)),
            Op::Linear(op) => backend.linear(op, x, weight, bias, y, Some(aux)),
        }
    }

    fn backward<B: Measurable>(
        &self,
        backend: &mut B,
        buffers: &mut Buffers<B>,
        dx: bool,
    ) -> vgg_tensor::Result<()> {
        let with_dx = dx;
        let Buffers { x, weight, dy, aux, dw, db, dx, .. } = buffers;
        let dx = with_dx.then_some(dx);
        match self {
            Op::Conv2d(op) => backend.conv2d_backward(op, x, weight, dy, aux, dw, db, dx),
            Op::Linear(op) => {
                let stored = WeightGradient::Stored { weight, dweight: dw };
                backend.linear_backward(op, x, stored, dy, aux, db, dx)
            }
        }
    }
}

/// All that a layer reads and writes.
struct Buffers<B: Measurable> {
    x: B::Buffer,
    weight: B::Buffer,
    bias: B::Buffer,
    y: B::Buffer,
    aux: B::Buffer,
    dy: B::Buffer,
    dx: B::Buffer,
    dw: B::Buffer,
    db: B::Buffer,
}

impl<B: Measurable> Buffers<B> {
    fn new(backend: &mut B, op: &Op) -> Result<Self> {
        Ok(Self {
            x: maps(backend, op.x())?,
            weight: filled(backend, op.weight(), 0.1)?,
            bias: filled(backend, op.bias(), 0.1)?,
            y: backend.alloc(Content::Maps(op.y()))?,
            aux: backend.alloc(op.aux())?,
            dy: maps(backend, op.y())?,
            dx: backend.alloc(Content::Maps(op.x()))?,
            dw: backend.alloc(op.weight())?,
            db: backend.alloc(op.bias())?,
        })
    }
}

const LEGEND: &str = "\
GFLOP/s: counted as direct convolution; peak: share of the limit measured above
backward: dx, dw and db in one call, which shares work; wgrad: dw and db alone;
dgrad: the difference of the two, not a call of its own
";

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = vec!["layer"];
        for pass in ["forward", "backward", "wgrad", "dgrad"] {
            heading.extend([pass, "GFLOP/s", "peak"]);
        }
        let mut table = Table::new(1, &heading);
        for layer in &self.layers {
            let passes =
                [Some(layer.forward), Some(layer.backward), Some(layer.wgrad), layer.dgrad];
            let cells = passes.into_iter().flatten().flat_map(|pass| {
                let Pass { ms, gflop_per_s, of_peak } = pass;
                [format!("{ms:.3} ms"), format!("{gflop_per_s:.0}"), percent(of_peak)]
            });
            table.row([layer.name.clone()].into_iter().chain(cells).collect());
        }
        let sum = |pass: fn(&Layer) -> Pass| self.layers.iter().map(|l| pass(l).ms).sum::<f64>();
        let (forward, backward) = (sum(|l| l.forward), sum(|l| l.backward));
        let per_s = |ms: f64| 1e3 * self.batch as f64 / ms;
        writeln!(f, "Layers of VGG-11 {}, batch {}", self.net, self.batch)?;
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "All layers: forward {forward:.1} ms ({:.1} img/s), with backward {:.1} ms ({:.1} img/s)",
            per_s(forward),
            forward + backward,
            per_s(forward + backward),
        )?;
        f.write_str(LEGEND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_network() {
        let vgg = Net::Small.vgg().unwrap();
        let ops = ops(&vgg, 3).unwrap();
        let macs: u64 = ops.iter().map(Op::macs).sum();
        assert_eq!(macs, 3 * vgg.macs());
        assert_eq!(ops[0].name(), "conv 1→16@224 + pool");
        assert_eq!(ops.last().unwrap().name(), "linear 4096→10");
    }
}
