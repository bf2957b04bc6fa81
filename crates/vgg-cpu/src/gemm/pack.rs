//! Copies of matrices in the order in which the micro-kernel reads them.

use crate::format::Format;

/// Numbers in a packed matrix of `long × short` in panels of `width` along `long`.
pub(crate) const fn packed_len(long: usize, short: usize, width: usize) -> usize {
    long.div_ceil(width) * width * short
}

/// Packs panels `first..` of a matrix whose *rows* are contiguous into `[panel][k][width]`, where
/// the panels run along the columns: `x` is `[k][columns]`.
///
/// Fills `out` with as many whole panels as fit; columns beyond the last are zero.
pub(crate) fn pack_columns<F: Format>(
    x: &[F::Number],
    columns: usize,
    width: usize,
    first: usize,
    out: &mut [f32],
) {
    let k = x.len() / columns;
    for (p, panel) in out.chunks_exact_mut(k * width).enumerate() {
        let start = (first + p) * width;
        let count = columns.saturating_sub(start).min(width);
        for (row, out) in x.chunks_exact(columns).zip(panel.chunks_exact_mut(width)) {
            F::widen_all(&row[start..start + count], &mut out[..count]);
            out[count..].fill(0.0);
        }
    }
}

/// Packs panels `first..` of a matrix whose *rows* are contiguous into `[panel][k][width]`, where
/// the panels run along the rows: `x` is `[rows][k]`, so this transposes.
///
/// Fills `out` with as many whole panels as fit; rows beyond the last are zero.
pub(crate) fn pack_rows<F: Format>(
    x: &[F::Number],
    k: usize,
    width: usize,
    first: usize,
    out: &mut [f32],
) {
    let rows = x.len() / k;
    // Blocks of k keep the lines being read and written in the cache.
    const BLOCK: usize = 16;
    for (p, panel) in out.chunks_exact_mut(k * width).enumerate() {
        let start = (first + p) * width;
        let count = rows.saturating_sub(start).min(width);
        for (b, block) in panel.chunks_mut(BLOCK * width).enumerate() {
            for r in 0..width {
                for (q, out) in block.iter_mut().skip(r).step_by(width).enumerate() {
                    let at = (start + r) * k + b * BLOCK + q;
                    *out = if r < count { F::widen(x[at]) } else { 0.0 };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::F32;

    #[test]
    fn panels_are_transposed_and_padded() {
        // A 3 × 5 matrix.
        let x: Vec<f32> = (0..15).map(|i| i as f32).collect();
        let mut columns = vec![-1.0; packed_len(5, 3, 4)];
        pack_columns::<F32>(&x, 5, 4, 0, &mut columns);
        let mut rows = vec![-1.0; packed_len(3, 5, 2)];
        pack_rows::<F32>(&x, 5, 2, 0, &mut rows);
        for k in 0..3 {
            for j in 0..8 {
                let expected = if j < 5 { x[k * 5 + j] } else { 0.0 };
                assert_eq!(columns[j / 4 * 12 + k * 4 + j % 4], expected);
            }
        }
        for k in 0..5 {
            for i in 0..4 {
                let expected = if i < 3 { x[i * 5 + k] } else { 0.0 };
                assert_eq!(rows[i / 2 * 10 + k * 2 + i % 2], expected);
            }
        }
        let mut last = vec![-1.0; 10];
        pack_rows::<F32>(&x, 5, 2, 1, &mut last);
        assert_eq!(last, rows[10..]);
    }
}
