//! NEON, the vectors that every 64-bit ARM processor has.
//!
//! A vector here is two registers, eight lanes as with AVX2: so layouts, tiles and the order of every
//! sum are AVX2's, and so are the results' bits.
//!
//! `intrinsic!` is sound here because a value of [`Neon`] is only made by `detect`, after asking the
//! CPU, so that its instructions may be used wherever `self` is at hand.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use half::f16;

use super::{Kernel, Simd};

/// NEON: thirty-two registers of four lanes, which make sixteen vectors.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof that the CPU has NEON.
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

const LANES: usize = 8;

/// The bit of each lane.
const BITS: [u32; LANES] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Wraps intrinsics whose instructions the `self` at hand vouches for.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: see the head of the file; pointers are the caller's promise.
        unsafe { $call }
    };
}

/// An operation on each of the two registers.
macro_rules! both {
    ($operation:ident, $($vector:expr),+) => {
        intrinsic!([$operation($($vector[0]),+), $operation($($vector[1]),+)])
    };
}

impl Simd for Neon {
    type V = [float32x4_t; 2];
    const LANES: usize = LANES;
    // 6 × 2 accumulators, two vectors of B and two numbers of A fill 30 of 32 registers.
    const MR: usize = 6;
    // A lane of a register.
    type Multiplier = float32x4_t;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn enabled<K: Kernel>(s: Neon, kernel: K) -> K::Output {
            kernel.run(s)
        }
        intrinsic!(enabled(self, kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        intrinsic!([vdupq_n_f32(x); 2])
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        intrinsic!([vld1q_f32(p), vld1q_f32(p.add(4))])
    }

    // Their conversion is part of NEON; Rust's name for it came later than the compiler that we ask for.
    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> Self::V {
        intrinsic!({
            let halves = vld1q_u16(p.cast());
            let (low, high): (float32x4_t, float32x4_t);
            asm!(
                "fcvtl2 {high:v}.4s, {halves:v}.8h",
                "fcvtl {low:v}.4s, {halves:v}.4h",
                halves = in(vreg) halves,
                high = out(vreg) high,
                low = lateout(vreg) low,
                options(pure, nomem, nostack, preserves_flags),
            );
            [low, high]
        })
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        if n == LANES {
            return intrinsic!(self.load(p));
        }
        let lanes: [f32; LANES] =
            std::array::from_fn(|i| if i < n { intrinsic!(*p.add(i)) } else { 0.0 });
        intrinsic!(self.load(lanes.as_ptr()))
    }

    // `ldr`, and not the load that fills all lanes, for which many processors take an arithmetic unit:
    // products are by a lane. An index spares the loop an addition for each row.
    #[inline(always)]
    unsafe fn load_multiplier(self, p: *const f32, i: usize) -> float32x4_t {
        intrinsic!({
            let number: float32x4_t;
            asm!(
                "ldr {number:s}, [{p}, {i}, lsl #2]",
                p = in(reg) p,
                i = in(reg) i,
                number = lateout(vreg) number,
                options(pure, readonly, nostack, preserves_flags),
            );
            number
        })
    }

    #[inline(always)]
    fn all_lanes(self, number: float32x4_t) -> Self::V {
        intrinsic!([vdupq_laneq_f32::<0>(number); 2])
    }

    #[inline(always)]
    fn mul_add_by(self, a: float32x4_t, b: Self::V, c: Self::V) -> Self::V {
        intrinsic!([vfmaq_laneq_f32::<0>(c[0], b[0], a), vfmaq_laneq_f32::<0>(c[1], b[1], a)])
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        intrinsic!({
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
        })
    }

    // ARM has only a hint that numbers will not be read soon; its caches see by themselves that whole
    // lines are written.
    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        intrinsic!(self.store(p, v))
    }

    #[inline(always)]
    fn flush_streams(self) {}

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V) {
        if n == LANES {
            return intrinsic!(self.store(p, v));
        }
        let mut lanes = [0.0; LANES];
        intrinsic!({
            self.store(lanes.as_mut_ptr(), v);
            for i in 0..n {
                *p.add(i) = lanes[i];
            }
        })
    }

    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        intrinsic!(asm!(
            "prfm pldl1keep, [{p}]",
            p = in(reg) p,
            options(readonly, nostack, preserves_flags),
        ))
    }

    #[inline(always)]
    fn prefetch_far(self, p: *const f32) {
        intrinsic!(asm!(
            "prfm pldl2keep, [{p}]",
            p = in(reg) p,
            options(readonly, nostack, preserves_flags),
        ))
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        both!(vaddq_f32, a, b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        both!(vsubq_f32, a, b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        both!(vmulq_f32, a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        both!(vfmaq_f32, c, a, b)
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        both!(vdivq_f32, a, b)
    }

    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        both!(vsqrtq_f32, a)
    }

    // Not `fmax`, which gives a NaN for any NaN and +0 for both zeros: as x86's instruction, the second
    // operand unless the first is larger.
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        let larger = both!(vcgtq_f32, a, b);
        both!(vbslq_f32, larger, a, b)
    }

    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> u32 {
        let larger = both!(vcgtq_f32, a, b);
        let bits = both!(vandq_u32, larger, lane_bits());
        intrinsic!(vaddvq_u32(vorrq_u32(bits[0], bits[1])))
    }

    #[inline(always)]
    fn keep(self, bits: u32, v: Self::V) -> Self::V {
        let all = intrinsic!([vdupq_n_u32(bits); 2]);
        let kept = both!(vtstq_u32, all, lane_bits());
        let v = both!(vreinterpretq_u32_f32, v);
        let v = both!(vandq_u32, v, kept);
        both!(vreinterpretq_f32_u32, v)
    }
}

/// [`BITS`] as vectors.
#[inline(always)]
fn lane_bits() -> [uint32x4_t; 2] {
    // SAFETY: there are eight numbers, and loads are part of every target with this file.
    unsafe { [vld1q_u32(BITS.as_ptr()), vld1q_u32(BITS[4..].as_ptr())] }
}
