//! The backward pass.

use rayon::prelude::*;
use vgg_tensor::spec::{Linear, LinearEpilogue, Sgd};
use vgg_tensor::{Result, WeightGradient};

use super::{K_BLOCK, Sizes};
use crate::Cpu;
use crate::buffer::Buffer;
use crate::gemm::{Gemm, pack_columns, pack_rows, packed_len, panel_width};
use crate::sgd::Update;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// See [`vgg_tensor::Backend::linear_backward`].
pub(crate) fn backward(
    cpu: &Cpu,
    op: &Linear,
    x: &Buffer,
    weight: WeightGradient<'_, Buffer>,
    dy: &Buffer,
    aux: &Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    op.weight().check_trainable()?;
    let Sizes { n, features, out, width, mr, panels } = Sizes::new(cpu, op);
    let x = x.f32(op.x().len());
    let dy = dy.f32(op.y().len());
    let aux = aux.bytes(op.aux_bytes());
    let dbias = dbias.f32_mut(out);
    let dx = dx.map(|dx| dx.f32_mut(op.x().len()));
    let padded_out = panels * width;
    let batch_panels = n.div_ceil(width);
    let mut workspace = cpu.workspace.lock().expect("no holder of this lock panics");
    let [gradient, by_panel, by_image, packed, dx_transposed] = workspace.split([
        n * padded_out,
        n * padded_out,
        batch_panels * padded_out * width,
        packed_len(features, n, mr),
        features * batch_panels * width,
    ])?;
    cpu.threads.run(|| {
        undo_relu(op, dy, aux, padded_out, gradient);
        let gradient = &*gradient;
        dbias.fill(0.0);
        for row in gradient.chunks_exact(padded_out) {
            dbias.iter_mut().zip(row).for_each(|(db, g)| *db += g);
        }
        // First, because it is computed from the weight as it was.
        if let Some(dx) = dx {
            let weight = weight.weight().f32(padded_out * features);
            let pack = |(panel, packed): (usize, &mut [f32])| {
                pack_rows(gradient, padded_out, width, panel, packed);
            };
            by_image.par_chunks_exact_mut(padded_out * width).enumerate().for_each(pack);
            input_gradient(cpu, features, weight, by_image, dx_transposed, dx);
        }
        by_panel.par_chunks_exact_mut(n * width).enumerate().for_each(|(panel, packed)| {
            pack_columns(gradient, padded_out, width, panel, packed);
        });
        packed.par_chunks_exact_mut(n * mr).enumerate().for_each(|(group, packed)| {
            pack_columns(x, features, mr, group, packed);
        });
        let len = padded_out * features;
        let by_panel = by_panel.par_chunks_exact(n * width);
        let panel = |gradient, target| {
            let product = WeightGradientProduct { n, features, packed, gradient };
            cpu.isa.run(WeightGradientPanel { product, target });
        };
        match weight {
            WeightGradient::Stored { dweight, .. } => {
                let panels = dweight.f32_mut(len).par_chunks_exact_mut(features * width);
                panels.zip(by_panel).for_each(|(dw, gradient)| panel(gradient, Target::Stored(dw)));
            }
            WeightGradient::Applied { settings, weight, velocity: None } => {
                let panels = weight.f32_mut(len).par_chunks_exact_mut(features * width);
                panels.zip(by_panel).for_each(|(w, gradient)| {
                    panel(gradient, Target::Applied { settings, w, v: None });
                });
            }
            WeightGradient::Applied { settings, weight, velocity: Some(velocity) } => {
                let panels = weight.f32_mut(len).par_chunks_exact_mut(features * width);
                let velocity = velocity.f32_mut(len).par_chunks_exact_mut(features * width);
                panels.zip(velocity).zip(by_panel).for_each(|((w, v), gradient)| {
                    panel(gradient, Target::Applied { settings, w, v: Some(v) });
                });
            }
        }
    });
    Ok(())
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

/// The weight times the output gradients, transposed twice: `dx_transposed` is scratch.
fn input_gradient(
    cpu: &Cpu,
    features: usize,
    weight: &[f32],
    by_image: &[f32],
    dx_transposed: &mut [f32],
    dx: &mut [f32],
) {
    const FEATURES: usize = 256;
    let row = dx_transposed.len() / features;
    dx_transposed.par_chunks_mut(FEATURES * row).enumerate().for_each(|(block, dx)| {
        let first = block * FEATURES;
        cpu.isa.run(InputGradientRows { features, row, first, weight, by_image, dx });
    });
    // A tile is a line of the cache in both directions.
    const TILE: usize = 16;
    dx.par_chunks_mut(TILE * features).enumerate().for_each(|(block, dx)| {
        for first in (0..features).step_by(TILE) {
            let last = features.min(first + TILE);
            for (image, dx) in dx.chunks_exact_mut(features).enumerate() {
                let column = &dx_transposed[block * TILE + image..];
                for i in first..last {
                    dx[i] = column[i * row];
                }
            }
        }
    });
}

/// One panel of the weight's gradient, and what becomes of it.
struct WeightGradientPanel<'a> {
    product: WeightGradientProduct<'a>,
    target: Target<'a>,
}

/// Where a panel of the weight's gradient goes.
enum Target<'a> {
    /// To memory.
    Stored(&'a mut [f32]),
    /// To the optimiser, which takes it while it is in the first-level cache.
    Applied { settings: &'a Sgd, w: &'a mut [f32], v: Option<&'a mut [f32]> },
}

/// Rows of a panel that are computed before the optimiser takes them: whole register tiles of
/// every instruction set.
const ROWS: usize = 48;

impl Kernel for WeightGradientPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, target } = self;
        match target {
            Target::Stored(dw) => product.rows(s, 0, dw),
            Target::Applied { settings, w, mut v } => {
                let rows = ROWS * panel_width(S::LANES);
                let mut scratch = [0.0; ROWS * panel_width(MAX_LANES)];
                for (block, w) in w.chunks_mut(rows).enumerate() {
                    let dw = &mut scratch[..w.len()];
                    product.rows(s, block * ROWS, dw);
                    let v = v.as_deref_mut().map(|v| &mut v[block * rows..][..dw.len()]);
                    Update { settings, w, dw, v }.run(s);
                }
            }
        }
    }
}

/// One panel of the weight's gradient: `[features][width]`.
struct WeightGradientProduct<'a> {
    n: usize,
    features: usize,
    /// The inputs in groups of features: `[group][n][mr]`.
    packed: &'a [f32],
    /// The output gradients of the panel: `[n][width]`.
    gradient: &'a [f32],
}

impl WeightGradientProduct<'_> {
    /// The rows from `first`, a multiple of the register tile's, on: as many as `dw` has.
    #[inline(always)]
    fn rows<S: Simd>(&self, s: S, first: usize, dw: &mut [f32]) {
        let Self { n, features, packed, gradient } = *self;
        let width = panel_width(S::LANES);
        assert_eq!(packed.len(), packed_len(features, n, S::MR));
        assert_eq!(gradient.len(), n * width);
        assert!(first.is_multiple_of(S::MR) && dw.len().is_multiple_of(width));
        assert!(first + dw.len() / width <= features);
        for (tile, dw) in dw.chunks_mut(S::MR * width).enumerate() {
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

/// Some rows of the transposed input gradient, `[features][batch padded to panels]`.
struct InputGradientRows<'a> {
    features: usize,
    /// Numbers of a row: the batch in panels.
    row: usize,
    /// The first of the features.
    first: usize,
    weight: &'a [f32],
    /// The output gradients in panels of images: `[panel][out][width]`.
    by_image: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for InputGradientRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { features, row, first, weight, by_image, dx } = self;
        let width = panel_width(S::LANES);
        let (rows, out) = (dx.len() / row, weight.len() / features);
        assert!(row.is_multiple_of(width) && out.is_multiple_of(width));
        assert_eq!(by_image.len(), row * out);
        assert_eq!(weight.len(), out * features);
        assert!(first + rows <= features);
        for k in (0..out).step_by(K_BLOCK) {
            // SAFETY: the lengths were just asserted; `out` and `K_BLOCK` are whole panels.
            unsafe {
                Gemm {
                    rows,
                    columns: row,
                    k: width,
                    segments: K_BLOCK.min(out - k) / width,
                    a: weight.as_ptr().add(k * features + first * width),
                    a_row: width,
                    a_k: 1,
                    a_segment: features * width,
                    b: by_image.as_ptr().add(k * width),
                    b_k: width,
                    b_panel: out * width,
                    c: dx.as_mut_ptr(),
                    c_row: row,
                    c_panel: width,
                    accumulate: k > 0,
                }
                .compute(s);
            }
        }
    }
}
