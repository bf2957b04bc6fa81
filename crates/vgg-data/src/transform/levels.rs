//! Levels that change: of each pixel by itself, but for what all of an image decide together.
//!
//! Torchvision computes in `f32` and cuts results to whole levels, and so do these functions, in its
//! order, to the same bits. Where a level's result depends on the level alone, there is a table of 256.

use crate::simd::dispatched;

/// A level between `other` and `level`, or beyond `level`, cut to a whole one.
#[inline(always)]
fn blend(factor: f32, rest: f32, level: u8, other: f32) -> u8 {
    // Within 0 to 255, and so a conversion of one instruction.
    (factor * f32::from(level) + rest * other).clamp(0.0, 255.0) as i32 as u8
}

/// The factor of a level and that of another one, as they are rounded.
fn factors(factor: f64) -> (f32, f32) {
    (factor as f32, (1.0 - factor) as f32)
}

/// Replaces each level by what the table has.
fn replace(pixels: &mut [u8], of: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|level| of(level as u8));
    pixels.iter_mut().for_each(|pixel| *pixel = table[usize::from(*pixel)]);
}

/// Multiplies levels by a factor: 0 is black.
pub(super) fn brightness(factor: f64, pixels: &mut [u8]) {
    let (factor, rest) = factors(factor);
    replace(pixels, |level| blend(factor, rest, level, 0.0));
}

/// Multiplies distances from the mean grey of `[c, h, w]`: 0 is grey.
pub(super) fn contrast(factor: f64, [c, h, w]: [usize; 3], pixels: &mut [u8]) {
    let sum = match c {
        3 => sum_of_grey(pixels),
        _ => pixels.iter().map(|level| u64::from(*level)).sum(),
    };
    let mean = sum as f32 / (h * w) as f32;
    let (factor, rest) = factors(factor);
    replace(pixels, |level| blend(factor, rest, level, mean));
}

/// Red, green and blue of an image.
pub(super) fn planes(pixels: &mut [u8]) -> [&mut [u8]; 3] {
    let len = pixels.len() / 3;
    let (red, rest) = pixels.split_at_mut(len);
    let (green, blue) = rest.split_at_mut(len);
    [red, green, blue]
}

#[inline(always)]
fn grey(red: u8, green: u8, blue: u8) -> i32 {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    (0.2989 * red + 0.587 * green + 0.114 * blue) as i32
}

dispatched! {
fn sum_of_grey(pixels: &mut [u8]) -> u64 {
    let [red, green, blue] = planes(pixels);
    let levels = red.iter().zip(green.iter()).zip(blue.iter());
    levels.map(|((red, green), blue)| grey(*red, *green, *blue) as u64).sum()
}
}

/// Multiplies distances from each pixel's grey: 0 is grey, and grey images stay as they are.
pub(super) fn saturation(factor: f64, [c, ..]: [usize; 3], pixels: &mut [u8]) {
    if c == 3 {
        saturate(factors(factor), pixels);
    }
}

dispatched! {
fn saturate(factors: (f32, f32), pixels: &mut [u8]) {
    let (factor, rest) = factors;
    let [red, green, blue] = planes(pixels);
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let grey = grey(*red, *green, *blue) as f32;
        *red = blend(factor, rest, *red, grey);
        *green = blend(factor, rest, *green, grey);
        *blue = blend(factor, rest, *blue, grey);
    }
}
}

/// Keeps the highest bits.
pub(super) fn posterize(bits: u32, pixels: &mut [u8]) {
    let kept = !(0xFF_u8.checked_shr(bits).unwrap_or(0));
    pixels.iter_mut().for_each(|pixel| *pixel &= kept);
}

/// Inverts levels from a threshold on.
pub(super) fn solarize(threshold: f64, pixels: &mut [u8]) {
    let inverted = |level: u8| f32::from(level) >= threshold as f32;
    replace(pixels, |level| if inverted(level) { 255 - level } else { level });
}

/// Stretches the levels of a channel so that they reach from 0 to 255.
pub(super) fn auto_contrast(plane: &mut [u8]) {
    let darkest = plane.iter().copied().min().unwrap_or(0);
    let lightest = plane.iter().copied().max().unwrap_or(0);
    if darkest < lightest {
        let scale = 255.0 / f32::from(lightest - darkest);
        replace(plane, |level| (f32::from(level.saturating_sub(darkest)) * scale).min(255.0) as u8);
    }
}

/// Spreads the levels of a channel so that there are as many pixels below each as of a ramp.
pub(super) fn equalize(plane: &mut [u8]) {
    let mut counts = [0; 256];
    plane.iter().for_each(|level| counts[usize::from(*level)] += 1);
    let lightest = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    let step = (plane.len() - counts[lightest]) / 255;
    if step == 0 {
        return;
    }
    let below = |level: u8| counts[..usize::from(level)].iter().sum::<usize>();
    replace(plane, |level| match level {
        0 => 0,
        _ => ((below(level) + step / 2) / step).min(255) as u8,
    });
}

/// Multiplies distances from the mean of each pixel and its eight neighbours, in which the pixel itself
/// counts five times; at the edge it is the pixel alone.
pub(super) fn sharpness(factor: f64, [_, h, w]: [usize; 3], pixels: &mut [u8]) {
    if h <= 2 || w <= 2 {
        return;
    }
    let source = pixels.to_vec();
    let (of_own, of_mean) = factors(factor);
    // What is cut to whole levels may be one below.
    replace(pixels, |level| blend(of_own, of_mean, level, f32::from(level)));
    for (out, source) in pixels.chunks_exact_mut(h * w).zip(source.chunks_exact(h * w)) {
        for y in 1..h - 1 {
            let row = |y: usize| &source[y * w..][..w];
            sharpen_row(factors(factor), [row(y - 1), row(y), row(y + 1)], &mut out[y * w..][..w]);
        }
    }
}

dispatched! {
fn sharpen_row(factors: (f32, f32), rows: [&[u8]; 3], out: &mut [u8]) {
    let (factor, rest) = factors;
    let [above, own, below] = rows;
    let w = out.len();
    let windows = above.windows(3).zip(own.windows(3)).zip(below.windows(3));
    for (out, ((above, own), below)) in out[1..w - 1].iter_mut().zip(windows) {
        let sum = |levels: &[u8]| levels.iter().map(|level| u32::from(*level)).sum::<u32>();
        // To the nearest: a thirteenth is never halfway.
        let mean = (sum(above) + sum(own) + sum(below) + 4 * u32::from(own[1]) + 6) / 13;
        *out = blend(factor, rest, own[1], mean as f32);
    }
}
}
