//! AVX2 with FMA and F16C, and AVX-512.
//!
//! SAFETY, for the whole file: a value of [`Avx2`] or [`Avx512`] is only made by `detect`, after
//! asking the CPU, so that their instructions may be used wherever `self` is at hand.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, Simd, emulated};

/// AVX2, FMA and F16C, which came to CPUs together: eight lanes, sixteen registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// AVX-512 F, and with `BF16` the extension of that name: sixteen lanes, thirty-two registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool = false>(());

impl Avx2 {
    /// The proof that the CPU has AVX2, FMA and F16C.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        all.then_some(Self(()))
    }
}

impl Avx512 {
    /// The proof that the CPU has AVX-512 F, and AVX2, FMA and F16C besides.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && Avx2::detect().is_some()).then_some(Self(()))
    }

    /// The proof that the CPU has AVX-512 BF16, too, and BW.
    pub(crate) fn with_bf16(self) -> Option<Avx512<true>> {
        let both = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
        both.then_some(Avx512(()))
    }
}

/// Wraps intrinsics whose instructions the `self` at hand vouches for.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: see the head of the file; pointers are the caller's promise.
        unsafe { $call }
    };
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    // 6 × 2 accumulators, two vectors of B and one of A fill 15 of 16 registers.
    const MR: usize = 6;
    type Multiplier = Self::V;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<K: Kernel>(s: Avx2, kernel: K) -> K::Output {
            kernel.run(s)
        }
        intrinsic!(enabled(self, kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        intrinsic!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        intrinsic!(_mm256_loadu_ps(p))
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> Self::V {
        intrinsic!(_mm256_cvtph_ps(_mm_loadu_si128(p.cast())))
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        if n == Self::LANES {
            return intrinsic!(self.load(p));
        }
        intrinsic!(_mm256_maskload_ps(p, avx2_lanes((1 << n) - 1)))
    }

    #[inline(always)]
    unsafe fn load_multiplier(self, p: *const f32, i: usize) -> Self::V {
        // SAFETY: the caller's promise.
        self.splat(unsafe { *p.add(i) })
    }

    #[inline(always)]
    fn all_lanes(self, number: Self::V) -> Self::V {
        number
    }

    #[inline(always)]
    fn mul_add_by(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add(a, b, c)
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        intrinsic!(_mm256_storeu_ps(p, v))
    }

    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        intrinsic!(_mm256_stream_ps(p, v))
    }

    #[inline(always)]
    fn flush_streams(self) {
        intrinsic!(_mm_sfence())
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V) {
        // Mostly it is all lanes, and on some CPUs a store under a mask takes many times as long.
        if n == Self::LANES {
            return intrinsic!(self.store(p, v));
        }
        intrinsic!(_mm256_maskstore_ps(p, avx2_lanes((1 << n) - 1), v))
    }

    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }

    #[inline(always)]
    fn prefetch_far(self, p: *const f32) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(p.cast()))
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        intrinsic!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        intrinsic!(_mm256_sqrt_ps(a))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> u32 {
        intrinsic!(_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))) as u32
    }

    #[inline(always)]
    fn keep(self, bits: u32, v: Self::V) -> Self::V {
        intrinsic!(_mm256_and_ps(v, _mm256_castsi256_ps(avx2_lanes(bits))))
    }
}

/// All ones in the lanes whose bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn avx2_lanes(bits: u32) -> __m256i {
    let lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits as i32), lane), lane)
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;
    const LANES: usize = 16;
    // 8 × 2 accumulators hide the latency, and eight rows divide every layer's channels.
    const MR: usize = 8;
    type Multiplier = Self::V;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx2,fma,f16c")]
        fn enabled<K: Kernel, S: Simd>(s: S, kernel: K) -> K::Output {
            kernel.run(s)
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma,f16c")]
        fn enabled_with_bf16<K: Kernel, S: Simd>(s: S, kernel: K) -> K::Output {
            kernel.run(s)
        }
        if BF16 {
            intrinsic!(enabled_with_bf16(self, kernel))
        } else {
            intrinsic!(enabled(self, kernel))
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        intrinsic!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        intrinsic!(_mm512_loadu_ps(p))
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> Self::V {
        intrinsic!(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())))
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        if n == Self::LANES {
            return intrinsic!(self.load(p));
        }
        intrinsic!(_mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, p))
    }

    #[inline(always)]
    unsafe fn load_multiplier(self, p: *const f32, i: usize) -> Self::V {
        // SAFETY: the caller's promise.
        self.splat(unsafe { *p.add(i) })
    }

    #[inline(always)]
    fn all_lanes(self, number: Self::V) -> Self::V {
        number
    }

    #[inline(always)]
    fn mul_add_by(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add(a, b, c)
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        intrinsic!(_mm512_storeu_ps(p, v))
    }

    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        intrinsic!(_mm512_stream_ps(p, v))
    }

    #[inline(always)]
    fn flush_streams(self) {
        intrinsic!(_mm_sfence())
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V) {
        if n == Self::LANES {
            return intrinsic!(self.store(p, v));
        }
        intrinsic!(_mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, v))
    }

    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }

    #[inline(always)]
    fn prefetch_far(self, p: *const f32) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(p.cast()))
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        intrinsic!(_mm512_sqrt_ps(a))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        intrinsic!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> u32 {
        u32::from(intrinsic!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)))
    }

    #[inline(always)]
    fn keep(self, bits: u32, v: Self::V) -> Self::V {
        intrinsic!(_mm512_maskz_mov_ps(bits as u16, v))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> Self::V {
        intrinsic!(avx512_widen_all(p))
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut bf16, v: Self::V) {
        if BF16 {
            intrinsic!(avx512_store_rounded(p, Self::LANES, v))
        } else {
            intrinsic!(emulated::store(self, p, v))
        }
    }

    #[inline(always)]
    unsafe fn load_first_bf16(self, p: *const bf16, n: usize) -> Self::V {
        if BF16 {
            intrinsic!(avx512_widen(p, n))
        } else {
            intrinsic!(emulated::load_first(self, p, n))
        }
    }

    #[inline(always)]
    unsafe fn store_first_bf16(self, p: *mut bf16, n: usize, v: Self::V) {
        if BF16 {
            intrinsic!(avx512_store_rounded(p, n, v))
        } else {
            intrinsic!(emulated::store_first(self, p, n, v))
        }
    }

    #[inline(always)]
    fn pairs(self, first: Self::V, second: Self::V) -> Self::V {
        if BF16 {
            intrinsic!(avx512_pairs(
                _mm512_cvtepu16_epi32(avx512_round(first)),
                _mm512_cvtepu16_epi32(avx512_round(second)),
            ))
        } else {
            emulated::pairs(self, first, second)
        }
    }

    #[inline(always)]
    unsafe fn load_pairs(self, first: *const bf16, second: *const bf16) -> Self::V {
        intrinsic!(avx512_pairs(avx512_halves(first), avx512_halves(second)))
    }

    #[inline(always)]
    fn dot(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        if BF16 { intrinsic!(avx512_dot(a, b, c)) } else { emulated::dot(self, a, b, c) }
    }
}

/// The numbers at `p` in the lower halves of lanes.
///
/// # Safety
/// Sixteen numbers can be read at `p`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn avx512_halves(p: *const bf16) -> __m512i {
    // SAFETY: the caller's promise.
    _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(p.cast()) })
}

// One function each for what a closure calls many times: it has no instruction set enabled, so that the
// compiler counts calls in it, and leaves it a function of its own if they are many.

/// The sixteen numbers at `p`, widened.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn avx512_widen_all(p: *const bf16) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(unsafe { avx512_halves(p) }))
}

/// The first `n` numbers at `p`, widened.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn avx512_widen(p: *const bf16, n: usize) -> __m512 {
    // SAFETY: the caller's promise; what the mask leaves out is not read.
    unsafe {
        if n == 16 {
            return avx512_widen_all(p);
        }
        let numbers = _mm512_maskz_loadu_epi16((1u32 << n) - 1, p.cast());
        let wide = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(numbers));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
    }
}

/// Stores the first `n` lanes at `p`, rounded.
///
/// # Safety
/// They can be written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn avx512_store_rounded(p: *mut bf16, n: usize, v: __m512) {
    let numbers = avx512_round(v);
    // SAFETY: the caller's promise; what the mask leaves out is not written.
    unsafe {
        if n == 16 {
            _mm256_storeu_si256(p.cast(), numbers);
        } else {
            let numbers = _mm512_castsi256_si512(numbers);
            _mm512_mask_storeu_epi16(p.cast(), (1u32 << n) - 1, numbers);
        }
    }
}

/// The lower halves of both, the second's in the upper ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn avx512_pairs(first: __m512i, second: __m512i) -> __m512 {
    _mm512_castsi512_ps(_mm512_or_si512(first, _mm512_slli_epi32::<16>(second)))
}

/// Rounded to `bf16`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn avx512_round(v: __m512) -> __m256i {
    // SAFETY: both are sixteen numbers of 16 bits.
    unsafe { std::mem::transmute(_mm512_cvtneps_pbh(v)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn avx512_dot(a: __m512, b: __m512, c: __m512) -> __m512 {
    // SAFETY: both are 512 bits.
    let [a, b]: [__m512bh; 2] = unsafe { std::mem::transmute([a, b]) };
    _mm512_dpbf16_ps(c, a, b)
}
