//! The backward pass.

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{Linear, LinearEpilogue};

use super::{K_BLOCK, Sizes};
use crate::Cpu;
use crate::buffer::Buffer;
use crate::gemm::{Gemm, pack_columns, pack_rows, packed_len, panel_width};
use crate::simd::{Kernel, Simd};

/// See [`vgg_tensor::Backend::linear_backward`].
pub(crate) fn backward(
    cpu: &Cpu,
    op: &Linear,
    x: &Buffer,
    weight: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dweight: &mut Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    op.weight().check_trainable()?;
    let Sizes { n, features, out, width, mr, panels } = Sizes::new(cpu, op);
    let x = x.f32(op.x().len());
    let weight = weight.f32(panels * features * width);
    let dy = dy.f32(op.y().len());
    let aux = aux.bytes(op.aux_bytes());
    let dweight = dweight.f32_mut(panels * features * width);
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
        by_panel.par_chunks_exact_mut(n * width).enumerate().for_each(|(panel, packed)| {
            pack_columns(gradient, padded_out, width, panel, packed);
        });
        packed.par_chunks_exact_mut(n * mr).enumerate().for_each(|(group, packed)| {
            pack_columns(x, features, mr, group, packed);
        });
        let panels = dweight.par_chunks_exact_mut(features * width);
        panels.zip(by_panel.par_chunks_exact(n * width)).for_each(|(dw, gradient)| {
            cpu.isa.run(WeightGradientPanel { n, features, packed, gradient, dw });
        });
        dbias.fill(0.0);
        for row in gradient.chunks_exact(padded_out) {
            dbias.iter_mut().zip(row).for_each(|(db, g)| *db += g);
        }
        let Some(dx) = dx else { return };
        by_image.par_chunks_exact_mut(padded_out * width).enumerate().for_each(
            |(panel, packed)| {
                pack_rows(gradient, padded_out, width, panel, packed);
            },
        );
        const ROWS: usize = 64;
        let row = batch_panels * width;
        dx_transposed.par_chunks_mut(ROWS * row).enumerate().for_each(|(block, dx)| {
            let first = block * ROWS;
            cpu.isa.run(InputGradientRows {
                batch_panels,
                features,
                out: padded_out,
                first,
                weight,
                by_image,
                dx,
            });
        });
        const IMAGES: usize = 16;
        dx.par_chunks_mut(IMAGES * features).enumerate().for_each(|(block, dx)| {
            for i in 0..features {
                let images = &dx_transposed[i * row + block * IMAGES..];
                for (dx, g) in dx.iter_mut().skip(i).step_by(features).zip(images) {
                    *dx = *g;
                }
            }
        });
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

/// One panel of the weight's gradient.
struct WeightGradientPanel<'a> {
    n: usize,
    features: usize,
    /// The inputs in groups of features: `[group][n][mr]`.
    packed: &'a [f32],
    /// The output gradients of the panel: `[n][width]`.
    gradient: &'a [f32],
    dw: &'a mut [f32],
}

impl Kernel for WeightGradientPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { n, features, packed, gradient, dw } = self;
        let width = panel_width(S::LANES);
        assert_eq!(packed.len(), packed_len(features, n, S::MR));
        assert_eq!(gradient.len(), n * width);
        assert_eq!(dw.len(), features * width);
        for (group, first) in (0..features).step_by(S::MR).enumerate() {
            // SAFETY: the lengths were just asserted.
            unsafe {
                Gemm {
                    rows: S::MR.min(features - first),
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
                    c: dw.as_mut_ptr().add(first * width),
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
    batch_panels: usize,
    features: usize,
    /// Outputs, padded to whole panels.
    out: usize,
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
        let Self { batch_panels, features, out, first, weight, by_image, dx } = self;
        let width = panel_width(S::LANES);
        let row = batch_panels * width;
        let rows = dx.len() / row;
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
