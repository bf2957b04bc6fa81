//! Fully connected layers: products by cuBLAS, what follows them by our kernels.
//!
//! The gradient of a weight is computed in blocks of rows that stay in the device's cache until the
//! optimiser has applied them, so that in training it never exists as a whole. Where it is stored, it
//! is computed in the same blocks: to the same bits.

use std::ops::Range;

use vgg_tensor::spec::{Linear, LinearEpilogue, WeightType};
use vgg_tensor::{Result, WeightGradient};

use crate::bias::{BiasGradient, Epilogue, EpilogueBackward};
use crate::cublas::{Factor, Matrix};
use crate::error::fits_31_bits;
use crate::gpu::{self, groups, kernel};
use crate::memory::Address;
use crate::optimizer::Part;
use crate::precision::Storage;
use crate::{Buffer, Cuda};

/// Bytes of a block of a weight's gradient, or of a weight that is converted for a product: less
/// than any supported data-centre GPU's second-level cache.
const BLOCK_BYTES: usize = 16 << 20;

/// Rows of a block, in multiples that cuBLAS's tiles like.
const ROWS: usize = 128;

/// See [`vgg_tensor::Backend::check_size`]: cuBLAS has rows and columns counted with 31 bits.
pub(crate) fn check_size(op: &Linear) -> Result<()> {
    let most = [op.x().n, op.in_features(), op.out_features()].into_iter().max();
    fits_31_bits("cuBLAS", "rows or columns", most.unwrap_or(0))
}

/// See [`vgg_tensor::Command::Linear`].
pub(crate) fn forward(
    cuda: &mut Cuda,
    op: &Linear,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    let storage = cuda.storage;
    let (n, ins, outs) = (op.x().n, op.in_features(), op.out_features());
    let x = Matrix::new(x.numbers(storage, op.x().len()), storage, ins);
    let y = y.numbers(storage, op.y().len());
    let bias = bias.f32(outs);
    let aux = aux.map_or(Address::NULL, |aux| aux.room(op.aux_bytes()));
    let multiply = |cuda: &Cuda, rows: Range<usize>, factors: Address| {
        let weight = Matrix::new(factors, storage, ins);
        let y = Matrix::new(y.add(storage.bytes() * rows.start), storage, outs);
        // SAFETY: the buffers have room for what the spec says, and no two are the same.
        unsafe {
            let sizes = [n, rows.len(), ins];
            cuda.cublas.multiply("linear", sizes, Factor::One, x, weight.transposed(), y)
        }
    };
    match op.weight_type() {
        WeightType::F32 | WeightType::Factors => {
            multiply(cuda, 0..outs, weight.weight(storage, ins * outs).factors)?;
        }
        WeightType::F16 => {
            let weight = weight.numbers(Storage::F16, ins * outs);
            if storage == Storage::F16 {
                multiply(cuda, 0..outs, weight)?;
            } else {
                let bytes =
                    storage.bytes() * ins * blocks(ins, outs).map(|b| b.len()).max().unwrap_or(0);
                let [block] = cuda.scratch.split(&cuda.gpu.stream, [bytes])?;
                for rows in blocks(ins, outs) {
                    let len = (ins * rows.len()) as u64;
                    let (x, y, grid) =
                        (weight.add(2 * ins * rows.start), block, cuda.gpu.grid(len.div_ceil(8)));
                    // SAFETY: the block has room for so many rows.
                    unsafe {
                        if storage == Storage::Bf16 {
                            cuda.gpu.launch_grid(kernel::F16ToBf16 { x, y, len }, grid)?;
                        } else {
                            let kernel = kernel::Widen { x, y, len, loss_scale: Address::NULL };
                            cuda.gpu.launch_as(Storage::F16, kernel, grid)?;
                        }
                    }
                    multiply(cuda, rows, block)?;
                }
            }
        }
    }
    // SAFETY: as above; what follows the products may work in place.
    unsafe { epilogue(op, aux).forward(&cuda.gpu, op.y(), y, bias, y) }
}

/// See [`vgg_tensor::Command::LinearInputBackward`].
pub(crate) fn input_backward(
    cuda: &mut Cuda,
    op: &Linear,
    weight: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let dy = dy.numbers(cuda.storage, op.y().len());
    let epilogue = epilogue(op, aux.room(op.aux_bytes()));
    let epilogue = EpilogueBackward::new(&cuda.gpu, epilogue, op.y());
    let masked = epilogue.dsums_bytes(cuda.storage);
    let [masked] = cuda.scratch.split(&cuda.gpu.stream, [masked])?;
    // SAFETY: the buffers have room for what the spec says, the scratch memory for what was asked
    // for above, and no two are the same.
    unsafe {
        let dsums = epilogue.launch(&cuda.gpu, dy, masked, None)?;
        input_gradient(cuda, op, dsums, weight, dx)
    }
}

/// See [`vgg_tensor::Command::LinearBackward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &Linear,
    x: &Buffer,
    weight: WeightGradient<&Buffer, &mut Buffer, &mut Buffer>,
    dy: &Buffer,
    aux: &Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    let storage = cuda.storage;
    let (n, ins, outs) = (op.x().n, op.in_features(), op.out_features());
    let x = Matrix::new(x.numbers(storage, op.x().len()), storage, ins);
    let dy = dy.numbers(storage, op.y().len());
    let dbias = dbias.f32(outs);

    let epilogue = epilogue(op, aux.room(op.aux_bytes()));
    let epilogue = EpilogueBackward::new(&cuda.gpu, epilogue, op.y());
    let masked = epilogue.dsums_bytes(storage);
    let block = match weight {
        WeightGradient::Stored { .. } => 0,
        WeightGradient::Applied { .. } => {
            4 * ins * blocks(ins, outs).map(|rows| rows.len()).max().unwrap_or(0)
        }
    };
    let [rows, masked, block] =
        cuda.scratch.split(&cuda.gpu.stream, [epilogue.row_bytes(), masked, block])?;
    let loss_scale = cuda.loss_scale_address();
    // SAFETY: the buffers have room for what the spec says, the scratch memory for what was asked
    // for above, and no two are the same.
    unsafe {
        let bias = BiasGradient { rows, dbias, loss_scale };
        let dsums = epilogue.launch(&cuda.gpu, dy, masked, Some(bias))?;
        if let Some(dx) = dx {
            input_gradient(cuda, op, dsums, weight.weight(), dx)?;
        }
        let factor = cuda.unscale();
        let dweight = |cuda: &Cuda, rows: &Range<usize>, to: Address| {
            let dsums = Matrix::new(dsums.add(storage.bytes() * rows.start), storage, outs);
            let to = Matrix::new(to, Storage::F32, ins);
            let sizes = [rows.len(), ins, n];
            let op = "linear's weight gradient";
            cuda.cublas.multiply(op, sizes, factor, dsums.transposed(), x, to)
        };
        match weight {
            WeightGradient::Stored { dweight: to, .. } => {
                let to = to.f32(ins * outs);
                for rows in blocks(ins, outs) {
                    dweight(cuda, &rows, to.add(4 * ins * rows.start))?;
                }
            }
            WeightGradient::Applied { optimizer, weight } => {
                let optimizer = optimizer.map(|kept| kept.f32(ins * outs));
                let weight = weight.weight(storage, ins * outs);
                for rows in blocks(ins, outs) {
                    dweight(cuda, &rows, block)?;
                    Part::rows(weight, optimizer, storage, ins, &rows).step(cuda, block)?;
                }
            }
        }
    }
    Ok(())
}

fn epilogue(op: &Linear, aux: Address) -> Epilogue {
    match op.epilogue() {
        LinearEpilogue::Bias => Epilogue::Bias,
        LinearEpilogue::BiasRelu => Epilogue::BiasRelu(aux),
    }
}

/// See [`vgg_tensor::Command::LinearFactors`].
pub(crate) fn factors(
    cuda: &mut Cuda,
    op: &Linear,
    [first, rows]: [usize; 2],
    alpha: f32,
    x: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    xs: &mut Buffer,
    dsums: &mut Buffer,
) -> Result<()> {
    let Cuda { gpu, storage, .. } = &*cuda;
    let storage = *storage;
    let (n, ins, outs) = (op.x().n, op.in_features(), op.out_features());
    let place = |table: &Buffer, row: usize| {
        table.numbers(storage, rows * row).add(storage.bytes() * first * row)
    };
    let (x, xs) = (x.numbers(storage, n * ins), place(xs, ins));
    let (dy, dsums) = (dy.numbers(storage, n * outs), place(dsums, outs));
    let aux = match op.epilogue() {
        LinearEpilogue::Bias => Address::NULL,
        LinearEpilogue::BiasRelu => aux.room(op.aux_bytes()),
    };
    let kernel = kernel::LinearFactors { dy, aux, dsums, pixels: n as u64, c: outs as u32, alpha };
    // SAFETY: the buffers have room for what the spec says, the tables for so many rows, and no two are the
    // same.
    unsafe {
        gpu::copy(&gpu.stream, x, xs, storage.bytes() * n * ins)?;
        gpu.launch(kernel, n as u64 * groups(outs))
    }
}

/// The product of the sums' gradient and the weight.
///
/// # Safety
/// There are the numbers that the spec says at `dsums`, and no two operands are the same.
unsafe fn input_gradient(
    cuda: &Cuda,
    op: &Linear,
    dsums: Address,
    weight: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let storage = cuda.storage;
    let (n, ins, outs) = (op.x().n, op.in_features(), op.out_features());
    let dsums = Matrix::new(dsums, storage, outs);
    let weight = Matrix::new(weight.weight(storage, ins * outs).factors, storage, ins);
    let dx = Matrix::new(dx.numbers(storage, op.x().len()), storage, ins);
    let what = "linear's input gradient";
    // SAFETY: the caller's promise, and the other buffers have room for what the spec says.
    unsafe { cuda.cublas.multiply(what, [n, ins, outs], Factor::One, dsums, weight, dx) }
}

/// The blocks of rows of a weight of `outs` rows with `ins` numbers each.
fn blocks(ins: usize, outs: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = (BLOCK_BYTES / (4 * ins) / ROWS * ROWS).max(ROWS);
    (0..outs).step_by(rows).map(move |begin| begin..outs.min(begin + rows))
}
