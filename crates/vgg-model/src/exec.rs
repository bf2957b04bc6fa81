//! Running a plan on a backend: forward, the list reversed, the optimiser.

use std::mem::swap;

use vgg_tensor::spec::Sgd;
use vgg_tensor::{Backend, Content, Draw, Result, WeightGradient};

use crate::op::Op;
use crate::plan::Plan;

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
}

impl<B: Backend> Memory<B> {
    pub(crate) fn alloc(backend: &mut B, plan: &Plan) -> Result<Self> {
        let mut all = |contents: &[Content]| -> Result<Vec<B::Buffer>> {
            contents.iter().map(|content| backend.alloc(*content)).collect()
        };
        let (maps, aux, params) = (all(&plan.maps)?, all(&plan.aux)?, all(&plan.params)?);
        let state = all(&plan.state)?;
        let velocity = if plan.has_velocity() { all(&plan.params)? } else { Vec::new() };
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
}

impl Noise {
    fn draw(self, stream: u32) -> Draw {
        Draw { seed: self.seed, stream, step: self.step }
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

/// The loss of the logits and, in training, their gradient.
pub(crate) fn loss<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    train: bool,
) -> Result<()> {
    let Memory { labels, metrics, maps, .. } = memory;
    if train {
        let [dlogits, _] = plan.gradients.expect(TRAINING);
        let [logits, dlogits] = distinct(maps, [plan.logits, dlogits]);
        backend.softmax_cross_entropy(&plan.loss, logits, labels, metrics, Some(dlogits))
    } else {
        backend.softmax_cross_entropy(&plan.loss, &maps[plan.logits], labels, metrics, None)
    }
}

/// From the logits' gradient to the parameters' gradients. `noise` is the forward pass's.
///
/// With `settings` it is part of a training step: gradients that the plan does not store are
/// applied at once, and [`update`] does the rest. Without, all are stored.
pub(crate) fn backward<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    noise: Noise,
    settings: Option<&Sgd>,
) -> Result<()> {
    let Memory { maps, aux, params, gradients, velocity, .. } = memory;
    let [mut dy_maps, mut dx_maps] = plan.gradients.expect(TRAINING);
    for (i, step) in plan.steps.iter().enumerate().rev() {
        let [x, dy, dx] = distinct(maps, [step.x, dy_maps, dx_maps]);
        // Nobody asks for the gradient of the images.
        let dx = (i > 0).then_some(dx);
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
                let gradient = match settings {
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

/// One optimiser step on every parameter whose gradient [`backward`] did not apply.
pub(crate) fn update<B: Backend>(
    backend: &mut B,
    plan: &Plan,
    memory: &mut Memory<B>,
    settings: &Sgd,
) -> Result<()> {
    let Memory { params, gradients, velocity, .. } = memory;
    for (i, content) in plan.params.iter().enumerate().filter(|(_, c)| plan.stores_gradient(c)) {
        let dweight = stored(&mut gradients[i]);
        backend.sgd(settings, *content, &mut params[i], dweight, velocity.get_mut(i))?;
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
