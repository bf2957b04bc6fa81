//! The backward pass.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::spec::{Linear, LinearEpilogue, Sgd};
use vgg_tensor::{Result, WeightGradient};

use super::{K_BLOCK, Sizes};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer};
use crate::gemm::{Ahead, Gemm, pack_columns, pack_rows, packed_len, panel_width};
use crate::needs::Needs;
use crate::sgd::Update;
use crate::shared::Shared;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// See [`vgg_tensor::Command::LinearBackward`].
pub(crate) fn backward(
    cpu: &Cpu,
    op: &Linear,
    x: &Buffer,
    weight: WeightGradient<&Buffer, &mut Buffer, &mut Buffer>,
    lr: f32,
    dy: &Buffer,
    aux: &Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    let Sizes { n, features, out, width, mr, panels } = Sizes::new(cpu, op);
    let x = x.f32(op.x().len());
    let dy = dy.f32(op.y().len());
    let aux = aux.bytes(op.aux_bytes());
    let dbias = dbias.f32_mut(out);
    let dx = dx.map(|dx| dx.f32_mut(op.x().len()));
    let padded_out = panels * width;
    let batch_panels = n.div_ceil(width);
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    backward_needs(cpu, op).reserve(cpu, workspace)?;
    let [gradient, by_panel, by_image, packed, dx_transposed] = workspace.split(lens(cpu, op));
    cpu.threads.run(|| {
        undo_relu(op, dy, aux, padded_out, gradient);
        let gradient = &*gradient;
        dbias.fill(0.0);
        for row in gradient.chunks_exact(padded_out) {
            dbias.iter_mut().zip(row).for_each(|(db, g)| *db += g);
        }
        if dx.is_some() {
            by_image
                .par_chunks_exact_mut(padded_out * width)
                .enumerate()
                .for_each(|(panel, packed)| pack_rows(gradient, padded_out, width, panel, packed));
        }
        by_panel.par_chunks_exact_mut(n * width).enumerate().for_each(|(panel, packed)| {
            pack_columns(gradient, padded_out, width, panel, packed);
        });
        packed.par_chunks_exact_mut(n * mr).enumerate().for_each(|(group, packed)| {
            pack_columns(x, features, mr, group, packed);
        });
        let wanted = dx.is_some();
        let target = Target::new(weight, lr, padded_out * features);
        let transposed = Shared::new(dx_transposed);
        let (by_panel, by_image, packed) = (&*by_panel, &*by_image, &*packed);
        (0..features.div_ceil(FEATURES)).into_par_iter().for_each(|block| {
            let rows = block * FEATURES..features.min((block + 1) * FEATURES);
            let columns = batch_panels * width;
            // SAFETY: this job alone has these features.
            let dx = unsafe { transposed.slice(rows.start * columns..rows.end * columns) };
            let dx = wanted.then_some(InputGradientRows { columns, by_image, dx });
            cpu.isa.run(FeatureRows { n, features, panels, rows, packed, by_panel, dx, target });
        });
        if let Some(dx) = dx {
            transpose(&*dx_transposed, features, dx);
        }
    });
    Ok(())
}

/// What [`backward`] takes besides its buffers.
pub(crate) fn backward_needs(cpu: &Cpu, op: &Linear) -> Needs {
    Needs { workspace: AlignedVec::len_of(lens(cpu, op)), ..Needs::default() }
}

/// Numbers of the workspace: for the output's gradient as it lies, in panels of outputs and in
/// panels of images, the packed inputs, and the input's gradient, transposed.
fn lens(cpu: &Cpu, op: &Linear) -> [usize; 5] {
    let Sizes { n, features, width, mr, panels, .. } = Sizes::new(cpu, op);
    let (padded_out, batch_panels) = (panels * width, n.div_ceil(width));
    [
        n * padded_out,
        n * padded_out,
        batch_panels * padded_out * width,
        packed_len(features, n, mr),
        features * batch_panels * width,
    ]
}

/// `dy` where ReLU was alive, rows padded with zeros to `padded_out` numbers.
fn undo_relu(op: &Linear, dy: &[f32], aux: &[u8], padded_out: usize, gradient: &mut [f32]) {
    let out = op.out_features();
    let bits = out.div_ceil(8);
    let relu = op.epilogue() == LinearEpilogue::BiasRelu;
    gradient.par_chunks_exact_mut(padded_out).enumerate().for_each(|(image, gradient)| {
        let (inside, padding) = gradient.split_at_mut(out);
        padding.fill(0.0);
        for (o, (g, dy)) in inside.iter_mut().zip(&dy[image * out..]).enumerate() {
            let alive = !relu || aux[image * bits + o / 8] >> (o % 8) & 1 == 1;
            *g = if alive { *dy } else { 0.0 };
        }
    });
}

/// `dx` of `[features][images]`, padded, to `[images][features]`.
fn transpose(transposed: &[f32], features: usize, dx: &mut [f32]) {
    let row = transposed.len() / features;
    // A tile is a line of the cache in both directions.
    const TILE: usize = 16;
    dx.par_chunks_mut(TILE * features).enumerate().for_each(|(block, dx)| {
        for first in (0..features).step_by(TILE) {
            let last = features.min(first + TILE);
            for (image, dx) in dx.chunks_exact_mut(features).enumerate() {
                let column = &transposed[block * TILE + image..];
                for i in first..last {
                    dx[i] = column[i * row];
                }
            }
        }
    });
}

/// Where the weight's gradient goes. Weights lie in panels, `[panel][features][width]`.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// To memory.
    Stored { w: &'a [f32], dw: Shared<'a> },
    /// To the optimiser, which takes it while it is in the first-level cache.
    Applied { settings: Sgd, lr: f32, w: Shared<'a>, v: Option<Shared<'a>> },
}

impl<'a> Target<'a> {
    /// Of a weight of `len` numbers.
    fn new(
        gradient: WeightGradient<&'a Buffer, &'a mut Buffer, &'a mut Buffer>,
        lr: f32,
        len: usize,
    ) -> Self {
        match gradient {
            WeightGradient::Stored { weight, dweight } => {
                Self::Stored { w: weight.f32(len), dw: Shared::new(dweight.f32_mut(len)) }
            }
            WeightGradient::Applied { spec, weight, velocity } => Self::Applied {
                settings: spec,
                lr,
                w: Shared::new(weight.f32_mut(len)),
                v: velocity.map(|velocity| Shared::new(velocity.f32_mut(len))),
            },
        }
    }

    /// The weight's first number, and how many there are.
    #[inline(always)]
    fn weight(self) -> (*const f32, usize) {
        match self {
            Self::Stored { w, .. } => (w.as_ptr(), w.len()),
            Self::Applied { w, .. } => (w.at(0), w.len()),
        }
    }
}

/// Features of a job: few enough that a block of their weights stays in the second-level cache from
/// `dx` to the update.
const FEATURES: usize = 4 * ROWS;
/// Features whose gradient is computed before the optimiser takes it: whole register tiles of every
/// instruction set.
const ROWS: usize = 48;

/// All gradients for some of the features: the weight passes by once.
struct FeatureRows<'a> {
    n: usize,
    /// All features.
    features: usize,
    /// Panels of the weight.
    panels: usize,
    /// Those to do.
    rows: Range<usize>,
    /// The inputs in groups of features: `[group][n][mr]`.
    packed: &'a [f32],
    /// The output gradients in panels of outputs: `[panel][n][width]`.
    by_panel: &'a [f32],
    /// If it is wanted.
    dx: Option<InputGradientRows<'a>>,
    target: Target<'a>,
}

/// Some rows of the transposed input gradient, `[rows][images, padded to panels]`.
struct InputGradientRows<'a> {
    /// Numbers of a row.
    columns: usize,
    /// The output gradients in panels of images: `[panel][out][width]`.
    by_image: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for FeatureRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let width = panel_width(S::LANES);
        let of_a_block = K_BLOCK / width;
        for first in (0..self.panels).step_by(of_a_block) {
            let panels = first..self.panels.min(first + of_a_block);
            // First, because it is computed from the weight as it was.
            self.input_gradient(s, panels.clone());
            for panel in panels {
                self.weight_gradient(s, panel, of_a_block);
            }
        }
    }
}

impl FeatureRows<'_> {
    /// Adds the products with some panels of the weight to `dx`.
    #[inline(always)]
    fn input_gradient<S: Simd>(&mut self, s: S, panels: Range<usize>) {
        let Some(InputGradientRows { columns, by_image, dx }) = &mut self.dx else { return };
        let (features, width) = (self.features, panel_width(S::LANES));
        let (weight, len) = self.target.weight();
        let out = self.panels * width;
        assert!(columns.is_multiple_of(width) && by_image.len() == *columns * out);
        assert!(dx.len() == self.rows.len() * *columns);
        assert!(len == out * features && self.rows.end <= features && panels.end <= self.panels);
        // SAFETY: the lengths were just asserted; this job alone has these features.
        unsafe {
            Gemm {
                rows: self.rows.len(),
                columns: *columns,
                k: width,
                segments: panels.len(),
                a: weight.add((panels.start * features + self.rows.start) * width),
                a_row: width,
                a_k: 1,
                a_segment: features * width,
                b: by_image.as_ptr().add(panels.start * width * width),
                b_k: width,
                b_panel: out * width,
                c: dx.as_mut_ptr(),
                c_row: *columns,
                c_panel: width,
                accumulate: panels.start > 0,
            }
            .compute(s);
        }
    }

    /// The weight's gradient in a panel, and what becomes of it. Meanwhile, the weight `distance`
    /// panels further on is fetched.
    #[inline(always)]
    fn weight_gradient<S: Simd>(&self, s: S, panel: usize, distance: usize) {
        let width = panel_width(S::LANES);
        for first in self.rows.clone().step_by(ROWS) {
            let last = self.rows.end.min(first + ROWS);
            let at = (panel * self.features + first) * width;
            let numbers = at..at + (last - first) * width;
            let (weight, len) = self.target.weight();
            let next = numbers.start + distance * self.features * width;
            let count = if next + numbers.len() <= len { numbers.len() } else { 0 };
            let ahead = Ahead::at(weight.wrapping_add(next), count);
            match self.target {
                Target::Stored { dw, .. } => {
                    // SAFETY: this job alone has these features.
                    let dw = unsafe { dw.slice(numbers) };
                    self.products(s, panel, first, dw, ahead);
                }
                Target::Applied { settings, lr, w, v } => {
                    let mut scratch = [0.0; ROWS * panel_width(MAX_LANES)];
                    let dw = &mut scratch[..numbers.len()];
                    self.products(s, panel, first, dw, ahead);
                    // SAFETY: this job alone has these features.
                    let (w, v) =
                        unsafe { (w.slice(numbers.clone()), v.map(|v| v.slice(numbers.clone()))) };
                    Update { settings: &settings, lr, w, dw, v }.run(s);
                }
            }
        }
    }

    /// Rows of a panel of the weight's gradient from feature `first` on, which begins a register
    /// tile: as many as `dw` has.
    #[inline(always)]
    fn products<S: Simd>(
        &self,
        s: S,
        panel: usize,
        first: usize,
        dw: &mut [f32],
        mut ahead: Ahead,
    ) {
        let Self { n, features, packed, by_panel, .. } = *self;
        let width = panel_width(S::LANES);
        let gradient = &by_panel[panel * n * width..][..n * width];
        assert_eq!(packed.len(), packed_len(features, n, S::MR));
        assert!(first.is_multiple_of(S::MR) && dw.len().is_multiple_of(width));
        assert!(first + dw.len() / width <= features);
        let quota = ahead.quota(ROWS / S::MR);
        for (tile, dw) in dw.chunks_mut(S::MR * width).enumerate() {
            ahead.fetch(s, quota);
            let group = first / S::MR + tile;
            // SAFETY: the lengths were just asserted.
            unsafe {
                Gemm {
                    rows: dw.len() / width,
                    columns: width,
                    k: n,
                    segments: 1,
                    a: packed.as_ptr().add(group * n * S::MR),
                    a_row: 1,
                    a_k: S::MR,
                    a_segment: 0,
                    b: gradient.as_ptr(),
                    b_k: width,
                    b_panel: 0,
                    c: dw.as_mut_ptr(),
                    c_row: width,
                    c_panel: 0,
                    accumulate: false,
                }
                .compute(s);
            }
        }
    }
}
