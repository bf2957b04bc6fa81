//! Batch normalisation with ReLU and max-pool.

use vgg_tensor::Result;
use vgg_tensor::spec::{BatchNorm2d, BatchNormEpilogue};

use crate::columns::Columns;
use crate::gpu::{groups, kernel};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::BatchNorm2d`].
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
    let columns = Columns::sums(cuda.gpu.blocks(), op.count(), op.x().c);
    let [partial] = cuda.scratch.split(&cuda.gpu.stream, [columns.bytes(2)])?;
    let maps = x.numbers(cuda.storage, op.x().len());
    let [running_mean, running_var] = running_statistics.map(|buffer| buffer.f32(op.x().c));
    let saved = saved.f32(2 * op.x().c);
    let (rows, Columns { pixels, c, lanes, pixels_per_block }) = (columns.rows(), columns);
    // SAFETY: the buffers have room for what the spec says, the scratch memory for the rows, and no
    // two are the same; the grids are what the kernels ask for.
    unsafe {
        let kernel =
            kernel::BatchNorm2dStatistics { x: maps, partial, pixels, c, pixels_per_block, lanes };
        cuda.gpu.launch_grid(kernel, columns.grid())?;
        let kernel = kernel::BatchNorm2dCombine {
            partial,
            rows,
            pixels,
            pixels_per_block,
            c,
            lanes,
            running_mean,
            running_var,
            saved,
        };
        cuda.gpu.launch_grid(kernel, columns.row())?;
    }
    let aux = aux.room(op.aux_bytes());
    normalise(cuda, op, x, saved, [weight, bias], y, aux)
}

/// See [`vgg_tensor::Command::BatchNorm2dInference`].
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
    let [running_mean, running_var] = running_statistics.map(|buffer| buffer.f32(c));
    let kernel = kernel::BatchNorm2dRunning { running_mean, running_var, saved, c: c as u32 };
    // SAFETY: the buffers have `c` numbers, the scratch memory twice as many.
    unsafe { cuda.gpu.launch(kernel, c as u64) }?;
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
    let (n, h, w, c) = (from.n as u64, from.h as u32, from.w as u32, from.c as u32);
    let work = (out.n * out.h * out.w) as u64 * groups(out.c);
    // SAFETY: the buffers have room for what the spec says, and no two are the same.
    unsafe {
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let pixels = op.count() as u64;
                let kernel =
                    kernel::BatchNorm2dReluForward { x, saved, weight, bias, y, aux, pixels, c };
                cuda.gpu.launch(kernel, work)
            }
            BatchNormEpilogue::ReluMaxPool => {
                let kernel = kernel::BatchNorm2dReluMaxPoolForward {
                    x,
                    saved,
                    weight,
                    bias,
                    y,
                    aux,
                    n,
                    h,
                    w,
                    c,
                };
                cuda.gpu.launch(kernel, work)
            }
        }
    }
}

/// See [`vgg_tensor::Command::BatchNorm2dBackward`].
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
    let columns = Columns::sums(cuda.gpu.blocks(), out.n * out.h * out.w, out.c);
    let scratch = [columns.bytes(2), 4 * 2 * out.c];
    let [partial, sums] = cuda.scratch.split(&cuda.gpu.stream, scratch)?;
    let [x, dx] = [x, dx].map(|buffer| buffer.numbers(cuda.storage, from.len()));
    let dy = dy.numbers(cuda.storage, out.len());
    let saved = saved.f32(2 * from.c);
    let [weight, dweight, dbias] = [weight, dweight, dbias].map(|buffer| buffer.f32(from.c));
    let aux = aux.room(op.aux_bytes());
    let (n, h, w) = (from.n as u64, from.h as u32, from.w as u32);
    let (rows, Columns { pixels, c, lanes, pixels_per_block }) = (columns.rows(), columns);
    let (gpu, loss_scale) = (&cuda.gpu, cuda.loss_scale_address());
    // SAFETY: the buffers have room for what the spec says, the scratch memory for what was asked
    // for above, and no two are the same; the grids are what the kernels ask for.
    unsafe {
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let kernel = kernel::BatchNorm2dReluSums {
                    x,
                    dy,
                    aux,
                    saved,
                    partial,
                    pixels,
                    c,
                    pixels_per_block,
                    lanes,
                };
                gpu.launch_grid(kernel, columns.grid())?;
            }
            BatchNormEpilogue::ReluMaxPool => {
                let kernel = kernel::BatchNorm2dReluMaxPoolSums {
                    x,
                    dy,
                    aux,
                    saved,
                    partial,
                    pixels,
                    h,
                    w,
                    c,
                    pixels_per_block,
                    lanes,
                };
                gpu.launch_grid(kernel, columns.grid())?;
            }
        }
        let kernel = kernel::BatchNorm2dGradients {
            partial,
            rows,
            c,
            lanes,
            saved,
            sums,
            dweight,
            dbias,
            loss_scale,
        };
        gpu.launch_grid(kernel, columns.row())?;
        match op.epilogue() {
            BatchNormEpilogue::Relu => {
                let kernel = kernel::BatchNorm2dReluBackward {
                    x,
                    dy,
                    aux,
                    saved,
                    weight,
                    sums,
                    dx,
                    pixels,
                    c,
                };
                gpu.launch(kernel, pixels * groups(from.c))
            }
            BatchNormEpilogue::ReluMaxPool => {
                let kernel = kernel::BatchNorm2dReluMaxPoolBackward {
                    x,
                    dy,
                    aux,
                    saved,
                    weight,
                    sums,
                    dx,
                    n,
                    h,
                    w,
                    c,
                };
                let windows = from.n * from.h.div_ceil(2) * from.w.div_ceil(2);
                gpu.launch(kernel, windows as u64 * groups(from.c))
            }
        }
    }
}
