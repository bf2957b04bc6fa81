//! Stochastic gradient descent by its definition.

use vgg_tensor::spec::Sgd;

use crate::Real;

pub(super) fn step<T: Real>(
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
