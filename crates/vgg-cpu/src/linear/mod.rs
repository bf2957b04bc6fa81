//! Fully connected layers.
//!
//! A weight lies in panels, `[⌈out / width⌉][in][width]`, as wide as the GEMM's register tile and
//! with the inputs in the order in which activations lie (H, W, C). This one layout serves all
//! three products without a copy of the weight:
//! - `y = x · wᵀ`: a panel is a packed B;
//! - `dw = dyᵀ · x`: a panel is C, with the batch as k;
//! - `dx = dy · w`: a panel's rows are A, with the batch in the lanes, so that the result comes out
//!   transposed.

mod backward;
mod forward;
mod input_backward;
mod stream;
mod weight;

pub(crate) use backward::{backward, backward_needs};
pub(crate) use forward::{forward, forward_needs};
pub(crate) use input_backward::{input_backward, input_backward_needs};
pub(crate) use weight::{buffer_len, download_weight, upload_weight};

use vgg_tensor::spec::Linear;

use crate::Cpu;
use crate::gemm::panel_width;
use crate::simd::MAX_LANES;

/// Steps of k for which a panel of B stays in the first-level cache. Sums are taken over blocks of
/// so many first.
const K_BLOCK: usize = 256;

/// Features of a job in the backward pass: few enough that a block of their weights stays in the
/// second-level cache from `dx` to the update, and whole register tiles of every instruction set.
const FEATURES: usize = 192;

/// Numbers of a panel in a block of k, on any instruction set.
const MAX_BLOCK: usize = K_BLOCK * panel_width(MAX_LANES);

/// Sizes that the spec and the instruction set give.
struct Sizes {
    n: usize,
    features: usize,
    out: usize,
    /// Columns of a panel.
    width: usize,
    /// Rows of the register tile.
    mr: usize,
    panels: usize,
}

impl Sizes {
    fn new(cpu: &Cpu, op: &Linear) -> Self {
        let width = panel_width(cpu.isa.lanes());
        let (n, features, out) = (op.x().n, op.in_features(), op.out_features());
        Self { n, features, out, width, mr: cpu.isa.mr(), panels: out.div_ceil(width) }
    }
}
