//! Pixels that move: shear, translation and rotation.

/// Where a pixel is from: its distance from the centre, across and down, is multiplied by a matrix, and
/// a distance is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Geometry {
    matrix: [[f64; 2]; 2],
    offset: Offset,
}

/// What is added.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Offset {
    Pixels([f64; 2]),
    /// The matrix is about the top left corner, not the centre.
    ToCorner,
}

/// Fractional bits of a position: over 16,384 pixels, roundings of a step sum up to less than 2⁻¹⁸.
const BITS: u32 = 32;

impl Geometry {
    /// Rows move to the left by `by` times their distance from the top.
    pub(super) fn shear_x(by: f64) -> Self {
        Self { matrix: [[1.0, by], [0.0, 1.0]], offset: Offset::ToCorner }
    }

    /// Columns move up by `by` times their distance from the left.
    pub(super) fn shear_y(by: f64) -> Self {
        Self { matrix: [[1.0, 0.0], [by, 1.0]], offset: Offset::ToCorner }
    }

    /// To the right and down.
    pub(super) fn translate(by: [f64; 2]) -> Self {
        Self { matrix: [[1.0, 0.0], [0.0, 1.0]], offset: Offset::Pixels(by.map(|by| -by)) }
    }

    /// Counter-clockwise, about the centre.
    pub(super) fn rotate(degrees: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self { matrix: [[cos, -sin], [sin, cos]], offset: Offset::Pixels([0.0; 2]) }
    }
}

/// Moves `pixels`, `[c, h, w]`: each becomes the one that is nearest to where it is from, or black.
pub(super) fn apply(geometry: Geometry, [_, h, w]: [usize; 3], pixels: &mut [u8]) {
    let source = pixels.to_vec();
    let Geometry { matrix, offset } = geometry;
    let center = [w, h].map(|side| side as f64 / 2.0);
    let offset = match offset {
        Offset::Pixels(offset) => offset,
        Offset::ToCorner => std::array::from_fn(|axis| {
            matrix[axis][0] * center[0] + matrix[axis][1] * center[1] - center[axis]
        }),
    };
    let fixed = |x: f64| (x * (1_u64 << BITS) as f64).round() as i64;
    let step = [fixed(matrix[0][0]), fixed(matrix[1][0])];
    let mut from = vec![None; w];
    for y in 0..h {
        // Of the centre of the row's first pixel. Its position is cut to a whole number below.
        let at = [0.5 - center[0], y as f64 + 0.5 - center[1]];
        let first: [i64; 2] = std::array::from_fn(|axis| {
            let [across, down] = matrix[axis];
            fixed(across * at[0] + down * at[1] + offset[axis] + center[axis])
        });
        for (x, from) in from.iter_mut().enumerate() {
            let [x, y] = [0, 1].map(|axis| (first[axis] + x as i64 * step[axis]) >> BITS);
            let inside = (0..w as i64).contains(&x) && (0..h as i64).contains(&y);
            *from = inside.then(|| y as usize * w + x as usize);
        }
        for (out, source) in pixels.chunks_exact_mut(h * w).zip(source.chunks_exact(h * w)) {
            for (out, from) in out[y * w..][..w].iter_mut().zip(&from) {
                *out = from.map_or(0, |from| source[from]);
            }
        }
    }
}
