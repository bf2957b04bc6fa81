//! Filters to the points and their gradients back.

use rayon::prelude::*;
use vgg_tensor::spec::Conv2d;

use super::transform::{Filter, FilterGradient, PATCH, POINTS, Transform};
use crate::Cpu;
use crate::buffer::{Buffer, Form};
use crate::gemm::panel_width;
use crate::simd::{Kernel, MAX_LANES, Simd};

const TAPS: usize = 9;

/// The transformed filters U as the B of the products, in panels: `[panel][point][k][panel width]`.
///
/// Forward, the panels run along the output channels and k along the input channels; backward the
/// other way round (U[p]ᵀ).
pub(super) fn transformed<'a>(cpu: &Cpu, op: &Conv2d, weight: &'a Buffer, form: Form) -> &'a [f32] {
    let (c_out, c_in) = (op.c_out(), op.x().c);
    let w = weight.f32(op.weight().len());
    let (long, k, long_stride, k_stride) = match form {
        Form::Forward => (c_out, c_in, c_in * TAPS, TAPS),
        Form::Backward => (c_in, c_out, TAPS, c_in * TAPS),
    };
    let width = panel_width(cpu.isa.lanes());
    let panel_len = POINTS * k * width;
    weight.derived(form, long.div_ceil(width) * panel_len, |out| {
        out.par_chunks_exact_mut(panel_len).enumerate().for_each(|(panel, out)| {
            let first = panel * width;
            let count = (long - first).min(width);
            let w = &w[first * long_stride..];
            cpu.isa.run(TransformPanel { w, count, k, long_stride, k_stride, out });
        });
    })
}

/// One panel of transformed filters.
struct TransformPanel<'a> {
    w: &'a [f32],
    /// Channels of the panel that exist; the others become zero.
    count: usize,
    k: usize,
    long_stride: usize,
    k_stride: usize,
    out: &'a mut [f32],
}

impl Kernel for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = panel_width(S::LANES);
        assert_eq!(self.out.len(), POINTS * self.k * width);
        for k in 0..self.k {
            for first in (0..width).step_by(S::LANES) {
                let mut lanes = [[0.0; MAX_LANES]; TAPS];
                for lane in 0..self.count.saturating_sub(first).min(S::LANES) {
                    let at = (first + lane) * self.long_stride + k * self.k_stride;
                    for (tap, w) in self.w[at..at + TAPS].iter().enumerate() {
                        lanes[tap][lane] = *w;
                    }
                }
                let mut filter = [[s.splat(0.0); 3]; 3];
                for tap in 0..TAPS {
                    // SAFETY: an array of the widest vector's length.
                    filter[tap / 3][tap % 3] = unsafe { s.load(lanes[tap].as_ptr()) };
                }
                let put = |i: usize, j: usize, point: S::V| {
                    let at = ((i * PATCH + j) * self.k + k) * width + first;
                    // SAFETY: `out` has `width` numbers for every point and k.
                    unsafe { s.store(self.out.as_mut_ptr().add(at), point) };
                };
                Filter::two(s, |i, j| filter[i][j], put);
            }
        }
    }
}

/// The weight's gradient from the points' gradients of all pieces, added in their order:
/// `dw = Gᵀ (Σ dU) G`.
///
/// A piece is `[point][c_in][c_out]` with `point_stride` numbers a point and `c_out` rounded up to
/// whole vectors; pieces lie `piece_stride` numbers apart.
pub(super) fn weight_gradient(
    cpu: &Cpu,
    op: &Conv2d,
    pieces: &[f32],
    piece_stride: usize,
    point_stride: usize,
    dweight: &mut [f32],
) {
    let c_in = op.x().c;
    let lanes = cpu.isa.lanes();
    let row = op.c_out().next_multiple_of(lanes);
    dweight.par_chunks_mut(lanes * c_in * TAPS).enumerate().for_each(|(block, out)| {
        let first = block * lanes;
        cpu.isa.run(ReduceBlock { pieces, piece_stride, point_stride, row, first, c_in, out });
    });
}

/// The gradient of a vector of output channels' filters.
struct ReduceBlock<'a> {
    pieces: &'a [f32],
    piece_stride: usize,
    point_stride: usize,
    row: usize,
    first: usize,
    c_in: usize,
    /// `[channels of the block][c_in][3][3]`
    out: &'a mut [f32],
}

impl Kernel for ReduceBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.out.len() / (self.c_in * TAPS);
        for c in 0..self.c_in {
            let mut points = [[s.splat(0.0); PATCH]; PATCH];
            for piece in self.pieces.chunks_exact(self.piece_stride) {
                for p in 0..POINTS {
                    let at = p * self.point_stride + c * self.row + self.first;
                    let piece = &piece[at..at + S::LANES];
                    let point = &mut points[p / PATCH][p % PATCH];
                    // SAFETY: the slice has a vector's length.
                    *point = s.add(*point, unsafe { s.load(piece.as_ptr()) });
                }
            }
            let put = |i: usize, j: usize, tap: S::V| {
                let mut lanes = [0.0; MAX_LANES];
                // SAFETY: an array of the widest vector's length.
                unsafe { s.store(lanes.as_mut_ptr(), tap) };
                for channel in 0..channels {
                    self.out[(channel * self.c_in + c) * TAPS + i * 3 + j] = lanes[channel];
                }
            };
            FilterGradient::two(s, |i, j| points[i][j], put);
        }
    }
}
