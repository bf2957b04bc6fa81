//! A plan as the lines of a summary.

use vgg_tensor::spec::{BatchNormEpilogue, ConvEpilogue, LinearEpilogue, WeightType};
use vgg_tensor::{
    BufferSpec, Command, Content, In, InOut, Operands, Out, Pass, Program, Role, Shape,
};

use super::program::Place;
use super::{Mode, Plan};

/// A line of a network's summary. The lines' bytes add up to [`Plan::bytes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// [`crate::Layer::name`], or what the memory is for.
    pub name: String,
    /// What is computed, as `conv 3×3 + relu + max-pool 2×2`; empty for memory that layers share.
    pub kind: String,
    /// The output of a batch; `None` for memory that layers share.
    pub output: Option<Shape>,
    /// Numbers in its parameters.
    pub params: usize,
    /// Multiply-adds of one image's forward pass.
    pub macs: u64,
    /// Memory of its own: parameters with what training keeps of them, and what is kept of its
    /// activations for the backward pass.
    pub bytes: u64,
}

/// See [`Plan::rows`].
pub(super) fn rows(plan: &Plan) -> Vec<Row> {
    let program = plan.program();
    let forward = || {
        let instructions = program.instructions().iter();
        instructions.take_while(|instruction| instruction.pass == Pass::Forward)
    };
    let mut rows: Vec<Row> = forward()
        .map(|instruction| {
            let command = &instruction.command;
            Row {
                name: instruction.layer.clone(),
                kind: kind(command),
                output: output(command),
                params: 0,
                macs: command.macs() / plan.batch as u64,
                bytes: 0,
            }
        })
        .collect();
    // Each command of the forward pass is a row.
    for (row, content) in kept_for_backward(program) {
        rows[row].bytes += content.bytes() as u64;
    }
    // What is a part of another layer's command, as normalisations are in inference, is that row's.
    let mut last = None;
    for place in plan.kept() {
        let (param, name) = match place {
            Place::Param(i) => (plan.params[i].len(), plan.layer_of_param(i)),
            Place::Moment(_, i)
            | Place::Sum(_, i)
            | Place::FactorInputs(i)
            | Place::FactorSums(i)
            | Place::Ema(i)
            | Place::Gradient(i) => (0, plan.layer_of_param(i)),
            Place::State(i) | Place::EmaState(i) | Place::ShardState(_, i) => {
                (0, plan.layer_of_state(i))
            }
            _ => continue,
        };
        last = rows.iter().position(|row| row.name == name).or(last);
        if let Some(row) = last.and_then(|last| rows.get_mut(last)) {
            row.params += param;
            row.bytes += plan.content(place).bytes() as u64;
        }
    }
    let bytes = plan.bytes() - rows.iter().map(|row| row.bytes).sum::<u64>();
    let name = match plan.mode {
        Mode::Infer { .. } => "activations",
        Mode::Train(_) => "gradients",
    };
    let (name, kind) = (name.into(), String::new());
    rows.push(Row { name, kind, output: None, params: 0, macs: 0, bytes });
    rows
}

/// What is there while the loss is computed: each buffer's content, and the command that wrote it.
fn kept_for_backward(program: &Program) -> impl Iterator<Item = (usize, Content)> {
    let loss = program.instructions().iter().position(|instruction| instruction.pass == Pass::Loss);
    let loss = loss.unwrap_or(usize::MAX);
    let lifetimes = program.lifetimes().into_iter().zip(program.buffers());
    lifetimes.filter_map(move |(lifetime, BufferSpec { content, role })| {
        let (first, last) = lifetime?;
        match role {
            // Labels come with the images.
            Role::Input if last >= loss => Some((0, *content)),
            Role::Temporary if first < loss && last >= loss => Some((first, *content)),
            _ => None,
        }
    })
}

/// The shape of the maps that a command writes, or changes in place.
fn output(command: &Command) -> Option<Shape> {
    let mut maps = WrittenMaps(None);
    command.clone().map(&mut maps);
    maps.0
}

struct WrittenMaps(Option<Shape>);

impl WrittenMaps {
    fn write(&mut self, content: Content) {
        if let Content::Maps(shape) = content {
            self.0 = Some(shape);
        }
    }
}

impl Operands<In, Out, InOut> for WrittenMaps {
    type In = ();
    type Out = ();
    type InOut = ();

    fn input(&mut self, _: In, _: Content) {}

    fn output(&mut self, _: Out, content: Content) {
        self.write(content);
    }

    fn in_place(&mut self, _: InOut, content: Content) {
        self.write(content);
    }
}

/// What a command computes, for a summary.
fn kind(command: &Command) -> String {
    match command {
        Command::PrepareImages { spec, .. } => {
            let (source, x) = (spec.source(), spec.x());
            match (source.h, source.w) {
                (h, w) if (h, w) == (x.h, x.w) => "normalise".into(),
                (h, w) => format!("resize {h}×{w}, normalise"),
            }
        }
        Command::Conv2d { spec, .. } => {
            let tail = match spec.epilogue() {
                ConvEpilogue::Bias => "",
                ConvEpilogue::BiasRelu => " + relu",
                ConvEpilogue::BiasReluMaxPool => " + relu + max-pool 2×2",
            };
            format!("conv {}{tail}", window(spec.kernel(), spec.stride(), 1))
        }
        Command::BatchNorm2d { spec, .. } => match spec.epilogue() {
            BatchNormEpilogue::Relu => "batch norm + relu".into(),
            BatchNormEpilogue::ReluMaxPool => "batch norm + relu + max-pool 2×2".into(),
        },
        Command::Lrn { .. } => "local response norm".into(),
        Command::MaxPool2d { spec, .. } => {
            format!("max-pool {}", window(spec.kernel(), spec.stride(), spec.kernel()))
        }
        Command::AvgPool2d { .. } => "average pool".into(),
        Command::Sigmoid { .. } => "sigmoid".into(),
        Command::Linear { spec, .. } => {
            let stored = match spec.weight_type() {
                WeightType::F32 | WeightType::Factors => "",
                WeightType::F16 => " (f16)",
            };
            let tail = match spec.epilogue() {
                LinearEpilogue::Bias => "",
                LinearEpilogue::BiasRelu => " + relu",
            };
            format!("linear{stored}{tail}")
        }
        Command::Dropout { p, .. } => format!("dropout {p}"),
        other => other.to_string(),
    }
}

/// A window's sides and, unless it is the usual one, its stride: `3×3/2`.
fn window(kernel: usize, stride: usize, usual: usize) -> String {
    let stride = if stride == usual { String::new() } else { format!("/{stride}") };
    format!("{kernel}×{kernel}{stride}")
}
