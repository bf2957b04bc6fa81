//! Where pixels go.

use crate::picture::View;
use crate::simd::{dispatched, prefetch};

/// Rows that are asked for ahead: where the pixels are a file's, a row's end is followed by others that
/// are not read.
const AHEAD: usize = 8;

/// Half of `rest` pixels, rounded to even, as torchvision's `CenterCrop` does.
pub(super) fn centered(rest: usize) -> usize {
    rest / 2 + usize::from(rest % 4 == 3)
}

/// The corners of `n`×`n` crops, row by row, at equal distances from the first to the last place; of
/// one crop, the centre's. There are `rest` pixels that a crop is smaller by.
pub(super) fn grid(rest: [usize; 2], n: usize) -> impl Iterator<Item = [usize; 2]> {
    let place = move |rest: usize, i: usize| match n {
        1 => centered(rest),
        // To the nearest pixel.
        _ => (2 * rest * i + (n - 1)) / (2 * (n - 1)),
    };
    (0..n * n).map(move |i| [place(rest[0], i / n), place(rest[1], i % n)])
}

dispatched! {
/// Writes the picture to `out`, `[c, h, w]`: mirrored left to right if `flip`, then moved down and
/// to the right by `shift` pixels, with zeros where nothing arrives.
pub(super) fn place(picture: View<'_>, flip: bool, shift: [isize; 2], out: &mut [u8]) {
    let View { h, w, c, .. } = picture;
    // The columns that something arrives in, and those it comes from.
    let [moved, rest] = [shift[1].unsigned_abs().min(w), w - shift[1].unsigned_abs().min(w)];
    let (to, from) = if shift[1] < 0 { (0, moved) } else { (moved, 0) };
    let from = if flip { w - from - rest } else { from };
    let mut planes: Vec<&mut [u8]> = out.chunks_exact_mut(h * w).collect();
    for y in 0..h {
        if y + AHEAD < h {
            prefetch(picture.row(y + AHEAD));
        }
        let arrives = y.checked_add_signed(-shift[0]).filter(|from| *from < h);
        let (first, last) = if arrives.is_some() { (to, to + rest) } else { (w, w) };
        for plane in &mut planes {
            plane[y * w..][..first].fill(0);
            plane[y * w..][last..w].fill(0);
        }
        let Some(from_y) = arrives else { continue };
        let row = &picture.row(from_y)[from * c..][..rest * c];
        let place = y * w + first..y * w + last;
        match &mut planes[..] {
            [grey] => grey[place.clone()].copy_from_slice(row),
            [r, g, b] => split(row, [r, g, b].map(|plane| &mut plane[place.clone()])),
            _ => unreachable!("pictures have 1 or 3 channels"),
        }
        if flip {
            planes.iter_mut().for_each(|plane| plane[place.clone()].reverse());
        }
    }
}
}

/// Writes each channel of a row of pixels to a row of its own.
#[inline(always)]
fn split(pixels: &[u8], [r, g, b]: [&mut [u8]; 3]) {
    let pixels = pixels.as_chunks().0;
    for ((([red, green, blue], r), g), b) in pixels.iter().zip(r).zip(g).zip(b) {
        (*r, *g, *b) = (*red, *green, *blue);
    }
}
