//! Copies of matrices in the order in which the micro-kernel reads them: in places along k.

use bytemuck::Zeroable as _;

use crate::format::Format;

/// Places in a packed matrix of `long × short` in panels of `width` along `long`; `short`, which is k, is
/// counted in places.
pub(crate) const fn packed_len(long: usize, short: usize, width: usize) -> usize {
    long.div_ceil(width) * width * short
}

/// Packs panels `first..` of a matrix whose *rows* are contiguous into `[panel][places of k][width]`, where
/// the panels run along the columns: `x` is `[k][columns]`.
///
/// Fills `out` with as many whole panels as fit; columns beyond the last are zero, and so are rows.
pub(crate) fn pack_columns<F: Format>(
    x: &[F::Number],
    columns: usize,
    width: usize,
    first: usize,
    out: &mut [f32],
) {
    let k = x.len() / columns;
    for (p, panel) in out.chunks_exact_mut(F::places(k) * width).enumerate() {
        let start = (first + p) * width;
        let count = columns.saturating_sub(start).min(width);
        let rows = x.chunks(F::OF_A_PLACE * columns);
        for (rows, out) in rows.zip(panel.chunks_exact_mut(width)) {
            let (inside, beyond) = out.split_at_mut(count);
            let (row, next) = rows.split_at(columns);
            let row = &row[start..start + count];
            match next.get(start..start + count) {
                Some(next) => {
                    let numbers = row.iter().zip(next);
                    inside.iter_mut().zip(numbers).for_each(|(x, (a, b))| *x = F::place(*a, *b));
                }
                None => {
                    let zero = F::Number::zeroed();
                    inside.iter_mut().zip(row).for_each(|(x, a)| *x = F::place(*a, zero));
                }
            }
            beyond.fill(0.0);
        }
    }
}

/// Packs panels `first..` of a matrix whose *rows* are contiguous into `[panel][places of k][width]`, where
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
    for (p, panel) in out.chunks_exact_mut(F::places(k) * width).enumerate() {
        let start = (first + p) * width;
        let count = rows.saturating_sub(start).min(width);
        for (b, block) in panel.chunks_mut(BLOCK * width).enumerate() {
            for r in 0..width {
                let places = block.iter_mut().skip(r).step_by(width);
                if r >= count {
                    places.for_each(|out| *out = 0.0);
                    continue;
                }
                let row = &x[(start + r) * k..][..k][b * BLOCK * F::OF_A_PLACE..];
                for (out, numbers) in places.zip(row.chunks(F::OF_A_PLACE)) {
                    let next = numbers.get(1).copied().unwrap_or(F::Number::zeroed());
                    *out = F::place(numbers[0], next);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Bf16, F32};

    /// A 3 × 5 matrix of the numbers from 1 on.
    fn numbers<F: Format>() -> Vec<F::Number> {
        (1..=15).map(|i| F::round(i as f32)).collect()
    }

    /// Factors `k` and so on of column `j` of the packed panels.
    fn factor<F: Format>(packed: &[f32], k_len: usize, width: usize, k: usize, j: usize) -> f32 {
        let at = j / width * F::places(k_len) * width + k / F::OF_A_PLACE * width + j % width;
        F::widen(bytemuck::cast_slice(&packed[at..at + 1])[k % F::OF_A_PLACE])
    }

    fn check<F: Format>() {
        let x = numbers::<F>();
        let number = |i: usize, j: usize| (i * 5 + j + 1) as f32;
        let even = |k: usize| F::places(k) * F::OF_A_PLACE;
        let mut columns = vec![-1.0; packed_len(5, F::places(3), 4)];
        pack_columns::<F>(&x, 5, 4, 0, &mut columns);
        for k in 0..even(3) {
            for j in 0..8 {
                let expected = if k < 3 && j < 5 { number(k, j) } else { 0.0 };
                assert_eq!(factor::<F>(&columns, 3, 4, k, j), expected);
            }
        }
        let mut rows = vec![-1.0; packed_len(3, F::places(5), 2)];
        pack_rows::<F>(&x, 5, 2, 0, &mut rows);
        for k in 0..even(5) {
            for i in 0..4 {
                let expected = if k < 5 && i < 3 { number(i, k) } else { 0.0 };
                assert_eq!(factor::<F>(&rows, 5, 2, k, i), expected);
            }
        }
        let mut last = vec![-1.0; rows.len() / 2];
        pack_rows::<F>(&x, 5, 2, 1, &mut last);
        assert_eq!(last, rows[rows.len() / 2..]);
    }

    #[test]
    fn panels_are_transposed_and_padded() {
        check::<F32>();
        check::<Bf16>();
    }
}
