//! The numbers of a weight, and their way into panels and back.

use bytemuck::{Pod, TransparentWrapper, Zeroable, cast_slice, cast_slice_mut};
use half::f16;
use rayon::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::WeightType;

use super::MAX_BLOCK;
use crate::buffer::Buffer;
use crate::format::Format;
use crate::gemm::{packed_len, panel_width};
use crate::precision::in_format;
use crate::simd::Simd;
use crate::{Cpu, Isa, Precision};

/// What a panel's rows are stored as.
pub(super) trait Row<F: Format>: Pod + Send + Sync {
    /// Rows of a panel with so many inputs.
    fn count(features: usize) -> usize;

    /// The vector of places of input `k`, which begins one, at the beginning of a panel, or further on in
    /// each of its rows.
    ///
    /// # Safety
    /// `LANES` elements can be read there in each of the rows of all `features`, which are `width` apart.
    unsafe fn place<S: Simd>(
        s: S,
        panel: *const Self,
        width: usize,
        features: usize,
        k: usize,
    ) -> S::V;

    /// Some rows of a panel in places along k, in `scratch` if they are not that already.
    fn in_places<'a, S: Simd>(
        s: S,
        rows: &'a [Self],
        scratch: &'a mut [f32; MAX_BLOCK],
    ) -> &'a [f32];
}

/// A number of a row of its own, for each input, of whatever format products are.
trait Wide: Pod + Send + Sync {
    /// The vector at `p`, widened in a register.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;

    /// The same as `f32`, if they are.
    fn as_f32(numbers: &[Self]) -> Option<&[f32]>;
}

impl Wide for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller vouches for `LANES` numbers.
        unsafe { s.load(p) }
    }

    #[inline(always)]
    fn as_f32(numbers: &[f32]) -> Option<&[f32]> {
        Some(numbers)
    }
}

impl Wide for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f16) -> S::V {
        // SAFETY: the caller vouches for `LANES` numbers.
        unsafe { s.load_f16(p) }
    }

    #[inline(always)]
    fn as_f32(_: &[f16]) -> Option<&[f32]> {
        None
    }
}

impl<F: Format, T: Wide> Row<F> for T {
    fn count(features: usize) -> usize {
        features
    }

    #[inline(always)]
    unsafe fn place<S: Simd>(
        s: S,
        panel: *const T,
        width: usize,
        features: usize,
        k: usize,
    ) -> S::V {
        // SAFETY: the caller vouches for `LANES` numbers in each row.
        let row = |k: usize| unsafe { T::load(s, panel.add(k * width)) };
        let has_next = F::OF_A_PLACE > 1 && k + 1 < features;
        let next = if has_next { row(k + 1) } else { s.splat(0.0) };
        F::places_of(s, row(k), next)
    }

    #[inline(always)]
    fn in_places<'a, S: Simd>(s: S, rows: &'a [T], scratch: &'a mut [f32; MAX_BLOCK]) -> &'a [f32] {
        if let Some(rows) = T::as_f32(rows).filter(|_| F::OF_A_PLACE == 1) {
            return rows;
        }
        let width = panel_width(S::LANES);
        let places = &mut scratch[..F::places(rows.len() / width) * width];
        for (out, rows) in places.chunks_exact_mut(width).zip(rows.chunks(F::OF_A_PLACE * width)) {
            for v in (0..width).step_by(S::LANES) {
                // SAFETY: each row has a panel's width.
                unsafe {
                    let features = rows.len() / width;
                    let place = <T as Row<F>>::place(s, rows.as_ptr().add(v), width, features, 0);
                    s.store(out.as_mut_ptr().add(v), place);
                }
            }
        }
        places
    }
}

/// A place of factors, as products take them.
#[derive(Clone, Copy, Pod, TransparentWrapper, Zeroable)]
#[repr(transparent)]
pub(super) struct Place(f32);

impl<F: Format> Row<F> for Place {
    fn count(features: usize) -> usize {
        F::places(features)
    }

    #[inline(always)]
    unsafe fn place<S: Simd>(s: S, panel: *const Place, width: usize, _: usize, k: usize) -> S::V {
        // SAFETY: the caller vouches for `LANES` places in each row.
        unsafe { s.load(panel.add(k / F::OF_A_PLACE * width).cast()) }
    }

    #[inline(always)]
    fn in_places<'a, S: Simd>(_: S, rows: &'a [Place], _: &'a mut [f32; MAX_BLOCK]) -> &'a [f32] {
        Place::peel_slice(rows)
    }
}

/// Numbers of a weight with `features` inputs, panels padded.
fn padded_len(isa: Isa, out_features: usize, features: usize) -> usize {
    packed_len(out_features, features, panel_width(isa.lanes()))
}

/// The `f32`s whose room a weight with `features` inputs takes, panels padded.
pub(crate) fn buffer_len(
    isa: Isa,
    precision: Precision,
    out_features: usize,
    features: usize,
    weight_type: WeightType,
) -> usize {
    match weight_type {
        WeightType::F32 => padded_len(isa, out_features, features),
        WeightType::F16 => padded_len(isa, out_features, features).div_ceil(2),
        WeightType::Factors => {
            let places = in_format!(precision, F => F::places(features));
            padded_len(isa, out_features, places)
        }
    }
}

/// The first `len` elements of a weight's panels.
pub(super) fn elements<T: Pod>(buffer: &Buffer, len: usize) -> &[T] {
    cast_slice(buffer.bytes(size_of::<T>() * len))
}

/// Where a panel has the numbers of the weights of maps, `[⌈inputs / of_a_place⌉][width][of_a_place]`.
#[derive(Clone, Copy)]
struct Panels {
    map: Shape,
    width: usize,
    of_a_place: usize,
}

impl Panels {
    /// Inputs that there is room for.
    fn padded(self) -> usize {
        self.map.features().next_multiple_of(self.of_a_place)
    }

    /// Numbers of a panel.
    fn len(self) -> usize {
        self.padded() * self.width
    }

    /// Where the number of input `k` of output `lane` is.
    fn at(self, k: usize, lane: usize) -> usize {
        (k / self.of_a_place * self.width + lane) * self.of_a_place + k % self.of_a_place
    }

    /// The same of input `i` in (C, H, W) order.
    fn place(self, i: usize, lane: usize) -> usize {
        self.at(channels_last(self.map, i), lane)
    }
}

/// From PyTorch's `[rows, c · h · w]` to panels: the rows from `first` on of a weight that has
/// `out_features` of them.
pub(crate) fn upload_weight(
    cpu: &Cpu,
    map: Shape,
    out_features: usize,
    weight_type: WeightType,
    first: usize,
    src: &[f32],
    dst: &mut Buffer,
) {
    let width = panel_width(cpu.isa.lanes());
    let panels = Panels { map, width, of_a_place: 1 };
    let to = Rows { out_features, first, src };
    cpu.threads.run(|| match weight_type {
        WeightType::F32 => to.upload(panels, dst, |x| x),
        WeightType::F16 => to.upload(panels, dst, f16::from_f32),
        WeightType::Factors => in_format!(cpu.precision, F => {
            to.upload(Panels { of_a_place: F::OF_A_PLACE, ..panels }, dst, F::round);
        }),
    });
}

/// Rows of a weight that has `out_features` of them, from `first` on.
struct Rows<'a> {
    out_features: usize,
    first: usize,
    src: &'a [f32],
}

impl Rows<'_> {
    /// Into panels, each number as `narrow` has it.
    fn upload<T: Pod + Send>(
        &self,
        panels: Panels,
        dst: &mut Buffer,
        narrow: impl Fn(f32) -> T + Sync,
    ) {
        let Self { out_features, first, src } = *self;
        let (features, width) = (panels.map.features(), panels.width);
        let len = panels.len() * out_features.div_ceil(width);
        let dst: &mut [T] = cast_slice_mut(dst.bytes_mut(size_of::<T>() * len));
        let rows = first..first + src.len() / features;
        let dst = dst.par_chunks_exact_mut(panels.len()).enumerate();
        let dst = dst.skip(first / width).take(rows.end.div_ceil(width) - first / width);
        dst.for_each(|(panel, dst)| {
            for (lane, row) in (panel * width..).take(width).enumerate() {
                // What is no weight: whatever the memory was used for before.
                let mut rest = features..panels.padded();
                if rows.contains(&row) {
                    let src = src[features * (row - first)..][..features].iter().enumerate();
                    src.for_each(|(i, x)| dst[panels.place(i, lane)] = narrow(*x));
                } else if row >= out_features {
                    rest.start = 0;
                }
                rest.for_each(|k| dst[panels.at(k, lane)] = narrow(0.0));
            }
        });
    }
}

/// From panels to PyTorch's `[out, c · h · w]`.
pub(crate) fn download_weight(
    cpu: &Cpu,
    map: Shape,
    weight_type: WeightType,
    src: &Buffer,
    dst: &mut [f32],
) {
    let panels = Panels { map, width: panel_width(cpu.isa.lanes()), of_a_place: 1 };
    cpu.threads.run(|| match weight_type {
        WeightType::F32 => download(panels, src, dst, |x: f32| x),
        WeightType::F16 => download(panels, src, dst, f16::to_f32),
        WeightType::Factors => in_format!(cpu.precision, F => {
            download(Panels { of_a_place: F::OF_A_PLACE, ..panels }, src, dst, F::widen);
        }),
    });
}

fn download<T: Pod + Sync>(
    panels: Panels,
    src: &Buffer,
    dst: &mut [f32],
    widen: impl Fn(T) -> f32 + Sync,
) {
    let (features, width) = (panels.map.features(), panels.width);
    let src: &[T] = elements(src, panels.len() * (dst.len() / features).div_ceil(width));
    dst.par_chunks_exact_mut(features).enumerate().for_each(|(o, dst)| {
        let panel = &src[o / width * panels.len()..][..panels.len()];
        for (i, x) in dst.iter_mut().enumerate() {
            *x = widen(panel[panels.place(i, o % width)]);
        }
    });
}

/// The place in (H, W, C) order of number `i` in (C, H, W) order.
fn channels_last(Shape { c, h, w, .. }: Shape, i: usize) -> usize {
    i % (h * w) * c + i / (h * w)
}
