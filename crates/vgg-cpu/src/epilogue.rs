//! What follows a convolution's sums, or their normalisation, on vectors of channels: ReLU, 2×2 max-pool, and the bits they
//! leave in `aux` for the backward pass.
//!
//! `aux` has, for each output pixel, one mask (ReLU) or four (ReLU and pool) of a bit a channel,
//! padded to whole bytes: `[pixel][mask][⌈c / 8⌉]`.

use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use crate::simd::Simd;

/// The decisions of a 2×2 max-pool after ReLU, a bit a channel.
#[derive(Clone, Copy)]
pub(crate) struct PoolBits {
    /// In the upper row, the right one is larger. (Ties go to the left: first in row-major order.)
    upper_right: u32,
    /// In the lower row, the right one is larger.
    lower_right: u32,
    /// The lower row's winner is larger than the upper's.
    lower: u32,
    /// The maximum is positive, so that ReLU lets its gradient through.
    alive: u32,
}

impl PoolBits {
    /// The channels whose gradient passes.
    pub(crate) fn alive(self) -> u32 {
        self.alive
    }
}

/// ReLU and 2×2 max-pool of `[[upper left, upper right], [lower left, lower right]]`.
#[inline(always)]
pub(crate) fn relu_max_pool<S: Simd>(s: S, window: [[S::V; 2]; 2]) -> (S::V, PoolBits) {
    let [[upper_left, upper_right], [lower_left, lower_right]] = window;
    let upper = s.max(upper_left, upper_right);
    let lower = s.max(lower_left, lower_right);
    let zero = s.splat(0.0);
    let winner = s.max(upper, lower);
    let bits = PoolBits {
        upper_right: s.gt(upper_right, upper_left),
        lower_right: s.gt(lower_right, lower_left),
        lower: s.gt(lower, upper),
        alive: s.gt(winner, zero),
    };
    (s.max(winner, zero), bits)
}

/// The gradient of [`relu_max_pool`]'s input, given that of its output.
#[inline(always)]
pub(crate) fn relu_max_pool_gradient<S: Simd>(s: S, dy: S::V, bits: PoolBits) -> [[S::V; 2]; 2] {
    let PoolBits { upper_right, lower_right, lower, alive } = bits;
    [
        [s.keep(alive & !lower & !upper_right, dy), s.keep(alive & !lower & upper_right, dy)],
        [s.keep(alive & lower & !lower_right, dy), s.keep(alive & lower & lower_right, dy)],
    ]
}

/// Where the masks of a layer lie in `aux`.
#[derive(Clone, Copy)]
pub(crate) struct AuxLayout {
    /// Bytes of one mask of one pixel.
    mask: usize,
    /// Masks of one pixel.
    masks: usize,
}

impl AuxLayout {
    pub(crate) fn new(op: &Conv2d) -> Self {
        match op.epilogue() {
            ConvEpilogue::Bias => Self { mask: 0, masks: 0 },
            ConvEpilogue::BiasRelu => Self::relu(op.c_out()),
            ConvEpilogue::BiasReluMaxPool => Self::relu_max_pool(op.c_out()),
        }
    }

    /// After ReLU of `c` channels.
    pub(crate) fn relu(c: usize) -> Self {
        Self { mask: c.div_ceil(8), masks: 1 }
    }

    /// After ReLU and max-pool of `c` channels.
    pub(crate) fn relu_max_pool(c: usize) -> Self {
        Self { mask: c.div_ceil(8), masks: 4 }
    }

    /// Writes the ReLU mask of `n` channels from `c` on of a pixel.
    #[inline(always)]
    pub(crate) fn put_alive(self, aux: &mut [u8], pixel: usize, c: usize, n: usize, bits: u32) {
        self.put(aux, pixel, 0, c, n, bits);
    }

    /// Reads what [`AuxLayout::put_alive`] wrote.
    #[inline(always)]
    pub(crate) fn alive(self, aux: &[u8], pixel: usize, c: usize, n: usize) -> u32 {
        self.get(aux, pixel, 0, c, n)
    }

    /// Writes the pooling decisions of `n` channels from `c` on of a pixel.
    #[inline(always)]
    pub(crate) fn put_pool(self, aux: &mut [u8], pixel: usize, c: usize, n: usize, bits: PoolBits) {
        let PoolBits { upper_right, lower_right, lower, alive } = bits;
        for (mask, bits) in [upper_right, lower_right, lower, alive].into_iter().enumerate() {
            self.put(aux, pixel, mask, c, n, bits);
        }
    }

    /// Reads what [`AuxLayout::put_pool`] wrote.
    #[inline(always)]
    pub(crate) fn pool(self, aux: &[u8], pixel: usize, c: usize, n: usize) -> PoolBits {
        PoolBits {
            upper_right: self.get(aux, pixel, 0, c, n),
            lower_right: self.get(aux, pixel, 1, c, n),
            lower: self.get(aux, pixel, 2, c, n),
            alive: self.get(aux, pixel, 3, c, n),
        }
    }

    #[inline(always)]
    fn at(self, pixel: usize, mask: usize, c: usize) -> usize {
        (pixel * self.masks + mask) * self.mask + c / 8
    }

    // `n` channels are a vector's or fewer, and `c` is a multiple of a vector's: one or two bytes.
    #[inline(always)]
    fn put(self, aux: &mut [u8], pixel: usize, mask: usize, c: usize, n: usize, bits: u32) {
        let at = self.at(pixel, mask, c);
        // Both bytes in one store: taken apart, a mask would pass through memory.
        match n > 8 {
            true => aux[at..at + 2].copy_from_slice(&(bits as u16).to_le_bytes()),
            false => aux[at] = bits as u8,
        }
    }

    #[inline(always)]
    fn get(self, aux: &[u8], pixel: usize, mask: usize, c: usize, n: usize) -> u32 {
        let at = self.at(pixel, mask, c);
        let low = u32::from(aux[at]);
        if n > 8 { low | u32::from(aux[at + 1]) << 8 } else { low }
    }
}
