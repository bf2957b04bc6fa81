//! The arithmetic of running a network on batches of some size.

use vgg_tensor::spec::{
    Conv2d, ConvEpilogue, Linear, LinearEpilogue, MaxPool2d, Metrics, Normalize, PrepareImages,
    SoftmaxCrossEntropy,
};
use vgg_tensor::{Content, Result, Shape};

use crate::{Input, Layer, Vgg, invalid, streams};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The forward pass alone: activations alternate between two buffers.
    Infer,
    /// Forward, backward and the optimiser: all activations are kept, and gradients alternate
    /// between two buffers.
    Train {
        /// Whether the optimiser keeps a velocity for each parameter.
        momentum: bool,
    },
}

/// Every operation and every buffer of running a network on batches of one size.
///
/// A max-pool that follows a convolution is fused into it, and dropout works in place, so neither
/// has a buffer. Plans of the same network, input and mode use the same buffers whatever their
/// batch, so a short last batch runs in the memory of the full one.
///
/// ```
/// use vgg_model::{Input, Mode, Plan, Vgg, VggConfig};
/// let vgg = Vgg::new(&VggConfig::default())?;
/// let input = Input::unnormalized(3, 256, 256);
/// let infer = Plan::new(&vgg, &input, 1, Mode::Infer)?;
/// let train = Plan::new(&vgg, &input, 1, Mode::Train { momentum: true })?;
/// assert!(infer.bytes() < train.bytes());
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
    /// Weights and biases in the order of [`Vgg::params`].
    pub(crate) params: Vec<Content>,
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
    /// In training only.
    pub(crate) aux: Option<usize>,
}

/// An operation. `weight` is an index into [`Plan::params`]; the bias is the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Conv2d { spec: Conv2d, weight: usize },
    MaxPool2d { spec: MaxPool2d },
    Linear { spec: Linear, weight: usize },
    Dropout { shape: Shape, p: f32, stream: u32 },
}

impl Op {
    fn y(&self) -> Shape {
        match self {
            Op::Conv2d { spec, .. } => spec.y(),
            Op::MaxPool2d { spec } => spec.y(),
            Op::Linear { spec, .. } => spec.y(),
            Op::Dropout { shape, .. } => *shape,
        }
    }

    fn aux_bytes(&self) -> usize {
        match self {
            Op::Conv2d { spec, .. } => spec.aux_bytes(),
            Op::MaxPool2d { spec } => spec.aux_bytes(),
            Op::Linear { spec, .. } => spec.aux_bytes(),
            Op::Dropout { .. } => 0,
        }
    }
}

/// A line of a network's summary. The lines' bytes add up to [`Plan::bytes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// torchvision's name of the layer, or what the memory is for.
    pub name: String,
    /// What is computed, as `conv 3×3 + relu + max-pool 2×2`; empty for memory that layers share.
    pub kind: String,
    /// The output of a batch; `None` for memory that layers share.
    pub output: Option<Shape>,
    /// Numbers in its parameters.
    pub params: usize,
    /// Multiply-adds of one image's forward pass.
    pub macs: u64,
    /// Memory of its own: parameters with their gradients and velocities, activations, `aux`.
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
        let [channels, h, w] = vgg.config().input;
        let normalize = input.normalize(channels)?;
        let source = Shape::new(batch, channels, input.height, input.width);
        let prepare = PrepareImages::new(source, h, w).map_err(|e| e.in_layer("images"))?;
        let mut plan = Self {
            batch,
            mode,
            prepare,
            normalize,
            loss: SoftmaxCrossEntropy::new(batch, vgg.config().classes)?,
            steps: Vec::new(),
            maps: Vec::new(),
            aux: Vec::new(),
            params: vgg.params().iter().map(|p| p.content).collect(),
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
    /// is not counted.
    pub fn bytes(&self) -> u64 {
        let small = [self.pixels(), self.labels(), Self::METRICS];
        let all = small.iter().chain(&self.maps).chain(&self.aux);
        let params: u64 = self.params.iter().map(|p| p.bytes() as u64).sum();
        all.map(|content| content.bytes() as u64).sum::<u64>() + params * self.copies()
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
        Content::Bytes(size_of::<u32>() * self.batch)
    }

    /// How many buffers each parameter has: itself, in training its gradient, with momentum its
    /// velocity.
    pub(crate) fn copies(&self) -> u64 {
        match self.mode {
            Mode::Infer => 1,
            Mode::Train { momentum: false } => 2,
            Mode::Train { momentum: true } => 3,
        }
    }

    fn trains(&self) -> bool {
        self.mode != Mode::Infer
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
        let mut shape = self.prepare.x();
        let (mut x, mut weight, mut dropouts) = (0, 0, 0);
        let mut layers = vgg.layers().iter().zip(vgg.layer_macs()).peekable();
        while let Some((layer, macs)) = layers.next() {
            let (name, kind, op) = match layer {
                Layer::Conv2d { name, c_out, kernel, padding } => {
                    let is_pool = |next: &(&Layer, &u64)| matches!(next.0, Layer::MaxPool2d { .. });
                    let (epilogue, tail) = match layers.next_if(is_pool) {
                        Some(_) => (ConvEpilogue::BiasReluMaxPool, " + max-pool 2×2"),
                        None => (ConvEpilogue::BiasRelu, ""),
                    };
                    let spec = Conv2d::new(shape, *c_out, *kernel, *padding, epilogue)
                        .map_err(|e| e.in_layer(name))?;
                    let kind = format!("conv {kernel}×{kernel} + relu{tail}");
                    (name, kind, Op::Conv2d { spec, weight })
                }
                Layer::MaxPool2d { name } => {
                    let spec = MaxPool2d::new(shape, 2, 2).map_err(|e| e.in_layer(name))?;
                    (name, "max-pool 2×2".into(), Op::MaxPool2d { spec })
                }
                Layer::Linear { name, out_features, relu } => {
                    let (epilogue, kind) = match relu {
                        true => (LinearEpilogue::BiasRelu, "linear + relu"),
                        false => (LinearEpilogue::Bias, "linear"),
                    };
                    let spec = Linear::new(shape, *out_features, epilogue)
                        .map_err(|e| e.in_layer(name))?;
                    (name, kind.into(), Op::Linear { spec, weight })
                }
                // Dropping nothing is doing nothing.
                Layer::Dropout { p: 0.0, .. } => continue,
                Layer::Dropout { name, p } => {
                    let stream = streams::dropout(dropouts);
                    dropouts += 1;
                    (name, format!("dropout {p}"), Op::Dropout { shape, p: *p, stream })
                }
            };
            shape = op.y();
            let params = match op {
                Op::Conv2d { .. } | Op::Linear { .. } => &self.params[weight..weight + 2],
                Op::MaxPool2d { .. } | Op::Dropout { .. } => &[],
            };
            weight += params.len();
            let mut row = Row {
                name: name.clone(),
                kind,
                output: Some(shape),
                params: params.iter().map(Content::len).sum(),
                macs: *macs,
                bytes: bytes(params.iter().copied()) * self.copies(),
            };
            let mut step = Step { op, x, y: x, aux: None };
            if !matches!(op, Op::Dropout { .. }) {
                step.y = self.add_maps(x, shape);
                row.bytes += self.own_bytes(shape);
                if self.trains() {
                    let aux = Content::Bytes(op.aux_bytes());
                    step.aux = Some(self.aux.len());
                    self.aux.push(aux);
                    row.bytes += aux.bytes() as u64;
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
            Mode::Train { .. } => {
                self.maps.push(Content::Maps(shape));
                self.maps.len() - 1
            }
            Mode::Infer if self.maps.len() < 2 => {
                self.maps.push(Content::Maps(shape));
                self.maps.len() - 1
            }
            Mode::Infer => {
                let y = 1 - x;
                enlarge(&mut self.maps[y], shape);
                y
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
            Mode::Infer => ("activations", bytes(self.maps.iter().copied())),
            Mode::Train { .. } => {
                let logits = Content::Maps(self.loss.logits());
                let mut pair = [logits, logits];
                let mut dy = 0;
                // A step whose input is the images has no gradient to pass on.
                for step in self.steps.iter().skip(1).rev() {
                    if let Op::Dropout { .. } = step.op {
                        continue;
                    }
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
mod tests {
    use super::*;
    use crate::VggConfig;

    const TRAIN: Mode = Mode::Train { momentum: false };

    fn small() -> Vgg {
        let config =
            VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..VggConfig::default() };
        Vgg::new(&config).unwrap()
    }

    fn plan(batch: usize, mode: Mode) -> Plan {
        Plan::new(&small(), &Input::unnormalized(1, 28, 28), batch, mode).unwrap()
    }

    #[test]
    fn pools_are_fused_and_dropout_is_in_place() {
        let plan = plan(128, TRAIN);
        let kinds: Vec<&str> = plan.rows().iter().map(|row| row.kind.as_str()).collect();
        let (conv, pooled) = ("conv 3×3 + relu", "conv 3×3 + relu + max-pool 2×2");
        assert_eq!(
            kinds[..9],
            ["resize 28×28, normalise", pooled, pooled, conv, pooled, conv, pooled, conv, pooled]
        );
        assert_eq!(
            kinds[9..],
            ["linear + relu", "dropout 0.5", "linear + relu", "dropout 0.5", "linear", ""]
        );
        let shapes: Vec<String> =
            plan.rows().iter().filter_map(|row| row.output.map(|y| y.to_string())).collect();
        assert_eq!(shapes[0], "128×1×224×224");
        assert_eq!(shapes[1], "128×16×112×112");
        assert_eq!(shapes[8], "128×128×7×7");
        assert_eq!(
            shapes[9..],
            ["128×4096"; 4].iter().chain(&["128×10"]).copied().collect::<Vec<_>>()[..]
        );
        for step in &plan.steps {
            assert_eq!(step.x == step.y, matches!(step.op, Op::Dropout { .. }));
        }
        let streams: Vec<u32> = plan
            .steps
            .iter()
            .filter_map(|step| match step.op {
                Op::Dropout { stream, .. } => Some(stream),
                _ => None,
            })
            .collect();
        assert_eq!(streams, [0x2000, 0x2001]);
    }

    #[test]
    fn training_keeps_every_activation_and_two_gradients() {
        let plan = plan(128, TRAIN);
        assert_eq!(plan.maps.len(), 1 + 8 + 3 + 2); // images, convolutions, linears, gradients
        assert_eq!(plan.aux.len(), 11);
        assert_eq!(plan.logits, 11);
        assert_eq!(plan.gradients, Some([12, 13]));
        // No two steps write the same maps.
        let mut written: Vec<usize> =
            plan.steps.iter().filter(|s| s.x != s.y).map(|step| step.y).collect();
        written.dedup();
        assert_eq!(written, (1..=11).collect::<Vec<_>>());
        // From the logits' gradient on they take turns; the largest are those of convolution 4's
        // input and of convolution 3's.
        let shape = |c, h| Content::Maps(Shape::new(128, c, h, h));
        assert_eq!(plan.maps[12..], [shape(64, 56), shape(32, 56)]);
    }

    #[test]
    fn inference_alternates_between_two_buffers() {
        let plan = plan(64, Mode::Infer);
        assert!(plan.aux.is_empty() && plan.gradients.is_none());
        assert!(plan.steps.iter().all(|step| step.aux.is_none()));
        let moves: Vec<_> = plan.steps.iter().map(|step| (step.x, step.y)).collect();
        assert_eq!(moves[..4], [(0, 1), (1, 0), (0, 1), (1, 0)]);
        let shape = |c, h| Content::Maps(Shape::new(64, c, h, h));
        assert_eq!(plan.maps, [shape(32, 56), shape(16, 112)]);
    }

    #[test]
    fn every_operation_fits_its_buffers() {
        for mode in [Mode::Infer, TRAIN] {
            let plan = plan(5, mode);
            assert!(plan.prepare.x().len() <= plan.maps[0].len());
            for step in &plan.steps {
                assert!(step.op.y().len() <= plan.maps[step.y].len());
            }
        }
    }

    #[test]
    fn a_short_batch_uses_the_same_buffers() {
        for mode in [Mode::Infer, TRAIN] {
            let (full, short) = (plan(128, mode), plan(96, mode));
            let ids = |plan: &Plan| -> Vec<_> {
                plan.steps.iter().map(|step| (step.x, step.y, step.aux)).collect()
            };
            assert_eq!(ids(&full), ids(&short));
            assert_eq!((full.logits, full.gradients), (short.logits, short.gradients));
            let fits = |(a, b): (&Content, &Content)| a.bytes() >= b.bytes();
            assert!(full.maps.iter().zip(&short.maps).all(fits));
            assert!(full.aux.iter().zip(&short.aux).all(fits));
        }
    }

    #[test]
    fn bytes_add_up() {
        let numbers = 43_093_322u64;
        let plans = [(Mode::Infer, 1), (TRAIN, 2), (Mode::Train { momentum: true }, 3)];
        for (mode, copies) in plans {
            let plan = plan(128, mode);
            let sum: u64 = plan.rows().iter().map(|row| row.bytes).sum();
            assert_eq!(plan.bytes(), sum);
            let buffers = plan.maps.iter().chain(&plan.aux).copied();
            let rest = 128 * (784 + 4) + 12;
            assert_eq!(plan.bytes(), 4 * numbers * copies + bytes(buffers) + rest);
            let rows = plan.rows().iter();
            assert_eq!(rows.clone().map(|row| row.params as u64).sum::<u64>(), numbers);
            assert_eq!(rows.map(|row| row.macs).sum::<u64>(), small().macs());
        }
    }

    #[test]
    fn a_pool_that_follows_no_convolution_stays_a_layer() {
        let config = VggConfig { input: [2, 32, 32], classes: 3, ..VggConfig::default() };
        let pool = |i| Layer::MaxPool2d { name: format!("features.{i}") };
        let linear = Layer::Linear { name: "classifier".into(), out_features: 3, relu: false };
        let vgg = Vgg::from_layers(config, vec![pool(0), pool(1), linear]).unwrap();
        let input = Input::unnormalized(2, 32, 32);
        let plan = Plan::new(&vgg, &input, 1, TRAIN).unwrap();
        assert!(matches!(plan.steps[1].op, Op::MaxPool2d { .. }));
        assert_eq!(plan.steps[1].op.y(), Shape::new(1, 2, 8, 8));
    }

    #[test]
    fn no_dropout_is_no_step() {
        let config = VggConfig { dropout: 0.0, ..small().config().clone() };
        let vgg = Vgg::new(&config).unwrap();
        let plan = Plan::new(&vgg, &Input::unnormalized(1, 28, 28), 1, TRAIN).unwrap();
        assert_eq!(plan.steps.len(), 11);
    }

    #[test]
    fn bad_batches_and_inputs_are_errors() {
        let refused = |input: &Input, batch| {
            Plan::new(&small(), input, batch, TRAIN).unwrap_err().to_string()
        };
        let gray = Input::unnormalized(1, 28, 28);
        assert_eq!(refused(&gray, 0), "batch size = 0, but it must be at least 1");
        assert!(refused(&gray, usize::MAX).ends_with("is too large"));
        assert!(refused(&Input::unnormalized(3, 28, 28), 1).starts_with("image channels = 3"));
        assert!(refused(&Input::unnormalized(1, 0, 28), 1).contains("empty dimension"));
    }
}
