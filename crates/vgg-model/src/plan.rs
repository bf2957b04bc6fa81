//! The arithmetic of running a network on batches of some size.

use vgg_tensor::profile::Operation;
use vgg_tensor::spec::{Metrics, Normalize, PrepareImages, SoftmaxCrossEntropy, WeightType};
use vgg_tensor::{Backend, Content, Result, Shape};

use crate::op::Op;
use crate::{Input, Layer, Vgg, invalid, streams};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The forward pass alone: activations alternate between two buffers.
    Infer {
        /// How the fully connected layers' weights are stored.
        linear_weights: WeightType,
    },
    /// Forward, backward and the optimiser: all activations are kept, and gradients alternate
    /// between two buffers.
    Train(Training),
}

/// What training keeps; [`crate::Recipe::mode`] says it of a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Training {
    /// A velocity for each parameter.
    pub momentum: bool,
    /// The gradients of all parameters until all are known. Without, those of fully connected
    /// weights are applied as they are computed.
    pub all_gradients: bool,
    /// Sums of the gradients of a batch's parts.
    pub accumulates: bool,
    /// An average of each parameter.
    pub averages: bool,
    /// Another class for each label.
    pub mixes: bool,
}

impl Mode {
    /// How it stores fully connected weights. In training they are what is updated: `f32`.
    fn linear_weights(self) -> WeightType {
        match self {
            Mode::Infer { linear_weights } => linear_weights,
            Mode::Train(_) => WeightType::F32,
        }
    }

    /// A parameter as it stores it.
    fn stored(self, param: Content) -> Content {
        match param {
            Content::LinearWeight { out_features, c, h, w, .. } => {
                let weight_type = self.linear_weights();
                Content::LinearWeight { out_features, c, h, w, weight_type }
            }
            other => other,
        }
    }
}

/// Every operation and every buffer of running a network on batches of one size.
///
/// A 2×2 max-pool that follows a convolution with ReLU is fused into it, and sigmoids and dropout
/// work in place, so none of these has a buffer. What does nothing is no operation: dropout of
/// nothing, and an average pool of maps that have its output's size. In inference a batch
/// normalisation is part of the convolution before it, whose parameters have to be those of both.
///
/// Plans of the same network, input and mode use the same buffers whatever their
/// batch, so a short last batch runs in the memory of the full one.
///
/// ```
/// use vgg_model::{Input, Mode, Plan, Training, Vgg, VggConfig, WeightType};
/// let vgg = Vgg::new(&VggConfig::default())?;
/// let input = Input::unnormalized(3, 256, 256);
/// let bytes = |mode| Plan::new(&vgg, &input, 1, mode).map(|plan| plan.bytes());
/// let halves = bytes(Mode::Infer { linear_weights: WeightType::F16 })?;
/// let infer = bytes(Mode::Infer { linear_weights: WeightType::F32 })?;
/// assert!(halves < infer && infer < bytes(Mode::Train(Training::default()))?);
/// # Ok::<(), vgg_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(crate) batch: usize,
    pub(crate) mode: Mode,
    pub(crate) prepare: PrepareImages,
    pub(crate) normalize: Normalize,
    pub(crate) loss: SoftmaxCrossEntropy,
    pub(crate) steps: Vec<Step>,
    /// Buffers of feature maps: images first, then activations, then gradients.
    pub(crate) maps: Vec<Content>,
    /// Buffers of what forward leaves for backward.
    pub(crate) aux: Vec<Content>,
    /// Weights and biases in the order of [`Vgg::params`], as the mode stores them.
    pub(crate) params: Vec<Content>,
    /// Running statistics in the order of [`Vgg::state`]; none in inference.
    pub(crate) state: Vec<Content>,
    /// Which maps are the logits.
    pub(crate) logits: usize,
    /// The two maps that gradients alternate between; the logits' gradient is in the first.
    pub(crate) gradients: Option<[usize; 2]>,
    rows: Vec<Row>,
}

/// One operation and its buffers, as indices into [`Plan::maps`] and [`Plan::aux`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) x: usize,
    pub(crate) y: usize,
    /// In training only. A batch normalisation's statistics are the next one.
    pub(crate) aux: Option<usize>,
}

/// A line of a network's summary. The lines' bytes add up to [`Plan::bytes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// [`Layer::name`], or what the memory is for.
    pub name: String,
    /// What is computed, as `conv 3×3 + relu + max-pool 2×2`; empty for memory that layers share.
    pub kind: String,
    /// The output of a batch; `None` for memory that layers share.
    pub output: Option<Shape>,
    /// Numbers in its parameters.
    pub params: usize,
    /// Multiply-adds of one image's forward pass.
    pub macs: u64,
    /// Memory of its own: parameters with what training keeps of them, activations, `aux`.
    pub bytes: u64,
}

impl Plan {
    /// A plan for batches of `batch` images.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if `batch` is zero, if the images have other channels than the
    /// network, or if something would be too large.
    pub fn new(vgg: &Vgg, input: &Input, batch: usize, mode: Mode) -> Result<Self> {
        if batch == 0 {
            return Err(invalid("batch size", batch, "at least 1"));
        }
        let folded;
        let vgg = match mode {
            Mode::Infer { .. } => {
                folded = vgg.folded();
                &folded
            }
            Mode::Train { .. } => vgg,
        };
        let [channels, h, w] = vgg.config().input;
        let normalize = input.normalize(channels)?;
        let source = Shape::new(batch, channels, input.height, input.width);
        let prepare = PrepareImages::new(source, h, w).map_err(|e| e.in_layer("images"))?;
        let mut plan = Self {
            batch,
            mode,
            prepare,
            normalize,
            loss: SoftmaxCrossEntropy::new(batch, vgg.outputs())?,
            steps: Vec::new(),
            maps: Vec::new(),
            aux: Vec::new(),
            params: vgg.params().iter().map(|p| mode.stored(p.content)).collect(),
            state: vgg.state().iter().map(|p| p.content).collect(),
            logits: 0,
            gradients: None,
            rows: Vec::new(),
        };
        plan.add_images();
        plan.add_layers(vgg)?;
        plan.add_shared();
        Ok(plan)
    }

    /// Images in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// What it is for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Bytes of all buffers together. What a backend needs beside them (packed weights, workspace)
    /// is not counted, nor what [`crate::Trainer::gradients`] adds to a trainer's.
    pub fn bytes(&self) -> u64 {
        self.sum(|content| content.bytes() as u64)
    }

    /// Bytes of device memory that a backend takes: all buffers, and what the operations take
    /// besides as far as it is known.
    pub fn bytes_on(&self, backend: &impl Backend) -> u64 {
        let mut operations: Vec<Operation> = self.operations().collect();
        if let Some(training) = self.training() {
            // Tests are forward passes, too, and may be of parameters of their own.
            let averaged = self.operations().filter(|_| training.averages).collect::<Vec<_>>();
            operations.extend(self.backward_operations().chain(averaged));
        }
        self.sum(|content| backend.bytes(content)) + backend.workspace(&operations)
    }

    /// Passes if no operation is too large for a backend, however much memory there is.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Unavailable`], saying what is too large.
    pub fn check_on(&self, backend: &impl Backend) -> Result<()> {
        let backward = self.training().map(|_| self.backward_operations());
        let mut operations = self.operations().chain(backward.into_iter().flatten());
        operations.try_for_each(|operation| backend.check_size(&operation))
    }

    fn sum(&self, bytes: impl Fn(Content) -> u64) -> u64 {
        let small = [self.pixels(), self.labels(), Self::METRICS];
        let all = small.iter().chain(&self.maps).chain(&self.aux);
        let params = self.params.iter().map(|param| self.copies(param) * bytes(*param));
        let state = self.state.iter().map(|state| self.copies_of_state() * bytes(*state));
        all.map(|content| bytes(*content)).sum::<u64>() + params.sum::<u64>() + state.sum::<u64>()
    }

    /// The operations of a forward pass in their order, as a backend is asked for them; those of a
    /// training step's if it is a plan for training.
    ///
    /// ```
    /// use vgg_model::{Input, Mode, Plan, Training, Vgg, VggConfig};
    /// let vgg = Vgg::new(&VggConfig::default())?;
    /// let mode = Mode::Train(Training::default());
    /// let plan = Plan::new(&vgg, &Input::unnormalized(3, 256, 256), 32, mode)?;
    /// let macs: u64 = plan.operations().map(|operation| operation.macs()).sum();
    /// assert_eq!(macs, 32 * vgg.macs());
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        let is_done = |step: &&Step| self.trains() || !step.op.is_dropout();
        let layers = self.steps.iter().filter(is_done).map(|step| step.op.operation());
        std::iter::once(Operation::PrepareImages(self.prepare)).chain(layers)
    }

    /// The operations of a training step's backward pass in their order, where all parameters are
    /// trained.
    pub(crate) fn backward_operations(&self) -> impl Iterator<Item = Operation> {
        self.steps.iter().enumerate().rev().map(|(i, step)| {
            let applied = step.op.weight().is_some_and(|w| !self.stores_gradient(&self.params[w]));
            step.op.backward_operation(i > 0, applied)
        })
    }

    /// The lines of a summary: input, layers, and what the layers share.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What the loss reports.
    pub(crate) const METRICS: Content = Content::Vector(Metrics::LEN);

    /// The batch's bytes.
    pub(crate) fn pixels(&self) -> Content {
        Content::Bytes(self.prepare.source().len())
    }

    /// The batch's labels.
    pub(crate) fn labels(&self) -> Content {
        Content::Bytes(match self.training() {
            Some(Training { mixes: true, .. }) => self.loss.mixed().label_bytes(),
            _ => self.loss.label_bytes(),
        })
    }

    /// Buffers of a parameter: its own, and what training keeps.
    fn copies(&self, param: &Content) -> u64 {
        let Some(training) = self.training() else { return 1 };
        let kept = [
            self.stores_gradient(param),
            training.momentum,
            training.accumulates,
            training.averages,
        ];
        1 + kept.map(u64::from).iter().sum::<u64>()
    }

    /// Buffers of a running statistic: its own and its average's.
    fn copies_of_state(&self) -> u64 {
        1 + u64::from(self.training().is_some_and(|training| training.averages))
    }

    /// Bytes of parameters with what training keeps of them.
    fn param_bytes(&self, params: &[Content]) -> u64 {
        params.iter().map(|param| self.copies(param) * param.bytes() as u64).sum()
    }

    /// Whether a parameter's gradient has a buffer in training. The weights of fully connected
    /// layers, by far the largest, are updated while their gradients are computed, if they may.
    pub(crate) fn stores_gradient(&self, param: &Content) -> bool {
        let all = self.training().is_some_and(|training| training.all_gradients);
        all || !matches!(param, Content::LinearWeight { .. })
    }

    /// What it keeps, if it is for training.
    pub(crate) fn training(&self) -> Option<Training> {
        match self.mode {
            Mode::Infer { .. } => None,
            Mode::Train(training) => Some(training),
        }
    }

    /// The first step that has a parameter of those that are trained.
    pub(crate) fn first_trained(&self, trained: &[bool]) -> usize {
        let has = |step: &Step| match step.op.weight() {
            Some(weight) => trained[weight..weight + step.op.params()].contains(&true),
            None => false,
        };
        self.steps.iter().position(has).unwrap_or(self.steps.len())
    }

    pub(crate) fn trains(&self) -> bool {
        self.training().is_some()
    }

    fn add_images(&mut self) {
        let (source, x) = (self.prepare.source(), self.prepare.x());
        let kind = match (source.h, source.w) {
            (h, w) if (h, w) == (x.h, x.w) => "normalise".into(),
            (h, w) => format!("resize {h}×{w}, normalise"),
        };
        self.add_maps(0, x);
        self.rows.push(Row {
            name: "images".into(),
            kind,
            output: Some(x),
            params: 0,
            macs: 0,
            bytes: bytes([self.pixels(), self.labels()]) + self.own_bytes(x),
        });
    }

    fn add_layers(&mut self, vgg: &Vgg) -> Result<()> {
        let (mut shape, weight_type) = (self.prepare.x(), self.mode.linear_weights());
        let (mut x, mut weight, mut mean, mut dropouts) = (0, 0, 0, 0);
        let mut layers = vgg.layers().iter().zip(vgg.layer_macs()).peekable();
        while let Some((layer, macs)) = layers.next() {
            match *layer {
                Layer::Dropout { p: 0.0, .. } => continue,
                Layer::AvgPool2d { h, w, .. } if (h, w) == (shape.h, shape.w) => continue,
                _ => {}
            }
            let fits = |(next, _): &(&Layer, &u64)| {
                let pools = matches!(next, Layer::MaxPool2d { kernel: 2, stride: 2, .. });
                let relu =
                    matches!(layer, Layer::Conv2d { relu: true, .. } | Layer::BatchNorm2d { .. });
                pools && relu
            };
            let pooled = layers.next_if(fits).is_some();
            let stream = streams::dropout(dropouts);
            let op = Op::new(layer, pooled, shape, [weight, mean], weight_type, stream)?;
            let params = &self.params[weight..weight + op.params()];
            let state = &self.state[mean..mean + op.state()];
            shape = op.y();
            weight += op.params();
            mean += op.state();
            dropouts += usize::from(op.is_dropout());

            let mut row = Row {
                name: layer.name().into(),
                kind: op.kind(),
                output: Some(shape),
                params: params.iter().map(Content::len).sum(),
                macs: *macs,
                bytes: self.param_bytes(params)
                    + self.copies_of_state() * bytes(state.iter().copied()),
            };
            let mut step = Step { op, x, y: x, aux: None };
            if !op.is_in_place() {
                step.y = self.add_maps(x, shape);
                row.bytes += self.own_bytes(shape);
                if self.trains() {
                    step.aux = Some(self.aux.len());
                    self.aux.extend([op.aux()].into_iter().chain(op.saved()));
                    row.bytes += bytes([op.aux()].into_iter().chain(op.saved()));
                }
            }
            x = step.y;
            self.steps.push(step);
            self.rows.push(row);
        }
        self.logits = x;
        Ok(())
    }

    /// The maps for an output of `shape` whose input is in maps `x`.
    fn add_maps(&mut self, x: usize, shape: Shape) -> usize {
        match self.mode {
            Mode::Infer { .. } if self.maps.len() == 2 => {
                enlarge(&mut self.maps[1 - x], shape);
                1 - x
            }
            Mode::Infer { .. } | Mode::Train(_) => {
                self.maps.push(Content::Maps(shape));
                self.maps.len() - 1
            }
        }
    }

    /// Bytes of an output that are no other output's.
    fn own_bytes(&self, shape: Shape) -> u64 {
        if self.trains() { bytes([Content::Maps(shape)]) } else { 0 }
    }

    /// What the layers share: in inference all activations, in training the two gradients.
    fn add_shared(&mut self) {
        let (name, shared) = match self.mode {
            Mode::Infer { .. } => ("activations", bytes(self.maps.iter().copied())),
            Mode::Train(_) => {
                let logits = Content::Maps(self.loss.logits());
                let mut pair = [logits, logits];
                let mut dy = 0;
                // A step whose input is the images has no gradient to pass on.
                for step in self.steps.iter().skip(1).rev().filter(|s| !s.op.is_in_place()) {
                    dy = 1 - dy;
                    if let Content::Maps(x) = self.maps[step.x] {
                        enlarge(&mut pair[dy], x);
                    }
                }
                self.gradients = Some([self.maps.len(), self.maps.len() + 1]);
                self.maps.extend(pair);
                ("gradients", bytes(pair))
            }
        };
        self.rows.push(Row {
            name: name.into(),
            kind: String::new(),
            output: None,
            params: 0,
            macs: 0,
            bytes: shared + bytes([Self::METRICS]),
        });
    }
}

/// Bytes of buffers together.
fn bytes(contents: impl IntoIterator<Item = Content>) -> u64 {
    contents.into_iter().map(|content| content.bytes() as u64).sum()
}

/// Makes sure that maps of `shape` fit into a buffer of maps.
fn enlarge(buffer: &mut Content, shape: Shape) {
    if shape.len() > buffer.len() {
        *buffer = Content::Maps(shape);
    }
}

#[cfg(test)]
mod tests;
