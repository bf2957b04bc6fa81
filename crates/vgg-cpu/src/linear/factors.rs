//! What a part of a batch has to do with the weight's gradient.

use vgg_tensor::spec::Linear;

use super::is_alive;
use crate::buffer::Buffer;
use crate::format::Format;

/// See [`vgg_tensor::Command::LinearFactors`]. The numbers are few: one thread.
pub(crate) fn factors<F: Format>(
    op: &Linear,
    [first, rows]: [usize; 2],
    alpha: f32,
    x: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    xs: &mut Buffer,
    dsums: &mut Buffer,
) {
    let (features, out) = (op.in_features(), op.out_features());
    let (x, dy) = (x.maps::<F>(op.x().len()), dy.maps::<F>(op.y().len()));
    let aux = aux.bytes(op.aux_bytes());
    xs.maps_mut::<F>(rows * features)[first * features..][..x.len()].copy_from_slice(x);
    let dsums = &mut dsums.maps_mut::<F>(rows * out)[first * out..][..dy.len()];
    for (image, (dsums, dy)) in dsums.chunks_exact_mut(out).zip(dy.chunks_exact(out)).enumerate() {
        for (o, (dsum, dy)) in dsums.iter_mut().zip(dy).enumerate() {
            let alive = is_alive(op, aux, image, o);
            *dsum = F::round(if alive { alpha * F::widen(*dy) } else { 0.0 });
        }
    }
}
