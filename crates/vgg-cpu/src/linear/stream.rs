//! Products for few images, where reading the weight is all that counts: it is read once, in long
//! runs, widened in registers if it is stored as `f16`, and the images are read as they lie.

use super::K_BLOCK;
use super::weight::Number;
use crate::gemm::panel_width;
use crate::simd::{Kernel, Simd};

/// The most images that the kernel takes: more are worth packing.
pub(super) const MAX_IMAGES: usize = 4;

/// Panels that are read side by side. One image and one panel would have two sums to add to, and
/// wait for the latency of each addition.
pub(super) const SIDE_BY_SIDE: usize = 4;

/// The sums of some panels of outputs: `[panel][n][width]`. They are the same bits as those of
/// the GEMM: each is taken in blocks of k, in order.
pub(super) struct StreamedPanels<'a, T> {
    pub(super) features: usize,
    /// The inputs, `[n][features]`, of at most [`MAX_IMAGES`].
    pub(super) x: &'a [f32],
    /// Of the weight.
    pub(super) panels: &'a [T],
    pub(super) sums: &'a mut [f32],
}

impl<T: Number> Kernel for StreamedPanels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { features, x, panels, sums } = self;
        match x.len() / features {
            1 => all::<S, T, 1, SIDE_BY_SIDE>(s, x, panels, sums),
            2 => all::<S, T, 2, { SIDE_BY_SIDE / 2 }>(s, x, panels, sums),
            3 => all::<S, T, 3, 1>(s, x, panels, sums),
            n => {
                assert_eq!(n, MAX_IMAGES);
                all::<S, T, MAX_IMAGES, 1>(s, x, panels, sums)
            }
        }
    }
}

/// `N` images, and `P` panels at a time as long as there are so many.
#[inline(always)]
fn all<S: Simd, T: Number, const N: usize, const P: usize>(
    s: S,
    x: &[f32],
    panels: &[T],
    sums: &mut [f32],
) {
    let width = panel_width(S::LANES);
    let panel_len = x.len() / N * width;
    let mut sums = sums.chunks_exact_mut(P * N * width);
    let mut groups = panels.chunks_exact(P * panel_len);
    for (sums, group) in sums.by_ref().zip(groups.by_ref()) {
        side_by_side::<S, T, N, P>(s, x, group, sums);
    }
    let rest = sums.into_remainder().chunks_exact_mut(N * width);
    for (sums, panel) in rest.zip(groups.remainder().chunks_exact(panel_len)) {
        side_by_side::<S, T, N, 1>(s, x, panel, sums);
    }
}

/// `N` images and `P` panels.
#[inline(always)]
fn side_by_side<S: Simd, T: Number, const N: usize, const P: usize>(
    s: S,
    x: &[f32],
    panels: &[T],
    sums: &mut [f32],
) {
    let (width, features) = (panel_width(S::LANES), x.len() / N);
    assert_eq!(panels.len(), P * features * width);
    assert_eq!(sums.len(), P * N * width);
    let (x, panels, sums) = (x.as_ptr(), panels.as_ptr(), sums.as_mut_ptr());
    for block in (0..features).step_by(K_BLOCK) {
        let mut acc = [[[s.splat(0.0); 2]; N]; P];
        // SAFETY: k is below `features`, and the lengths were just asserted.
        unsafe {
            for k in block..features.min(block + K_BLOCK) {
                let mut images = [s.splat(0.0); N];
                for i in 0..N {
                    images[i] = s.splat(*x.add(i * features + k));
                }
                for p in 0..P {
                    for v in 0..2 {
                        let w = panels.add((p * features + k) * width + v * S::LANES);
                        let w = T::load(s, w);
                        for i in 0..N {
                            acc[p][i][v] = s.mul_add(images[i], w, acc[p][i][v]);
                        }
                    }
                }
            }
            for p in 0..P {
                for i in 0..N {
                    for v in 0..2 {
                        let sum = sums.add((p * N + i) * width + v * S::LANES);
                        let block_sum = acc[p][i][v];
                        let all = if block > 0 { s.add(s.load(sum), block_sum) } else { block_sum };
                        s.store(sum, all);
                    }
                }
            }
        }
    }
}
