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
    let Picture { pixels, h, w, c } = picture;
    let source = |to: usize, shift: isize, len: usize| {
        to.checked_add_signed(-shift).filter(|from| *from < len)
    };
    for (y, x) in (0..*h).flat_map(|y| (0..*w).map(move |x| (y, x))) {
        let from = source(y, shift[0], *h).zip(source(x, shift[1], *w));
        for channel in 0..*c {
            out[(channel * h + y) * w + x] = from.map_or(0, |(y, x)| {
                let x = if flip { w - 1 - x } else { x };
                pixels[(y * w + x) * c + channel]
            });
        }
    }
}
