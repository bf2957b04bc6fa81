//! The operations that a plan makes of layers.

use vgg_tensor::profile::Operation;
use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn,
    MaxPool2d, WeightType,
};
use vgg_tensor::{Content, Result, Shape};

use crate::Layer;

/// An operation. `weight` is an index into [`crate::plan::Plan::params`]; the bias is the next one.
/// `mean` is one into [`crate::plan::Plan::state`]; the variance is the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Conv2d { spec: Conv2d, weight: usize },
    BatchNorm2d { spec: BatchNorm2d, weight: usize, mean: usize },
    Lrn { spec: Lrn },
    MaxPool2d { spec: MaxPool2d },
    AvgPool2d { spec: AvgPool2d },
    Sigmoid { shape: Shape },
    Linear { spec: Linear, weight: usize },
    Dropout { shape: Shape, p: f32, stream: u32 },
}

impl Op {
    /// The operation of `layer` on `x`, with `pooled` if the max-pool after it is fused into it.
    pub(crate) fn new(
        layer: &Layer,
        pooled: bool,
        x: Shape,
        [weight, mean]: [usize; 2],
        weight_type: WeightType,
        stream: u32,
    ) -> Result<Self> {
        let op = match *layer {
            Layer::Conv2d { c_out, kernel, stride, padding, relu, .. } => {
                let epilogue = match (relu, pooled) {
                    (true, true) => ConvEpilogue::BiasReluMaxPool,
                    (true, false) => ConvEpilogue::BiasRelu,
                    (false, _) => ConvEpilogue::Bias,
                };
                Conv2d::new(x, c_out, kernel, padding, epilogue)
                    .and_then(|spec| spec.with_stride(stride))
                    .map(|spec| Op::Conv2d { spec, weight })
            }
            Layer::BatchNorm2d { .. } => {
                let epilogue = match pooled {
                    true => BatchNormEpilogue::ReluMaxPool,
                    false => BatchNormEpilogue::Relu,
                };
                let spec = BatchNorm2d::new(x, epilogue);
                spec.map(|spec| Op::BatchNorm2d { spec, weight, mean })
            }
            Layer::Lrn { .. } => Lrn::new(x).map(|spec| Op::Lrn { spec }),
            Layer::MaxPool2d { kernel, stride, .. } => {
                MaxPool2d::new(x, kernel, stride).map(|spec| Op::MaxPool2d { spec })
            }
            Layer::AvgPool2d { h, w, .. } => {
                AvgPool2d::new(x, h, w).map(|spec| Op::AvgPool2d { spec })
            }
            Layer::Sigmoid { .. } => Ok(Op::Sigmoid { shape: x }),
            Layer::Linear { out_features, relu, .. } => {
                let epilogue = match relu {
                    true => LinearEpilogue::BiasRelu,
                    false => LinearEpilogue::Bias,
                };
                let spec = Linear::new(x, out_features, epilogue);
                let stored = |spec: Linear| spec.with_weight_type(weight_type);
                spec.map(|spec| Op::Linear { spec: stored(spec), weight })
            }
            Layer::Dropout { p, .. } => Ok(Op::Dropout { shape: x, p, stream }),
        };
        op.map_err(|e| e.in_layer(layer.name()))
    }

    /// The shape of its output.
    pub(crate) fn y(&self) -> Shape {
        match self {
            Op::Conv2d { spec, .. } => spec.y(),
            Op::BatchNorm2d { spec, .. } => spec.y(),
            Op::Lrn { spec } => spec.x(),
            Op::MaxPool2d { spec } => spec.y(),
            Op::AvgPool2d { spec } => spec.y(),
            Op::Linear { spec, .. } => spec.y(),
            Op::Sigmoid { shape } | Op::Dropout { shape, .. } => *shape,
        }
    }

    /// The index of its first parameter, if it has any.
    pub(crate) fn weight(&self) -> Option<usize> {
        match *self {
            Op::Conv2d { weight, .. }
            | Op::BatchNorm2d { weight, .. }
            | Op::Linear { weight, .. } => Some(weight),
            _ => None,
        }
    }

    /// How many parameters it has: weight and bias, or none.
    pub(crate) fn params(&self) -> usize {
        match self {
            Op::Conv2d { .. } | Op::BatchNorm2d { .. } | Op::Linear { .. } => 2,
            _ => 0,
        }
    }

    /// How many vectors of state it has: mean and variance, or none.
    pub(crate) fn state(&self) -> usize {
        match self {
            Op::BatchNorm2d { .. } => 2,
            _ => 0,
        }
    }

    pub(crate) fn is_dropout(&self) -> bool {
        matches!(self, Op::Dropout { .. })
    }

    /// Whether its output, and its gradient, take their input's place. A sigmoid's gradient is
    /// computed from that output, so no other operation in place may follow it.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Op::Sigmoid { .. } | Op::Dropout { .. })
    }

    /// Statistics that it leaves for the backward pass besides.
    pub(crate) fn saved(&self) -> Option<Content> {
        match self {
            Op::BatchNorm2d { spec, .. } => Some(spec.saved()),
            _ => None,
        }
    }

    /// What it leaves for the backward pass.
    pub(crate) fn aux(&self) -> Content {
        Content::Bytes(match self {
            Op::Conv2d { spec, .. } => spec.aux_bytes(),
            Op::BatchNorm2d { spec, .. } => spec.aux_bytes(),
            Op::MaxPool2d { spec } => spec.aux_bytes(),
            Op::Linear { spec, .. } => spec.aux_bytes(),
            _ => 0,
        })
    }

    /// As a backend is asked for it in the forward pass.
    pub(crate) fn operation(&self) -> Operation {
        match *self {
            Op::Conv2d { spec, .. } => Operation::Conv2d(spec),
            Op::BatchNorm2d { spec, .. } => Operation::BatchNorm2d(spec),
            Op::Lrn { spec } => Operation::Lrn(spec),
            Op::MaxPool2d { spec } => Operation::MaxPool2d(spec),
            Op::AvgPool2d { spec } => Operation::AvgPool2d(spec),
            Op::Sigmoid { shape } => Operation::Sigmoid(shape),
            Op::Linear { spec, .. } => Operation::Linear(spec),
            Op::Dropout { shape, p, .. } => Operation::Dropout { shape, p },
        }
    }

    /// As a backend is asked for it in the backward pass. `dx` says whether the input's gradient is
    /// wanted, and `applied` whether a fully connected weight's is applied at once.
    pub(crate) fn backward_operation(&self, dx: bool, applied: bool) -> Operation {
        match *self {
            Op::Conv2d { spec, .. } => Operation::Conv2dBackward { op: spec, dx },
            Op::BatchNorm2d { spec, .. } => Operation::BatchNorm2dBackward(spec),
            Op::Lrn { spec } => Operation::LrnBackward(spec),
            Op::MaxPool2d { spec } => Operation::MaxPool2dBackward(spec),
            Op::AvgPool2d { spec } => Operation::AvgPool2dBackward(spec),
            Op::Sigmoid { shape } => Operation::SigmoidBackward(shape),
            Op::Linear { spec, .. } => Operation::LinearBackward { op: spec, applied, dx },
            Op::Dropout { shape, p, .. } => Operation::Dropout { shape, p },
        }
    }

    /// For a summary.
    pub(crate) fn kind(&self) -> String {
        match self {
            Op::Conv2d { spec, .. } => {
                let tail = match spec.epilogue() {
                    ConvEpilogue::Bias => "",
                    ConvEpilogue::BiasRelu => " + relu",
                    ConvEpilogue::BiasReluMaxPool => " + relu + max-pool 2×2",
                };
                format!("conv {}{tail}", window(spec.kernel(), spec.stride(), 1))
            }
            Op::BatchNorm2d { spec, .. } => match spec.epilogue() {
                BatchNormEpilogue::Relu => "batch norm + relu".into(),
                BatchNormEpilogue::ReluMaxPool => "batch norm + relu + max-pool 2×2".into(),
            },
            Op::Lrn { .. } => "local response norm".into(),
            Op::MaxPool2d { spec } => {
                format!("max-pool {}", window(spec.kernel(), spec.stride(), spec.kernel()))
            }
            Op::AvgPool2d { .. } => "average pool".into(),
            Op::Sigmoid { .. } => "sigmoid".into(),
            Op::Linear { spec, .. } => {
                let stored = match spec.weight_type() {
                    WeightType::F32 => "",
                    WeightType::F16 => " (f16)",
                };
                let tail = match spec.epilogue() {
                    LinearEpilogue::Bias => "",
                    LinearEpilogue::BiasRelu => " + relu",
                };
                format!("linear{stored}{tail}")
            }
            Op::Dropout { p, .. } => format!("dropout {p}"),
        }
    }
}

/// A window's sides and, unless it is the usual one, its stride: `3×3/2`.
fn window(kernel: usize, stride: usize, usual: usize) -> String {
    let stride = if stride == usual { String::new() } else { format!("/{stride}") };
    format!("{kernel}×{kernel}{stride}")
}
