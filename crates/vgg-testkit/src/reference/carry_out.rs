//! Which loops a command is.

use vgg_tensor::spec::{BoxMetrics, Metrics};
use vgg_tensor::{Bound, Command, Draw, Scalars, WeightGradient};

use super::{
    Buffer, Reference, avg_pool2d, batch_norm2d, conv2d, dropout, euclidean_loss, linear, lrn,
    max_pool2d, optimizer, prepare_images, sigmoid, softmax_cross_entropy, update,
};
use crate::Real;

impl<T: Real> Reference<T> {
    /// Computes what a command says, in its buffers, if it needs no other ranks.
    ///
    /// # Panics
    /// If a buffer holds less than the command needs, or something else, or if it needs other ranks.
    pub fn carry_out(command: Bound<'_, Buffer<T>>, scalars: Scalars) {
        match command {
            Command::PrepareImages { spec, normalize, pixels, x } => {
                let pixels = pixels.bytes(spec.source().len());
                prepare_images::forward(&spec, &normalize, pixels, x.numbers_mut(spec.x().len()));
            }
            Command::Conv2d { spec, x, weight, bias, y, aux } => conv2d::forward(
                &spec,
                x.numbers(spec.x().len()),
                weight.numbers(spec.weight().len()),
                bias.numbers(spec.c_out()),
                y.numbers_mut(spec.y().len()),
                aux.map(|aux| aux.bytes_mut(spec.aux_bytes())),
            ),
            Command::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx } => {
                conv2d::backward(
                    &spec,
                    x.numbers(spec.x().len()),
                    weight.numbers(spec.weight().len()),
                    dy.numbers(spec.y().len()),
                    aux.bytes(spec.aux_bytes()),
                    dweight.numbers_mut(spec.weight().len()),
                    dbias.numbers_mut(spec.c_out()),
                    dx.map(|dx| dx.numbers_mut(spec.x().len())),
                );
            }
            Command::MaxPool2d { spec, x, y, aux } => {
                let (x, y) = (x.numbers(spec.x().len()), y.numbers_mut(spec.y().len()));
                max_pool2d::forward(&spec, x, y, aux.map(|aux| aux.bytes_mut(spec.aux_bytes())));
            }
            Command::MaxPool2dBackward { spec, dy, aux, dx } => {
                let (dy, dx) = (dy.numbers(spec.y().len()), dx.numbers_mut(spec.x().len()));
                max_pool2d::backward(&spec, dy, aux.bytes(spec.aux_bytes()), dx);
            }
            Command::AvgPool2d { spec, x, y } => {
                let (x, y) = (x.numbers(spec.x().len()), y.numbers_mut(spec.y().len()));
                avg_pool2d::forward(&spec, x, y);
            }
            Command::AvgPool2dBackward { spec, dy, dx } => {
                let (dy, dx) = (dy.numbers(spec.y().len()), dx.numbers_mut(spec.x().len()));
                avg_pool2d::backward(&spec, dy, dx);
            }
            Command::Lrn { spec, x, y } => {
                let len = spec.x().len();
                lrn::forward(&spec, x.numbers(len), y.numbers_mut(len));
            }
            Command::LrnBackward { spec, x, dy, dx } => {
                let len = spec.x().len();
                lrn::backward(&spec, x.numbers(len), dy.numbers(len), dx.numbers_mut(len));
            }
            Command::BatchNorm2d {
                spec,
                x,
                weight,
                bias,
                running_mean,
                running_var,
                saved,
                y,
                aux,
            } => {
                let c = spec.x().c;
                let x = x.numbers(spec.x().len());
                let [mean, var] = [running_mean, running_var].map(|running| running.numbers_mut(c));
                let saved = saved.numbers_mut(2 * c);
                batch_norm2d::statistics(&spec, x, mean, var, saved);
                let (weight, bias) = (weight.numbers(c), bias.numbers(c));
                let (y, aux) = (y.numbers_mut(spec.y().len()), aux.bytes_mut(spec.aux_bytes()));
                batch_norm2d::apply(&spec, x, weight, bias, saved, y, Some(aux));
            }
            Command::BatchNorm2dInference {
                spec,
                x,
                weight,
                bias,
                running_mean,
                running_var,
                y,
            } => {
                let vectors = [weight, bias, running_mean, running_var];
                let [weight, bias, mean, var] = vectors.map(|vector| vector.numbers(spec.x().c));
                let saved = batch_norm2d::running(mean, var);
                let (x, y) = (x.numbers(spec.x().len()), y.numbers_mut(spec.y().len()));
                batch_norm2d::apply(&spec, x, weight, bias, &saved, y, None);
            }
            Command::BatchNorm2dBackward {
                spec,
                x,
                weight,
                saved,
                dy,
                aux,
                dweight,
                dbias,
                dx,
            } => {
                let c = spec.x().c;
                batch_norm2d::backward(
                    &spec,
                    x.numbers(spec.x().len()),
                    weight.numbers(c),
                    saved.numbers(2 * c),
                    dy.numbers(spec.y().len()),
                    aux.bytes(spec.aux_bytes()),
                    dweight.numbers_mut(c),
                    dbias.numbers_mut(c),
                    dx.numbers_mut(spec.x().len()),
                );
            }
            Command::Sigmoid { shape, x } => sigmoid::in_place(x.numbers_mut(shape.len())),
            Command::SigmoidBackward { shape, y, dy } => {
                sigmoid::backward(y.numbers(shape.len()), dy.numbers_mut(shape.len()));
            }
            Command::Linear { spec, x, weight, bias, y, aux } => linear::forward(
                &spec,
                x.numbers(spec.x().len()),
                weight.numbers(spec.weight().len()),
                bias.numbers(spec.out_features()),
                y.numbers_mut(spec.y().len()),
                aux.map(|aux| aux.bytes_mut(spec.aux_bytes())),
            ),
            Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx } => {
                let len = spec.weight().len();
                let (x, dy) = (x.numbers(spec.x().len()), dy.numbers(spec.y().len()));
                let aux = aux.bytes(spec.aux_bytes());
                if let Some(dx) = dx {
                    let (weight, dx) = (weight.weight(), dx.numbers_mut(spec.x().len()));
                    linear::input_backward(&spec, weight.numbers(len), dy, aux, dx);
                }
                let (mut dw, db) =
                    (vec![T::default(); len], dbias.numbers_mut(spec.out_features()));
                linear::backward(&spec, x, dy, aux, &mut dw, db);
                match weight {
                    WeightGradient::Stored { dweight, .. } => {
                        dweight.numbers_mut(len).copy_from_slice(&dw);
                    }
                    WeightGradient::Applied { optimizer, weight } => {
                        let optimizer = optimizer.map(|kept| kept.numbers_mut(len));
                        optimizer::step(optimizer, scalars, weight.numbers_mut(len), &dw);
                    }
                }
            }
            Command::LinearFactors { spec, first, rows, alpha, x, dy, aux, xs, dsums } => {
                linear::factors(
                    &spec,
                    first,
                    T::from(alpha),
                    [x.numbers(spec.x().len()), dy.numbers(spec.y().len())],
                    aux.bytes(spec.aux_bytes()),
                    [
                        xs.numbers_mut(rows * spec.in_features()),
                        dsums.numbers_mut(rows * spec.out_features()),
                    ],
                );
            }
            Command::LinearInputBackward { spec, weight, dy, aux, dx } => linear::input_backward(
                &spec,
                weight.numbers(spec.weight().len()),
                dy.numbers(spec.y().len()),
                aux.bytes(spec.aux_bytes()),
                dx.numbers_mut(spec.x().len()),
            ),
            Command::Dropout { shape, p, seed, stream, x } => {
                let draw = Draw { seed, stream, step: scalars.step };
                dropout::in_place(p, draw, x.numbers_mut(shape.len()));
            }
            Command::SoftmaxCrossEntropy { spec, logits, labels, metrics, dlogits } => {
                let len = spec.logits().len();
                softmax_cross_entropy::forward_backward(
                    &spec,
                    logits.numbers(len),
                    labels.bytes(spec.label_bytes()),
                    metrics.numbers_mut(Metrics::LEN),
                    dlogits.numbers_mut(len),
                );
            }
            Command::EuclideanLoss { spec, predicted, targets, metrics, dpredicted } => {
                let len = spec.predicted().len();
                euclidean_loss::forward_backward(
                    &spec,
                    predicted.numbers(len),
                    targets.bytes(spec.target_bytes()),
                    metrics.numbers_mut(BoxMetrics::LEN),
                    dpredicted.numbers_mut(len),
                );
            }
            Command::Step { optimizer, content, weight, dweight } => {
                let len = content.len();
                let optimizer = optimizer.map(|kept| kept.numbers_mut(len));
                let (weight, dweight) = (weight.numbers_mut(len), dweight.numbers(len));
                optimizer::step(optimizer, scalars, weight, dweight);
            }
            Command::Scale { content, alpha, x, y } => {
                update::scale(alpha, x.numbers(content.len()), y.numbers_mut(content.len()));
            }
            Command::Blend { content, alpha, x, beta, y } => {
                update::blend(alpha, x.numbers(content.len()), beta, y.numbers_mut(content.len()));
            }
            Command::ClipGradients { max_norm, gradients } => {
                let numbers =
                    gradients.into_iter().map(|(content, g)| g.numbers_mut(content.len()));
                update::clip(max_norm, &mut numbers.collect::<Vec<_>>());
            }
            Command::GatherShards { .. }
            | Command::GatherRows { .. }
            | Command::SumShards { .. } => {
                panic!("other ranks are where the program runs")
            }
        }
    }
}
