//! Commands in words.

use std::fmt;

use super::{Command, WeightGradient};
use crate::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue,
    MaxPool2d, WeightType,
};
use crate::{Content, Shape};

/// What is computed and its size, for one image where images are computed alike, as in
/// `conv2d backward 3×3 64→128@56×56 + relu + max-pool`.
impl<I, O, U> fmt::Display for Command<I, O, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrepareImages { spec: op, .. } => {
                let (from, to) = (op.source(), op.x());
                if (from.h, from.w) == (to.h, to.w) {
                    write!(f, "normalise {}×{}", to.h, to.w)
                } else {
                    write!(f, "resize {}×{}→{}×{}, normalise", from.h, from.w, to.h, to.w)
                }
            }
            Self::Conv2d { spec: op, .. } => conv2d(f, "conv2d", op),
            Self::Conv2dBackward { spec: op, dx, .. } => {
                conv2d(f, "conv2d backward", op)?;
                without(f, dx.is_some())
            }
            Self::MaxPool2d { spec: op, .. } => max_pool2d(f, "max-pool", op),
            Self::MaxPool2dBackward { spec: op, .. } => max_pool2d(f, "max-pool backward", op),
            Self::AvgPool2d { spec: op, .. } => avg_pool2d(f, "average pool", op),
            Self::AvgPool2dBackward { spec: op, .. } => avg_pool2d(f, "average pool backward", op),
            Self::Lrn { spec: op, .. } => write!(f, "lrn {}", Maps(op.x())),
            Self::LrnBackward { spec: op, .. } => write!(f, "lrn backward {}", Maps(op.x())),
            Self::BatchNorm2d { spec: op, .. } => batch_norm2d(f, "batch-norm", op),
            Self::BatchNorm2dInference { spec: op, .. } => {
                batch_norm2d(f, "batch-norm inference", op)
            }
            Self::BatchNorm2dBackward { spec: op, .. } => {
                batch_norm2d(f, "batch-norm backward", op)
            }
            Self::Sigmoid { shape, .. } => write!(f, "sigmoid {}", Maps(*shape)),
            Self::SigmoidBackward { shape, .. } => write!(f, "sigmoid backward {}", Maps(*shape)),
            Self::Linear { spec: op, .. } => linear(f, "linear", op),
            Self::LinearBackward { spec: op, weight, dx, .. } => {
                linear(f, "linear backward", op)?;
                if let WeightGradient::Applied { optimizer, .. } = weight {
                    write!(f, " + {}", optimizer.name())?;
                }
                without(f, dx.is_some())
            }
            Self::LinearInputBackward { spec: op, .. } => {
                linear(f, "linear backward", op)?;
                f.write_str(", dx alone")
            }
            Self::LinearFactors { spec: op, .. } => linear(f, "linear factors", op),
            Self::Dropout { shape, p, .. } => write!(f, "dropout {p} {}", shape.features()),
            Self::SoftmaxCrossEntropy { spec: op, .. } => {
                write!(f, "softmax cross-entropy {}", op.logits().features())
            }
            Self::EuclideanLoss { spec: op, .. } => {
                write!(f, "euclidean loss {}", op.predicted().features())
            }
            Self::Step { optimizer, content, .. } => parameter(f, optimizer.name(), content),
            Self::Scale { content, .. } => parameter(f, "scale", content),
            Self::Blend { content, .. } => parameter(f, "blend", content),
            Self::ClipGradients { gradients, .. } => {
                let len: usize = gradients.iter().map(|(content, _)| content.len()).sum();
                write!(f, "clip gradients {len}")
            }
            Self::GatherShards { shards, own, others, .. } => {
                let own = own.iter().map(|(content, _)| content.len());
                let len: usize = own.chain(others.iter().map(|(content, _)| content.len())).sum();
                write!(f, "gather {len} of {} ranks", shards.ranks())
            }
            Self::GatherRows { shards, maps, .. } => {
                let len: usize = maps.iter().map(|(shape, _)| shape.len()).sum();
                write!(f, "gather rows {len} of {} ranks", shards.ranks())
            }
            Self::SumShards { shards, sums, .. } => {
                let len: usize = sums.iter().map(|sum| sum.content.len()).sum();
                write!(f, "sum {len} over {} ranks", shards.ranks())
            }
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
        WeightType::F32 | WeightType::Factors => "",
        WeightType::F16 => ", weight in f16",
    };
    write!(f, "{name} {}→{}{tail}{stored}", op.in_features(), op.out_features())
}

fn max_pool2d(f: &mut fmt::Formatter<'_>, name: &str, op: &MaxPool2d) -> fmt::Result {
    let (k, s) = (op.kernel(), op.stride());
    write!(f, "{name} {k}×{k}/{s} {}", Maps(op.x()))
}

fn parameter(f: &mut fmt::Formatter<'_>, name: &str, content: &Content) -> fmt::Result {
    match *content {
        Content::ConvWeight { c_out, c_in, kernel } => {
            write!(f, "{name} {c_out}×{c_in}×{kernel}×{kernel}")
        }
        Content::LinearWeight { out_features, c, h, w, .. } => {
            write!(f, "{name} {out_features}×{}", c * h * w)
        }
        _ => write!(f, "{name} {}", content.len()),
    }
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
    use super::super::samples::{Any, samples};
    use super::*;

    #[test]
    fn commands_in_words() -> crate::Result<()> {
        for (command, words) in samples()? {
            assert_eq!(command.to_string(), words);
        }
        Ok(())
    }

    #[test]
    fn products_are_counted() -> crate::Result<()> {
        let spec = Linear::new(Shape::flat(4, 10), 3, LinearEpilogue::Bias)?;
        let [x, weight, bias, y, dy, aux, dweight, dbias] = [Any; 8];
        let stored = WeightGradient::Stored { weight, dweight };
        let forward = Command::Linear { spec, x, weight, bias, y, aux: None };
        let backward = |dx| Command::LinearBackward { spec, x, weight: stored, dy, aux, dbias, dx };
        let input_backward = Command::LinearInputBackward { spec, weight, dy, aux, dx: Any };
        let dropout = Command::Dropout { shape: spec.y(), p: 0.5, seed: 1, stream: 2, x };
        let counts = [forward, backward(None), backward(Some(Any)), input_backward, dropout];
        assert_eq!(counts.map(|command| command.macs()), [120, 120, 240, 120, 0]);
        Ok(())
    }
}
