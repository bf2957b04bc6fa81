//! From bytes to feature maps: resize, normalise, channels innermost.

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{Normalize, PrepareImages, TapTable, Taps};

use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer};
use crate::format::Format;
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// See [`vgg_tensor::Command::PrepareImages`].
pub(crate) fn prepare<F: Format>(
    cpu: &mut Cpu,
    op: &PrepareImages,
    normalize: &Normalize,
    pixels: &Buffer,
    x: &mut Buffer,
) -> Result<()> {
    assert_eq!(normalize.channels(), op.x().c, "normalisation for each channel");
    let Cpu { isa, threads, image_tables, .. } = cpu;
    let sides = Sides::of(op);
    let tables = match image_tables.take() {
        Some(kept) if kept.sides == sides && kept.normalize == *normalize => kept,
        _ => Tables::new::<F>(sides, normalize),
    };
    let tables = &*image_tables.insert(tables);
    let (from, to) = (op.source(), op.x());
    let pixels = pixels.bytes(from.len()).par_chunks_exact(from.features());
    let images = x.maps_mut::<F>(to.len()).par_chunks_exact_mut(to.features()).zip(pixels);
    threads.reserve_scratch(needs(op).scratch)?;
    threads.run(|| {
        images.for_each(|(x, pixels)| {
            let mut scratch = threads.scratch();
            let [wide, sums, line] = scratch.split(lens(op));
            let wide = &mut bytemuck::cast_slice_mut(wide)[..wide_bytes(op)];
            let line = &mut bytemuck::cast_slice_mut(line)[..line_bytes(op)];
            let sums = bytemuck::cast_slice_mut(sums);
            F::run(*isa, Image::<F> { tables, pixels, wide, sums, line, x });
        });
    });
    Ok(())
}

/// What [`prepare`] takes besides its buffers.
pub(crate) fn needs(op: &PrepareImages) -> Needs {
    Needs { scratch: AlignedVec::len_of(lens(op)), ..Needs::default() }
}

/// Numbers of a thread's scratch memory: for `wide`, `sums` and `line` of an [`Image`].
fn lens(op: &PrepareImages) -> [usize; 3] {
    let room = |bytes: usize| bytes.div_ceil(size_of::<f32>());
    [room(wide_bytes(op)), op.x().w, room(line_bytes(op))]
}

/// Bytes of an image that is as wide as it will be, and as high as it was.
fn wide_bytes(op: &PrepareImages) -> usize {
    let (from, to) = (op.source(), op.x());
    from.c * from.h * to.w
}

/// Bytes of a row of each channel.
fn line_bytes(op: &PrepareImages) -> usize {
    op.x().c * op.x().w
}

/// The sides of images before and after.
#[derive(Clone, Copy, PartialEq)]
struct Sides {
    from: [usize; 2],
    to: [usize; 2],
}

impl Sides {
    fn of(op: &PrepareImages) -> Self {
        let (from, to) = (op.source(), op.x());
        Self { from: [from.h, from.w], to: [to.h, to.w] }
    }
}

/// All that is the same for every image. Kept from one batch to the next.
pub(crate) struct Tables {
    sides: Sides,
    normalize: Normalize,
    rows: TapTable,
    /// Nothing if the width stays.
    columns: Option<TapTable>,
    /// Each channel's number for each of the 256 bytes, rounded as it will be stored, so that a pixel of
    /// several costs a look-up each.
    numbers: Vec<[f32; 256]>,
}

impl Tables {
    fn new<F: Format>(sides: Sides, normalize: &Normalize) -> Self {
        let stored = |c, pixel| F::widen(F::round(normalize.apply(c, pixel as u8)));
        let number = |c| std::array::from_fn(|pixel| stored(c, pixel));
        Self {
            sides,
            normalize: normalize.clone(),
            rows: TapTable::new(sides.from[0], sides.to[0]),
            columns: (sides.from[1] != sides.to[1])
                .then(|| TapTable::new(sides.from[1], sides.to[1])),
            numbers: (0..normalize.channels()).map(number).collect(),
        }
    }
}

/// One image, and scratch memory: for all of its rows after the horizontal pass, for the sums of a
/// row, and for a row of bytes of each channel.
struct Image<'a, F: Format> {
    tables: &'a Tables,
    pixels: &'a [u8],
    wide: &'a mut [u8],
    sums: &'a mut [i32],
    line: &'a mut [u8],
    x: &'a mut [F::Number],
}

impl<F: Format> Kernel for Image<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { tables, pixels, wide, sums, line, x } = self;
        let Tables { sides, normalize, rows, columns, numbers } = tables;
        let ([from_h, from_w], [_, w]) = (sides.from, sides.to);
        let wide = match columns {
            Some(columns) => {
                for (wide, row) in wide.chunks_exact_mut(w).zip(pixels.chunks_exact(from_w)) {
                    widen(row, columns, sums, &mut line[..w], wide);
                }
                wide
            }
            None => pixels,
        };
        for (i, x) in x.chunks_exact_mut(w * numbers.len()).enumerate() {
            for (channel, line) in line.chunks_exact_mut(w).enumerate() {
                let first = channel * from_h + rows.firsts[i] as usize;
                sums.fill(Taps::HALF);
                for (weights, row) in rows.weights.iter().zip(wide[first * w..].chunks_exact(w)) {
                    let weight = weights[i];
                    for (sum, pixel) in sums.iter_mut().zip(row) {
                        *sum += i32::from(*pixel) * weight;
                    }
                }
                round(sums, line);
            }
            match numbers.len() {
                1 => compute::<F>(normalize, line, x),
                3 => look_up::<F, 3>(numbers, line, x),
                _ => look_up_any::<F>(numbers, line, x),
            }
        }
    }
}

/// The horizontal pass of one row. The inputs of a tap are gathered first, so that the arithmetic is
/// on vectors.
#[inline(always)]
fn widen(row: &[u8], columns: &TapTable, sums: &mut [i32], inputs: &mut [u8], wide: &mut [u8]) {
    sums.fill(Taps::HALF);
    for (tap, weights) in columns.weights.iter().enumerate() {
        for (input, first) in inputs.iter_mut().zip(&columns.firsts) {
            *input = row[*first as usize + tap];
        }
        for ((sum, input), weight) in sums.iter_mut().zip(&*inputs).zip(weights) {
            *sum += i32::from(*input) * weight;
        }
    }
    round(sums, wide);
}

/// From fixed point, with half a unit added, to bytes.
#[inline(always)]
fn round(sums: &[i32], bytes: &mut [u8]) {
    for (byte, sum) in bytes.iter_mut().zip(sums) {
        *byte = (sum >> Taps::BITS).clamp(0, 255) as u8;
    }
}

/// A row of one channel, as [`Normalize::apply`] has it: arithmetic on vectors costs less than looking up each
/// pixel.
#[inline(always)]
fn compute<F: Format>(normalize: &Normalize, line: &[u8], x: &mut [F::Number]) {
    let (mean, std) = (normalize.mean()[0], normalize.std()[0]);
    for (x, pixel) in x.iter_mut().zip(line) {
        *x = F::round((f32::from(*pixel) / 255.0 - mean) / std);
    }
}

/// A row of `C` channels, whose bytes lie one channel after the other.
#[inline(always)]
fn look_up<F: Format, const C: usize>(numbers: &[[f32; 256]], line: &[u8], x: &mut [F::Number]) {
    let x = x.as_chunks_mut::<C>().0;
    let numbers: [_; C] = std::array::from_fn(|c| &numbers[c]);
    let lines: [_; C] = std::array::from_fn(|c| &line[c * x.len()..][..x.len()]);
    for (j, x) in x.iter_mut().enumerate() {
        for c in 0..C {
            x[c] = F::narrow(numbers[c][usize::from(lines[c][j])]);
        }
    }
}

/// As [`look_up`], for a number of channels that is only known now.
#[inline(always)]
fn look_up_any<F: Format>(numbers: &[[f32; 256]], line: &[u8], x: &mut [F::Number]) {
    let w = line.len() / numbers.len();
    for (j, x) in x.chunks_exact_mut(numbers.len()).enumerate() {
        for (c, x) in x.iter_mut().enumerate() {
            *x = F::narrow(numbers[c][usize::from(line[c * w + j])]);
        }
    }
}
