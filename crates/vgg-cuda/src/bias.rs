//! Gradients of biases: sums over pixels.

use vgg_tensor::Result;

use crate::columns::{Columns, sum_rows};
use crate::gpu::{Gpu, kernel};
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
        if self.0.rows() > 1 { self.0.bytes(1) } else { 0 }
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
        let (db, scale) = if rows > 1 { (partial, Address::NULL) } else { (dbias, loss_scale) };
        // SAFETY: as the caller promises; the grid is what the kernel asks for.
        unsafe {
            match mask {
                Mask::All => {
                    let kernel = kernel::BiasGradient {
                        dy,
                        db,
                        pixels,
                        c,
                        pixels_per_block,
                        lanes,
                        loss_scale: scale,
                    };
                    gpu.launch_grid(kernel, grid)?;
                }
                Mask::Relu(aux) => {
                    let kernel = kernel::BiasGradientRelu {
                        dy,
                        aux,
                        db,
                        pixels,
                        c,
                        pixels_per_block,
                        lanes,
                        loss_scale: scale,
                    };
                    gpu.launch_grid(kernel, grid)?;
                }
                Mask::ReluMaxPool(aux) => {
                    let kernel = kernel::BiasGradientReluMaxPool {
                        dy,
                        aux,
                        db,
                        pixels,
                        c,
                        pixels_per_block,
                        lanes,
                        loss_scale: scale,
                    };
                    gpu.launch_grid(kernel, grid)?;
                }
            }
            if rows > 1 {
                sum_rows(gpu, partial, rows, c as usize, dbias, loss_scale)?;
            }
        }
        Ok(())
    }
}
