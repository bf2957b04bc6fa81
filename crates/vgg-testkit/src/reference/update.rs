//! What gradients and weights go through besides the optimiser, by definition.

use crate::Real;

pub(super) fn scale<T: Real>(alpha: f32, x: &[T], y: &mut [T]) {
    for (x, y) in x.iter().zip(y) {
        *y = T::from(alpha) * *x;
    }
}

pub(super) fn blend<T: Real>(alpha: f32, x: &[T], beta: f32, y: &mut [T]) {
    for (x, y) in x.iter().zip(y) {
        *y = T::from(alpha) * *x + T::from(beta) * *y;
    }
}

pub(super) fn clip<T: Real>(max_norm: f32, gradients: &mut [&mut [T]]) {
    let mut squares = T::default();
    for g in gradients.iter().flat_map(|gradient| gradient.iter()) {
        squares += *g * *g;
    }
    let squares: f64 = squares.into();
    let norm = squares.sqrt();
    let max_norm = f64::from(max_norm);
    if norm.is_finite() && norm > max_norm {
        let factor = T::from_f64(max_norm / (norm + 1e-6));
        for g in gradients.iter_mut().flat_map(|gradient| gradient.iter_mut()) {
            *g = *g * factor;
        }
    }
}
