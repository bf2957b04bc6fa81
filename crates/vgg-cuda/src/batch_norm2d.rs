//! Batch normalisation with ReLU and max-pool.

use vgg_tensor::Result;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use crate::columns::Columns;
use crate::gpu::{groups, list};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Backend::batch_norm2d`].
pub(crate) fn forward(
    cuda: &mut Cuda,
    op: &BatchNorm2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    running_statistics: [&mut Buffer; 2],
    saved: &mut Buffer,
    y: &mut Buffer,
    aux: &mut Buffer,
) -> Result<()> {
    let c = op.x().c;
    let columns = Columns::new(&cuda.gpu, op.count(), c);
    let [partial] = cuda.scratch.split(&cuda.gpu.stream, [rows_bytes(&columns)])?;
    let from = x.numbers(cuda.storage, op.x().len());
    let [mean, var] = running_statistics.map(|buffer| buffer.f32(c));
    let saved = saved.f32(2 * c);
    let Columns { pixels, lanes, pixels_per_block, .. } = columns;
    let (channels, lanes) = (c as u32, lanes as u32);
    // SAFETY: the buffers have room for what the spec says, the scratch memory for the rows, and no
    // two are the same; the grids are what the kernels ask for.
    unsafe {
        let arguments = list![from, partial, pixels, channels, pixels_per_block, lanes];
        cuda.gpu.launch_grid("batch_norm2d_statistics", columns.grid(), arguments)?;
        let rows = columns.rows();
        let arguments =
            list![partial, rows, pixels, pixels_per_block, channels, lanes, mean, var, saved];
        cuda.gpu.launch_grid("batch_norm2d_combine", columns.row(), arguments)?;
    }
    let aux = aux.room(op.aux_bytes());
    normalise(cuda, op, x, saved, [weight, bias], y, aux)
}

/// See [`vgg_tensor::Backend::batch_norm2d_inference`].
pub(crate) fn inference(
    cuda: &mut Cuda,
    op: &BatchNorm2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    running_statistics: [&Buffer; 2],
    y: &mut Buffer,
) -> Result<()> {
    let c = op.x().c;
    let [saved] = cuda.scratch.split(&cuda.gpu.stream, [4 * 2 * c])?;
    let [mean, var] = running_statistics.map(|buffer| buffer.f32(c));
    // SAFETY: the buffers have `c` numbers, the scratch memory twice as many.
    unsafe {
        let arguments = list![mean, var, saved, c as u32];
        cuda.gpu.launch("batch_norm2d_running", c as u64, arguments)?;
    }
    normalise(cuda, op, x, saved, [weight, bias], y, Address::NULL)
}

/// Orders the epilogue's kernel with the statistics in `saved`, of `[2, c]` numbers. `aux` may be
/// null.
fn normalise(
    cuda: &Cuda,
    op: &BatchNorm2d,
    x: &Buffer,
    saved: Address,
    vectors: [&Buffer; 2],
    y: &mut Buffer,
    aux: Address,
) -> Result<()> {
    let (from, out) = (op.x(), op.y());
    let x = x.numbers(cuda.storage, from.len());
    let y = y.numbers(cuda.storage, out.len());
    let [weight, bias] = vectors.map(|vector| vector.f32(from.c));
    let (c, h, w) = (from.c as u32, from.h as u32, from.w as u32);
    let work = (out.n * out.h * out.w) as u64 * groups(out.c);
    // SAFETY: the buffers have room for what the spec says, and no two are the same.
    unsafe {
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let arguments = list![x, saved, weight, bias, y, aux, op.count(), c];
                cuda.gpu.launch("batch_norm2d_relu_forward", work, arguments)
            }
            BatchNormEpilogue::ReluMaxPool => {
                let arguments = list![x, saved, weight, bias, y, aux, from.n, h, w, c];
                cuda.gpu.launch("batch_norm2d_relu_max_pool_forward", work, arguments)
            }
        }
    }
}

/// See [`vgg_tensor::Backend::batch_norm2d_backward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &BatchNorm2d,
    x: &Buffer,
    weight: &Buffer,
    saved: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dweight: &mut Buffer,
    dbias: &mut Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let (from, out) = (op.x(), op.y());
    let columns = Columns::new(&cuda.gpu, out.n * out.h * out.w, out.c);
    let scratch = [rows_bytes(&columns), 4 * 2 * out.c];
    let [partial, sums] = cuda.scratch.split(&cuda.gpu.stream, scratch)?;
    let [x, dx] = [x, dx].map(|buffer| buffer.numbers(cuda.storage, from.len()));
    let dy = dy.numbers(cuda.storage, out.len());
    let saved = saved.f32(2 * from.c);
    let [weight, dweight, dbias] = [weight, dweight, dbias].map(|buffer| buffer.f32(from.c));
    let aux = aux.room(op.aux_bytes());
    let (c, h, w) = (from.c as u32, from.h as u32, from.w as u32);
    let Columns { pixels, lanes, pixels_per_block, .. } = columns;
    let lanes = lanes as u32;
    let (gpu, loss_scale) = (&cuda.gpu, cuda.loss_scale_address());
    // SAFETY: the buffers have room for what the spec says, the scratch memory for what was asked
    // for above, and no two are the same; the grids are what the kernels ask for.
    unsafe {
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let arguments =
                    list![x, dy, aux, saved, partial, pixels, c, pixels_per_block, lanes];
                gpu.launch_grid("batch_norm2d_relu_sums", columns.grid(), arguments)?;
            }
            BatchNormEpilogue::ReluMaxPool => {
                let arguments =
                    list![x, dy, aux, saved, partial, pixels, h, w, c, pixels_per_block, lanes];
                gpu.launch_grid("batch_norm2d_relu_max_pool_sums", columns.grid(), arguments)?;
            }
        }
        let rows = columns.rows();
        let arguments = list![partial, rows, c, lanes, saved, sums, dweight, dbias, loss_scale];
        gpu.launch_grid("batch_norm2d_gradients", columns.row(), arguments)?;
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let arguments = list![x, dy, aux, saved, weight, sums, dx, pixels, c];
                let work = pixels as u64 * groups(from.c);
                gpu.launch("batch_norm2d_relu_backward", work, arguments)
            }
            BatchNormEpilogue::ReluMaxPool => {
                let arguments = list![x, dy, aux, saved, weight, sums, dx, from.n, h, w, c];
                let windows = from.n * from.h.div_ceil(2) * from.w.div_ceil(2);
                let work = windows as u64 * groups(from.c);
                gpu.launch("batch_norm2d_relu_max_pool_backward", work, arguments)
            }
        }
    }
}

/// Bytes of the rows of two partial sums a channel.
fn rows_bytes(columns: &Columns) -> usize {
    4 * columns.rows() * 2 * columns.c
}
