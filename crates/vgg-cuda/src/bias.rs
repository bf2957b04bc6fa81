//! Gradients of biases: sums over pixels.

use vgg_tensor::Result;

use crate::columns::Columns;
use crate::gpu::{Gpu, list};
use crate::memory::Address;

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
pub(crate) struct BiasGradient(Columns);

impl BiasGradient {
    /// Cut into enough blocks for the device.
    pub(crate) fn new(gpu: &Gpu, pixels: usize, c: usize) -> Self {
        Self(Columns::new(gpu, pixels, c))
    }

    /// Bytes of partial sums.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.0.rows();
        if rows > 1 { 4 * rows * self.0.c } else { 0 }
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
        let Columns { pixels, c, lanes, pixels_per_block } = self.0;
        let (rows, grid) = (self.0.rows(), self.0.grid());
        let (channels, lane_count) = (c as u32, lanes as u32);
        let (to, scale) = if rows > 1 { (partial, Address::NULL) } else { (dbias, loss_scale) };
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
                let arguments = list![partial, dbias, rows, channels, rows, lane_count, loss_scale];
                gpu.launch_grid("bias_gradient_f32", self.0.row(), arguments)?;
            }
        }
        Ok(())
    }
}
