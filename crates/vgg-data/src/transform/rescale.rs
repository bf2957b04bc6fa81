//! Pictures at another size.

use vgg_tensor::spec::{PrepareImages, Taps};

use crate::Picture;

/// The largest short side that pictures are scaled to.
pub(super) const MAX_SHORT_SIDE: usize = 1 << 14;

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

/// The `window`, height and width, at `corner` of the picture as it is at `size`.
///
/// The bytes are those that [`PrepareImages`] defines and a device computes.
pub(super) fn window(
    picture: &Picture,
    size: [usize; 2],
    corner: [usize; 2],
    window: [usize; 2],
) -> Picture {
    let (c, [h, w]) = (picture.c, window);
    let taps = |axis: usize, from| {
        let all = PrepareImages::taps(from, size[axis]);
        all.into_iter().skip(corner[axis]).take(window[axis]).collect::<Vec<_>>()
    };
    let (rows, columns) = (taps(0, picture.h), taps(1, picture.w));
    // Only the rows that the window is made of are resized horizontally.
    let top = rows.first().map_or(0, |taps| taps.first);
    let bottom = rows.last().map_or(0, |taps| taps.first + taps.weights.len());
    let mut across = vec![0; (bottom - top) * w * c];
    let source = picture.pixels.chunks_exact(picture.w * c).skip(top);
    for (row, out) in source.zip(across.chunks_exact_mut(w * c)) {
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
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * i32::from(*x));
        }
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = byte(*sum));
    }
    Picture { pixels, h, w, c }
}

/// A row of pixels with `C` channels each, at other columns.
fn resize_row<const C: usize>(row: &[u8], columns: &[Taps], out: &mut [u8]) {
    let (row, out) = (row.as_chunks::<C>().0, out.as_chunks_mut::<C>().0);
    for (taps, out) in columns.iter().zip(out) {
        let mut sums = [Taps::HALF; C];
        for (weight, pixel) in taps.weights.iter().zip(&row[taps.first..]) {
            sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += weight * i32::from(*x));
        }
        *out = sums.map(byte);
    }
}

fn byte(sum: i32) -> u8 {
    (sum >> Taps::BITS).clamp(0, 255) as u8
}
