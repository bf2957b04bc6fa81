//! The input's gradient, alone or beside the weight's.

use std::ops::Range;

use bytemuck::Zeroable as _;
use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{Linear, WeightType};

use super::{K_BLOCK, ROWS, Sizes, features_of_a_job, is_alive};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer};
use crate::format::Format;
use crate::gemm::{Gemm, pack_rows, panel_width};
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// See [`vgg_tensor::Command::LinearInputBackward`].
pub(crate) fn input_backward<F: Format>(
    cpu: &Cpu,
    op: &Linear,
    weight: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let Sizes { n, features, width, panels, .. } = Sizes::new(cpu, op);
    let (padded_out, columns) = (panels * width, n.next_multiple_of(width));
    let rows = match op.weight_type() {
        WeightType::Factors => F::places(features),
        WeightType::F32 | WeightType::F16 => features,
    };
    let weight = weight.f32(padded_out * rows);
    let (dy, aux) = (dy.maps::<F>(op.y().len()), aux.bytes(op.aux_bytes()));
    let dx = dx.maps_mut::<F>(op.x().len());
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    input_backward_needs::<F>(cpu, op).reserve(cpu, workspace)?;
    let [gradient, by_image, dx_transposed] = workspace.split(lens::<F>(cpu, op));
    cpu.threads.run(|| {
        let gradient = &mut bytemuck::cast_slice_mut(gradient)[..n * padded_out];
        undo_relu::<F>(op, dy, aux, padded_out, gradient);
        pack_images::<F>(gradient, padded_out, width, by_image);
        let by_image = &*by_image;
        let of_a_job = features_of_a_job(features, cpu.threads.count());
        let jobs = dx_transposed.par_chunks_mut(of_a_job * columns).enumerate();
        jobs.for_each(|(job, dx)| {
            let rows = job * of_a_job..features.min((job + 1) * of_a_job);
            let factors = F::default();
            let dx = InputRows { factors, features, panels, rows, columns, by_image, dx };
            match op.weight_type() {
                WeightType::Factors => {
                    let weight = Factors { weight, features };
                    F::run(cpu.isa, Alone { dx, weight });
                }
                WeightType::F32 | WeightType::F16 => {
                    let weight = Numbers { weight: weight.as_ptr(), len: weight.len(), features };
                    F::run(cpu.isa, Alone { dx, weight });
                }
            }
        });
        transpose::<F>(dx_transposed, features, dx);
    });
    Ok(())
}

/// What [`input_backward`] takes besides its buffers.
pub(crate) fn input_backward_needs<F: Format>(cpu: &Cpu, op: &Linear) -> Needs {
    Needs { workspace: AlignedVec::len_of(lens::<F>(cpu, op)), ..Needs::default() }
}

/// Numbers of the workspace: for the output's gradient as it lies and in panels of images, and the
/// input's gradient, transposed.
fn lens<F: Format>(cpu: &Cpu, op: &Linear) -> [usize; 3] {
    let Sizes { n, features, width, panels, .. } = Sizes::new(cpu, op);
    let (padded_out, columns) = (panels * width, n.next_multiple_of(width));
    [F::places(n * padded_out), columns * F::places(padded_out), columns * features]
}

/// `dy` where ReLU was alive, rows padded with zeros to `padded_out` numbers.
pub(super) fn undo_relu<F: Format>(
    op: &Linear,
    dy: &[F::Number],
    aux: &[u8],
    padded_out: usize,
    gradient: &mut [F::Number],
) {
    let out = op.out_features();
    gradient.par_chunks_exact_mut(padded_out).enumerate().for_each(|(image, gradient)| {
        let (inside, padding) = gradient.split_at_mut(out);
        padding.fill(F::Number::zeroed());
        for (o, (g, dy)) in inside.iter_mut().zip(&dy[image * out..]).enumerate() {
            *g = if is_alive(op, aux, image, o) { *dy } else { F::Number::zeroed() };
        }
    });
}

/// The output's gradient in panels of images, `[panel][places of padded_out][width]`.
pub(super) fn pack_images<F: Format>(
    gradient: &[F::Number],
    padded_out: usize,
    width: usize,
    by_image: &mut [f32],
) {
    let panels = by_image.par_chunks_exact_mut(F::places(padded_out) * width).enumerate();
    panels.for_each(|(panel, packed)| pack_rows::<F>(gradient, padded_out, width, panel, packed));
}

/// `dx` of `[features][images]`, padded, to `[images][features]`.
pub(super) fn transpose<F: Format>(transposed: &[f32], features: usize, dx: &mut [F::Number]) {
    let row = transposed.len() / features;
    // A tile is a line of the cache in both directions.
    const TILE: usize = 16;
    dx.par_chunks_mut(TILE * features).enumerate().for_each(|(block, dx)| {
        for first in (0..features).step_by(TILE) {
            let last = features.min(first + TILE);
            for (image, dx) in dx.chunks_exact_mut(features).enumerate() {
                let column = &transposed[block * TILE + image..];
                for i in first..last {
                    dx[i] = F::round(column[i * row]);
                }
            }
        }
    });
}

/// Some rows of the transposed input gradient, `[rows][images, padded to panels]`.
pub(super) struct InputRows<'a, F> {
    /// What the products are of.
    pub(super) factors: F,
    /// All features.
    pub(super) features: usize,
    /// Panels of the weight.
    pub(super) panels: usize,
    /// The features to do.
    pub(super) rows: Range<usize>,
    /// Numbers of a row.
    pub(super) columns: usize,
    /// The output gradients in panels of images: `[panel][places of out][width]`.
    pub(super) by_image: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

impl<F: Format> InputRows<'_, F> {
    /// Adds the products with some panels of the weight; the first panels come first.
    ///
    /// # Safety
    /// The weight has as many panels and features as are said here, and those of the features to do can be
    /// read.
    #[inline(always)]
    pub(super) unsafe fn add<S: Simd>(
        &mut self,
        s: S,
        weight: impl Weight<F>,
        panels: Range<usize>,
    ) {
        let Self { factors, features, columns, by_image, ref rows, .. } = *self;
        let width = panel_width(S::LANES);
        let (out, k) = (self.panels * width, F::places(width));
        assert!(columns.is_multiple_of(width) && by_image.len() == columns * F::places(out));
        assert!(self.dx.len() == rows.len() * columns);
        assert!(weight.len() == self.panels * weight.panel_len(width));
        assert!(rows.end <= features && panels.end <= self.panels);
        let mut scratch = [0.0; ROWS * K_BLOCK / 2];
        let of_a_block = if F::OF_A_PLACE == 1 { rows.len() } else { ROWS };
        for first in (0..rows.len()).step_by(of_a_block) {
            let count = of_a_block.min(rows.len() - first);
            let begin = rows.start + first;
            // SAFETY: the lengths were just asserted; the rest is the caller's promise.
            unsafe {
                let (a, a_segment) = match F::OF_A_PLACE {
                    1 => {
                        let panel_len = weight.panel_len(width);
                        (weight.at(panels.start * panel_len + begin * width), panel_len)
                    }
                    _ => {
                        let numbers = bytemuck::cast_slice_mut::<_, F::Number>(&mut scratch);
                        let segments = numbers.chunks_exact_mut(count * width);
                        for (panel, out) in panels.clone().zip(segments) {
                            weight.round(s, panel, begin..begin + count, out);
                        }
                        (scratch.as_ptr(), count * k)
                    }
                };
                Gemm {
                    factors,
                    rows: count,
                    columns,
                    k,
                    segments: panels.len(),
                    a,
                    a_row: k,
                    a_k: 1,
                    a_segment,
                    b: by_image.as_ptr().add(panels.start * k * width),
                    b_k: width,
                    b_panel: F::places(out) * width,
                    c: self.dx.as_mut_ptr().add(first * columns),
                    c_row: columns,
                    c_panel: width,
                    accumulate: panels.start > 0,
                }
                .compute(s);
            }
        }
    }
}

/// A weight whose factors for an input's gradient are taken: along its outputs.
pub(super) trait Weight<F: Format>: Copy {
    /// How many `f32`s its memory has.
    fn len(self) -> usize;

    /// As many of a panel.
    fn panel_len(self, width: usize) -> usize;

    /// That at `i`.
    fn at(self, i: usize) -> *const f32;

    /// Some rows of a panel as they are stored where factors take less than 32 bits: `[rows][width]`.
    ///
    /// # Safety
    /// They are in memory, and may be read.
    unsafe fn round<S: Simd>(self, s: S, panel: usize, rows: Range<usize>, out: &mut [F::Number]);
}

/// One whose numbers are those that training changes.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) weight: *const f32,
    pub(super) len: usize,
    pub(super) features: usize,
}

impl<F: Format> Weight<F> for Numbers {
    fn len(self) -> usize {
        self.len
    }

    fn panel_len(self, width: usize) -> usize {
        self.features * width
    }

    fn at(self, i: usize) -> *const f32 {
        self.weight.wrapping_add(i)
    }

    #[inline(always)]
    unsafe fn round<S: Simd>(self, s: S, panel: usize, rows: Range<usize>, out: &mut [F::Number]) {
        let width = panel_width(S::LANES);
        let first = self.weight.wrapping_add((panel * self.features + rows.start) * width);
        // SAFETY: the caller's promise.
        F::round_all(s, unsafe { std::slice::from_raw_parts(first, rows.len() * width) }, out);
    }
}

/// One in places along its inputs.
#[derive(Clone, Copy)]
struct Factors<'a> {
    weight: &'a [f32],
    features: usize,
}

impl<F: Format> Weight<F> for Factors<'_> {
    fn len(self) -> usize {
        self.weight.len()
    }

    fn panel_len(self, width: usize) -> usize {
        F::places(self.features) * width
    }

    fn at(self, i: usize) -> *const f32 {
        self.weight[i..].as_ptr()
    }

    #[inline(always)]
    unsafe fn round<S: Simd>(self, _: S, panel: usize, rows: Range<usize>, out: &mut [F::Number]) {
        let width = panel_width(S::LANES);
        let panel = &self.weight[panel * F::places(self.features) * width..];
        for (k, out) in rows.zip(out.chunks_exact_mut(width)) {
            let places = &panel[k / F::OF_A_PLACE * width..][..width];
            let numbers = bytemuck::cast_slice::<_, F::Number>(places).chunks_exact(F::OF_A_PLACE);
            out.iter_mut().zip(numbers).for_each(|(out, place)| *out = place[k % F::OF_A_PLACE]);
        }
    }
}

/// The input's gradient for some of the features, in the same blocks as beside the weight's: to the
/// same bits.
struct Alone<'a, F, W> {
    dx: InputRows<'a, F>,
    weight: W,
}

impl<F: Format, W: Weight<F>> Kernel for Alone<'_, F, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (panels, of_a_block) = (self.dx.panels, K_BLOCK / panel_width(S::LANES));
        for first in (0..panels).step_by(of_a_block) {
            let block = first..panels.min(first + of_a_block);
            // SAFETY: it is all there.
            unsafe { self.dx.add(s, self.weight, block) };
        }
    }
}
