//! From layers to commands: the forward pass.

use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn,
    MaxPool2d,
};
use vgg_tensor::{BufferId, Command, Content, In, InOut, Out, Pass, Result, Shape};

use super::Weights;
use super::builder::{Builder, Place};
use crate::Layer;

/// What the forward pass did from some layer on, and kept for the backward pass, which reads it from
/// its end.
pub(super) struct Tape {
    /// What that layer takes.
    pub(super) x: BufferId,
    /// The commands, each with its layer.
    pub(super) commands: Vec<(String, Command)>,
    pub(super) logits: BufferId,
}

impl Tape {
    /// The first command of a fully connected layer; where there is none, the end.
    pub(super) fn first_linear(&self) -> usize {
        let is_linear = |(_, command): &(_, Command)| matches!(command, Command::Linear { .. });
        self.commands.iter().position(is_linear).unwrap_or(self.commands.len())
    }
}

/// The forward pass of a training step: dropout drops, batches are normalised by their own
/// statistics, which change the running ones, and what the backward pass needs is kept, from the layer
/// on that has the first parameter which is `trained`. `draw` gives seed and stream of a dropout
/// layer, `running` the place of a running statistic.
pub(super) fn train(
    builder: &mut Builder<'_>,
    trained: &[bool],
    draw: impl Fn(usize) -> (u64, u32),
    running: impl Fn(usize) -> Place,
) -> Result<Tape> {
    let first_trained = first_trained(builder.plan.vgg.layers(), trained);
    let kind = Kind::Training { draw: &draw, running: &running };
    Forward::new(builder, kind, first_trained).layers()
}

/// The first layer with a parameter that is `trained`.
fn first_trained(layers: &[Layer], trained: &[bool]) -> usize {
    let has_parameters = |(_, layer): &(usize, &Layer)| {
        matches!(layer, Layer::Conv2d { .. } | Layer::BatchNorm2d { .. } | Layer::Linear { .. })
    };
    // Each has a weight and a bias.
    let mut layers_with = layers.iter().enumerate().filter(has_parameters).zip(trained.chunks(2));
    let first = layers_with.find(|(_, trained)| trained.contains(&true));
    first.map_or(layers.len(), |((i, _), _)| i)
}

/// The forward pass without dropout and by running statistics. What the backward pass needs is kept
/// from layer `kept_from` on.
pub(super) fn evaluate(
    builder: &mut Builder<'_>,
    weights: Weights,
    kept_from: usize,
) -> Result<Tape> {
    Forward::new(builder, Kind::Evaluation(weights), kept_from).layers()
}

/// The forward pass of the EMA whose batches are normalised by their own statistics, which change its running
/// ones; nothing is dropped, and nothing kept for a backward pass.
pub(super) fn measure(builder: &mut Builder<'_>) -> Result<Tape> {
    let kept_from = builder.plan.vgg.layers().len();
    Forward::new(builder, Kind::Measurement, kept_from).layers()
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Training { draw: &'a dyn Fn(usize) -> (u64, u32), running: &'a dyn Fn(usize) -> Place },
    Evaluation(Weights),
    Measurement,
}

/// A forward pass so far.
struct Forward<'b, 'a, 'd> {
    builder: &'b mut Builder<'a>,
    kind: Kind<'d>,
    /// The layer from which on there is a backward pass.
    kept_from: usize,
    commands: Vec<(String, Command)>,
    /// Where the last output is, and its shape.
    x: BufferId,
    shape: Shape,
    /// The layer that is being made a command.
    layer: usize,
    /// The next parameter, running statistic and dropout layer.
    param: usize,
    state: usize,
    dropout: usize,
}

impl<'b, 'a, 'd> Forward<'b, 'a, 'd> {
    fn new(builder: &'b mut Builder<'a>, kind: Kind<'d>, kept_from: usize) -> Self {
        let (spec, normalize) = (builder.plan.prepare, builder.plan.normalize.clone());
        let (pixels, x) = (In(builder.at(Place::Pixels)), builder.maps(spec.x()));
        let command = Command::PrepareImages { spec, normalize, pixels, x: Out(x) };
        builder.push(Pass::Forward, "images", command);
        let (commands, shape) = (Vec::new(), spec.x());
        let (layer, param, state, dropout) = (0, 0, 0, 0);
        Self { builder, kind, kept_from, commands, x, shape, layer, param, state, dropout }
    }

    fn layers(mut self) -> Result<Tape> {
        let plan = self.builder.plan;
        let mut layers = plan.vgg.layers().iter().enumerate().peekable();
        let mut kept_x = self.x;
        while let Some((i, layer)) = layers.next() {
            self.layer = i;
            if i <= self.kept_from {
                kept_x = self.x;
            }
            let pools = |(next, layer_after): &(usize, &Layer)| {
                let pools = matches!(layer_after, Layer::MaxPool2d { kernel: 2, stride: 2, .. });
                let relu =
                    matches!(layer, Layer::Conv2d { relu: true, .. } | Layer::BatchNorm2d { .. });
                // A pool that the backward pass alone comes to is a command of its own.
                pools && relu && *next != self.kept_from
            };
            let pooled = layers.next_if(pools).is_some();
            let command =
                self.command(layer, pooled).map_err(|error| error.in_layer(layer.name()))?;
            if let Some(command) = command {
                if self.is_kept() {
                    self.commands.push((layer.name().into(), command.clone()));
                }
                self.builder.push(Pass::Forward, layer.name(), command);
            }
        }
        Ok(Tape { x: kept_x, commands: self.commands, logits: self.x })
    }

    /// A layer's command, with the max-pool after it as its epilogue if it is `pooled`; nothing where
    /// the layer does nothing. Its output is the next one's input.
    fn command(&mut self, layer: &Layer, pooled: bool) -> Result<Option<Command>> {
        let (shape, x) = (self.shape, In(self.x));
        let command = match *layer {
            Layer::Conv2d { c_out, kernel, stride, padding, relu, .. } => {
                let epilogue = match (relu, pooled) {
                    (true, true) => ConvEpilogue::BiasReluMaxPool,
                    (true, false) => ConvEpilogue::BiasRelu,
                    (false, _) => ConvEpilogue::Bias,
                };
                let spec = Conv2d::new(shape, c_out, kernel, padding, epilogue)?;
                let spec = spec.with_stride(stride)?;
                let [weight, bias] = self.params();
                let (aux, y) = (self.aux(spec.aux_bytes()), self.output(spec.y()));
                Command::Conv2d { spec, x, weight, bias, y, aux }
            }
            Layer::BatchNorm2d { .. } => {
                let epilogue = match pooled {
                    true => BatchNormEpilogue::ReluMaxPool,
                    false => BatchNormEpilogue::Relu,
                };
                self.batch_norm2d(BatchNorm2d::new(shape, epilogue)?)
            }
            Layer::Lrn { .. } => Command::Lrn { spec: Lrn::new(shape)?, x, y: self.output(shape) },
            Layer::MaxPool2d { kernel, stride, .. } => {
                let spec = MaxPool2d::new(shape, kernel, stride)?;
                let (aux, y) = (self.aux(spec.aux_bytes()), self.output(spec.y()));
                Command::MaxPool2d { spec, x, y, aux }
            }
            Layer::AvgPool2d { h, w, .. } if (h, w) == (shape.h, shape.w) => return Ok(None),
            Layer::AvgPool2d { h, w, .. } => {
                let spec = AvgPool2d::new(shape, h, w)?;
                Command::AvgPool2d { spec, x, y: self.output(spec.y()) }
            }
            Layer::Sigmoid { .. } => Command::Sigmoid { shape, x: InOut(self.x) },
            Layer::Linear { out_features, relu, .. } => {
                let epilogue = match relu {
                    true => LinearEpilogue::BiasRelu,
                    false => LinearEpilogue::Bias,
                };
                let weight_type = self.builder.plan.mode.linear_weights();
                let spec = Linear::new(shape, out_features, epilogue)?;
                let spec = spec.with_weight_type(weight_type);
                let [weight, bias] = self.params();
                let (aux, y) = (self.aux(spec.aux_bytes()), self.output(spec.y()));
                Command::Linear { spec, x, weight, bias, y, aux }
            }
            Layer::Dropout { p: 0.0, .. } => return Ok(None),
            Layer::Dropout { p, .. } => {
                let Kind::Training { draw, .. } = self.kind else { return Ok(None) };
                let (seed, stream) = draw(self.dropout);
                self.dropout += 1;
                Command::Dropout { shape, p, seed, stream, x: InOut(self.x) }
            }
        };
        Ok(Some(command))
    }

    fn batch_norm2d(&mut self, spec: BatchNorm2d) -> Command {
        let x = In(self.x);
        let [weight, bias] = self.params();
        let [running_mean, running_var] = self.statistics();
        match self.kind {
            Kind::Training { .. } | Kind::Measurement => {
                let contents = [spec.saved(), Content::Bytes(spec.aux_bytes())];
                let [saved, aux] = contents.map(|content| match self.is_kept() {
                    true => self.builder.temporary(content),
                    false => self.builder.discarded(content),
                });
                Command::BatchNorm2d {
                    spec,
                    x,
                    weight,
                    bias,
                    running_mean: InOut(running_mean),
                    running_var: InOut(running_var),
                    saved: Out(saved),
                    y: self.output(spec.y()),
                    aux: Out(aux),
                }
            }
            Kind::Evaluation(_) => Command::BatchNorm2dInference {
                spec,
                x,
                weight,
                bias,
                running_mean: In(running_mean),
                running_var: In(running_var),
                y: self.output(spec.y()),
            },
        }
    }

    /// The next output.
    fn output(&mut self, shape: Shape) -> Out {
        (self.x, self.shape) = (self.builder.maps(shape), shape);
        Out(self.x)
    }

    /// What is kept for the backward pass, if it comes as far down.
    fn aux(&mut self, bytes: usize) -> Option<Out> {
        self.is_kept().then(|| Out(self.builder.temporary(Content::Bytes(bytes))))
    }

    /// Whether there is a backward pass through the layer.
    fn is_kept(&self) -> bool {
        self.layer >= self.kept_from
    }

    /// The next weight and bias.
    fn params(&mut self) -> [In; 2] {
        let place = match self.kind {
            Kind::Evaluation(Weights::Ema) | Kind::Measurement => Place::Ema,
            _ => Place::Param,
        };
        self.param += 2;
        [self.param - 2, self.param - 1].map(|i| In(self.builder.at(place(i))))
    }

    /// The next running mean and variance.
    fn statistics(&mut self) -> [BufferId; 2] {
        self.state += 2;
        [self.state - 2, self.state - 1].map(|i| {
            let place = match self.kind {
                Kind::Training { running, .. } => running(i),
                Kind::Evaluation(Weights::Ema) | Kind::Measurement => Place::EmaState(i),
                Kind::Evaluation(Weights::Last) => Place::State(i),
            };
            self.builder.at(place)
        })
    }
}
