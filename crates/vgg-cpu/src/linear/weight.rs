//! The numbers of a weight, and their way into panels and back.

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use half::f16;
use rayon::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::WeightType;

use super::MAX_BLOCK;
use crate::buffer::Buffer;
use crate::format::Format;
use crate::gemm::{packed_len, panel_width};
use crate::simd::Simd;
use crate::{Cpu, Isa};

/// How a number of a weight is stored. A panel of either type has the same places.
pub(super) trait Number: Pod + Send + Sync {
    /// From an `f32`, to the nearest, ties to even.
    fn narrow(x: f32) -> Self;
    /// To an `f32`, exactly.
    fn widen(self) -> f32;

    /// The vector at `p`, widened in a register.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;

    /// The same as `f32`, if they are.
    fn as_f32(numbers: &[Self]) -> Option<&[f32]>;
}

/// Some rows of a panel in places along k, in `scratch` if they are not that already.
#[inline(always)]
pub(super) fn in_places<'a, F: Format, T: Number, S: Simd>(
    s: S,
    rows: &'a [T],
    scratch: &'a mut [f32; MAX_BLOCK],
) -> &'a [f32] {
    if let Some(rows) = T::as_f32(rows).filter(|_| F::OF_A_PLACE == 1) {
        return rows;
    }
    let width = panel_width(S::LANES);
    let places = &mut scratch[..F::places(rows.len() / width) * width];
    for (out, rows) in places.chunks_exact_mut(width).zip(rows.chunks(F::OF_A_PLACE * width)) {
        for v in (0..width).step_by(S::LANES) {
            // SAFETY: each row has a panel's width.
            unsafe {
                let load = |row: &[T]| T::load(s, row.as_ptr().add(v));
                let next = rows.get(width..2 * width).map_or(s.splat(0.0), load);
                s.store(out.as_mut_ptr().add(v), F::places_of(s, load(&rows[..width]), next));
            }
        }
    }
    places
}

impl Number for f32 {
    fn narrow(x: f32) -> f32 {
        x
    }

    fn widen(self) -> f32 {
        self
    }

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

impl Number for f16 {
    fn narrow(x: f32) -> f16 {
        f16::from_f32(x)
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }

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

/// Numbers of a weight with `features` inputs, panels padded.
fn padded_len(isa: Isa, out_features: usize, features: usize) -> usize {
    packed_len(out_features, features, panel_width(isa.lanes()))
}

/// The `f32`s whose room a weight with `features` inputs takes, panels padded.
pub(crate) fn buffer_len(
    isa: Isa,
    out_features: usize,
    features: usize,
    weight_type: WeightType,
) -> usize {
    let bytes = weight_type.bytes() * padded_len(isa, out_features, features);
    bytes.div_ceil(size_of::<f32>())
}

/// The first `len` numbers of a weight.
pub(super) fn numbers<T: Number>(buffer: &Buffer, len: usize) -> &[T] {
    cast_slice(buffer.bytes(size_of::<T>() * len))
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
    match weight_type {
        WeightType::F32 => upload::<f32>(cpu, map, out_features, first, src, dst),
        WeightType::F16 => upload::<f16>(cpu, map, out_features, first, src, dst),
    }
}

fn upload<T: Number>(
    cpu: &Cpu,
    map: Shape,
    out_features: usize,
    first: usize,
    src: &[f32],
    dst: &mut Buffer,
) {
    let width = panel_width(cpu.isa.lanes());
    let features = map.features();
    let len = padded_len(cpu.isa, out_features, features);
    let dst: &mut [T] = cast_slice_mut(dst.bytes_mut(size_of::<T>() * len));
    let rows = first..first + src.len() / features;
    cpu.threads.run(|| {
        let panels = dst.par_chunks_exact_mut(features * width).enumerate();
        let panels = panels.skip(first / width).take(rows.end.div_ceil(width) - first / width);
        panels.for_each(|(panel, dst)| {
            for (lane, row) in (panel * width..).take(width).enumerate() {
                let place = |i| channels_last(map, i) * width + lane;
                if rows.contains(&row) {
                    let src = &src[features * (row - first)..][..features];
                    src.iter().enumerate().for_each(|(i, x)| dst[place(i)] = T::narrow(*x));
                } else if row >= out_features {
                    // Whatever the memory was used for before.
                    (0..features).for_each(|i| dst[place(i)] = T::narrow(0.0));
                }
            }
        });
    });
}

/// From panels to PyTorch's `[out, c · h · w]`.
pub(crate) fn download_weight(
    cpu: &Cpu,
    map: Shape,
    weight_type: WeightType,
    src: &Buffer,
    dst: &mut [f32],
) {
    match weight_type {
        WeightType::F32 => download::<f32>(cpu, map, src, dst),
        WeightType::F16 => download::<f16>(cpu, map, src, dst),
    }
}

fn download<T: Number>(cpu: &Cpu, map: Shape, src: &Buffer, dst: &mut [f32]) {
    let width = panel_width(cpu.isa.lanes());
    let features = map.features();
    let src: &[T] = numbers(src, padded_len(cpu.isa, dst.len() / features, features));
    cpu.threads.run(|| {
        dst.par_chunks_exact_mut(features).enumerate().for_each(|(o, dst)| {
            let panel = &src[o / width * features * width..][..features * width];
            for (i, x) in dst.iter_mut().enumerate() {
                *x = panel[channels_last(map, i) * width + o % width].widen();
            }
        });
    });
}

/// The place in (H, W, C) order of number `i` in (C, H, W) order.
fn channels_last(Shape { c, h, w, .. }: Shape, i: usize) -> usize {
    i % (h * w) * c + i / (h * w)
}
