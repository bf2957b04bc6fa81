//! Where pixels go.

use crate::Picture;

/// Half of `rest` pixels, rounded to even, as torchvision's `CenterCrop` does.
pub(super) fn centered(rest: usize) -> usize {
    rest / 2 + usize::from(rest % 4 == 3)
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
