//! Filters to the points and their gradients back.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::Conv2d;

use super::algebra::{Filter, FilterGradient};
use super::points::Points;
use super::transform::{PATCH, POINTS, two};
use crate::Cpu;
use crate::buffer::{Buffer, Form};
use crate::gemm::panel_width;
use crate::shared::Shared;
use crate::simd::{Kernel, MAX_LANES, Simd};

const TAPS: usize = 9;

/// The transformed filters U as the B of the products, in panels: `[point][panel][k][panel width]`.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a> {
    numbers: &'a [f32],
    panels: usize,
    /// Numbers of a panel.
    pub(super) panel_len: usize,
}

impl<'a> Filters<'a> {
    /// Forward, the panels run along the output channels and k along the input channels; backward
    /// the other way round (U[p]ᵀ).
    pub(super) fn new(cpu: &Cpu, op: &Conv2d, weight: &'a Buffer, form: Form) -> Result<Self> {
        let (c_out, c_in) = (op.c_out(), op.x().c);
        let w = weight.f32(op.weight().len());
        let (long, k, long_stride, k_stride) = match form {
            Form::Forward => (c_out, c_in, c_in * TAPS, TAPS),
            Form::Backward => (c_in, c_out, TAPS, c_in * TAPS),
        };
        let width = panel_width(cpu.isa.lanes());
        let (panels, panel_len) = (long.div_ceil(width), k * width);
        let numbers = weight.derived(form, Self::len(cpu, op, form), |out| {
            let u = Shared::new(out);
            (0..panels).into_par_iter().for_each(|panel| {
                let count = (long - panel * width).min(width);
                let w = &w[panel * width * long_stride..];
                cpu.isa.run(TransformPanel {
                    w,
                    count,
                    k,
                    long_stride,
                    k_stride,
                    u,
                    panel,
                    panels,
                });
            });
        })?;
        Ok(Self { numbers, panels, panel_len })
    }

    /// Numbers that they are.
    pub(super) fn len(cpu: &Cpu, op: &Conv2d, form: Form) -> usize {
        let (long, k) = match form {
            Form::Forward => (op.c_out(), op.x().c),
            Form::Backward => (op.x().c, op.c_out()),
        };
        let width = panel_width(cpu.isa.lanes());
        POINTS * long.div_ceil(width) * k * width
    }

    /// The panels of a point that some channels lie in.
    #[inline(always)]
    pub(super) fn of(self, p: usize, channels: Range<usize>, width: usize) -> &'a [f32] {
        let first = p * self.panels;
        let panels = first + channels.start / width..first + channels.end.div_ceil(width);
        &self.numbers[panels.start * self.panel_len..panels.end * self.panel_len]
    }
}

/// One panel of transformed filters, at all points.
struct TransformPanel<'a> {
    w: &'a [f32],
    /// Channels of the panel that exist; the others become zero.
    count: usize,
    k: usize,
    long_stride: usize,
    k_stride: usize,
    u: Shared<'a>,
    panel: usize,
    panels: usize,
}

impl Kernel for TransformPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = panel_width(S::LANES);
        assert!(self.panel < self.panels);
        assert_eq!(self.u.len(), POINTS * self.panels * self.k * width);
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
                    let row = ((i * PATCH + j) * self.panels + self.panel) * self.k + k;
                    // SAFETY: asserted; no other job has this panel.
                    unsafe { s.store(self.u.at(row * width + first), point) };
                };
                two::<Filter, Filter, _, _, _, _, _>(s, |i, j| filter[i][j], put);
            }
        }
    }
}

/// The weight's gradient from the chunks' sums at the points, added in their order:
/// `dw = Gᵀ (Σ dU) G`.
///
/// A chunk's sums are [`Points`] of `c_in` rows; they lie `partial_len` numbers apart.
pub(super) fn weight_gradient(
    cpu: &Cpu,
    op: &Conv2d,
    partials: &[f32],
    partial_len: usize,
    dweight: &mut [f32],
) {
    // Few enough for all threads to have some, enough to fill the cache lines of a filter.
    const CHANNELS: usize = 8;
    let c_in = op.x().c;
    assert!(dweight.len() == op.weight().len());
    let dweight = Shared::new(dweight);
    (0..c_in.div_ceil(CHANNELS)).into_par_iter().for_each(|job| {
        let first = job * CHANNELS;
        let channels = first..(first + CHANNELS).min(c_in);
        cpu.isa.run(ReduceChannels { op, partials, partial_len, channels, dweight });
    });
}

/// The gradient of all filters' taps for some input channels.
struct ReduceChannels<'a> {
    op: &'a Conv2d,
    partials: &'a [f32],
    partial_len: usize,
    channels: Range<usize>,
    /// `[c_out][c_in][3][3]`
    dweight: Shared<'a>,
}

impl Kernel for ReduceChannels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c_in, c_out) = (self.op.x().c, self.op.c_out());
        let row = c_out.next_multiple_of(S::LANES);
        let point_stride = Points::stride(c_in, row);
        for c in self.channels.clone() {
            for first in (0..c_out).step_by(S::LANES) {
                let mut points = [[s.splat(0.0); PATCH]; PATCH];
                for partial in self.partials.chunks_exact(self.partial_len) {
                    for p in 0..POINTS {
                        let partial = &partial[p * point_stride + c * row + first..][..S::LANES];
                        let point = &mut points[p / PATCH][p % PATCH];
                        // SAFETY: the slice has a vector's length.
                        *point = s.add(*point, unsafe { s.load(partial.as_ptr()) });
                    }
                }
                let put = |i: usize, j: usize, tap: S::V| {
                    let mut lanes = [0.0; MAX_LANES];
                    // SAFETY: an array of the widest vector's length.
                    unsafe { s.store(lanes.as_mut_ptr(), tap) };
                    for (lane, tap) in lanes[..(c_out - first).min(S::LANES)].iter().enumerate() {
                        let at = ((first + lane) * c_in + c) * TAPS + i * 3 + j;
                        // SAFETY: both channels exist, and only this job has this input channel.
                        unsafe { *self.dweight.at(at) = *tap };
                    }
                };
                two::<FilterGradient, FilterGradient, _, _, _, _, _>(s, |i, j| points[i][j], put);
            }
        }
    }
}
