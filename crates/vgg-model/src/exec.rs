//! Running a plan on a backend: forward, the list reversed, the optimiser.

use std::mem::swap;

use vgg_tensor::spec::{Sgd, SoftmaxCrossEntropy};
use vgg_tensor::{Backend, Content, Draw, Result, WeightGradient};

use crate::op::Op;
use crate::plan::Plan;
use crate::streams;

/// All of a network's buffers, as its plan lists them.
pub(crate) struct Memory<B: Backend> {
    pub(crate) pixels: B::Buffer,
    pub(crate) labels: B::Buffer,
    pub(crate) metrics: B::Buffer,
    pub(crate) maps: Vec<B::Buffer>,
    pub(crate) aux: Vec<B::Buffer>,
    pub(crate) params: Vec<B::Buffer>,
    /// Running statistics.
    pub(crate) state: Vec<B::Buffer>,
    /// The parameters' gradients; none in inference. Those that a training step applies at once
    /// have no buffer unless [`Memory::alloc_gradients`] was called.
    pub(crate) gradients: Vec<Option<B::Buffer>>,
    /// The parameters' velocities; none without momentum.
    pub(crate) velocity: Vec<B::Buffer>,
    /// Sums of gradients over the parts of a batch; none if it has one part.
    pub(crate) sums: Vec<B::Buffer>,
    /// Averages of the parameters, if training keeps them.
    pub(crate) average: Vec<B::Buffer>,
    /// Averages of the running statistics, likewise.
    pub(crate) average_state: Vec<B::Buffer>,
}

impl<B: Backend> Memory<B> {
    pub(crate) fn alloc(backend: &mut B, plan: &Plan) -> Result<Self> {
        let mut all = |contents: &[Content]| -> Result<Vec<B::Buffer>> {
            contents.iter().map(|content| backend.alloc(*content)).collect()
        };
        let (maps, aux, params) = (all(&plan.maps)?, all(&plan.aux)?, all(&plan.params)?);
        let state = all(&plan.state)?;
        let training = plan.training().unwrap_or_default();
        let mut if_kept = |kept: bool, contents: &[Content]| match kept {
            true => all(contents),
            false => Ok(Vec::new()),
        };
        let velocity = if_kept(training.momentum, &plan.params)?;
        let sums = if_kept(training.accumulates, &plan.params)?;
        let average = if_kept(training.averages, &plan.params)?;
        let average_state = if_kept(training.averages, &plan.state)?;
        let mut gradient = |content: &Content| {
            let stored = plan.stores_gradient(content);
            stored.then(|| backend.alloc(*content)).transpose()
        };
        let gradients = match plan.trains() {
            true => plan.params.iter().map(&mut gradient).collect::<Result<_>>()?,
            false => Vec::new(),
        };
        Ok(Self {
            pixels: backend.alloc(plan.pixels())?,
            labels: backend.alloc(plan.labels())?,
            metrics: backend.alloc(Plan::METRICS)?,
            maps,
            aux,
            params,
            state,
            gradients,
            velocity,
            sums,
            average,
            average_state,
        })
    }

    /// Makes room for all gradients, for a backward pass that stores them all.
    pub(crate) fn alloc_gradients(&mut self, backend: &mut B, plan: &Plan) -> Result<()> {
        for (gradient, content) in self.gradients.iter_mut().zip(&plan.params) {
            if gradient.is_none() {
                *gradient = Some(backend.alloc(*content)?);
            }
        }
        Ok(())
    }
}

/// What dropout draws from in one training step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// The part of the batch, from 0.
    pub(crate) part: u32,
}

impl Noise {
    fn draw(self, stream: u32) -> Draw {
        Draw { seed: self.seed, stream: streams::of_part(stream, self.part), step: self.step }
    }
}

/// Only a plan for training is run backward.
const TRAINING: &str = "the plan is one for training";

/// From the uploaded pixels to the logits. With `noise` it is a training step: dropout drops,
/// batches are normalised by their own statistics, which change the running ones, and what the
/// backward pass needs is left in `aux`.
pub(crate) fn forward<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    noise: Option<Noise>,
) -> Result<()> {
    let Memory { pixels, maps, aux, params, state, .. } = memory;
    backend.prepare_images(&plan.prepare, &plan.normalize, pixels, &mut maps[0])?;
    for step in &plan.steps {
        // What the step leaves for the backward pass begins here.
        let mut left = step.aux.filter(|_| noise.is_some()).map(|i| &mut aux[i..]);
        let aux = left.as_mut().map(|left| &mut left[0]);
        match step.op {
            Op::Conv2d { spec, weight } => {
                let [x, y] = distinct(maps, [step.x, step.y]);
                backend.conv2d(&spec, x, &params[weight], &params[weight + 1], y, aux)?;
            }
            Op::BatchNorm2d { spec, weight, mean } => {
                let [x, y] = distinct(maps, [step.x, step.y]);
                let [mean, var] = distinct(state, [mean, mean + 1]);
                let (weight, bias) = (&params[weight], &params[weight + 1]);
                match left {
                    Some(left) => {
                        let [aux, saved] = distinct(left, [0, 1]);
                        backend.batch_norm2d(&spec, x, weight, bias, mean, var, saved, y, aux)?;
                    }
                    None => backend.batch_norm2d_inference(&spec, x, weight, bias, mean, var, y)?,
                }
            }
            Op::Lrn { spec } => {
                let [x, y] = distinct(maps, [step.x, step.y]);
                backend.lrn(&spec, x, y)?;
            }
            Op::MaxPool2d { spec } => {
                let [x, y] = distinct(maps, [step.x, step.y]);
                backend.max_pool2d(&spec, x, y, aux)?;
            }
            Op::AvgPool2d { spec } => {
                let [x, y] = distinct(maps, [step.x, step.y]);
                backend.avg_pool2d(&spec, x, y)?;
            }
            Op::Sigmoid { shape } => backend.sigmoid(shape, &mut maps[step.y])?,
            Op::Linear { spec, weight } => {
                let [x, y] = distinct(maps, [step.x, step.y]);
                backend.linear(&spec, x, &params[weight], &params[weight + 1], y, aux)?;
            }
            Op::Dropout { shape, p, stream } => {
                if let Some(noise) = noise {
                    backend.dropout(shape, p, noise.draw(stream), &mut maps[step.y])?;
                }
            }
        }
    }
    Ok(())
}

/// The loss of the logits with the true classes.
pub(crate) fn loss<B: Backend>(backend: &mut B, plan: &Plan, memory: &mut Memory<B>) -> Result<()> {
    let Memory { labels, metrics, maps, .. } = memory;
    backend.softmax_cross_entropy(&plan.loss, &maps[plan.logits], labels, metrics, None)
}

/// A loss of the logits, and their gradient.
pub(crate) fn loss_backward<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    loss: &SoftmaxCrossEntropy,
) -> Result<()> {
    let Memory { labels, metrics, maps, .. } = memory;
    let [dlogits, _] = plan.gradients.expect(TRAINING);
    let [logits, dlogits] = distinct(maps, [plan.logits, dlogits]);
    backend.softmax_cross_entropy(loss, logits, labels, metrics, Some(dlogits))
}

/// From the logits' gradient to the parameters' gradients, down to the first layer that has one that
/// is trained. `noise` is the forward pass's.
///
/// With `settings` it is part of a training step: gradients that the plan does not store are
/// applied at once, and [`update`] does the rest. Without, all are stored.
pub(crate) fn backward<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    noise: Noise,
    settings: Option<&Sgd>,
    trained: &[bool],
) -> Result<()> {
    let Memory { maps, aux, params, gradients, velocity, .. } = memory;
    let [mut dy_maps, mut dx_maps] = plan.gradients.expect(TRAINING);
    let first = plan.first_trained(trained);
    for (i, step) in plan.steps.iter().enumerate().skip(first).rev() {
        let [x, dy, dx] = distinct(maps, [step.x, dy_maps, dx_maps]);
        // Nobody asks for the gradient of the images, or of what frozen layers make of them.
        let dx = (i > first).then_some(dx);
        let left = step.aux.map(|i| &aux[i..]);
        let aux = left.map(|left| &left[0]);
        match step.op {
            Op::Conv2d { spec, weight } => {
                let [dw, db] = distinct(gradients, [weight, weight + 1]).map(stored);
                let aux = aux.expect(TRAINING);
                backend.conv2d_backward(&spec, x, &params[weight], dy, aux, dw, db, dx)?;
            }
            Op::BatchNorm2d { spec, weight, .. } => {
                let [dw, db] = distinct(gradients, [weight, weight + 1]).map(stored);
                let (left, weight) = (left.expect(TRAINING), &params[weight]);
                let dx = dx.expect("a convolution comes before");
                let [aux, saved] = [&left[0], &left[1]];
                backend.batch_norm2d_backward(&spec, x, weight, saved, dy, aux, dw, db, dx)?;
            }
            Op::Lrn { spec } => {
                if let Some(dx) = dx {
                    backend.lrn_backward(&spec, x, dy, dx)?;
                }
            }
            Op::MaxPool2d { spec } => {
                if let Some(dx) = dx {
                    backend.max_pool2d_backward(&spec, dy, aux.expect(TRAINING), dx)?;
                }
            }
            Op::AvgPool2d { spec } => {
                if let Some(dx) = dx {
                    backend.avg_pool2d_backward(&spec, dy, dx)?;
                }
            }
            // In place: `x` is the output, and the gradient stays where it is.
            Op::Sigmoid { shape } => {
                backend.sigmoid_backward(shape, x, dy)?;
                continue;
            }
            Op::Linear { spec, weight } => {
                let [dweight, db] = distinct(gradients, [weight, weight + 1]);
                let (velocity, weight) = (velocity.get_mut(weight), &mut params[weight]);
                let gradient = match settings.filter(|_| !plan.stores_gradient(&spec.weight())) {
                    Some(settings) => WeightGradient::Applied { settings, weight, velocity },
                    None => WeightGradient::Stored { weight, dweight: stored(dweight) },
                };
                let aux = aux.expect(TRAINING);
                backend.linear_backward(&spec, x, gradient, dy, aux, stored(db), dx)?;
            }
            Op::Dropout { shape, p, stream } => {
                backend.dropout(shape, p, noise.draw(stream), dy)?;
                continue; // in place, too
            }
        }
        swap(&mut dy_maps, &mut dx_maps);
    }
    Ok(())
}

/// Adds the gradients of a part of a batch, `share` of it, to those of the parts before.
pub(crate) fn accumulate<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    trained: &[bool],
    share: f32,
    first: bool,
) -> Result<()> {
    let Memory { gradients, sums, .. } = memory;
    let kept = if first { 0.0 } else { 1.0 };
    for (i, content) in plan.params.iter().enumerate().filter(|(i, _)| trained[*i]) {
        backend.blend(*content, share, stored(&mut gradients[i]), kept, &mut sums[i])?;
    }
    Ok(())
}

/// Limits the norm of the gradients.
pub(crate) fn clip<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    trained: &[bool],
    max_norm: f32,
) -> Result<()> {
    let Memory { gradients, sums, .. } = memory;
    let all: Vec<&mut B::Buffer> = match sums.is_empty() {
        true => gradients.iter_mut().map(stored).collect(),
        false => sums.iter_mut().collect(),
    };
    let all = plan.params.iter().copied().zip(all).zip(trained);
    let mut trained: Vec<_> = all.filter(|(_, trained)| **trained).map(|(part, _)| part).collect();
    backend.clip_gradients(max_norm, &mut trained)
}

/// One optimiser step on every parameter that is trained and whose gradient [`backward`] did not
/// apply.
pub(crate) fn update<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    settings: &Sgd,
    trained: &[bool],
) -> Result<()> {
    let Memory { params, gradients, sums, velocity, .. } = memory;
    for (i, content) in plan.params.iter().enumerate() {
        if trained[i] && plan.stores_gradient(content) {
            let dweight = match sums.get(i) {
                Some(sum) => sum,
                None => stored(&mut gradients[i]),
            };
            backend.sgd(settings, *content, &mut params[i], dweight, velocity.get_mut(i))?;
        }
    }
    Ok(())
}

/// Takes a step's weights and running statistics into their averages.
pub(crate) fn average<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    trained: &[bool],
    decay: f32,
) -> Result<()> {
    let Memory { params, state, average, average_state, .. } = memory;
    for (i, content) in plan.params.iter().enumerate().filter(|(i, _)| trained[*i]) {
        backend.blend(*content, 1.0 - decay, &params[i], decay, &mut average[i])?;
    }
    for ((content, now), average) in plan.state.iter().zip(state).zip(average_state) {
        backend.blend(*content, 1.0 - decay, now, decay, average)?;
    }
    Ok(())
}

/// The buffer of a gradient that has one.
fn stored<B>(gradient: &mut Option<B>) -> &mut B {
    gradient.as_mut().expect("a gradient that is not applied at once has a buffer")
}

/// Several buffers at once. A plan never gives an operation the same one twice.
fn distinct<T, const N: usize>(buffers: &mut [T], indices: [usize; N]) -> [&mut T; N] {
    buffers.get_disjoint_mut(indices).expect("a step's buffers are distinct")
}

#[cfg(test)]
mod tests;
