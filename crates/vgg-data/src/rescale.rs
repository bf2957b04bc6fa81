//! Pictures at another size.

use std::ops::Range;

use vgg_tensor::spec::{PrepareImages, Taps};

use crate::Picture;
use crate::picture::{Sampled, View};
use crate::simd::dispatched;

/// The largest short side that pictures are scaled to.
pub(crate) const MAX_SHORT_SIDE: usize = 1 << 14;

/// The height and width that a picture of `h` × `w` pixels is scaled to if its short side is to have
/// `short_side`; the long side is rounded down.
///
/// ```
/// assert_eq!(vgg_data::scaled_size([480, 640], 256), [256, 341]);
/// ```
pub fn scaled_size([h, w]: [usize; 2], short_side: usize) -> [usize; 2] {
    match h <= w {
        true => [short_side, short_side * w / h],
        false => [short_side * h / w, short_side],
    }
}

/// A picture scaled to a short side if its own is longer.
pub(crate) fn at_most(picture: Picture, short_side: usize) -> Picture {
    let own = [picture.h, picture.w];
    match own[0].min(own[1]) > short_side {
        true => {
            let size = scaled_size(own, short_side);
            window(&Sampled::from(picture).scaled_to(size), [0, 0], size).into_picture()
        }
        false => picture,
    }
}

/// A picture with sides of `longest` pixels at most, scaled as for a network: by Pillow's bilinear filter,
/// which averages where it shrinks. (One of fewer rows or columns than that shrinks it to keeps one.)
pub fn scaled_within(picture: Picture, longest: usize) -> Picture {
    let (short, long) = (picture.h.min(picture.w), picture.h.max(picture.w));
    match long > longest {
        true => at_most(picture, (short * longest / long).max(1)),
        false => picture,
    }
}

/// Part of an image, maybe at another size.
#[derive(Debug)]
pub(crate) enum Window<'a> {
    /// The image's pixels, where they are.
    InPlace(View<'a>),
    /// Pixels of its own.
    Computed(Picture),
}

impl Window<'_> {
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Self::InPlace(view) => *view,
            Self::Computed(Picture { pixels, h, w, c }) => View::new(pixels, [*h, *w], *c),
        }
    }

    pub(crate) fn into_picture(self) -> Picture {
        match self {
            Self::InPlace(view) => view.to_picture(),
            Self::Computed(picture) => picture,
        }
    }
}

/// The `window`, height and width, at `corner` of the picture as it is at the size that is wanted.
///
/// The bytes are those that [`PrepareImages`] defines and a device computes.
pub(crate) fn window<'a>(
    sampled: &'a Sampled<'_>,
    corner: [usize; 2],
    window: [usize; 2],
) -> Window<'a> {
    within(sampled.view(), &sampled.extent, sampled.wanted, corner, window)
}

/// The same of an image that is this part of the picture, down and across, where it has the size
/// `wanted`.
fn within<'a>(
    picture: View<'a>,
    extent: &[Range<f64>; 2],
    wanted: [usize; 2],
    corner: [usize; 2],
    window: [usize; 2],
) -> Window<'a> {
    let own = [picture.h, picture.w];
    // Every weight would be 1.
    if wanted == own && *extent == own.map(|side| 0.0..side as f64) {
        return Window::InPlace(picture.cut(corner, window));
    }
    Window::Computed(scaled(picture, extent, wanted, corner, window))
}

/// The part of the image at `corner`, of so many of its own pixels down and across, at the size `wanted`,
/// as if there were no more of the image.
pub(crate) fn part<'a>(
    sampled: &'a Sampled<'_>,
    corner: [usize; 2],
    size: [usize; 2],
    wanted: [usize; 2],
) -> Window<'a> {
    let picture = sampled.view();
    let sides = [picture.h, picture.w];
    let extent: [_; 2] = std::array::from_fn(|axis| {
        let Range { start, end } = sampled.extent[axis];
        let pixel = (end - start) / sampled.own[axis] as f64;
        let [from, to] = [corner[axis], corner[axis] + size[axis]];
        start + from as f64 * pixel..start + to as f64 * pixel
    });
    // A picture that was decoded at a part of its size has parts of pixels at the part's edges.
    let first = extent.each_ref().map(|part| part.start as usize);
    let end: [_; 2] = std::array::from_fn(|axis| sides[axis].min(extent[axis].end.ceil() as usize));
    let picture = picture.cut(first, [end[0] - first[0], end[1] - first[1]]);
    let extent = std::array::from_fn(|axis| {
        let (Range { start, end }, first) = (&extent[axis], first[axis] as f64);
        start - first..end - first
    });
    within(picture, &extent, wanted, [0, 0], wanted)
}

dispatched! {
/// The same of a picture that has another size.
fn scaled(
    picture: View<'_>,
    extent: &[Range<f64>; 2],
    wanted: [usize; 2],
    corner: [usize; 2],
    window: [usize; 2]
) -> Picture {
    let (c, [h, w]) = (picture.c, window);
    let taps = |axis: usize, from| {
        let all = PrepareImages::taps_within(from, extent[axis].clone(), wanted[axis]);
        all.into_iter().skip(corner[axis]).take(window[axis]).collect::<Vec<_>>()
    };
    let (rows, columns) = (taps(0, picture.h), taps(1, picture.w));
    // Only the rows that the window is made of are resized horizontally.
    let top = rows.first().map_or(0, |taps| taps.first);
    let bottom = rows.last().map_or(0, |taps| taps.first + taps.weights.len());
    let mut across = vec![0; (bottom - top) * w * c];
    for (y, out) in (top..bottom).zip(across.chunks_exact_mut(w * c)) {
        let row = picture.row(y);
        match c {
            1 => resize_row::<1>(row, &columns, out),
            3 => resize_row::<3>(row, &columns, out),
            _ => unreachable!("pictures have 1 or 3 channels"),
        }
    }
    let mut pixels = vec![0; h * w * c];
    let mut sums = vec![0; w * c];
    for (taps, out) in rows.iter().zip(pixels.chunks_exact_mut(w * c)) {
        sums.fill(Taps::HALF);
        let from = across.chunks_exact(w * c).skip(taps.first - top);
        for (weight, row) in taps.weights.iter().zip(from) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| add(sum, *weight, *x));
        }
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = byte(*sum));
    }
    Picture { pixels, h, w, c }
}
}

/// The part of the picture of `h` × `w` pixels at a corner, which may lie outside, with zeros where there
/// is no picture.
pub(crate) fn cut_beyond(picture: View<'_>, corner: [isize; 2], [h, w]: [usize; 2]) -> Window<'_> {
    // Along an axis: from where in the picture, to where in the part, and how many.
    let overlap = |corner: isize, own: usize, len: usize| {
        let (from, to) = (corner.max(0) as usize, corner.min(0).unsigned_abs());
        [from, to, own.saturating_sub(from).min(len.saturating_sub(to))]
    };
    let [from_y, to_y, rows] = overlap(corner[0], picture.h, h);
    let [from_x, to_x, columns] = overlap(corner[1], picture.w, w);
    if [rows, columns] == [h, w] {
        return Window::InPlace(picture.cut([from_y, from_x], [h, w]));
    }
    let c = picture.c;
    let mut pixels = vec![0; h * w * c];
    for row in 0..rows {
        let from = &picture.row(from_y + row)[from_x * c..][..columns * c];
        pixels[((to_y + row) * w + to_x) * c..][..columns * c].copy_from_slice(from);
    }
    Window::Computed(Picture { pixels, h, w, c })
}

/// A row of pixels with `C` channels each, at other columns.
#[inline(always)]
fn resize_row<const C: usize>(row: &[u8], columns: &[Taps], out: &mut [u8]) {
    let (row, out) = (row.as_chunks::<C>().0, out.as_chunks_mut::<C>().0);
    for (taps, out) in columns.iter().zip(out) {
        let mut sums = [Taps::HALF; C];
        for (weight, pixel) in taps.weights.iter().zip(&row[taps.first..]) {
            sums.iter_mut().zip(pixel).for_each(|(sum, x)| add(sum, *weight, *x));
        }
        *out = sums.map(byte);
    }
}

/// Weights sum up to 2 to the power of [`Taps::BITS`], so that no sum overflows; a check of each would
/// cost half of the speed.
#[inline(always)]
fn add(sum: &mut i32, weight: i32, x: u8) {
    *sum = sum.wrapping_add(weight.wrapping_mul(x.into()));
}

#[inline(always)]
fn byte(sum: i32) -> u8 {
    (sum >> Taps::BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use fast_image_resize::images::Image;
    use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

    use super::*;

    /// As another library scales, with Pillow's filter, too. It takes the axes in the other order, and
    /// rounds between them, so that an axis at a time is compared; its weights have other bits.
    #[test]
    fn another_library_scales_alike() {
        let (h, w) = (61, 47);
        let pixels: Vec<u8> = (0..3 * h * w).map(|i| (i * i * 7919 / 5 % 256) as u8).collect();
        let rgbx: Vec<u8> = pixels.chunks(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 0]).collect();
        let source = Image::from_vec_u8(w as u32, h as u32, rgbx, PixelType::U8x4).unwrap();
        let bilinear = ResizeAlg::Convolution(FilterType::Bilinear);
        let options = ResizeOptions::new().resize_alg(bilinear).use_alpha(false);
        let picture = Picture { pixels, h, w, c: 3 };
        let (mut most, mut differ, mut numbers) = (0, 0, 0);
        for size in [7, 24, 60, 62, 101, 240].into_iter().flat_map(|n| [[n, w], [h, n]]) {
            let sampled = Sampled::from(picture.clone()).scaled_to(size);
            let ours = window(&sampled, [0, 0], size).into_picture();
            let mut theirs = Image::new(size[1] as u32, size[0] as u32, PixelType::U8x4);
            Resizer::new().resize(&source, &mut theirs, &options).unwrap();
            let theirs = theirs.buffer().chunks(4).flat_map(|rgbx| &rgbx[..3]);
            for (a, b) in ours.pixels.iter().zip(theirs) {
                most = most.max(a.abs_diff(*b));
                differ += usize::from(a != b);
                numbers += 1;
            }
        }
        assert!(most <= 1 && differ * 500 < numbers, "{most}, {differ} of {numbers}");
    }
}
