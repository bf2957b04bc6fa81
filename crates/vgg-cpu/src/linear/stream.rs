//! Products for few images, where reading the weight is all that counts: it is read once, in long
//! runs, widened in registers if it is stored as `f16`, and the images are read as they lie.

use super::K_BLOCK;
use super::weight::Row;
use crate::format::Format;
use crate::gemm::panel_width;
use crate::simd::{Kernel, Simd};

/// The most images that the kernel takes: more are worth packing.
pub(super) const MAX_IMAGES: usize = 4;

/// Panels that are read side by side. One image and one panel would have two sums to add to, and
/// wait for the latency of each addition.
pub(super) const SIDE_BY_SIDE: usize = 4;

/// The sums of some panels of outputs: `[panel][n][width]`. They are the same bits as those of
/// the GEMM: each is taken in blocks of k, in order.
pub(super) struct StreamedPanels<'a, F, T> {
    /// What the products are of.
    pub(super) factors: F,
    pub(super) features: usize,
    /// The inputs, `[n][places of features]`, of at most [`MAX_IMAGES`].
    pub(super) x: &'a [f32],
    /// Of the weight.
    pub(super) panels: &'a [T],
    pub(super) sums: &'a mut [f32],
}

impl<F: Format, T: Row<F>> Kernel for StreamedPanels<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.x.len() / F::places(self.features) {
            1 => self.all::<S, 1, SIDE_BY_SIDE>(s),
            2 => self.all::<S, 2, { SIDE_BY_SIDE / 2 }>(s),
            3 => self.all::<S, 3, 1>(s),
            n => {
                assert_eq!(n, MAX_IMAGES);
                self.all::<S, MAX_IMAGES, 1>(s);
            }
        }
    }
}

impl<F: Format, T: Row<F>> StreamedPanels<'_, F, T> {
    /// Of `N` images, `P` panels at a time as long as there are so many.
    #[inline(always)]
    fn all<S: Simd, const N: usize, const P: usize>(self, s: S) {
        let Self { factors, features, x, panels, sums } = self;
        let width = panel_width(S::LANES);
        let panel_len = T::count(features) * width;
        let mut sums = sums.chunks_exact_mut(P * N * width);
        let mut groups = panels.chunks_exact(P * panel_len);
        for (sums, panels) in sums.by_ref().zip(groups.by_ref()) {
            Self { factors, features, x, panels, sums }.side_by_side::<S, N, P>(s);
        }
        let rest = sums.into_remainder().chunks_exact_mut(N * width);
        for (sums, panels) in rest.zip(groups.remainder().chunks_exact(panel_len)) {
            Self { factors, features, x, panels, sums }.side_by_side::<S, N, 1>(s);
        }
    }

    /// Of `N` images and `P` panels.
    #[inline(always)]
    fn side_by_side<S: Simd, const N: usize, const P: usize>(self, s: S) {
        let Self { factors, features, x, panels, sums } = self;
        let (width, places) = (panel_width(S::LANES), F::places(features));
        assert_eq!(x.len(), N * places);
        let panel_len = T::count(features) * width;
        assert_eq!(panels.len(), P * panel_len);
        assert_eq!(sums.len(), P * N * width);
        let (x, panels, sums) = (x.as_ptr(), panels.as_ptr(), sums.as_mut_ptr());
        for block in (0..features).step_by(K_BLOCK) {
            let mut acc = [[[s.splat(0.0); 2]; N]; P];
            // SAFETY: k is below `features`, and the lengths were just asserted.
            unsafe {
                for k in (block..features.min(block + K_BLOCK)).step_by(F::OF_A_PLACE) {
                    for p in 0..P {
                        for v in 0..2 {
                            let panel = panels.add(p * panel_len + v * S::LANES);
                            let w = T::place(s, panel, width, features, k);
                            for i in 0..N {
                                let x = s.load_multiplier(x, i * places + k / F::OF_A_PLACE);
                                acc[p][i][v] = factors.mul_add(s, x, w, acc[p][i][v]);
                            }
                        }
                    }
                }
                for p in 0..P {
                    for i in 0..N {
                        for v in 0..2 {
                            let sum = sums.add((p * N + i) * width + v * S::LANES);
                            let of_block = acc[p][i][v];
                            let all =
                                if block > 0 { s.add(s.load(sum), of_block) } else { of_block };
                            s.store(sum, all);
                        }
                    }
                }
            }
        }
    }
}
