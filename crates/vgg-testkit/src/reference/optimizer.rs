//! The optimisers by their definitions.

use vgg_tensor::spec::{AdamW, Sgd};
use vgg_tensor::{Optimizer, Scalars};

use crate::Real;

pub(super) fn step<T: Real>(
    optimizer: Optimizer<&mut [T]>,
    Scalars { lr, step }: Scalars,
    weight: &mut [T],
    dweight: &[T],
) {
    match optimizer {
        Optimizer::Sgd { spec, velocity } => sgd(&spec, lr, weight, dweight, velocity),
        Optimizer::AdamW { spec, mean, square } => {
            adamw(&spec, lr, step + 1, weight, dweight, mean, square);
        }
    }
}

fn sgd<T: Real>(
    spec: &Sgd,
    lr: f32,
    weight: &mut [T],
    dweight: &[T],
    mut velocity: Option<&mut [T]>,
) {
    let (lr, momentum) = (T::from(spec.rate * lr), T::from(spec.momentum));
    let weight_decay = T::from(spec.weight_decay);
    for (index, weight) in weight.iter_mut().enumerate() {
        let mut g = dweight[index] + weight_decay * *weight;
        if let Some(velocity) = velocity.as_deref_mut() {
            let v = momentum * velocity[index] + g;
            velocity[index] = v;
            g = if spec.nesterov { g + momentum * v } else { v };
        }
        *weight = *weight - lr * g;
    }
}

fn adamw<T: Real>(
    spec: &AdamW,
    lr: f32,
    t: u64,
    weight: &mut [T],
    dweight: &[T],
    mean: &mut [T],
    square: &mut [T],
) {
    let [lr, eps, decay] = [spec.rate * lr, spec.eps, spec.weight_decay].map(T::from);
    let kept = spec.betas.map(T::from_f64);
    let new = spec.betas.map(|beta| T::from_f64(1.0 - beta));
    let corrections = spec.betas.map(|beta| T::from_f64(1.0 - beta.powf(t as f64)));
    for (index, weight) in weight.iter_mut().enumerate() {
        let g = dweight[index];
        mean[index] = kept[0] * mean[index] + new[0] * g;
        square[index] = kept[1] * square[index] + new[1] * g * g;
        let root = (square[index] / corrections[1]).sqrt();
        *weight =
            *weight - lr * decay * *weight - lr * (mean[index] / corrections[0]) / (root + eps);
    }
}
