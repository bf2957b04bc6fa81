//! Where pixels go.

use crate::Picture;

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

/// The part of the picture of `h` × `w` pixels at a corner.
pub(super) fn cut(picture: &Picture, [top, left]: [usize; 2], [h, w]: [usize; 2]) -> Picture {
    let row_len = picture.w * picture.c;
    let rows = picture.pixels.chunks_exact(row_len).skip(top).take(h);
    let pixels = rows.flat_map(|row| &row[left * picture.c..][..w * picture.c]);
    Picture { pixels: pixels.copied().collect(), h, w, c: picture.c }
}

/// Writes the picture to `out`, `[c, h, w]`: mirrored left to right if `flip`, then moved down and
/// to the right by `shift` pixels, with zeros where nothing arrives.
pub(super) fn place(picture: &Picture, flip: bool, shift: [isize; 2], out: &mut [u8]) {
    match picture.c {
        1 => place_planes::<1>(picture, flip, shift, out),
        3 => place_planes::<3>(picture, flip, shift, out),
        _ => unreachable!("pictures have 1 or 3 channels"),
    }
}

fn place_planes<const C: usize>(picture: &Picture, flip: bool, shift: [isize; 2], out: &mut [u8]) {
    let Picture { ref pixels, h, w, .. } = *picture;
    let (pixels, planes) = (pixels.as_chunks::<C>().0, out.chunks_exact_mut(h * w));
    let arrives = |to: usize, shift: isize, len: usize| {
        to.checked_add_signed(-shift).filter(|from| *from < len)
    };
    // The columns that something arrives in, and those it comes from.
    let [moved, rest] = [shift[1].unsigned_abs().min(w), w - shift[1].unsigned_abs().min(w)];
    let (to, from) = if shift[1] < 0 { (0, moved) } else { (moved, 0) };
    let from = if flip { w - from - rest } else { from };
    for (channel, plane) in planes.enumerate() {
        for (y, out) in plane.chunks_exact_mut(w).enumerate() {
            let Some(y) = arrives(y, shift[0], h) else {
                out.fill(0);
                continue;
            };
            out[..to].fill(0);
            out[to + rest..].fill(0);
            let (row, out) = (&pixels[y * w + from..][..rest], &mut out[to..][..rest]);
            match flip {
                false => out.iter_mut().zip(row).for_each(|(out, pixel)| *out = pixel[channel]),
                true => {
                    let row = row.iter().rev();
                    out.iter_mut().zip(row).for_each(|(out, pixel)| *out = pixel[channel]);
                }
            }
        }
    }
}
