//! What a backend was asked to do, as a value.

use std::fmt;

use crate::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn,
    MaxPool2d, PrepareImages, SoftmaxCrossEntropy, WeightType,
};
use crate::{Content, Shape};

/// A call of a [`crate::Backend`]: which operation, and its spec.
///
/// As text it says what is computed and its size, for one image where images are computed alike:
///
/// ```
/// use vgg_tensor::{Shape, profile::Operation, spec::{Conv2d, ConvEpilogue}};
/// let x = Shape::new(128, 64, 56, 56);
/// let op = Conv2d::new(x, 128, 3, 1, ConvEpilogue::BiasReluMaxPool)?;
/// let backward = Operation::Conv2dBackward { op, dx: true };
/// assert_eq!(backward.to_string(), "conv2d backward 3×3 64→128@56×56 + relu + max-pool");
/// assert_eq!(backward.macs(), 2 * op.macs());
/// # Ok::<(), vgg_tensor::Error>(())
/// ```
///
/// `dx` says whether the input's gradient is computed, and `applied` whether the weight is updated
/// with its own at once.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the methods of `Backend`")]
pub enum Operation {
    Upload { bytes: usize },
    Download { bytes: usize },
    PrepareImages(PrepareImages),
    Conv2d(Conv2d),
    Conv2dBackward { op: Conv2d, dx: bool },
    MaxPool2d(MaxPool2d),
    MaxPool2dBackward(MaxPool2d),
    AvgPool2d(AvgPool2d),
    AvgPool2dBackward(AvgPool2d),
    Lrn(Lrn),
    LrnBackward(Lrn),
    BatchNorm2d(BatchNorm2d),
    BatchNorm2dInference(BatchNorm2d),
    BatchNorm2dBackward(BatchNorm2d),
    Sigmoid(Shape),
    SigmoidBackward(Shape),
    Linear(Linear),
    LinearBackward { op: Linear, applied: bool, dx: bool },
    Dropout { shape: Shape, p: f32 },
    SoftmaxCrossEntropy(SoftmaxCrossEntropy),
    Sgd(Content),
}

impl Operation {
    /// Multiply-adds of a product, counted as direct convolution; zero for all else. The backward
    /// pass has as many as the forward pass for each of `dw` and `dx`.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Conv2d(op) => op.macs(),
            Self::Conv2dBackward { op, dx } => op.macs() * (1 + u64::from(*dx)),
            Self::Linear(op) => op.macs(),
            Self::LinearBackward { op, dx, .. } => op.macs() * (1 + u64::from(*dx)),
            _ => 0,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload { bytes } => write!(f, "upload {bytes} bytes"),
            Self::Download { bytes } => write!(f, "download {bytes} bytes"),
            Self::PrepareImages(op) => {
                let (from, to) = (op.source(), op.x());
                if (from.h, from.w) == (to.h, to.w) {
                    write!(f, "normalise {}×{}", to.h, to.w)
                } else {
                    write!(f, "resize {}×{}→{}×{}, normalise", from.h, from.w, to.h, to.w)
                }
            }
            Self::Conv2d(op) => conv2d(f, "conv2d", op),
            Self::Conv2dBackward { op, dx } => {
                conv2d(f, "conv2d backward", op)?;
                without(f, *dx)
            }
            Self::MaxPool2d(op) => max_pool2d(f, "max-pool", op),
            Self::MaxPool2dBackward(op) => max_pool2d(f, "max-pool backward", op),
            Self::AvgPool2d(op) => avg_pool2d(f, "average pool", op),
            Self::AvgPool2dBackward(op) => avg_pool2d(f, "average pool backward", op),
            Self::Lrn(op) => write!(f, "lrn {}", Maps(op.x())),
            Self::LrnBackward(op) => write!(f, "lrn backward {}", Maps(op.x())),
            Self::BatchNorm2d(op) => batch_norm2d(f, "batch-norm", op),
            Self::BatchNorm2dInference(op) => batch_norm2d(f, "batch-norm inference", op),
            Self::BatchNorm2dBackward(op) => batch_norm2d(f, "batch-norm backward", op),
            Self::Sigmoid(shape) => write!(f, "sigmoid {}", Maps(*shape)),
            Self::SigmoidBackward(shape) => write!(f, "sigmoid backward {}", Maps(*shape)),
            Self::Linear(op) => linear(f, "linear", op),
            Self::LinearBackward { op, applied, dx } => {
                linear(f, "linear backward", op)?;
                f.write_str(if *applied { " + sgd" } else { "" })?;
                without(f, *dx)
            }
            Self::Dropout { shape, p } => write!(f, "dropout {p} {}", shape.features()),
            Self::SoftmaxCrossEntropy(op) => {
                write!(f, "softmax cross-entropy {}", op.logits().features())
            }
            Self::Sgd(content) => match *content {
                Content::ConvWeight { c_out, c_in, kernel } => {
                    write!(f, "sgd {c_out}×{c_in}×{kernel}×{kernel}")
                }
                Content::LinearWeight { out_features, c, h, w, .. } => {
                    write!(f, "sgd {out_features}×{}", c * h * w)
                }
                _ => write!(f, "sgd {}", content.len()),
            },
        }
    }
}

/// The maps of one image: `64@56×56`.
struct Maps(Shape);

impl fmt::Display for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { c, h, w, .. } = self.0;
        write!(f, "{c}@{h}×{w}")
    }
}

fn conv2d(f: &mut fmt::Formatter<'_>, name: &str, op: &Conv2d) -> fmt::Result {
    let tail = match op.epilogue() {
        ConvEpilogue::Bias => "",
        ConvEpilogue::BiasRelu => " + relu",
        ConvEpilogue::BiasReluMaxPool => " + relu + max-pool",
    };
    let (c_in, k, y) = (op.x().c, op.kernel(), Maps(op.conv_y()));
    match op.stride() {
        1 => write!(f, "{name} {k}×{k} {c_in}→{y}{tail}"),
        stride => write!(f, "{name} {k}×{k}/{stride} {c_in}→{y}{tail}"),
    }
}

fn batch_norm2d(f: &mut fmt::Formatter<'_>, name: &str, op: &BatchNorm2d) -> fmt::Result {
    let tail = match op.epilogue() {
        BatchNormEpilogue::Relu => " + relu",
        BatchNormEpilogue::ReluMaxPool => " + relu + max-pool",
    };
    write!(f, "{name} {}{tail}", Maps(op.x()))
}

fn linear(f: &mut fmt::Formatter<'_>, name: &str, op: &Linear) -> fmt::Result {
    let tail = match op.epilogue() {
        LinearEpilogue::Bias => "",
        LinearEpilogue::BiasRelu => " + relu",
    };
    let stored = match op.weight_type() {
        WeightType::F32 => "",
        WeightType::F16 => ", weight in f16",
    };
    write!(f, "{name} {}→{}{tail}{stored}", op.in_features(), op.out_features())
}

fn max_pool2d(f: &mut fmt::Formatter<'_>, name: &str, op: &MaxPool2d) -> fmt::Result {
    let (k, s) = (op.kernel(), op.stride());
    write!(f, "{name} {k}×{k}/{s} {}", Maps(op.x()))
}

fn avg_pool2d(f: &mut fmt::Formatter<'_>, name: &str, op: &AvgPool2d) -> fmt::Result {
    let y = op.y();
    write!(f, "{name} {}→{}×{}", Maps(op.x()), y.h, y.w)
}

fn without(f: &mut fmt::Formatter<'_>, dx: bool) -> fmt::Result {
    if dx { Ok(()) } else { write!(f, ", without dx") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_in_words() -> crate::Result<()> {
        let x = Shape::new(2, 3, 8, 10);
        let conv = Conv2d::new(x, 5, 3, 0, ConvEpilogue::BiasRelu)?;
        let linear = Linear::new(x, 7, LinearEpilogue::BiasRelu)?;
        let pool = MaxPool2d::new(x, 3, 2)?;
        let resize = |h, w| PrepareImages::new(x, h, w).map(Operation::PrepareImages);
        let words = [
            (Operation::Upload { bytes: 12 }, "upload 12 bytes"),
            (resize(16, 20)?, "resize 8×10→16×20, normalise"),
            (resize(8, 10)?, "normalise 8×10"),
            (Operation::Conv2d(conv), "conv2d 3×3 3→5@6×8 + relu"),
            (
                Operation::Conv2dBackward { op: conv, dx: false },
                "conv2d backward 3×3 3→5@6×8 + relu, without dx",
            ),
            (Operation::MaxPool2dBackward(pool), "max-pool backward 3×3/2 3@8×10"),
            (Operation::Conv2d(conv.with_stride(2)?), "conv2d 3×3/2 3→5@3×4 + relu"),
            (Operation::AvgPool2d(AvgPool2d::new(x, 7, 5)?), "average pool 3@8×10→7×5"),
            (Operation::Lrn(Lrn::new(x)?), "lrn 3@8×10"),
            (
                Operation::BatchNorm2dBackward(BatchNorm2d::new(
                    x,
                    BatchNormEpilogue::ReluMaxPool,
                )?),
                "batch-norm backward 3@8×10 + relu + max-pool",
            ),
            (Operation::SigmoidBackward(x), "sigmoid backward 3@8×10"),
            (Operation::Linear(linear), "linear 240→7 + relu"),
            (
                Operation::Linear(linear.with_weight_type(WeightType::F16)),
                "linear 240→7 + relu, weight in f16",
            ),
            (
                Operation::LinearBackward { op: linear, applied: true, dx: true },
                "linear backward 240→7 + relu + sgd",
            ),
            (Operation::Dropout { shape: Shape::flat(2, 7), p: 0.5 }, "dropout 0.5 7"),
            (
                Operation::SoftmaxCrossEntropy(SoftmaxCrossEntropy::new(2, 10)?),
                "softmax cross-entropy 10",
            ),
            (Operation::Sgd(conv.weight()), "sgd 5×3×3×3"),
            (Operation::Sgd(linear.weight()), "sgd 7×240"),
            (Operation::Sgd(Content::Vector(7)), "sgd 7"),
        ];
        for (operation, expected) in words {
            assert_eq!(operation.to_string(), expected);
        }
        Ok(())
    }

    #[test]
    fn products_are_counted() -> crate::Result<()> {
        let op = Linear::new(Shape::flat(4, 10), 3, LinearEpilogue::Bias)?;
        let counts = [
            Operation::Linear(op),
            Operation::LinearBackward { op, applied: false, dx: false },
            Operation::LinearBackward { op, applied: true, dx: true },
            Operation::Dropout { shape: op.y(), p: 0.5 },
        ];
        assert_eq!(counts.map(|operation| operation.macs()), [120, 120, 240, 0]);
        Ok(())
    }
}
