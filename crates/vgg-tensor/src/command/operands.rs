//! What each command reads and writes, and what those buffers hold: its signature, in one place.

use super::{Command, ShardSum, WeightGradient};
use crate::spec::{BoxMetrics, Metrics};
use crate::{Content, Shape};

/// What becomes of a command's operands, one after the other.
///
/// Whoever needs to know what commands read and write passes through them with one of these: the
/// check of a program, the plan of its memory, the binding to buffers.
pub trait Operands<I, O, U> {
    /// What becomes of an operand that is read.
    type In;
    /// What becomes of one that is overwritten.
    type Out;
    /// What becomes of one that is changed in place.
    type InOut;

    /// An operand that is read and holds at least `content`.
    fn input(&mut self, operand: I, content: Content) -> Self::In;

    /// An operand that is overwritten with `content`.
    fn output(&mut self, operand: O, content: Content) -> Self::Out;

    /// An operand of `content` that is changed in place.
    fn in_place(&mut self, operand: U, content: Content) -> Self::InOut;
}

impl<I, O, U> Command<I, O, U> {
    /// The same command on what `to` makes of its operands.
    pub fn map<M: Operands<I, O, U>>(self, to: &mut M) -> Command<M::In, M::Out, M::InOut> {
        use Content::{Bytes, Maps, Vector};
        match self {
            Self::PrepareImages { spec, normalize, pixels, x } => Command::PrepareImages {
                normalize,
                pixels: to.input(pixels, Bytes(spec.source().len())),
                x: to.output(x, Maps(spec.x())),
                spec,
            },
            Self::Conv2d { spec, x, weight, bias, y, aux } => Command::Conv2d {
                x: to.input(x, Maps(spec.x())),
                weight: to.input(weight, spec.weight()),
                bias: to.input(bias, Vector(spec.c_out())),
                y: to.output(y, Maps(spec.y())),
                aux: aux.map(|aux| to.output(aux, Bytes(spec.aux_bytes()))),
                spec,
            },
            Self::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx } => {
                Command::Conv2dBackward {
                    x: to.input(x, Maps(spec.x())),
                    weight: to.input(weight, spec.weight()),
                    dy: to.input(dy, Maps(spec.y())),
                    aux: to.input(aux, Bytes(spec.aux_bytes())),
                    dweight: to.output(dweight, spec.weight()),
                    dbias: to.output(dbias, Vector(spec.c_out())),
                    dx: dx.map(|dx| to.output(dx, Maps(spec.x()))),
                    spec,
                }
            }
            Self::MaxPool2d { spec, x, y, aux } => Command::MaxPool2d {
                x: to.input(x, Maps(spec.x())),
                y: to.output(y, Maps(spec.y())),
                aux: aux.map(|aux| to.output(aux, Bytes(spec.aux_bytes()))),
                spec,
            },
            Self::MaxPool2dBackward { spec, dy, aux, dx } => Command::MaxPool2dBackward {
                dy: to.input(dy, Maps(spec.y())),
                aux: to.input(aux, Bytes(spec.aux_bytes())),
                dx: to.output(dx, Maps(spec.x())),
                spec,
            },
            Self::AvgPool2d { spec, x, y } => Command::AvgPool2d {
                x: to.input(x, Maps(spec.x())),
                y: to.output(y, Maps(spec.y())),
                spec,
            },
            Self::AvgPool2dBackward { spec, dy, dx } => Command::AvgPool2dBackward {
                dy: to.input(dy, Maps(spec.y())),
                dx: to.output(dx, Maps(spec.x())),
                spec,
            },
            Self::Lrn { spec, x, y } => Command::Lrn {
                x: to.input(x, Maps(spec.x())),
                y: to.output(y, Maps(spec.x())),
                spec,
            },
            Self::LrnBackward { spec, x, dy, dx } => Command::LrnBackward {
                x: to.input(x, Maps(spec.x())),
                dy: to.input(dy, Maps(spec.x())),
                dx: to.output(dx, Maps(spec.x())),
                spec,
            },
            Self::BatchNorm2d {
                spec,
                x,
                weight,
                bias,
                running_mean,
                running_var,
                saved,
                y,
                aux,
            } => Command::BatchNorm2d {
                x: to.input(x, Maps(spec.x())),
                weight: to.input(weight, spec.vector()),
                bias: to.input(bias, spec.vector()),
                running_mean: to.in_place(running_mean, spec.vector()),
                running_var: to.in_place(running_var, spec.vector()),
                saved: to.output(saved, spec.saved()),
                y: to.output(y, Maps(spec.y())),
                aux: to.output(aux, Bytes(spec.aux_bytes())),
                spec,
            },
            Self::BatchNorm2dInference { spec, x, weight, bias, running_mean, running_var, y } => {
                Command::BatchNorm2dInference {
                    x: to.input(x, Maps(spec.x())),
                    weight: to.input(weight, spec.vector()),
                    bias: to.input(bias, spec.vector()),
                    running_mean: to.input(running_mean, spec.vector()),
                    running_var: to.input(running_var, spec.vector()),
                    y: to.output(y, Maps(spec.y())),
                    spec,
                }
            }
            Self::BatchNorm2dBackward { spec, x, weight, saved, dy, aux, dweight, dbias, dx } => {
                Command::BatchNorm2dBackward {
                    x: to.input(x, Maps(spec.x())),
                    weight: to.input(weight, spec.vector()),
                    saved: to.input(saved, spec.saved()),
                    dy: to.input(dy, Maps(spec.y())),
                    aux: to.input(aux, Bytes(spec.aux_bytes())),
                    dweight: to.output(dweight, spec.vector()),
                    dbias: to.output(dbias, spec.vector()),
                    dx: to.output(dx, Maps(spec.x())),
                    spec,
                }
            }
            Self::Sigmoid { shape, x } => {
                Command::Sigmoid { shape, x: to.in_place(x, Maps(shape)) }
            }
            Self::SigmoidBackward { shape, y, dy } => Command::SigmoidBackward {
                shape,
                y: to.input(y, Maps(shape)),
                dy: to.in_place(dy, Maps(shape)),
            },
            Self::Linear { spec, x, weight, bias, y, aux } => Command::Linear {
                x: to.input(x, Maps(spec.x())),
                weight: to.input(weight, spec.weight()),
                bias: to.input(bias, Vector(spec.out_features())),
                y: to.output(y, Maps(spec.y())),
                aux: aux.map(|aux| to.output(aux, Bytes(spec.aux_bytes()))),
                spec,
            },
            Self::LinearBackward { spec, x, weight, dy, aux, dbias, dx } => {
                Command::LinearBackward {
                    x: to.input(x, Maps(spec.x())),
                    weight: weight.map(spec.weight(), to),
                    dy: to.input(dy, Maps(spec.y())),
                    aux: to.input(aux, Bytes(spec.aux_bytes())),
                    dbias: to.output(dbias, Vector(spec.out_features())),
                    dx: dx.map(|dx| to.output(dx, Maps(spec.x()))),
                    spec,
                }
            }
            Self::LinearInputBackward { spec, weight, dy, aux, dx } => {
                Command::LinearInputBackward {
                    weight: to.input(weight, spec.weight()),
                    dy: to.input(dy, Maps(spec.y())),
                    aux: to.input(aux, Bytes(spec.aux_bytes())),
                    dx: to.output(dx, Maps(spec.x())),
                    spec,
                }
            }
            Self::LinearFactors { spec, first, rows, alpha, x, dy, aux, xs, dsums } => {
                Command::LinearFactors {
                    x: to.input(x, Maps(spec.x())),
                    dy: to.input(dy, Maps(spec.y())),
                    aux: to.input(aux, Bytes(spec.aux_bytes())),
                    xs: to.in_place(xs, Maps(Shape { n: rows, ..spec.x() })),
                    dsums: to.in_place(dsums, Maps(Shape { n: rows, ..spec.y() })),
                    spec,
                    first,
                    rows,
                    alpha,
                }
            }
            Self::Dropout { shape, p, seed, stream, x } => {
                Command::Dropout { shape, p, seed, stream, x: to.in_place(x, Maps(shape)) }
            }
            Self::SoftmaxCrossEntropy { spec, logits, labels, metrics, dlogits } => {
                Command::SoftmaxCrossEntropy {
                    logits: to.input(logits, Maps(spec.logits())),
                    labels: to.input(labels, Bytes(spec.label_bytes())),
                    metrics: to.output(metrics, Vector(Metrics::LEN)),
                    dlogits: to.output(dlogits, Maps(spec.logits())),
                    spec,
                }
            }
            Self::EuclideanLoss { spec, predicted, targets, metrics, dpredicted } => {
                Command::EuclideanLoss {
                    predicted: to.input(predicted, Maps(spec.predicted())),
                    targets: to.input(targets, Bytes(spec.target_bytes())),
                    metrics: to.output(metrics, Vector(BoxMetrics::LEN)),
                    dpredicted: to.output(dpredicted, Maps(spec.predicted())),
                    spec,
                }
            }
            Self::Step { optimizer, content, weight, dweight } => Command::Step {
                content,
                weight: to.in_place(weight, content),
                dweight: to.input(dweight, content),
                optimizer: optimizer.map(|kept| to.in_place(kept, content)),
            },
            Self::Scale { content, alpha, x, y } => {
                Command::Scale { content, alpha, x: to.input(x, content), y: to.output(y, content) }
            }
            Self::Blend { content, alpha, x, beta, y } => Command::Blend {
                content,
                alpha,
                x: to.input(x, content),
                beta,
                y: to.in_place(y, content),
            },
            Self::ClipGradients { max_norm, gradients } => {
                let mut gradient = |(content, g)| (content, to.in_place(g, content));
                let gradients = gradients.into_iter().map(&mut gradient).collect();
                Command::ClipGradients { max_norm, gradients }
            }
            Self::GatherShards { shards, present, own, others } => {
                let own = own.into_iter().map(|(content, x)| (content, to.input(x, content)));
                let own = own.collect();
                let others =
                    others.into_iter().map(|(content, y)| (content, to.output(y, content)));
                let others = others.collect();
                Command::GatherShards { shards, present, own, others }
            }
            Self::GatherRows { shards, batch, maps } => {
                let maps = maps.into_iter().map(|(shape, y)| (shape, to.in_place(y, Maps(shape))));
                Command::GatherRows { shards, batch, maps: maps.collect() }
            }
            Self::SumShards { shards, present, sums } => {
                let sum = |ShardSum { content, first, others }| ShardSum {
                    content,
                    first: to.in_place(first, content),
                    others: others.into_iter().map(|x| to.input(x, content)).collect(),
                };
                let sums = sums.into_iter().map(sum).collect();
                Command::SumShards { shards, present, sums }
            }
        }
    }
}

impl<I, O, U> WeightGradient<I, O, U> {
    fn map<M: Operands<I, O, U>>(
        self,
        content: Content,
        to: &mut M,
    ) -> WeightGradient<M::In, M::Out, M::InOut> {
        match self {
            Self::Stored { weight, dweight } => WeightGradient::Stored {
                weight: to.input(weight, content),
                dweight: to.output(dweight, content),
            },
            Self::Applied { optimizer, weight } => WeightGradient::Applied {
                weight: to.in_place(weight, content),
                optimizer: optimizer.map(|kept| to.in_place(kept, content)),
            },
        }
    }
}
