//! Counter-based random numbers: Philox4x32-10.
//!
//! A random number is a pure function of *which* number it is, not of how many were drawn before.
//! So no generator state is stored in a checkpoint, any number of threads draw the same numbers,
//! and a CPU and a GPU draw the same dropout mask.
//!
//! Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;

/// The four random words of one counter value under one key.
#[inline]
pub const fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < 10 {
        let product_0 = MULTIPLIER_0 as u64 * c0 as u64;
        let product_1 = MULTIPLIER_1 as u64 * c2 as u64;
        (c0, c1, c2, c3) = (
            (product_1 >> 32) as u32 ^ c1 ^ k0,
            product_1 as u32,
            (product_0 >> 32) as u32 ^ c3 ^ k1,
            product_0 as u32,
        );
        k0 = k0.wrapping_add(WEYL_0);
        k1 = k1.wrapping_add(WEYL_1);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// A named sequence of random numbers: element `i` of stream `stream` at step `step` under `seed`.
///
/// Element `i` is word `i mod 4` of the counter `[i / 4, stream, step low, step high]` under the
/// key `[seed low, seed high]`. A sequence has 2³⁴ elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// Who draws: each layer and each use of randomness has a number of its own.
    pub stream: u32,
    /// When: the training step, the epoch, or zero.
    pub step: u64,
}

impl Draw {
    /// The words of elements `4 · block .. 4 · block + 4`.
    #[inline]
    pub const fn block(&self, block: u32) -> [u32; 4] {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        philox4x32_10([block, self.stream, self.step as u32, (self.step >> 32) as u32], key)
    }

    /// Element `index`, as 32 random bits.
    #[inline]
    pub const fn bits(&self, index: u64) -> u32 {
        self.block((index / 4) as u32)[(index % 4) as usize]
    }

    /// Element `index`, uniform in [0, 1): a multiple of 2⁻²⁴.
    #[inline]
    pub const fn uniform(&self, index: u64) -> f32 {
        Self::uniform_from(self.bits(index))
    }

    /// The uniform number in [0, 1) that 32 random bits stand for: their upper 24 bits.
    #[inline]
    pub const fn uniform_from(bits: u32) -> f32 {
        (bits >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Element `index` of a standard normal sequence (Box–Muller; uses elements `2 · index` and
    /// `2 · index + 1` of this sequence).
    pub fn normal(&self, index: u64) -> f32 {
        // Both elements are of one block.
        let (words, at) = (self.block((index / 2) as u32), 2 * (index % 2) as usize);
        let [u, v] = [words[at], words[at + 1]].map(Self::uniform_from).map(f64::from);
        // 1 − u lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * f64::ln(1.0 - u)).sqrt();
        let angle = std::f64::consts::TAU * v;
        (radius * angle.cos()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors of the authors' Random123 distribution.
    #[test]
    fn known_answers() {
        let check = |counter, key, expected| assert_eq!(philox4x32_10(counter, key), expected);
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let draw = Draw { seed: 7, stream: 1, step: 2 };
        let moments = |sample: &dyn Fn(u64) -> f32| {
            let n = 100_000;
            let values: Vec<f64> = (0..n).map(|i| f64::from(sample(i))).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            (mean, variance)
        };
        let (mean, variance) = moments(&|i| draw.uniform(i));
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002);
        let (mean, variance) = moments(&|i| draw.normal(i));
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02);
    }

    #[test]
    fn seed_stream_step_and_index_all_matter() {
        let draw = Draw { seed: 1, stream: 2, step: 3 };
        let others = [
            Draw { seed: 1 << 32 | 1, ..draw },
            Draw { stream: 3, ..draw },
            Draw { step: 1 << 32 | 3, ..draw },
        ];
        for other in others {
            assert_ne!(draw.block(0), other.block(0));
        }
        assert_ne!(draw.bits(0), draw.bits(4));
    }
}
