//! Stochastic gradient descent by its definition.

use vgg_tensor::spec::Sgd;

use crate::Real;

pub(super) fn step<T: Real>(
    settings: &Sgd,
    weight: &mut [T],
    dweight: &[T],
    mut velocity: Option<&mut [T]>,
) {
    let (lr, momentum) = (T::from(settings.lr), T::from(settings.momentum));
    let weight_decay = T::from(settings.weight_decay);
    for (index, weight) in weight.iter_mut().enumerate() {
        let mut g = dweight[index] + weight_decay * *weight;
        if let Some(velocity) = velocity.as_deref_mut() {
            let v = momentum * velocity[index] + g;
            velocity[index] = v;
            g = if settings.nesterov { g + momentum * v } else { v };
        }
        *weight = *weight - lr * g;
    }
}
