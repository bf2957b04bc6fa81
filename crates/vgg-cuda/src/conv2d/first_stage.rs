//! The first convolution of a network with what follows it, by kernels of our own: its maps are the largest
//! of all, and are written once or, before a pool, stay in registers. Tensor cores compute it where numbers
//! have 16 bits, from Ampere on, of images of one channel or three; of one channel before a pool there are
//! others, too.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::tiling::Tiling;
use super::{aux_address, is_3x3, pools, windows};
use crate::columns::sum_rows;
use crate::gpu::{Gpu, groups, kernel};
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

/// Whether an operation is such a convolution, and a GPU has the kernel.
pub(super) fn takes(gpu: &Gpu, op: &Conv2d) -> bool {
    let multiplies = gpu.multiplies() && matches!(op.x().c, 1 | RGB);
    is_3x3(op) && (multiplies || op.x().c == 1 && pools(op))
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
    let aux = aux_address(op, aux.as_deref());
    let (n, h, w, c) = (from.n as u64, from.h as u32, from.w as u32, to.c as u32);
    if cuda.gpu.multiplies() {
        let tiling = Tiling::new(&cuda.gpu, windows(op), slab(op), TURNS);
        let (tiles_per_warp, grid) = (tiling.tiles_per_warp as u32, tiling.grid());
        let relu = u32::from(op.epilogue() != ConvEpilogue::Bias);
        // SAFETY: the buffers have room for what the spec says, and no two are the same; the grid is
        // what the kernels ask for.
        return unsafe {
            macro_rules! launch {
                ($kernel:ident $(, $relu:ident)?) => {{
                    let kernel = kernel::$kernel {
                        x, weight, bias, y, aux, $($relu,)? n, h, w, c, tiles_per_warp,
                    };
                    cuda.gpu.launch_grid(kernel, grid)
                }};
            }
            match (from.c, pools(op)) {
                (RGB, true) => launch!(FirstStageRgbForward),
                (RGB, false) => launch!(FirstStageRgbUnpooledForward, relu),
                (_, true) => launch!(FirstStageMmaForward),
                (_, false) => launch!(FirstStageUnpooledForward, relu),
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
    let aux = aux_address(op, Some(aux));
    let dweight = dweight.f32(len);
    let dbias = dbias.f32(to.c);
    let pixels_per_block = pixels_per_block(&cuda.gpu, op);
    let tiling = Tiling::new(&cuda.gpu, windows(op), slab(op), 1);
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
            match (from.c, pools(op)) {
                (RGB, true) => launch!(FirstStageRgbBackward),
                (RGB, false) => launch!(FirstStageRgbUnpooledBackward),
                (_, true) => launch!(FirstStageMmaBackward),
                (_, false) => launch!(FirstStageUnpooledBackward),
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
