//! What products are of.

use crate::Isa;
use crate::simd::{Kernel, Simd};

/// The numbers that products are of, as they are stored and multiplied. Sums are `f32` always.
pub(crate) trait Factors: Copy + Default + Send + Sync {
    /// Numbers in a place, which is 32 bits: neighbours along k.
    const OF_A_PLACE: usize;

    /// Runs a kernel in which they are stored or multiplied.
    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output;

    /// The vector of numbers that lie one after another in the places from `p` on.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    unsafe fn load<S: Simd>(self, s: S, p: *const f32) -> S::V;

    /// Stores a vector as numbers one after another in the places from `p` on.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `p`.
    unsafe fn store<S: Simd>(self, s: S, p: *mut f32, v: S::V);

    /// `c` and the products of a place in each lane with those in `a`.
    fn mul_add<S: Simd>(self, s: S, a: S::Multiplier, b: S::V, c: S::V) -> S::V;
}

/// Numbers as they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct F32;

/// Numbers rounded to `bf16`, two in a place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bf16;

impl Factors for F32 {
    const OF_A_PLACE: usize = 1;

    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
        isa.run(kernel)
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load(p) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(self, s: S, p: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(p, v) }
    }

    #[inline(always)]
    fn mul_add<S: Simd>(self, s: S, a: S::Multiplier, b: S::V, c: S::V) -> S::V {
        s.mul_add_by(a, b, c)
    }
}

impl Factors for Bf16 {
    const OF_A_PLACE: usize = 2;

    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
        isa.run_bf16(kernel)
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16(p.cast()) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(self, s: S, p: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_bf16(p.cast(), v) }
    }

    #[inline(always)]
    fn mul_add<S: Simd>(self, s: S, a: S::Multiplier, b: S::V, c: S::V) -> S::V {
        s.dot(s.all_lanes(a), b, c)
    }
}
