//! The operations, as values: what is computed, from which buffers into which.

mod operands;
mod optimizer;
#[cfg(test)]
pub(crate) mod samples;
mod shard_sum;
mod words;

use crate::ranks::Shards;
use crate::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, EuclideanLoss, Linear, Lrn, MaxPool2d, Normalize,
    PrepareImages, SoftmaxCrossEntropy,
};
use crate::{Content, In, InOut, Out, Shape};

pub use operands::Operands;
pub use optimizer::Optimizer;
pub use shard_sum::ShardSum;

/// An operation on buffers: a whole layer, or its gradients, or a part of an update.
///
/// The variants say what their result is, to the last bit where that is possible; every backend
/// is held to it by one suite. An output is overwritten, never accumulated into; what is changed in
/// place is an [`InOut`]. What ReLU and pooling make of NaN is left open: a run that has come to it
/// has failed, which shows in its loss or its weights. Numbers below 2⁻¹²⁶, subnormal ones, may be
/// taken for zeros: some devices and libraries do, and none has to.
///
/// In a [`crate::Program`] the operands are indices. A backend that carries a command out has it
/// with the buffers in their places ([`Operands`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Command<I = In, O = Out, U = InOut> {
    /// Resizes and normalises a batch of bytes; [`PrepareImages`] and [`Normalize`] say how, to the
    /// bit.
    PrepareImages {
        /// The sizes.
        spec: PrepareImages,
        /// What becomes of a byte.
        normalize: Normalize,
        /// Bytes, `[n, c, h, w]`.
        pixels: I,
        /// Maps.
        x: O,
    },
    /// Convolution (cross-correlation, as everywhere in deep learning) with its epilogue.
    ///
    /// `y[n, o, i, j] = bias[o] + Σ x[n, c, i · stride + r − padding, j · stride + s − padding]
    /// · weight[o, c, r, s]` with zeros outside of `x`; then ReLU and 2×2 max-pool where the
    /// epilogue has them.
    Conv2d {
        /// The layer.
        spec: Conv2d,
        /// `[n, c_in, h, w]`.
        x: I,
        /// `[c_out, c_in, kernel, kernel]`.
        weight: I,
        /// `[c_out]`.
        bias: I,
        /// [`Conv2d::y`].
        y: O,
        /// What the backward pass needs, of [`Conv2d::aux_bytes`]; none where there is none.
        aux: Option<O>,
    },
    /// Gradients of [`Command::Conv2d`], epilogue included, in one command so that they share work.
    ///
    /// The gradient of ReLU at zero is zero. Where several of a pooling window's elements are equal,
    /// the first in row-major order gets the gradient, as in PyTorch.
    Conv2dBackward {
        /// The layer.
        spec: Conv2d,
        /// The layer's input.
        x: I,
        /// Its weight.
        weight: I,
        /// The gradient of its output.
        dy: I,
        /// What the forward pass wrote.
        aux: I,
        /// The weight's gradient.
        dweight: O,
        /// The bias's gradient.
        dbias: O,
        /// The input's gradient, where somebody needs it.
        dx: Option<O>,
    },
    /// The maximum of each window.
    MaxPool2d {
        /// The windows.
        spec: MaxPool2d,
        /// `[n, c, h, w]`.
        x: I,
        /// [`MaxPool2d::y`].
        y: O,
        /// What the backward pass needs, of [`MaxPool2d::aux_bytes`].
        aux: Option<O>,
    },
    /// Gradient of [`Command::MaxPool2d`]: each window's gradient goes to its maximum, the first in
    /// row-major order where there are several; overlapping windows add up.
    MaxPool2dBackward {
        /// The windows.
        spec: MaxPool2d,
        /// The gradient of the output.
        dy: I,
        /// What the forward pass wrote.
        aux: I,
        /// The input's gradient.
        dx: O,
    },
    /// The mean of each window; [`AvgPool2d`] says which inputs those are.
    AvgPool2d {
        /// The windows.
        spec: AvgPool2d,
        /// `[n, c, h, w]`.
        x: I,
        /// [`AvgPool2d::y`].
        y: O,
    },
    /// Gradient of [`Command::AvgPool2d`]: each window's gradient is shared equally by its inputs;
    /// overlapping windows add up.
    AvgPool2dBackward {
        /// The windows.
        spec: AvgPool2d,
        /// The gradient of the output.
        dy: I,
        /// The input's gradient.
        dx: O,
    },
    /// Local response normalisation; the formula is at [`Lrn`].
    Lrn {
        /// The maps.
        spec: Lrn,
        /// `[n, c, h, w]`.
        x: I,
        /// As `x`.
        y: O,
    },
    /// Gradient of [`Command::Lrn`].
    LrnBackward {
        /// The maps.
        spec: Lrn,
        /// The layer's input.
        x: I,
        /// The gradient of its output.
        dy: I,
        /// The input's gradient.
        dx: O,
    },
    /// Batch normalisation with its epilogue, in training: by the batch's statistics, which also
    /// change the running ones; [`BatchNorm2d`] has the formulas.
    ///
    /// A mean that is large beside the deviation does not spoil the variance: squares are summed of
    /// differences from a mean.
    BatchNorm2d {
        /// The layer.
        spec: BatchNorm2d,
        /// `[n, c, h, w]`.
        x: I,
        /// `[c]`.
        weight: I,
        /// `[c]`.
        bias: I,
        /// `[c]`.
        running_mean: U,
        /// `[c]`.
        running_var: U,
        /// The batch's statistics, [`BatchNorm2d::saved`], for the backward pass.
        saved: O,
        /// [`BatchNorm2d::y`].
        y: O,
        /// What else the backward pass needs, of [`BatchNorm2d::aux_bytes`].
        aux: O,
    },
    /// Batch normalisation with its epilogue, in evaluation: by the running statistics. (What only
    /// classifies has none: [`BatchNorm2d`] is linear then, and part of the convolution before it.)
    BatchNorm2dInference {
        /// The layer.
        spec: BatchNorm2d,
        /// `[n, c, h, w]`.
        x: I,
        /// `[c]`.
        weight: I,
        /// `[c]`.
        bias: I,
        /// `[c]`.
        running_mean: I,
        /// `[c]`.
        running_var: I,
        /// [`BatchNorm2d::y`].
        y: O,
    },
    /// Gradients of [`Command::BatchNorm2d`], epilogue included, through the batch's statistics.
    ///
    /// Decisions at zero and between equals are as in [`Command::Conv2dBackward`].
    BatchNorm2dBackward {
        /// The layer.
        spec: BatchNorm2d,
        /// The layer's input.
        x: I,
        /// Its weight.
        weight: I,
        /// What the forward pass wrote.
        saved: I,
        /// The gradient of its output.
        dy: I,
        /// What the forward pass wrote.
        aux: I,
        /// The weight's gradient.
        dweight: O,
        /// The bias's gradient.
        dbias: O,
        /// The input's gradient.
        dx: O,
    },
    /// The logistic sigmoid of maps, in place: `1 / (1 + exp(−x))`.
    Sigmoid {
        /// The maps' shape.
        shape: Shape,
        /// The maps.
        x: U,
    },
    /// Gradient of [`Command::Sigmoid`], in place, from the sigmoid's output: `dy · y · (1 − y)`.
    SigmoidBackward {
        /// The maps' shape.
        shape: Shape,
        /// The sigmoid's output.
        y: I,
        /// Its gradient, which becomes the input's.
        dy: U,
    },
    /// A fully connected layer with its epilogue: `y = x · weightᵀ + bias`, then ReLU if asked.
    Linear {
        /// The layer.
        spec: Linear,
        /// `[n, c, h, w]`, flattened.
        x: I,
        /// `[out_features, c · h · w]`.
        weight: I,
        /// `[out_features]`.
        bias: I,
        /// `[n, out_features, 1, 1]`.
        y: O,
        /// What the backward pass needs, of [`Linear::aux_bytes`].
        aux: Option<O>,
    },
    /// Gradients of [`Command::Linear`], epilogue included.
    LinearBackward {
        /// The layer.
        spec: Linear,
        /// The layer's input.
        x: I,
        /// Its weight, and what becomes of the weight's gradient.
        weight: WeightGradient<I, O, U>,
        /// The gradient of its output.
        dy: I,
        /// What the forward pass wrote.
        aux: I,
        /// The bias's gradient.
        dbias: O,
        /// The input's gradient, where somebody needs it.
        dx: Option<O>,
    },
    /// Gradient of [`Command::Linear`]'s input alone, epilogue included: to the bit the `dx` of
    /// [`Command::LinearBackward`], with less work and without the layer's input. It is for a layer
    /// whose parameters are not trained.
    LinearInputBackward {
        /// The layer.
        spec: Linear,
        /// Its weight.
        weight: I,
        /// The gradient of its output.
        dy: I,
        /// What the forward pass wrote.
        aux: I,
        /// The input's gradient.
        dx: O,
    },
    /// What a part of a batch has to do with the gradient of a fully connected layer's weight, put into rows
    /// of what the whole batch has: `xs` takes the layer's inputs, and `dsums`, `alpha` times, the gradient of
    /// its sums, which is `dy` where ReLU was alive, and 0 elsewhere. The weight's gradient over the batch is
    /// that of [`Command::LinearBackward`] on these, without ReLU.
    LinearFactors {
        /// The layer, on the part's images.
        spec: Linear,
        /// The row of the first image.
        first: usize,
        /// Rows of the whole batch.
        rows: usize,
        /// What `dy` counts.
        alpha: f32,
        /// The input.
        x: I,
        /// The output's gradient.
        dy: I,
        /// What the forward pass kept.
        aux: I,
        /// Inputs of all images.
        xs: U,
        /// Gradients of sums of all images.
        dsums: U,
    },
    /// Inverted dropout, in place: element `i` of the flattened maps is multiplied by `1 / (1 − p)`
    /// where [`crate::Draw::uniform`] of `i` is at least `p`, and set to zero elsewhere.
    ///
    /// The gradient is the same command with the same draw on the gradient, so no mask is stored.
    Dropout {
        /// The maps' shape, with `h = w = 1`.
        shape: Shape,
        /// The share that is dropped, in [0, 1).
        p: f32,
        /// The draw's seed.
        seed: u64,
        /// The draw's stream; its step is [`crate::Scalars::step`].
        stream: u32,
        /// The maps.
        x: U,
    },
    /// The loss, how often the true class is first or among the first five, and the gradient of the
    /// *mean* loss: `(softmax(logits) − target) / n`, or where classes have weights
    /// `(Σ weight · target · softmax(logits) − weight · target) / divisor`, with the sum over classes.
    ///
    /// Where logits are equal, the lower class ranks first. NaN ranks before all numbers, but as the
    /// true class's it is never correct: a network that has blown up does not look accurate.
    SoftmaxCrossEntropy {
        /// Classes, and what a target is.
        spec: SoftmaxCrossEntropy,
        /// `[n, classes, 1, 1]`.
        logits: I,
        /// What [`SoftmaxCrossEntropy`] says, each class below the number of classes.
        labels: I,
        /// [`crate::spec::Metrics`].
        metrics: O,
        /// The logits' gradient, `[n, classes, 1, 1]`.
        dlogits: O,
    },
    /// The loss of boxes, how good they are, and the gradient of the mean loss: of the box that counts of an
    /// image that has one `(predicted − true) / divisor`, and of all others zero.
    EuclideanLoss {
        /// Boxes of an image.
        spec: EuclideanLoss,
        /// `[n, 4 · boxes, 1, 1]`.
        predicted: I,
        /// What [`EuclideanLoss`] says, each that counts below the number of boxes.
        targets: I,
        /// [`crate::spec::BoxMetrics`].
        metrics: O,
        /// The gradient of what is predicted, `[n, 4 · boxes, 1, 1]`.
        dpredicted: O,
    },
    /// One optimiser step on one parameter, in place, with [`crate::Scalars::lr`] as its learning rate.
    Step {
        /// The optimiser, and what it keeps of the parameter.
        optimizer: Optimizer<U>,
        /// The parameter.
        content: Content,
        /// The parameter.
        weight: U,
        /// Its gradient.
        dweight: I,
    },
    /// `y = alpha · x`, number by number, of two parameters or gradients of one content.
    Scale {
        /// What both hold.
        content: Content,
        /// The factor.
        alpha: f32,
        /// What is scaled.
        x: I,
        /// The result.
        y: O,
    },
    /// `y = alpha · x + beta · y`, number by number, in place: gradients that add up over
    /// micro-batches, averages of weights over steps.
    Blend {
        /// What both hold.
        content: Content,
        /// What `x` counts.
        alpha: f32,
        /// What is taken in.
        x: I,
        /// What `y` counts.
        beta: f32,
        /// The sum or average.
        y: U,
    },
    /// Limits the norm of gradients, all taken together, in place: where `norm = sqrt(Σ g²)` is
    /// above `max_norm`, all are multiplied by `max_norm / (norm + 10⁻⁶)`, as by
    /// `torch.nn.utils.clip_grad_norm_`. Where it is not finite, they are left as they are.
    ClipGradients {
        /// The limit.
        max_norm: f32,
        /// The gradients, and what each holds.
        gradients: Vec<(Content, U)>,
    },
    /// Gives every rank the vectors that each shard of a batch has, as many and as long ones each.
    ///
    /// It is collective, as [`Command::SumShards`]: all ranks come to the same ones in the same order.
    GatherShards {
        /// The shards, and which of them are this rank's.
        shards: Shards,
        /// How many have images: the first ones.
        present: usize,
        /// Those of this rank's shards, one shard's after the other's.
        own: Vec<(Content, I)>,
        /// Those of all other shards, in the same order.
        others: Vec<(Content, O)>,
    },
    /// Gives every rank all rows of maps, which have a row for each image of a batch, of which it has those
    /// of its shards' images.
    GatherRows {
        /// The shards, and which of them are this rank's.
        shards: Shards,
        /// Images of a full batch.
        batch: usize,
        /// The maps, and what their shapes are.
        maps: Vec<(Shape, U)>,
    },
    /// Adds up what the shards of a batch have of each parameter, in the order of the
    /// [`crate::ranks::Tree`], of which each rank has the sums of whole subtrees: the same sum on all
    /// ranks, to the bit, number by number with one rounding an addition.
    SumShards {
        /// The shards, and which of them are this rank's.
        shards: Shards,
        /// How many have images: the first ones.
        present: usize,
        /// What is added up.
        sums: Vec<ShardSum<I, U>>,
    },
}

/// A fully connected layer's weight in the backward pass, and what becomes of its gradient.
///
/// Where no step needs that gradient as a whole (as clipping by its norm would), it need not exist
/// as a whole: the optimiser can take each part as it is computed. For the fully connected layers
/// of a VGG this saves as much memory as their weights take, and writing and reading it once a
/// step. Convolutions' weights are small enough not to care.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightGradient<I = In, O = Out, U = InOut> {
    /// It is written to memory.
    Stored {
        /// The weight.
        weight: I,
        /// Its gradient.
        dweight: O,
    },
    /// The weight is updated, to the same bits as by [`Command::Step`] with the stored gradient. The
    /// input's gradient is that of the weight before.
    Applied {
        /// The optimiser, and what it keeps of the weight.
        optimizer: Optimizer<U>,
        /// The weight.
        weight: U,
    },
}

/// A weight's gradient as a backend is given it.
impl<Buffer> WeightGradient<&Buffer, &mut Buffer, &mut Buffer> {
    /// The weight, as it is before any update.
    pub fn weight(&self) -> &Buffer {
        match self {
            Self::Stored { weight, .. } => weight,
            Self::Applied { weight, .. } => weight,
        }
    }
}

impl<I, O, U> Command<I, O, U> {
    /// Multiply-adds of a product, counted as direct convolution; zero for all else. The backward
    /// pass has as many as the forward pass for each of `dw` and `dx`.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Conv2d { spec, .. } => spec.macs(),
            Self::Conv2dBackward { spec, dx, .. } => spec.macs() * (1 + u64::from(dx.is_some())),
            Self::Linear { spec, .. } => spec.macs(),
            Self::LinearBackward { spec, dx, .. } => spec.macs() * (1 + u64::from(dx.is_some())),
            Self::LinearInputBackward { spec, .. } => spec.macs(),
            _ => 0,
        }
    }

    /// Whether it waits for other ranks, which carry it out, too.
    pub fn exchanges(&self) -> bool {
        matches!(self, Self::GatherShards { .. } | Self::GatherRows { .. } | Self::SumShards { .. })
    }
}

/// What [`Command::ClipGradients`] multiplies by, for a sum of squares.
pub fn clip_factor(max_norm: f32, squares: f64) -> f32 {
    let (norm, max_norm) = (squares.sqrt(), f64::from(max_norm));
    if norm.is_finite() && norm > max_norm { (max_norm / (norm + 1e-6)) as f32 } else { 1.0 }
}
