//! Gradients of biases: sums over pixels, in an order that depends on the sizes and the device alone.

use vgg_kernels::BLOCK;
use vgg_tensor::Result;

use crate::gpu::{Gpu, groups, list};
use crate::memory::Address;

/// A block's rows of threads add up at least so many pixels each, so that there is something to add.
const PIXELS: usize = 8;

/// The most rows that a grid has.
const ROWS: usize = 65_535;

/// Which of the output's gradients count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mask {
    /// All.
    All,
    /// Those that ReLU lets through.
    Relu(Address),
    /// Those of pooled outputs that ReLU lets through.
    ReluMaxPool(Address),
}

/// The sum over `pixels` of the gradients of each of `c` channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BiasGradient {
    pixels: usize,
    c: usize,
    lanes: usize,
    /// Pixels that a block adds up.
    pixels_per_block: usize,
}

impl BiasGradient {
    /// Cut into enough blocks for the device.
    pub(crate) fn new(gpu: &Gpu, pixels: usize, c: usize) -> Self {
        let lanes = lanes(c);
        let columns = groups(c).div_ceil(lanes as u64);
        let rows = (gpu.blocks().div_ceil(columns) as usize).min(ROWS);
        let least = PIXELS * (BLOCK as usize / lanes);
        Self { pixels, c, lanes, pixels_per_block: pixels.div_ceil(rows).max(least) }
    }

    /// Rows of partial sums, one after another.
    fn rows(&self) -> usize {
        self.pixels.div_ceil(self.pixels_per_block)
    }

    /// Bytes of partial sums.
    pub(crate) fn bytes(&self) -> usize {
        if self.rows() > 1 { 4 * self.rows() * self.c } else { 0 }
    }

    /// Orders it, from `dy: [pixels, c]`, through `partial` sums of [`BiasGradient::bytes`].
    ///
    /// # Safety
    /// The addresses are of memory of these sizes.
    pub(crate) unsafe fn launch(
        &self,
        gpu: &Gpu,
        dy: Address,
        mask: Mask,
        partial: Address,
        dbias: Address,
        loss_scale: Address,
    ) -> Result<()> {
        let &Self { pixels, c, lanes, pixels_per_block } = self;
        let rows = self.rows();
        let (channels, lane_count) = (c as u32, lanes as u32);
        let columns = groups(c).div_ceil(lanes as u64) as u32;
        let (to, scale) = if rows > 1 { (partial, Address::NULL) } else { (dbias, loss_scale) };
        let grid = [columns, rows as u32];
        // SAFETY: as the caller promises; the grid is what the kernel asks for.
        unsafe {
            match mask {
                Mask::All => {
                    let arguments =
                        list![dy, to, pixels, channels, pixels_per_block, lane_count, scale];
                    gpu.launch_grid("bias_gradient", grid, arguments)?;
                }
                Mask::Relu(aux) => {
                    let arguments =
                        list![dy, aux, to, pixels, channels, pixels_per_block, lane_count, scale];
                    gpu.launch_grid("bias_gradient_relu", grid, arguments)?;
                }
                Mask::ReluMaxPool(aux) => {
                    let arguments =
                        list![dy, aux, to, pixels, channels, pixels_per_block, lane_count, scale];
                    gpu.launch_grid("bias_gradient_relu_max_pool", grid, arguments)?;
                }
            }
            if rows > 1 {
                sum_rows(gpu, partial, rows, c, dbias, loss_scale)?;
            }
        }
        Ok(())
    }
}

/// Groups of channels that a row of threads works on.
fn lanes(c: usize) -> usize {
    (groups(c) as usize).min(32).next_power_of_two()
}

/// Orders the sums over the rows of `partial: [rows, c]` into `to: [c]`, divided by the loss scale.
///
/// # Safety
/// The addresses are of memory of these sizes.
pub(crate) unsafe fn sum_rows(
    gpu: &Gpu,
    partial: Address,
    rows: usize,
    c: usize,
    to: Address,
    loss_scale: Address,
) -> Result<()> {
    let lanes = lanes(c);
    let columns = groups(c).div_ceil(lanes as u64) as u32;
    let arguments = list![partial, to, rows, c as u32, rows, lanes as u32, loss_scale];
    // SAFETY: as the caller promises; the grid is what the kernel asks for.
    unsafe { gpu.launch_grid("bias_gradient_f32", [columns, 1], arguments) }
}
