//! Filters to the points and their gradients back.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::Conv2d;

use super::algebra::{Filter, FilterGradient, Interpolation};
use super::points::{Points, UsedPoints};
use super::transform::{PATCH, POINTS, two};
use crate::Cpu;
use crate::buffer::{Buffer, Form};
use crate::format::F32;
use crate::gemm::panel_width;
use crate::shared::Shared;
use crate::simd::{Kernel, MAX_LANES, Simd};

const TAPS: usize = 9;

/// The transformed filters U as the B of the products, in panels: `[point][panel][k][panel width]`.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a, F> {
    places: &'a [f32],
    layout: Layout,
    /// Places of a panel.
    pub(super) panel_len: usize,
    factors: PhantomData<F>,
}

/// Where they lie.
#[derive(Clone, Copy)]
struct Layout {
    panels: usize,
    k: usize,
    /// Places along k.
    places: usize,
    /// Places of a row of a panel.
    width: usize,
}

impl Layout {
    /// Forward, the panels run along the output channels and k along the input channels; backward
    /// the other way round (U[p]ᵀ).
    fn new<F: Interpolation>(cpu: &Cpu, op: &Conv2d, form: Form) -> Self {
        let (long, k) = match form {
            Form::Forward => (op.c_out(), op.x().c),
            Form::Backward => (op.x().c, op.c_out()),
        };
        let width = panel_width(cpu.isa.lanes());
        let (panels, places) = (long.div_ceil(width), k.div_ceil(F::OF_A_PLACE));
        Self { panels, k, places, width }
    }

    /// Where a row of a panel begins.
    #[inline(always)]
    fn row(self, point: usize, panel: usize, place: usize) -> usize {
        let row = panel * self.places + place;
        Points::<F32>::stride(self.panels * self.places, self.width) * point + row * self.width
    }

    /// Places of all panels at all points.
    fn len(self) -> usize {
        Points::<F32>::len(self.panels * self.places, self.width)
    }
}

impl<'a, F: Interpolation> Filters<'a, F> {
    pub(super) fn new(cpu: &Cpu, op: &Conv2d, weight: &'a Buffer, form: Form) -> Result<Self> {
        let layout = Layout::new::<F>(cpu, op, form);
        let Layout { panels, k, places, width } = layout;
        let w = weight.f32(op.weight().len());
        let all = weight.derived(form, layout.len(), |out| {
            let u = Shared::new(out);
            let jobs_of_a_panel = k.div_ceil(ROWS);
            (0..panels * jobs_of_a_panel).into_par_iter().for_each(|job| {
                let (panel, first) = (job / jobs_of_a_panel, job % jobs_of_a_panel * ROWS);
                let rows = first..(first + ROWS).min(k);
                F::run(
                    cpu.isa,
                    TransformRows::<F> {
                        op,
                        w,
                        form,
                        layout,
                        u,
                        panel,
                        rows,
                        factors: PhantomData,
                    },
                );
            });
        })?;
        Ok(Self { places: all, layout, panel_len: places * width, factors: PhantomData })
    }

    /// Places that they take.
    pub(super) fn len(cpu: &Cpu, op: &Conv2d, form: Form) -> usize {
        Layout::new::<F>(cpu, op, form).len()
    }

    /// The panels of a point that some channels lie in.
    #[inline(always)]
    pub(super) fn of(self, p: usize, channels: Range<usize>, width: usize) -> &'a [f32] {
        let panels = channels.start / width..channels.end.div_ceil(width);
        let first = self.layout.row(p, panels.start, 0);
        &self.places[first..first + panels.len() * self.panel_len]
    }
}

/// Rows of a panel that are transformed together: a filter's neighbours share its cache lines.
const ROWS: usize = 16;

/// Some rows of a panel of transformed filters, at all points: they are kept for maps of other sizes, whose
/// tiles may have more of them.
struct TransformRows<'a, F> {
    op: &'a Conv2d,
    /// `[c_out][c_in][3][3]`
    w: &'a [f32],
    form: Form,
    layout: Layout,
    u: Shared<'a>,
    panel: usize,
    /// Along k, from the first of a place on.
    rows: Range<usize>,
    factors: PhantomData<F>,
}

impl<F: Interpolation> Kernel for TransformRows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, w, form, layout, u, panel, rows, .. } = self;
        let (long, long_stride, k_stride) = match form {
            Form::Forward => (op.c_out(), op.x().c * TAPS, TAPS),
            Form::Backward => (op.x().c, TAPS, op.x().c * TAPS),
        };
        assert!(panel < layout.panels && rows.end <= layout.k && rows.len() <= ROWS);
        assert!(rows.start.is_multiple_of(F::OF_A_PLACE) && u.len() >= layout.len());
        for first in (0..layout.width).step_by(S::LANES) {
            let channel = panel * layout.width + first;
            let lanes = long.saturating_sub(channel).min(S::LANES);
            // All of them before any is used: what is stored number by number cannot be loaded as a
            // vector at once.
            let mut taps = [[[0.0; MAX_LANES]; TAPS]; ROWS];
            for lane in 0..lanes {
                let w = &w[(channel + lane) * long_stride..];
                for (k, taps) in rows.clone().zip(&mut taps) {
                    let w = &w[k * k_stride..][..TAPS];
                    for tap in 0..TAPS {
                        taps[tap][lane] = w[tap];
                    }
                }
            }
            for k in rows.clone().step_by(F::OF_A_PLACE) {
                let taps = &taps[k - rows.start..];
                // SAFETY: arrays of the widest vector's length.
                let tap =
                    |k: usize, i: usize, j: usize| unsafe { s.load(taps[k][3 * i + j].as_ptr()) };
                let put = |i: usize, j: usize, place: S::V| {
                    let at = layout.row(i * PATCH + j, panel, k / F::OF_A_PLACE) + first;
                    // SAFETY: asserted; no other job has these rows.
                    unsafe { s.store(u.at(at), place) }
                };
                if F::OF_A_PLACE == 1 {
                    two::<Filter<F>, Filter<F>, _, _, _, _, _>(s, |i, j| tap(0, i, j), put);
                } else {
                    // Beyond the last row there are zeros.
                    let mut even = [[s.splat(0.0); PATCH]; PATCH];
                    let keep = |i: usize, j: usize, point| even[i][j] = point;
                    two::<Filter<F>, Filter<F>, _, _, _, _, _>(s, |i, j| tap(0, i, j), keep);
                    let put = |i: usize, j: usize, odd| put(i, j, s.pairs(even[i][j], odd));
                    two::<Filter<F>, Filter<F>, _, _, _, _, _>(s, |i, j| tap(1, i, j), put);
                }
            }
        }
    }
}

/// The weight's gradient from the chunks' sums at the points, added in their order:
/// `dw = Gᵀ (Σ dU) G`.
///
/// A chunk's sums are [`Points`] of `c_in` rows; they lie `partial_len` numbers apart.
pub(super) fn weight_gradient<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    partials: &[f32],
    partial_len: usize,
    dweight: &mut [f32],
) {
    let c_in = op.x().c;
    assert!(dweight.len() == op.weight().len());
    let dweight = Shared::new(dweight);
    (0..c_in.div_ceil(CHANNELS)).into_par_iter().for_each(|job| {
        let first = job * CHANNELS;
        let channels = first..(first + CHANNELS).min(c_in);
        let factors = PhantomData::<F>;
        cpu.isa.run(ReduceChannels { op, partials, partial_len, channels, dweight, factors });
    });
}

/// Input channels of a job: few enough for all threads to have some, enough to fill the cache lines of
/// a filter.
const CHANNELS: usize = 8;

/// The gradient of all filters' taps for some input channels.
struct ReduceChannels<'a, F> {
    op: &'a Conv2d,
    partials: &'a [f32],
    partial_len: usize,
    channels: Range<usize>,
    /// `[c_out][c_in][3][3]`
    dweight: Shared<'a>,
    factors: PhantomData<F>,
}

impl<F: Interpolation> Kernel for ReduceChannels<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { op, partials, partial_len, channels, dweight, .. } = self;
        let (c_in, c_out) = (op.x().c, op.c_out());
        assert!(channels.len() <= CHANNELS && channels.end <= c_in);
        assert!(dweight.len() >= c_out * c_in * TAPS);
        let row = c_out.next_multiple_of(S::LANES);
        let point_stride = Points::<F32>::stride(c_in, row);
        let used = UsedPoints::of(op);
        for first in (0..c_out).step_by(S::LANES) {
            // Of each channel and tap, all filters: they are stored filter by filter in the end.
            let mut taps = [[[0.0; MAX_LANES]; TAPS]; CHANNELS];
            for (c, taps) in channels.clone().zip(&mut taps) {
                let mut points = [[s.splat(0.0); PATCH]; PATCH];
                for partial in partials.chunks_exact(partial_len) {
                    for p in 0..POINTS {
                        if used.has(p / PATCH, p % PATCH) {
                            let partial =
                                &partial[p * point_stride + c * row + first..][..S::LANES];
                            let point = &mut points[p / PATCH][p % PATCH];
                            // SAFETY: the slice has a vector's length.
                            *point = s.add(*point, unsafe { s.load(partial.as_ptr()) });
                        }
                    }
                }
                let put = |i: usize, j: usize, tap: S::V| {
                    // SAFETY: an array of the widest vector's length.
                    unsafe { s.store(taps[3 * i + j].as_mut_ptr(), tap) };
                };
                two::<FilterGradient<F>, FilterGradient<F>, _, _, _, _, _>(
                    s,
                    |i, j| points[i][j],
                    put,
                );
            }
            for lane in 0..(c_out - first).min(S::LANES) {
                let filter = dweight.at((first + lane) * c_in * TAPS);
                for (c, taps) in channels.clone().zip(&taps) {
                    for tap in 0..TAPS {
                        // SAFETY: asserted, and only this job has these input channels.
                        unsafe { *filter.add(c * TAPS + tap) = taps[tap][lane] };
                    }
                }
            }
        }
    }
}
