//! Inverted dropout by its definition.

use vgg_tensor::Draw;

use crate::Real;

pub(super) fn in_place<T: Real>(p: f32, draw: Draw, x: &mut [T]) {
    let scale = T::from(1.0) / (T::from(1.0) - T::from(p));
    for (index, x) in x.iter_mut().enumerate() {
        *x = if draw.uniform(index as u64) >= p { *x * scale } else { T::default() };
    }
}
