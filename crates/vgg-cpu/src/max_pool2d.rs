//! Max-pooling as a layer of its own.

use bytemuck::Zeroable as _;
use rayon::prelude::*;
use vgg_tensor::spec::MaxPool2d;

use crate::Cpu;
use crate::buffer::Buffer;
use crate::format::Format;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// See [`vgg_tensor::Command::MaxPool2d`]. `aux` has the winner's place in its window, a byte an
/// output.
pub(crate) fn forward<F: Format>(
    cpu: &Cpu,
    op: &MaxPool2d,
    x: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) {
    let x = x.maps::<F>(op.x().len());
    let y = y.maps_mut::<F>(op.y().len());
    let row = op.y().w * op.y().c;
    let rows = y.par_chunks_exact_mut(row).enumerate();
    cpu.threads.run(|| match aux {
        Some(aux) => {
            let aux = aux.bytes_mut(op.aux_bytes()).par_chunks_exact_mut(row);
            rows.zip(aux).for_each(|((index, y), aux)| {
                F::run(cpu.isa, Row::<F> { op, x, index, y, aux: Some(aux) });
            });
        }
        None => rows.for_each(|(index, y)| {
            F::run(cpu.isa, Row::<F> { op, x, index, y, aux: None });
        }),
    });
}

/// The first place of a window, as a number that counts up in its lowest byte.
const FIRST: f32 = (1 << 23) as f32;

/// Row `index` of the output, counted through all images.
struct Row<'a, F: Format> {
    op: &'a MaxPool2d,
    x: &'a [F::Number],
    index: usize,
    y: &'a mut [F::Number],
    aux: Option<&'a mut [u8]>,
}

impl<F: Format> Kernel for Row<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, x, index, y, mut aux } = self;
        let (shape, c, kernel) = (op.x(), op.x().c, op.kernel());
        let (image, i) = (index / op.y().h, index % op.y().h);
        let rows = &x[(image * shape.h + i * op.stride()) * shape.w * c..];
        for (j, y) in y.chunks_exact_mut(c).enumerate() {
            let window = &rows[j * op.stride() * c..];
            let window = &window[..((kernel - 1) * shape.w + kernel) * c];
            for k in (0..c).step_by(S::LANES) {
                let n = (c - k).min(S::LANES);
                // SAFETY: `n` channels are left from `k` on, of each pixel.
                let mut largest = unsafe { F::load_first(s, window.as_ptr().add(k), n) };
                let mut winner = s.splat(FIRST);
                for place in 1..kernel * kernel {
                    let pixel = place / kernel * shape.w + place % kernel;
                    // SAFETY: as above; the pixel is one of the window's.
                    let x = unsafe { F::load_first(s, window.as_ptr().add(pixel * c + k), n) };
                    // Places ascend, so that the larger one is the later winner.
                    let won = s.keep(s.gt(x, largest), s.splat(FIRST + place as f32));
                    winner = s.max(won, winner);
                    largest = s.max(x, largest);
                }
                // SAFETY: `n` of this pixel's channels are left.
                unsafe { F::store_first(s, y.as_mut_ptr().add(k), n, largest) };
                if let Some(aux) = &mut aux {
                    let aux = &mut aux[j * c + k..][..n];
                    let mut places = [0.0; MAX_LANES];
                    // SAFETY: there is room for the widest vector.
                    unsafe { s.store(places.as_mut_ptr(), winner) };
                    let mut bytes = [0; MAX_LANES];
                    for (byte, place) in bytes.iter_mut().zip(places) {
                        *byte = place.to_bits() as u8;
                    }
                    match aux.first_chunk_mut::<MAX_LANES>() {
                        Some(aux) => *aux = bytes,
                        None => aux.copy_from_slice(&bytes[..n]),
                    }
                }
            }
        }
    }
}

/// See [`vgg_tensor::Command::MaxPool2dBackward`].
pub(crate) fn backward<F: Format>(
    cpu: &Cpu,
    op: &MaxPool2d,
    dy: &Buffer,
    aux: &Buffer,
    dx: &mut Buffer,
) {
    let (x, y) = (op.x(), op.y());
    let dy = dy.maps::<F>(y.len()).par_chunks_exact(y.features());
    let aux = aux.bytes(op.aux_bytes()).par_chunks_exact(y.features());
    // Windows may overlap, so that an image is the smallest piece nobody else adds to.
    let dx = dx.maps_mut::<F>(x.len()).par_chunks_exact_mut(x.features());
    cpu.threads.run(|| {
        dx.zip(dy).zip(aux).for_each(|((dx, dy), aux)| image_gradient::<F>(op, dy, aux, dx));
    });
}

/// The gradient of an image.
fn image_gradient<F: Format>(op: &MaxPool2d, dy: &[F::Number], aux: &[u8], dx: &mut [F::Number]) {
    let (c, kernel, stride) = (op.x().c, op.kernel(), op.stride());
    let (row, y_row) = (op.x().w * c, op.y().w * c);
    // Where each place is, from the window's corner on.
    let places: [_; 256] = std::array::from_fn(|place| place / kernel * row + place % kernel * c);
    let mut zeroed = 0;
    for (i, (dy, aux)) in dy.chunks_exact(y_row).zip(aux.chunks_exact(y_row)).enumerate() {
        // Only now, so that what is zeroed is still in the cache when gradients are added.
        let reached = (i * stride + kernel) * row;
        dx[zeroed..reached].fill(F::Number::zeroed());
        zeroed = reached;
        for (j, (dy, aux)) in dy.chunks_exact(c).zip(aux.chunks_exact(c)).enumerate() {
            let window = &mut dx[i * stride * row + j * stride * c..];
            for (k, (dy, place)) in dy.iter().zip(aux).enumerate() {
                let dx = &mut window[places[usize::from(*place)] + k];
                *dx = F::round(F::widen(*dx) + F::widen(*dy));
            }
        }
    }
    dx[zeroed..].fill(F::Number::zeroed());
}
