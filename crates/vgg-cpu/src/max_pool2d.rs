//! Max-pooling as a layer of its own.

use rayon::prelude::*;
use vgg_tensor::spec::MaxPool2d;

use crate::Cpu;
use crate::buffer::Buffer;

/// See [`vgg_tensor::Backend::max_pool2d`]. `aux` has the winner's place in its window, a byte an
/// output.
pub(crate) fn forward(
    cpu: &Cpu,
    op: &MaxPool2d,
    x: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) {
    let x = x.f32(op.x().len());
    let y = y.f32_mut(op.y().len());
    let row = op.y().w * op.y().c;
    cpu.threads.run(|| {
        let rows = y.par_chunks_exact_mut(row).enumerate();
        match aux {
            Some(aux) => {
                let aux = aux.bytes_mut(op.aux_bytes()).par_chunks_exact_mut(row);
                rows.zip(aux).for_each(|((i, y), aux)| pool_row(op, x, i, y, aux));
            }
            None => rows.for_each_init(|| vec![0; row], |aux, (i, y)| pool_row(op, x, i, y, aux)),
        }
    });
}

/// Row `index` of the output, counted through all images, window element by window element, so
/// that the inner loop runs over contiguous channels.
fn pool_row(op: &MaxPool2d, x: &[f32], index: usize, y: &mut [f32], aux: &mut [u8]) {
    let (c, kernel, stride) = (op.x().c, op.kernel(), op.stride());
    let (image, i) = (index / op.y().h, index % op.y().h);
    for j in 0..op.y().w {
        let y = &mut y[j * c..][..c];
        let aux = &mut aux[j * c..][..c];
        for place in 0..kernel * kernel {
            let row = image * op.x().h + i * stride + place / kernel;
            let pixel = row * op.x().w + j * stride + place % kernel;
            let x = &x[pixel * c..][..c];
            if place == 0 {
                y.copy_from_slice(x);
                aux.fill(0);
                continue;
            }
            for k in 0..c {
                if x[k] > y[k] {
                    y[k] = x[k];
                    aux[k] = place as u8;
                }
            }
        }
    }
}

/// See [`vgg_tensor::Backend::max_pool2d_backward`].
pub(crate) fn backward(cpu: &Cpu, op: &MaxPool2d, dy: &Buffer, aux: &Buffer, dx: &mut Buffer) {
    let dy = dy.f32(op.y().len());
    let aux = aux.bytes(op.aux_bytes());
    let dx = dx.f32_mut(op.x().len());
    let (c, kernel, stride) = (op.x().c, op.kernel(), op.stride());
    let y = op.y();
    cpu.threads.run(|| {
        // Windows may overlap, so that an image is the smallest piece nobody else adds to.
        dx.par_chunks_exact_mut(op.x().features()).enumerate().for_each(|(image, dx)| {
            dx.fill(0.0);
            for pixel in 0..y.h * y.w {
                let first = (image * y.h * y.w + pixel) * c;
                let corner = (pixel / y.w * op.x().w + pixel % y.w) * stride;
                for k in 0..c {
                    let place = usize::from(aux[first + k]);
                    let winner = corner + place / kernel * op.x().w + place % kernel;
                    dx[winner * c + k] += dy[first + k];
                }
            }
        });
    });
}
