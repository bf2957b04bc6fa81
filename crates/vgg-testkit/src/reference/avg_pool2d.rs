//! Average pooling by its definition.

use vgg_tensor::spec::AvgPool2d;

use crate::Real;

/// Calls `visit(y, window)` with the index of each output and the indices of its window's inputs.
fn for_each_window(op: &AvgPool2d, mut visit: impl FnMut(usize, &[usize])) {
    let (x, y) = (op.x(), op.y());
    let mut window = Vec::new();
    for map in 0..y.n * y.c {
        for i in 0..y.h {
            for j in 0..y.w {
                window.clear();
                for row in AvgPool2d::window(i, x.h, y.h) {
                    let columns = AvgPool2d::window(j, x.w, y.w);
                    window.extend(columns.map(|column| (map * x.h + row) * x.w + column));
                }
                visit((map * y.h + i) * y.w + j, &window);
            }
        }
    }
}

pub(super) fn forward<T: Real>(op: &AvgPool2d, x: &[T], y: &mut [T]) {
    for_each_window(op, |index, window| {
        let mut sum = T::default();
        for i in window {
            sum += x[*i];
        }
        y[index] = sum / T::from_f64(window.len() as f64);
    });
}

pub(super) fn backward<T: Real>(op: &AvgPool2d, dy: &[T], dx: &mut [T]) {
    dx.fill(T::default());
    for_each_window(op, |index, window| {
        let share = dy[index] / T::from_f64(window.len() as f64);
        for i in window {
            dx[*i] += share;
        }
    });
}
