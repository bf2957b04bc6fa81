//! Activations up and down: from and to PyTorch's order, as they are stored.

use vgg_tensor::Shape;

use crate::buffer::Buffer;
use crate::format::Format;

/// Numbers of a buffer, in places of 32 bits.
pub(crate) fn buffer_len<F: Format>(shape: Shape) -> usize {
    shape.len().div_ceil(F::OF_A_PLACE)
}

/// Images from `first` on, `[n, c, h, w]`, of a batch of `shape`.
pub(crate) fn upload<F: Format>(shape: Shape, first: usize, src: &[f32], dst: &mut Buffer) {
    let dst = &mut dst.maps_mut::<F>(shape.len())[first * shape.features()..][..src.len()];
    let images = Shape { n: src.len() / shape.features(), ..shape };
    transpose(images, |nchw, nhwc| dst[nhwc] = F::round(src[nchw]));
}

/// All of them.
pub(crate) fn download<F: Format>(shape: Shape, src: &Buffer, dst: &mut [f32]) {
    let src = src.maps::<F>(shape.len());
    transpose(shape, |nchw, nhwc| dst[nchw] = F::widen(src[nhwc]));
}

/// Calls `copy` with the index in NCHW order and the index in NHWC order of every number.
fn transpose(shape: Shape, mut copy: impl FnMut(usize, usize)) {
    let Shape { n, c, h, w } = shape;
    for image in 0..n {
        for channel in 0..c {
            for pixel in 0..h * w {
                let image = image * shape.features();
                copy(image + channel * h * w + pixel, image + pixel * c + channel);
            }
        }
    }
}
