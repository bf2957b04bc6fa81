//! The first stage of a network, by kernels of our own: the maps before the pool, the largest of all, stay in
//! registers. Tensor cores compute it where numbers have 16 bits, from Ampere on, of images of one channel
//! or three; of one channel there are others, too.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;
use vgg_tensor::spec::Conv2d;

use super::is_pooled_3x3;
use super::tiling::Tiling;
use crate::columns::sum_rows;
use crate::gpu::{Gpu, groups, kernel};
use crate::memory::Address;
use crate::{Buffer, Cuda};

/// A thread adds up at least so many pixels, so that there is more to add than to reduce.
const PIXELS: usize = 16;

/// The most rows that a grid has.
const ROWS: usize = 65_535;

/// How often a multiprocessor gets new blocks forward, where none writes a row of sums.
const TURNS: u64 = 2;

/// Channels of images that have three.
const RGB: usize = 3;

/// Channels of a block on tensor cores.
fn slab(op: &Conv2d) -> usize {
    if op.x().c == RGB || op.c_out() <= 16 { 16 } else { 32 }
}

/// Whether an operation is such a stage, and a GPU has the kernel.
pub(super) fn takes(gpu: &Gpu, op: &Conv2d) -> bool {
    (op.x().c == 1 || op.x().c == RGB && gpu.multiplies()) && is_pooled_3x3(op)
}

/// See [`vgg_tensor::Command::Conv2d`].
pub(super) fn forward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    let (storage, from, to) = (cuda.storage, op.x(), op.y());
    let x = x.numbers(storage, from.len());
    let weight = weight.weight(storage, op.weight().len()).factors;
    let bias = bias.f32(to.c);
    let y = y.numbers(storage, to.len());
    let aux = aux.map_or(Address::NULL, |aux| aux.room(op.aux_bytes()));
    let (n, h, w, c) = (from.n as u64, from.h as u32, from.w as u32, to.c as u32);
    if cuda.gpu.multiplies() {
        let tiling = Tiling::new(&cuda.gpu, op.y(), slab(op), TURNS);
        let (tiles_per_warp, grid) = (tiling.tiles_per_warp as u32, tiling.grid());
        // SAFETY: the buffers have room for what the spec says, and no two are the same; the grid is
        // what the kernels ask for.
        return unsafe {
            macro_rules! launch {
                ($kernel:ident) => {{
                    let kernel =
                        kernel::$kernel { x, weight, bias, y, aux, n, h, w, c, tiles_per_warp };
                    cuda.gpu.launch_grid(kernel, grid)
                }};
            }
            match from.c {
                RGB => launch!(FirstStageRgbForward),
                _ => launch!(FirstStageMmaForward),
            }
        };
    }
    let kernel = kernel::FirstStageForward { x, weight, bias, y, aux, n, h, w, c };
    // SAFETY: the buffers have room for what the spec says, and no two are the same.
    unsafe { cuda.gpu.launch(kernel, (to.n * to.h * to.w) as u64) }
}

/// See [`vgg_tensor::Command::Conv2dBackward`]; there is no `dx`.
pub(super) fn backward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dweight: &mut Buffer,
    dbias: &mut Buffer,
) -> Result<()> {
    let (storage, from, to) = (cuda.storage, op.x(), op.y());
    let len = op.weight().len();
    let x = x.numbers(storage, from.len());
    let dy = dy.numbers(storage, to.len());
    let aux = aux.room(op.aux_bytes());
    let dweight = dweight.f32(len);
    let dbias = dbias.f32(to.c);
    let pixels_per_block = pixels_per_block(&cuda.gpu, op);
    let tiling = Tiling::new(&cuda.gpu, op.y(), slab(op), 1);
    let multiplies = cuda.gpu.multiplies();
    let rows = match multiplies {
        true => tiling.rows,
        false => (to.n * to.h * to.w).div_ceil(pixels_per_block),
    };
    let partial = [4 * rows * len, 4 * rows * to.c];
    let [dweight_rows, db] = cuda.scratch.split(&cuda.gpu.stream, partial)?;
    let loss_scale = cuda.loss_scale_address();
    let (n, h, w, c) = (from.n as u64, from.h as u32, from.w as u32, to.c as u32);
    // SAFETY: the buffers have room for what the spec says, the scratch memory for the rows, and no
    // two are the same; the grids are what the kernels ask for.
    unsafe {
        if multiplies {
            let (dweight, tiles_per_warp) = (dweight_rows, tiling.tiles_per_warp as u32);
            macro_rules! launch {
                ($kernel:ident) => {{
                    let kernel =
                        kernel::$kernel { x, dy, aux, dweight, db, n, h, w, c, tiles_per_warp };
                    cuda.gpu.launch_grid(kernel, tiling.grid())
                }};
            }
            match from.c {
                RGB => launch!(FirstStageRgbBackward),
                _ => launch!(FirstStageMmaBackward),
            }?;
        } else {
            let kernel = kernel::FirstStageBackward {
                x,
                dy,
                aux,
                dweight: dweight_rows,
                db,
                n,
                h,
                w,
                c,
                pixels_per_block: pixels_per_block as u64,
            };
            cuda.gpu.launch_grid(kernel, [groups(to.c) as u32, rows as u32])?;
        }
        sum_rows(&cuda.gpu, dweight_rows, rows as u64, len, dweight, loss_scale)?;
        sum_rows(&cuda.gpu, db, rows as u64, to.c, dbias, loss_scale)
    }
}

/// Pooled pixels that a block adds up: few enough for all of the device to have work.
fn pixels_per_block(gpu: &Gpu, op: &Conv2d) -> usize {
    let to = op.y();
    let rows = (gpu.blocks().div_ceil(groups(to.c)) as usize).min(ROWS);
    (to.n * to.h * to.w).div_ceil(rows).max(PIXELS * BLOCK as usize)
}
