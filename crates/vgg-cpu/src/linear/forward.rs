//! The forward pass.

use half::f16;
use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{Linear, LinearEpilogue, WeightType};

use super::stream::{MAX_IMAGES, SIDE_BY_SIDE, StreamedPanels};
use super::weight::{Place, Row, elements};
use super::{K_BLOCK, MAX_BLOCK, Sizes};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer};
use crate::format::Format;
use crate::gemm::{Ahead, Gemm, pack_rows, packed_len, panel_width};
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// See [`vgg_tensor::Command::Linear`].
pub(crate) fn forward<F: Format>(
    cpu: &Cpu,
    op: &Linear,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    match op.weight_type() {
        WeightType::F32 => run::<F, f32>(cpu, op, x, weight, bias, y, aux),
        WeightType::F16 => run::<F, f16>(cpu, op, x, weight, bias, y, aux),
        WeightType::Factors => run::<F, Place>(cpu, op, x, weight, bias, y, aux),
    }
}

fn run<F: Format, T: Row<F>>(
    cpu: &Cpu,
    op: &Linear,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    let Sizes { n, features, out, width, mr, panels } = Sizes::new(cpu, op);
    let x = x.maps::<F>(op.x().len());
    let panel_len = T::count(features) * width;
    let weight: &[T] = elements(weight, panels * panel_len);
    let bias = bias.f32(out);
    let y = y.maps_mut::<F>(op.y().len());
    let aux = aux.map_or(&mut [][..], |aux| aux.bytes_mut(op.aux_bytes()));
    let streamed = n <= MAX_IMAGES;
    let workspace = &mut *cpu.workspace.lock().expect("no holder of this lock panics");
    forward_needs::<F>(cpu, op).reserve(cpu, workspace)?;
    let [packed, sums] = workspace.split(lens::<F>(cpu, op));
    cpu.threads.run(|| {
        if streamed {
            let x = match F::OF_A_PLACE {
                1 => bytemuck::cast_slice(x),
                _ => {
                    pack_rows::<F>(x, features, 1, 0, packed);
                    &*packed
                }
            };
            let sums = sums.par_chunks_mut(SIDE_BY_SIDE * n * width);
            let panels = weight.par_chunks(SIDE_BY_SIDE * panel_len);
            sums.zip(panels).for_each(|(sums, panels)| {
                let factors = F::default();
                F::run(cpu.isa, StreamedPanels { factors, features, x, panels, sums });
            });
        } else {
            packed.par_chunks_exact_mut(F::places(features) * mr).enumerate().for_each(
                |(group, packed)| {
                    pack_rows::<F>(x, features, mr, group, packed);
                },
            );
            let sums = sums.par_chunks_exact_mut(n * width);
            let panels = weight.par_chunks_exact(panel_len);
            sums.zip(panels).for_each(|(sums, panel)| {
                let factors = F::default();
                F::run(cpu.isa, Panel { factors, n, features, packed, panel, sums });
            });
        }
        let (relu, sums) = (op.epilogue() == LinearEpilogue::BiasRelu, &*sums);
        let finish = |image, y: &mut [F::Number], aux: &mut [u8]| {
            F::run(cpu.isa, Finish::<F> { n, image, sums, bias, relu, y, aux });
        };
        let images = y.par_chunks_exact_mut(out).enumerate();
        if aux.is_empty() {
            images.for_each(|(image, y)| finish(image, y, &mut []));
        } else {
            let images = images.zip(aux.par_chunks_exact_mut(out.div_ceil(8)));
            images.for_each(|((image, y), aux)| finish(image, y, aux));
        }
    });
    Ok(())
}

/// What [`forward`] takes besides its buffers.
pub(crate) fn forward_needs<F: Format>(cpu: &Cpu, op: &Linear) -> Needs {
    Needs { workspace: AlignedVec::len_of(lens::<F>(cpu, op)), ..Needs::default() }
}

/// Numbers of the workspace: for the packed inputs, if they are packed, and the sums.
fn lens<F: Format>(cpu: &Cpu, op: &Linear) -> [usize; 2] {
    let Sizes { n, features, width, mr, panels, .. } = Sizes::new(cpu, op);
    let packed_len = match n <= MAX_IMAGES {
        true if F::OF_A_PLACE == 1 => 0,
        true => n * F::places(features),
        false => packed_len(n, F::places(features), mr),
    };
    [packed_len, panels * n * width]
}

/// The sums of one panel of outputs: `[n][width]`.
struct Panel<'a, F, T> {
    /// What the products are of.
    factors: F,
    n: usize,
    features: usize,
    /// The inputs in groups of rows: `[group][places of features][mr]`.
    packed: &'a [f32],
    panel: &'a [T],
    sums: &'a mut [f32],
}

impl<F: Format, T: Row<F>> Kernel for Panel<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { factors, n, features, packed, panel, sums } = self;
        let width = panel_width(S::LANES);
        let places = F::places(features);
        assert_eq!(packed.len(), packed_len(n, places, S::MR));
        assert_eq!(panel.len(), T::count(features) * width);
        assert_eq!(sums.len(), n * width);
        let mut scratch = [0.0; MAX_BLOCK];
        let groups = n.div_ceil(S::MR);
        let mut blocks = panel.chunks(T::count(K_BLOCK) * width).enumerate().peekable();
        while let Some((block, panel)) = blocks.next() {
            let panel = T::in_places(s, panel, &mut scratch);
            let next = Ahead::new(blocks.peek().map_or(&[][..], |(_, next)| next));
            let k = block * F::places(K_BLOCK);
            for (group, first) in (0..n).step_by(S::MR).enumerate() {
                // SAFETY: the lengths were just asserted.
                unsafe {
                    Gemm {
                        factors,
                        rows: S::MR.min(n - first),
                        columns: width,
                        k: panel.len() / width,
                        segments: 1,
                        a: packed.as_ptr().add((group * places + k) * S::MR),
                        a_row: 1,
                        a_k: S::MR,
                        a_segment: 0,
                        b: panel.as_ptr(),
                        b_k: width,
                        b_panel: 0,
                        c: sums.as_mut_ptr().add(first * width),
                        c_row: width,
                        c_panel: 0,
                        accumulate: k > 0,
                    }
                    .compute_and_fetch(s, [next.share(group, groups)]);
                }
            }
        }
    }
}

/// One image's outputs from its sums: bias, ReLU and, where there is room for it, `aux`.
struct Finish<'a, F: Format> {
    n: usize,
    image: usize,
    /// Of all images: `[panel][n][width]`.
    sums: &'a [f32],
    bias: &'a [f32],
    relu: bool,
    y: &'a mut [F::Number],
    /// A bit an output, lowest first, or nothing.
    aux: &'a mut [u8],
}

impl<F: Format> Kernel for Finish<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { n, image, sums, bias, relu, y, aux } = self;
        let width = panel_width(S::LANES);
        let out = y.len();
        assert_eq!(sums.len(), out.div_ceil(width) * n * width);
        assert!(bias.len() == out && image < n);
        let zero = s.splat(0.0);
        for first in (0..out).step_by(S::LANES) {
            let count = S::LANES.min(out - first);
            let place = (first / width * n + image) * width + first % width;
            // SAFETY: `count` outputs are left, and `sums` has a whole panel for them.
            unsafe {
                let sum = s.load(sums.as_ptr().add(place));
                let sum = s.add(sum, s.load_first(bias.as_ptr().add(first), count));
                let value = if relu { s.max(sum, zero) } else { sum };
                F::store_first(s, y.as_mut_ptr().add(first), count, value);
                if !aux.is_empty() {
                    let bits = s.gt(sum, zero) & (u32::MAX >> (32 - count));
                    let aux = &mut aux[first / 8..][..count.div_ceil(8)];
                    aux.copy_from_slice(&bits.to_le_bytes()[..aux.len()]);
                }
            }
        }
    }
}
