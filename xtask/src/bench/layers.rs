//! Each layer of a network, forward and backward.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use vgg_model::{Input, Mode, Plan, Recipe, SgdConfig, Vgg};
use vgg_tensor::spec::ConvEpilogue;
use vgg_tensor::{BufferId, Command, In, InOut, Scalars, WeightGradient};

use super::buffers::Buffers;
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
        layers.push(layer(backend, roofs, op)?);
    }
    Ok(Layers { net: net.to_string(), batch, layers })
}

fn layer<B: Measurable>(backend: &mut B, roofs: &Roofs, op: &Op) -> Result<Layer> {
    let mut buffers = Buffers::new();
    let mut update = buffers.compile(backend, &op.update)?;
    let clock = Clock::new(backend)?;
    let mut measure = |command: &Command| {
        let mut executable = buffers.compile(backend, command)?;
        Repeat::OPERATION.median(|| {
            // A weight has just been updated when a step needs it, and what was derived from it
            // must be derived again. The update itself is not this layer's, and changes nothing.
            let scalars = Scalars::default();
            backend.run(&mut update, scalars)?;
            Ok(clock.time(backend, &mut executable, scalars)?)
        })
    };
    let without_dx = op.without_dx();
    let forward = measure(&op.forward)?;
    let wgrad = measure(&without_dx)?;
    let backward = match op.backward == without_dx {
        true => wgrad,
        false => measure(&op.backward)?,
    };
    let pass = |macs: u64, duration: Duration| {
        let gflop_per_s = (2 * macs) as f64 / duration.as_secs_f64() / 1e9;
        let of_peak = gflop_per_s / roofs.gflop_per_s;
        Pass { ms: 1e3 * duration.as_secs_f64(), gflop_per_s, of_peak }
    };
    let dx_macs = op.backward.macs() - without_dx.macs();
    Ok(Layer {
        name: op.name(),
        forward: pass(op.forward.macs(), forward),
        backward: pass(op.backward.macs(), backward),
        wgrad: pass(without_dx.macs(), wgrad),
        dgrad: (backward > wgrad).then(|| pass(dx_macs, backward - wgrad)),
    })
}

/// What a training step does with a layer's weight.
struct Op {
    /// The layer, with the ReLU and the max-pool that follow it.
    forward: Command,
    backward: Command,
    update: Command,
}

/// The layers that have parameters.
fn ops(vgg: &Vgg, batch: usize) -> Result<Vec<Op>> {
    let [c, h, w] = vgg.config().input;
    // Whoever clips gradients stores them all, so that an update is a command of its own.
    let recipe = Recipe { clip_norm: Some(1.0), ..SgdConfig::plain(0.0).into() };
    let plan = Plan::new(vgg, &Input::unnormalized(c, h, w), batch, Mode::Train(recipe))?;
    let commands = || plan.program().commands();
    let op = |forward: &Command| {
        let of_forward = |command: &&Command| weight(command) == weight(forward);
        let mut ours = commands().filter(of_forward).cloned();
        let mut next = || ours.next().expect("a step has a weight's gradient and its update");
        Op { forward: next(), backward: next(), update: next() }
    };
    let is_layer =
        |command: &&Command| matches!(command, Command::Conv2d { .. } | Command::Linear { .. });
    Ok(commands().filter(is_layer).map(op).collect())
}

/// The weight of a product, or what is updated.
fn weight(command: &Command) -> Option<BufferId> {
    match command {
        Command::Conv2d { weight: In(id), .. }
        | Command::Conv2dBackward { weight: In(id), .. }
        | Command::Linear { weight: In(id), .. }
        | Command::LinearBackward {
            weight: WeightGradient::Stored { weight: In(id), .. }, ..
        }
        | Command::Step { weight: InOut(id), .. } => Some(*id),
        _ => None,
    }
}

impl Op {
    fn name(&self) -> String {
        match &self.forward {
            Command::Conv2d { spec, .. } => {
                let pool = match spec.epilogue() {
                    ConvEpilogue::BiasReluMaxPool => " + pool",
                    ConvEpilogue::Bias | ConvEpilogue::BiasRelu => "",
                };
                format!("conv {}→{}@{}{pool}", spec.x().c, spec.c_out(), spec.x().h)
            }
            Command::Linear { spec, .. } => {
                format!("linear {}→{}", spec.in_features(), spec.out_features())
            }
            other => other.to_string(),
        }
    }

    /// The backward pass of a layer whose input needs no gradient, as the first one's.
    fn without_dx(&self) -> Command {
        let mut command = self.backward.clone();
        if let Command::Conv2dBackward { dx, .. } | Command::LinearBackward { dx, .. } =
            &mut command
        {
            *dx = None;
        }
        command
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
        writeln!(f, "Layers of {}, batch {}", self.net, self.batch)?;
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
        let macs = |of: fn(&Op) -> &Command| ops.iter().map(|op| of(op).macs()).sum::<u64>();
        assert_eq!(macs(|op| &op.forward), 3 * vgg.macs());
        // The images' gradient is nobody's.
        let first = ops[0].forward.macs();
        assert_eq!(macs(|op| &op.backward), 2 * 3 * vgg.macs() - first);
        assert!(ops[0].without_dx() == ops[0].backward);
        for op in &ops {
            assert_eq!(op.without_dx().macs(), op.forward.macs());
            assert!(matches!(op.update, Command::Step { .. }), "{}", op.update);
        }
        assert_eq!(ops[0].name(), "conv 1→16@224 + pool");
        assert_eq!(ops.last().unwrap().name(), "linear 4096→10");
    }
}
