//! Matrix products: the one micro-kernel under every convolution and fully connected layer.

mod ahead;
mod pack;

pub(crate) use ahead::Ahead;
use ahead::Steps;
pub(crate) use pack::{pack_columns, pack_rows, packed_len};

use crate::format::{F32, Format};
use crate::simd::{Kernel, Simd};

/// Lines that are fetched at once, before a tile: more are asked for between its steps, as a processor waits
/// where it has asked for some twenty that have not come.
const AT_ONCE: usize = 8;

/// Width of a panel of B: two vectors, as wide as the register tile.
pub(crate) const fn panel_width(lanes: usize) -> usize {
    2 * lanes
}

/// A product `C = A · B`, or `C += A · B`, on plain memory.
///
/// `A` is `rows × k`, read one number at a time and broadcast: number (i, k) lies at
/// `i · a_row + k · a_k`. `B` is `k × columns` in panels of two vectors: row `k` of panel `j` is
/// contiguous at `j · b_panel + k · b_k`. `C` is written in whole vectors: row `i` of panel `j`
/// lies at `i · c_row + j · c_panel`. `columns` is a multiple of the vector length; where it is odd,
/// the last panel is one vector wide.
///
/// `k` may come in `segments` of equal length, each `a_segment` further on in A, while B's rows
/// just go on: this is how a convolution's kernel rows, or a weight in panels, are summed over
/// without a copy.
///
/// Where factors lie two in a place of memory, k counts places.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<F = F32> {
    pub(crate) factors: F,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) k: usize,
    pub(crate) segments: usize,
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_k: usize,
    pub(crate) a_segment: usize,
    pub(crate) b: *const f32,
    pub(crate) b_k: usize,
    pub(crate) b_panel: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    pub(crate) c_panel: usize,
    /// Add to what C holds instead of overwriting it.
    pub(crate) accumulate: bool,
}

impl<F: Format> Gemm<F> {
    /// Computes the product.
    ///
    /// # Safety
    /// Every number of A, B and C that the shapes and strides name lies in memory that may be read
    /// (A, B) or written (C), and C overlaps neither A nor B.
    #[inline(always)]
    pub(crate) unsafe fn compute<S: Simd>(self, s: S) {
        // SAFETY: the caller's promise.
        unsafe { self.compute_and_fetch(s, []) }
    }

    /// Computes the product and meanwhile fetches, into the second-level cache, what comes next:
    /// evenly, so that the product's own loads do not wait.
    ///
    /// # Safety
    /// As [`Gemm::compute`].
    #[inline(always)]
    pub(crate) unsafe fn compute_and_fetch<S: Simd, const N: usize>(self, s: S, ahead: [Ahead; N]) {
        debug_assert_eq!(self.columns % S::LANES, 0);
        s.vectorize(Vouched(self, ahead))
    }

    /// The register tile of `MR` rows by `NV` vectors at row `i` of panel `j`. Some of what comes next is
    /// fetched between its steps of k.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize, const N: usize>(
        &self,
        s: S,
        i: usize,
        j: usize,
        mut steps: [Steps; N],
    ) {
        let mut acc = [[s.splat(0.0); NV]; MR];
        if self.accumulate {
            // C is needed only after the sums, by when it has come from however far.
            for r in 0..MR {
                for v in 0..NV {
                    let at = (i + r) * self.c_row + j * self.c_panel + v * S::LANES;
                    s.prefetch(self.c.wrapping_add(at));
                }
            }
        }
        // SAFETY: `compute`'s caller vouches for all of A, B and C; the offsets follow the shapes.
        unsafe {
            let mut b = self.b.add(j * self.b_panel);
            for segment in 0..self.segments {
                let mut a = self.a.add(segment * self.a_segment + i * self.a_row);
                for _ in 0..self.k {
                    for steps in &mut steps {
                        steps.fetch(s);
                    }
                    let mut columns = [s.splat(0.0); NV];
                    for v in 0..NV {
                        columns[v] = s.load(b.add(v * S::LANES));
                    }
                    for r in 0..MR {
                        let row = s.load_multiplier(a, r * self.a_row);
                        for v in 0..NV {
                            acc[r][v] = self.factors.mul_add(s, row, columns[v], acc[r][v]);
                        }
                    }
                    a = a.add(self.a_k);
                    b = b.add(self.b_k);
                }
            }
            for r in 0..MR {
                let c = self.c.add((i + r) * self.c_row + j * self.c_panel);
                for v in 0..NV {
                    let c = c.add(v * S::LANES);
                    let sum = if self.accumulate { s.add(s.load(c), acc[r][v]) } else { acc[r][v] };
                    s.store(c, sum);
                }
            }
        }
    }

    /// All panels. `fetch` is called at each full tile, and says what to fetch within it.
    #[inline(always)]
    fn panels<S: Simd, const N: usize>(&self, s: S, mut fetch: impl FnMut() -> [Steps; N]) {
        let vectors = self.columns / S::LANES;
        for j in 0..vectors / 2 {
            self.panel::<S, 2, N>(s, j, &mut fetch);
        }
        if vectors % 2 == 1 {
            self.panel::<S, 1, N>(s, vectors / 2, &mut fetch);
        }
    }

    /// All rows of panel `j`: full tiles, then ever smaller ones.
    #[inline(always)]
    fn panel<S: Simd, const NV: usize, const N: usize>(
        &self,
        s: S,
        j: usize,
        mut fetch: impl FnMut() -> [Steps; N],
    ) {
        let mut i = 0;
        // `S::MR` is a constant: one branch survives.
        while self.rows - i >= S::MR {
            let steps = fetch();
            match S::MR {
                8 => self.tile::<S, 8, NV, N>(s, i, j, steps),
                6 => self.tile::<S, 6, NV, N>(s, i, j, steps),
                _ => self.tile::<S, 2, NV, N>(s, i, j, steps),
            }
            i += S::MR;
        }
        while self.rows - i >= 4 {
            self.tile::<S, 4, NV, 0>(s, i, j, []);
            i += 4;
        }
        while self.rows - i >= 2 {
            self.tile::<S, 2, NV, 0>(s, i, j, []);
            i += 2;
        }
        if i < self.rows {
            self.tile::<S, 1, NV, 0>(s, i, j, []);
        }
    }
}

/// A product whose memory [`Gemm::compute_and_fetch`]'s caller has vouched for, and what to fetch.
struct Vouched<F, const N: usize>(Gemm<F>, [Ahead; N]);

impl<F: Format, const N: usize> Kernel for Vouched<F, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(gemm, mut ahead) = self;
        let vectors = gemm.columns / S::LANES;
        let tiles = (gemm.rows / S::MR * vectors.div_ceil(2)).max(1);
        let quotas = ahead.map(|ahead| ahead.quota(tiles));
        if quotas.iter().all(|lines| *lines <= AT_ONCE) {
            gemm.panels(s, || {
                ahead.iter_mut().zip(quotas).for_each(|(ahead, lines)| ahead.fetch(s, lines));
                []
            });
        } else {
            let k = gemm.segments * gemm.k;
            gemm.panels(s, || {
                let mut quotas = quotas.into_iter();
                ahead.each_mut().map(|ahead| ahead.steps(s, quotas.next().unwrap_or(0), k))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Isa;
    use crate::format::Bf16;

    /// A product of integers, exact in `f32`, with strides that leave gaps.
    #[derive(Clone, Copy, Debug)]
    struct Case {
        rows: usize,
        vectors: usize,
        k: usize,
        segments: usize,
        accumulate: bool,
    }

    /// A number of `F`'s, of small integers, as its bits are stored in a place.
    fn place<F: Format>(numbers: [i8; 2]) -> f32 {
        match F::OF_A_PLACE {
            1 => f32::from(numbers[0]),
            _ => {
                let [first, second] = numbers.map(|x| f32::from(x).to_bits() >> 16);
                f32::from_bits(second << 16 | first)
            }
        }
    }

    /// A case with what its factors are.
    struct Of<F>(Case, F);

    impl<F: Format> Kernel for Of<F> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(case, factors) = self;
            let Case { rows, vectors, k, segments, accumulate } = case;
            let (columns, nr) = (vectors * S::LANES, panel_width(S::LANES));
            let number = |i: usize, seed: usize| ((i * seed) % 11) as i8 - 5;
            let pair = |i: usize, seed: usize| [number(i, seed), number(i + 3, seed + 1)];
            let places =
                |n: usize, seed: usize| (0..n).map(|i| place::<F>(pair(i, seed))).collect();
            let (a_row, a_segment) = (k + 3, rows * (k + 3) + 1);
            let a: Vec<f32> = places(segments * a_segment, 7);
            let (b_k, b_panel) = (nr + 1, segments * k * (nr + 1));
            let b: Vec<f32> = places(vectors.div_ceil(2) * b_panel, 5);
            let c_row = columns + 2;
            let before: Vec<f32> = (0..rows * c_row).map(|i| f32::from(number(i, 3))).collect();
            let mut c = before.clone();
            let gemm = Gemm {
                factors,
                rows,
                columns,
                k,
                segments,
                a: a.as_ptr(),
                a_row,
                a_k: 1,
                a_segment,
                b: b.as_ptr(),
                b_k,
                b_panel,
                c: c.as_mut_ptr(),
                c_row,
                c_panel: nr,
                accumulate,
            };
            // SAFETY: the vectors were made to these shapes and strides.
            unsafe { gemm.compute(s) };
            for i in 0..rows {
                for j in 0..c_row {
                    let mut expected =
                        if accumulate || j >= columns { before[i * c_row + j] } else { 0.0 };
                    for q in 0..if j < columns { segments * k } else { 0 } {
                        let a = pair(q / k * a_segment + i * a_row + q % k, 7);
                        let b = pair(j / nr * b_panel + q * b_k + j % nr, 5);
                        let products = a.into_iter().zip(b).take(F::OF_A_PLACE);
                        expected += products.map(|(a, b)| f32::from(a) * f32::from(b)).sum::<f32>();
                    }
                    assert_eq!(c[i * c_row + j], expected, "{case:?} at ({i}, {j})");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn products_are_exact_on_every_instruction_set(
            rows in 1usize..20, vectors in 1usize..6, k in 1usize..9, segments in 1usize..4,
            accumulate: bool,
        ) {
            for isa in Isa::available() {
                let case = Case { rows, vectors, k, segments, accumulate };
                isa.run(Of(case, F32));
                isa.run(Of(case, Bf16));
                isa.run_bf16(Of(case, Bf16));
            }
        }
    }
}
