//! What follows a layer's sums, a bias, ReLU, a 2×2 pool, and gradients back through it.

use vgg_tensor::{Result, Shape};

use crate::columns::{Columns, sum_rows};
use crate::gpu::{Gpu, kernel};
use crate::memory::Address;
use crate::precision::Storage;

/// What follows a layer's sums, with its `aux`, which may be none on the way forward.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Epilogue {
    Bias,
    BiasRelu(Address),
    BiasReluMaxPool(Address),
}

impl Epilogue {
    /// Orders it: `y` from the sums at `x: sums`.
    ///
    /// # Safety
    /// The addresses are of memory of these sizes, and no two are the same, but that `y` may be at `x`
    /// where nothing is pooled.
    pub(crate) unsafe fn forward(
        self,
        gpu: &Gpu,
        sums: Shape,
        x: Address,
        bias: Address,
        y: Address,
    ) -> Result<()> {
        let out_pixels = match self {
            Self::Bias | Self::BiasRelu(_) => sums.n * sums.h * sums.w,
            Self::BiasReluMaxPool(_) => sums.n * (sums.h / 2) * (sums.w / 2),
        };
        let columns = Columns::map(blocks(gpu), out_pixels, sums.c);
        let (Columns { pixels, c, lanes, pixels_per_block }, grid) = (columns, columns.grid());
        let (n, h, w) = (sums.n as u64, sums.h as u32, sums.w as u32);
        // SAFETY: as the caller promises; the grid is what the kernels ask for.
        unsafe {
            match self {
                Self::Bias => {
                    let kernel =
                        kernel::BiasForward { x, bias, y, pixels, c, pixels_per_block, lanes };
                    gpu.launch_grid(kernel, grid)
                }
                Self::BiasRelu(aux) => {
                    let kernel = kernel::BiasReluForward {
                        x,
                        bias,
                        y,
                        aux,
                        pixels,
                        c,
                        pixels_per_block,
                        lanes,
                    };
                    gpu.launch_grid(kernel, grid)
                }
                Self::BiasReluMaxPool(aux) => {
                    let kernel = kernel::BiasReluMaxPoolForward {
                        x,
                        bias,
                        y,
                        aux,
                        n,
                        h,
                        w,
                        c,
                        pixels_per_block,
                        lanes,
                    };
                    gpu.launch_grid(kernel, grid)
                }
            }
        }
    }
}

/// Blocks that are on the device at once, with the registers that these kernels take: half of those
/// that would fit.
fn blocks(gpu: &Gpu) -> u64 {
    gpu.blocks().div_ceil(2)
}

/// The gradients of a layer's sums and of its bias, from that of its output, which is read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpilogueBackward {
    epilogue: Epilogue,
    sums: Shape,
    columns: Columns,
}

/// Where the gradient of a bias goes: through rows of partial sums, of
/// [`EpilogueBackward::row_bytes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct BiasGradient {
    pub(crate) rows: Address,
    pub(crate) dbias: Address,
    pub(crate) loss_scale: Address,
}

impl EpilogueBackward {
    /// Cut into blocks that are on the device at once; what only adds up takes few registers.
    pub(crate) fn new(gpu: &Gpu, epilogue: Epilogue, sums: Shape) -> Self {
        let pixels = sums.n * sums.h * sums.w;
        let windows = sums.n * sums.h.div_ceil(2) * sums.w.div_ceil(2);
        let columns = match epilogue {
            Epilogue::Bias => Columns::sums(gpu.blocks(), pixels, sums.c),
            Epilogue::BiasRelu(_) => Columns::sums(blocks(gpu), pixels, sums.c),
            Epilogue::BiasReluMaxPool(_) => Columns::sums(blocks(gpu), windows, sums.c),
        };
        Self { epilogue, sums, columns }
    }

    /// Bytes of the sums' gradient, where that is not the output's.
    pub(crate) fn dsums_bytes(&self, storage: Storage) -> usize {
        match self.epilogue {
            Epilogue::Bias => 0,
            Epilogue::BiasRelu(_) | Epilogue::BiasReluMaxPool(_) => {
                storage.bytes() * self.sums.len()
            }
        }
    }

    /// Bytes of partial sums.
    pub(crate) fn row_bytes(&self) -> usize {
        if self.columns.rows() > 1 { self.columns.bytes(1) } else { 0 }
    }

    /// Orders it, from the output's gradient at `dy`. The sums' gradient is where the result says:
    /// at `dy`, or at `dsums`.
    ///
    /// # Safety
    /// The addresses are of memory of these sizes, and no two are the same.
    pub(crate) unsafe fn launch(
        &self,
        gpu: &Gpu,
        dy: Address,
        dsums: Address,
        bias: Option<BiasGradient>,
    ) -> Result<Address> {
        let Columns { pixels, c, lanes, pixels_per_block } = self.columns;
        let (rows, grid) = (self.columns.rows(), self.columns.grid());
        let (db, loss_scale) = match bias {
            None => (Address::NULL, Address::NULL),
            Some(bias) if rows == 1 => (bias.dbias, bias.loss_scale),
            Some(bias) => (bias.rows, Address::NULL),
        };
        let (n, h, w) = (self.sums.n as u64, self.sums.h as u32, self.sums.w as u32);
        // SAFETY: as the caller promises; the grid is what the kernels ask for.
        unsafe {
            let dsums = match self.epilogue {
                Epilogue::Bias => {
                    let kernel = kernel::BiasGradient {
                        dy,
                        db,
                        pixels,
                        c,
                        pixels_per_block,
                        lanes,
                        loss_scale,
                    };
                    if bias.is_some() {
                        gpu.launch_grid(kernel, grid)?;
                    }
                    dy
                }
                Epilogue::BiasRelu(aux) => {
                    let kernel = kernel::BiasReluBackward {
                        dy,
                        aux,
                        dx: dsums,
                        db,
                        pixels,
                        c,
                        pixels_per_block,
                        lanes,
                        loss_scale,
                    };
                    gpu.launch_grid(kernel, grid)?;
                    dsums
                }
                Epilogue::BiasReluMaxPool(aux) => {
                    let kernel = kernel::BiasReluMaxPoolBackward {
                        dy,
                        aux,
                        dx: dsums,
                        db,
                        n,
                        h,
                        w,
                        c,
                        windows_per_block: pixels_per_block,
                        lanes,
                        loss_scale,
                    };
                    gpu.launch_grid(kernel, grid)?;
                    dsums
                }
            };
            if let Some(BiasGradient { dbias, loss_scale, .. }) = bias
                && rows > 1
            {
                sum_rows(gpu, db, rows, c as usize, dbias, loss_scale)?;
            }
            Ok(dsums)
        }
    }
}
