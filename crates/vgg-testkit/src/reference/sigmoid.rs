//! The logistic sigmoid by its definition.

use crate::Real;

pub(super) fn in_place<T: Real>(x: &mut [T]) {
    let one = T::from(1.0);
    for x in x {
        *x = one / (one + (-*x).exp());
    }
}

pub(super) fn backward<T: Real>(y: &[T], dy: &mut [T]) {
    for (dy, y) in dy.iter_mut().zip(y) {
        *dy = *dy * *y * (T::from(1.0) - *y);
    }
}
