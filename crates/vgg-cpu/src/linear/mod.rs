//! Fully connected layers.
//!
//! A weight lies in panels, `[⌈out / width⌉][in][width]`, as wide as the GEMM's register tile and
//! with the inputs in the order in which activations lie (H, W, C). This one layout serves all
//! three products without a copy of the weight:
//! - `y = x · wᵀ`: a panel is a packed B;
//! - `dw = dyᵀ · x`: a panel is C, with the batch as k;
//! - `dx = dy · w`: a panel's rows are A, with the batch in the lanes, so that the result comes out
//!   transposed.
//!
//! Where factors are two in a place, a weight that is stored as such has both numbers of a place of inputs
//! beside each other, `[⌈out / width⌉][⌈in / 2⌉][width][2]`: `y` takes it as it is, and only for `dx` rows
//! are copied.

mod backward;
mod factors;
mod forward;
mod input_backward;
mod stream;
mod weight;

pub(crate) use backward::{backward, backward_needs};
pub(crate) use factors::factors;
pub(crate) use forward::{forward, forward_needs};
pub(crate) use input_backward::{input_backward, input_backward_needs};
pub(crate) use weight::{buffer_len, download_weight, upload_weight};

use vgg_tensor::spec::{Linear, LinearEpilogue};

use crate::Cpu;
use crate::gemm::panel_width;
use crate::simd::MAX_LANES;

/// Steps of k for which a panel of B stays in the first-level cache. Sums are taken over blocks of
/// so many first.
const K_BLOCK: usize = 256;

/// The most features of a job in the backward pass: few enough that a block of their weights stays in
/// the second-level cache from `dx` to the update.
const FEATURES: usize = 192;

/// Features whose gradient is computed before the optimiser takes it, and the fewest of a job: whole
/// register tiles of every instruction set.
const ROWS: usize = FEATURES / 4;

/// Features of a job in the backward pass: as many as the cache allows, or fewer where that leaves threads
/// without a job or idle in the end for more than a tenth of the time. What is computed of a feature does
/// not depend on which others are in its job.
fn features_of_a_job(features: usize, threads: usize) -> usize {
    const SIZES: [usize; 4] = [FEATURES, 3 * ROWS, 2 * ROWS, ROWS];
    let jobs = |size| features.div_ceil(size);
    let time = |size| jobs(size).div_ceil(threads) * size;
    let least = SIZES.map(time).into_iter().min().unwrap_or(ROWS);
    let is_good = |size: &usize| jobs(*size) >= threads && 10 * time(*size) <= 11 * least;
    SIZES.into_iter().find(is_good).unwrap_or(ROWS)
}

/// Numbers of a panel in a block of k, on any instruction set.
const MAX_BLOCK: usize = K_BLOCK * panel_width(MAX_LANES);

/// Whether ReLU, if there is one, lets the gradient of an image's output through.
fn is_alive(op: &Linear, aux: &[u8], image: usize, output: usize) -> bool {
    let bits = op.out_features().div_ceil(8);
    let relu = op.epilogue() == LinearEpilogue::BiasRelu;
    !relu || aux[image * bits + output / 8] >> (output % 8) & 1 == 1
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_jobs_as_long_as_there_are_register_tiles() {
        for features in [1, 47, 192, 4096, 6272, 25088] {
            for threads in [1, 2, 8, 16, 64] {
                let of_a_job = features_of_a_job(features, threads);
                assert!(of_a_job.is_multiple_of(ROWS) && of_a_job <= FEATURES);
                let jobs = features.div_ceil(of_a_job);
                assert!(jobs >= threads || of_a_job == ROWS, "{features}, {threads}: {jobs}");
            }
        }
        let sizes = |features| [2, 8, 16, 64].map(|threads| features_of_a_job(features, threads));
        assert_eq!(sizes(4096), [192, 192, 144, 48]);
        assert_eq!(sizes(6272), [192, 144, 144, 48]);
    }
}
