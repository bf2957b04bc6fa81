//! Max-pooling by its definition.

use vgg_tensor::spec::MaxPool2d;

use crate::Real;

/// Calls `visit(y, window)` with the index of each output and the indices of its window's inputs,
/// in row-major order.
fn for_each_window(op: &MaxPool2d, mut visit: impl FnMut(usize, &[usize])) {
    let (x, y) = (op.x(), op.y());
    let mut window = Vec::new();
    for map in 0..y.n * y.c {
        for i in 0..y.h {
            for j in 0..y.w {
                window.clear();
                for row in i * op.stride()..i * op.stride() + op.kernel() {
                    let first = (map * x.h + row) * x.w + j * op.stride();
                    window.extend(first..first + op.kernel());
                }
                visit((map * y.h + i) * y.w + j, &window);
            }
        }
    }
}

/// `aux` has a byte an output: the winner's place in its window.
pub(super) fn forward<T: Real>(op: &MaxPool2d, x: &[T], y: &mut [T], mut aux: Option<&mut [u8]>) {
    for_each_window(op, |index, window| {
        let mut winner = 0;
        for place in 1..window.len() {
            if x[window[place]] > x[window[winner]] {
                winner = place;
            }
        }
        y[index] = x[window[winner]];
        if let Some(aux) = aux.as_deref_mut() {
            aux[index] = winner as u8;
        }
    });
}

pub(super) fn backward<T: Real>(op: &MaxPool2d, dy: &[T], aux: &[u8], dx: &mut [T]) {
    dx.fill(T::default());
    for_each_window(op, |index, window| dx[window[usize::from(aux[index])]] += dy[index]);
}
