//! Commands for tests of what all of them have.

use super::{Command, Optimizer, ShardSum, WeightGradient};
use crate::ranks::Shards;
use crate::spec::{
    AdamW, AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, EuclideanLoss, Linear,
    LinearEpilogue, Lrn, MaxPool2d, Normalize, PrepareImages, Sgd, SoftmaxCrossEntropy, WeightType,
};
use crate::{Content, Result, Shape};

/// An operand that may be any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Any;

/// A command, and what it is in words.
pub(crate) type Sample = (Command<Any, Any, Any>, &'static str);

/// One of each command at least.
pub(crate) fn samples() -> Result<Vec<Sample>> {
    use Command as C;
    use WeightGradient::{Applied, Stored};

    let maps = Shape::new(2, 3, 8, 10);
    let conv = Conv2d::new(maps, 5, 3, 0, ConvEpilogue::BiasRelu)?;
    let max_pool = MaxPool2d::new(maps, 3, 2)?;
    let avg_pool = AvgPool2d::new(maps, 7, 5)?;
    let (lrn, norm) = (Lrn::new(maps)?, BatchNorm2d::new(maps, BatchNormEpilogue::ReluMaxPool)?);
    let linear = Linear::new(maps, 7, LinearEpilogue::BiasRelu)?;
    let f16 = linear.with_weight_type(WeightType::F16);
    let softmax = SoftmaxCrossEntropy::new(2, 10)?;
    let plain = Optimizer::Sgd { spec: Sgd::default(), velocity: None };
    let momentum = Sgd { momentum: 0.5, ..Sgd::default() };
    let momentum = Optimizer::Sgd { spec: momentum, velocity: Some(Any) };
    let adamw = Optimizer::AdamW { spec: AdamW::default(), mean: Any, square: Any };
    let (vector, shards) = (Content::Vector(12), Shards::new(4, 0, 3)?);

    let [pixels, x, y, weight, bias, aux] = [Any; 6];
    let [running_mean, running_var, saved, logits, labels, metrics] = [Any; 6];
    let [dx, dy, dweight, dbias, dlogits] = [Any; 5];
    let images = |h, w| {
        let image = |spec| C::PrepareImages { spec, normalize: Normalize::identity(3), pixels, x };
        PrepareImages::new(maps, h, w).map(image)
    };
    let conv2d = |spec, aux| C::Conv2d { spec, x, weight, bias, y, aux };
    let conv2d_backward =
        |spec, dx| C::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx };
    let forward = |spec, aux| C::Linear { spec, x, weight, bias, y, aux };
    let backward = |weight, dx| C::LinearBackward { spec: linear, x, weight, dy, aux, dbias, dx };
    let softmax = C::SoftmaxCrossEntropy { spec: softmax, logits, labels, metrics, dlogits };
    let (spec, predicted, targets, dpredicted) = (EuclideanLoss::new(2, 10)?, Any, Any, Any);
    let euclidean = C::EuclideanLoss { spec, predicted, targets, metrics, dpredicted };
    let step = |optimizer, content| C::Step { optimizer, content, weight, dweight };
    Ok(vec![
        (images(16, 20)?, "resize 8×10→16×20, normalise"),
        (images(8, 10)?, "normalise 8×10"),
        (conv2d(conv, None), "conv2d 3×3 3→5@6×8 + relu"),
        (conv2d(conv.with_stride(2)?, Some(aux)), "conv2d 3×3/2 3→5@3×4 + relu"),
        (conv2d_backward(conv, None), "conv2d backward 3×3 3→5@6×8 + relu, without dx"),
        (conv2d_backward(conv, Some(dx)), "conv2d backward 3×3 3→5@6×8 + relu"),
        (C::MaxPool2d { spec: max_pool, x, y, aux: Some(aux) }, "max-pool 3×3/2 3@8×10"),
        (C::MaxPool2dBackward { spec: max_pool, dy, aux, dx }, "max-pool backward 3×3/2 3@8×10"),
        (C::AvgPool2d { spec: avg_pool, x, y }, "average pool 3@8×10→7×5"),
        (C::AvgPool2dBackward { spec: avg_pool, dy, dx }, "average pool backward 3@8×10→7×5"),
        (C::Lrn { spec: lrn, x, y }, "lrn 3@8×10"),
        (C::LrnBackward { spec: lrn, x, dy, dx }, "lrn backward 3@8×10"),
        (
            C::BatchNorm2d {
                spec: norm,
                x,
                weight,
                bias,
                running_mean,
                running_var,
                saved,
                y,
                aux,
            },
            "batch-norm 3@8×10 + relu + max-pool",
        ),
        (
            C::BatchNorm2dInference { spec: norm, x, weight, bias, running_mean, running_var, y },
            "batch-norm inference 3@8×10 + relu + max-pool",
        ),
        (
            C::BatchNorm2dBackward { spec: norm, x, weight, saved, dy, aux, dweight, dbias, dx },
            "batch-norm backward 3@8×10 + relu + max-pool",
        ),
        (C::Sigmoid { shape: maps, x }, "sigmoid 3@8×10"),
        (C::SigmoidBackward { shape: maps, y, dy }, "sigmoid backward 3@8×10"),
        (forward(linear, Some(aux)), "linear 240→7 + relu"),
        (forward(f16, None), "linear 240→7 + relu, weight in f16"),
        (backward(Stored { weight, dweight }, None), "linear backward 240→7 + relu, without dx"),
        (
            backward(Applied { optimizer: momentum, weight }, Some(dx)),
            "linear backward 240→7 + relu + sgd",
        ),
        (
            backward(Applied { optimizer: adamw, weight }, None),
            "linear backward 240→7 + relu + adamw, without dx",
        ),
        (
            C::LinearInputBackward { spec: linear, weight, dy, aux, dx },
            "linear backward 240→7 + relu, dx alone",
        ),
        (
            C::LinearFactors {
                spec: linear,
                first: 2,
                rows: 7,
                alpha: 0.5,
                x,
                dy,
                aux,
                xs: Any,
                dsums: Any,
            },
            "linear factors 240→7 + relu",
        ),
        (C::Dropout { shape: Shape::flat(2, 7), p: 0.5, seed: 1, stream: 2, x }, "dropout 0.5 7"),
        (softmax, "softmax cross-entropy 10"),
        (euclidean, "euclidean loss 40"),
        (step(momentum, conv.weight()), "sgd 5×3×3×3"),
        (step(plain, linear.weight()), "sgd 7×240"),
        (step(adamw, Content::Vector(7)), "adamw 7"),
        (C::Scale { content: vector, alpha: 0.5, x, y }, "scale 12"),
        (C::Blend { content: conv.weight(), alpha: 0.5, x, beta: 0.5, y }, "blend 5×3×3×3"),
        (
            C::ClipGradients { max_norm: 1.0, gradients: vec![(vector, Any); 2] },
            "clip gradients 24",
        ),
        (
            C::GatherShards {
                shards,
                present: 4,
                own: vec![(vector, Any), (Content::Vector(3), Any)],
                others: [(vector, Any), (Content::Vector(3), Any)].repeat(3),
            },
            "gather 60 of 3 ranks",
        ),
        (
            C::GatherRows { shards, batch: 8, maps: vec![(Shape::flat(7, 3), Any); 2] },
            "gather rows 42 of 3 ranks",
        ),
        (
            C::SumShards {
                shards,
                present: 4,
                sums: [vector, conv.weight()]
                    .map(|content| ShardSum { content, first: Any, others: vec![] })
                    .into(),
            },
            "sum 147 over 3 ranks",
        ),
    ])
}
