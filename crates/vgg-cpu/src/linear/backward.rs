//! The backward pass of a layer that is trained.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::spec::Linear;
use vgg_tensor::{Optimizer, Result, Scalars, WeightGradient};

use super::input_backward::{InputRows, Numbers, pack_images, transpose, undo_relu};
use super::{K_BLOCK, ROWS, Sizes, features_of_a_job};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer};
use crate::format::Format;
use crate::gemm::{Ahead, Gemm, pack_columns, packed_len, panel_width};
use crate::needs::Needs;
use crate::optimizer::{Rates, Update};
use crate::shared::Shared;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// See [`vgg_tensor::Command::LinearBackward`].
pub(crate) fn backward<F: Format>(
    cpu: &Cpu,
    op: &Linear,
    x: &Buffer,
    weight: WeightGradient<&Buffer, &mut Buffer, &mut Buffer>,
    scalars: Scalars,
    dy: &Buffer,
    aux: &Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    let Sizes { n, features, out, width, mr, panels } = Sizes::new(cpu, op);
    let x = x.maps::<F>(op.x().len());
    let dy = dy.maps::<F>(op.y().len());
    let aux = aux.bytes(op.aux_bytes());
    let dbias = dbias.f32_mut(out);
    let dx = dx.map(|dx| dx.maps_mut::<F>(op.x().len()));
    let padded_out = panels * width;
    let batch_panels = n.div_ceil(width);
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    backward_needs::<F>(cpu, op).reserve(cpu, workspace)?;
    let [gradient, by_panel, by_image, packed, dx_transposed] = workspace.split(lens::<F>(cpu, op));
    cpu.threads.run(|| {
        let gradient = &mut bytemuck::cast_slice_mut(gradient)[..n * padded_out];
        undo_relu::<F>(op, dy, aux, padded_out, gradient);
        let gradient = &gradient[..n * padded_out];
        dbias.fill(0.0);
        for row in gradient.chunks_exact(padded_out) {
            dbias.iter_mut().zip(row).for_each(|(db, g)| *db += F::widen(*g));
        }
        if dx.is_some() {
            pack_images::<F>(gradient, padded_out, width, by_image);
        }
        by_panel.par_chunks_exact_mut(F::places(n) * width).enumerate().for_each(
            |(panel, packed)| {
                pack_columns::<F>(gradient, padded_out, width, panel, packed);
            },
        );
        packed.par_chunks_exact_mut(F::places(n) * mr).enumerate().for_each(|(group, packed)| {
            pack_columns::<F>(x, features, mr, group, packed);
        });
        let wanted = dx.is_some();
        let target = Target::new(weight, scalars, padded_out * features);
        let transposed = Shared::new(dx_transposed);
        let (by_panel, by_image, packed) = (&*by_panel, &*by_image, &*packed);
        let of_a_job = features_of_a_job(features, cpu.threads.count());
        (0..features.div_ceil(of_a_job)).into_par_iter().for_each(|job| {
            let rows = job * of_a_job..features.min((job + 1) * of_a_job);
            let columns = batch_panels * width;
            // SAFETY: this job alone has these features.
            let dx = unsafe { transposed.slice(rows.start * columns..rows.end * columns) };
            let of_rows = rows.clone();
            let factors = F::default();
            let dx = InputRows { factors, features, panels, rows: of_rows, columns, by_image, dx };
            let dx = wanted.then_some(dx);
            let rows =
                FeatureRows { factors, n, features, panels, rows, packed, by_panel, dx, target };
            F::run(cpu.isa, rows);
        });
        if let Some(dx) = dx {
            transpose::<F>(&*dx_transposed, features, dx);
        }
    });
    Ok(())
}

/// What [`backward`] takes besides its buffers.
pub(crate) fn backward_needs<F: Format>(cpu: &Cpu, op: &Linear) -> Needs {
    Needs { workspace: AlignedVec::len_of(lens::<F>(cpu, op)), ..Needs::default() }
}

/// Numbers of the workspace: for the output's gradient as it lies, in panels of outputs and in
/// panels of images, the packed inputs, and the input's gradient, transposed.
fn lens<F: Format>(cpu: &Cpu, op: &Linear) -> [usize; 5] {
    let Sizes { n, features, width, mr, panels, .. } = Sizes::new(cpu, op);
    let (padded_out, batch_panels) = (panels * width, n.div_ceil(width));
    [
        F::places(n * padded_out),
        F::places(n) * padded_out,
        batch_panels * F::places(padded_out) * width,
        packed_len(features, F::places(n), mr),
        features * batch_panels * width,
    ]
}

/// Where the weight's gradient goes. Weights lie in panels, `[panel][features][width]`.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// To memory.
    Stored { w: &'a [f32], dw: Shared<'a> },
    /// To the optimiser, which takes it while it is in the first-level cache.
    Applied { optimizer: Optimizer<Shared<'a>>, rates: Rates, w: Shared<'a> },
}

impl<'a> Target<'a> {
    /// Of a weight of `len` numbers.
    fn new(
        gradient: WeightGradient<&'a Buffer, &'a mut Buffer, &'a mut Buffer>,
        scalars: Scalars,
        len: usize,
    ) -> Self {
        match gradient {
            WeightGradient::Stored { weight, dweight } => {
                Self::Stored { w: weight.f32(len), dw: Shared::new(dweight.f32_mut(len)) }
            }
            WeightGradient::Applied { optimizer, weight } => Self::Applied {
                rates: Rates::new(&optimizer, scalars),
                optimizer: optimizer.map(|kept| Shared::new(kept.f32_mut(len))),
                w: Shared::new(weight.f32_mut(len)),
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

/// All gradients for some of the features: the weight passes by once.
struct FeatureRows<'a, F> {
    /// What the products are of.
    factors: F,
    n: usize,
    /// All features.
    features: usize,
    /// Panels of the weight.
    panels: usize,
    /// Those to do.
    rows: Range<usize>,
    /// The inputs in groups of features: `[group][places of n][mr]`.
    packed: &'a [f32],
    /// The output gradients in panels of outputs: `[panel][places of n][width]`.
    by_panel: &'a [f32],
    /// If it is wanted.
    dx: Option<InputRows<'a, F>>,
    target: Target<'a>,
}

impl<F: Format> Kernel for FeatureRows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let width = panel_width(S::LANES);
        let of_a_block = K_BLOCK / width;
        for first in (0..self.panels).step_by(of_a_block) {
            let panels = first..self.panels.min(first + of_a_block);
            // First, because it is computed from the weight as it was.
            if let Some(dx) = &mut self.dx {
                let (weight, len) = self.target.weight();
                let weight = Numbers { weight, len, features: self.features };
                // SAFETY: these are the weight's numbers, and this job alone has these features.
                unsafe { dx.add(s, weight, panels.clone()) };
            }
            for panel in panels {
                self.weight_gradient(s, panel, of_a_block);
            }
        }
    }
}

impl<'a, F: Format> FeatureRows<'a, F> {
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
                Target::Applied { optimizer, rates, w } => {
                    let mut scratch = [0.0; ROWS * panel_width(MAX_LANES)];
                    let dw = &mut scratch[..numbers.len()];
                    self.products(s, panel, first, dw, ahead);
                    // SAFETY: this job alone has these features.
                    let (w, optimizer) = unsafe {
                        let part = |of: Shared<'a>| of.slice(numbers.clone());
                        (part(w), optimizer.map(part))
                    };
                    Update { optimizer, rates, w, dw }.run(s);
                }
            }
        }
    }

    /// Rows of a panel of the weight's gradient from feature `first` on, which begins a register
    /// tile: as many as `dw` has.
    #[inline(always)]
    fn products<S: Simd>(&self, s: S, panel: usize, first: usize, dw: &mut [f32], ahead: Ahead) {
        let Self { factors, features, packed, by_panel, .. } = *self;
        let (width, n) = (panel_width(S::LANES), F::places(self.n));
        let gradient = &by_panel[panel * n * width..][..n * width];
        assert_eq!(packed.len(), packed_len(features, n, S::MR));
        assert!(first.is_multiple_of(S::MR) && dw.len().is_multiple_of(width));
        assert!(first + dw.len() / width <= features);
        let tiles = (dw.len() / width).div_ceil(S::MR);
        for (tile, dw) in dw.chunks_mut(S::MR * width).enumerate() {
            let group = first / S::MR + tile;
            // SAFETY: the lengths were just asserted.
            unsafe {
                Gemm {
                    factors,
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
                .compute_and_fetch(s, [ahead.share(tile, tiles)]);
            }
        }
    }
}
