//! What numbers are stored as.

use bytemuck::Pod;
use half::bf16;

use crate::Isa;
use crate::simd::{self, Kernel, Simd};

/// What activations and their gradients are stored as, and what the factors of products are. Sums are `f32`
/// always, and so is all other arithmetic.
pub(crate) trait Format: Copy + Default + Send + Sync + 'static {
    /// A number as it is stored.
    type Number: Pod + Send + Sync;

    /// Factors in a place, which is 32 bits: neighbours along k.
    const OF_A_PLACE: usize = size_of::<f32>() / size_of::<Self::Number>();

    /// The place of a factor and, if it has room for two, the next one.
    fn place(first: Self::Number, next: Self::Number) -> f32;

    /// The places of a vector of factors and, if they have room for two, of the next ones along k.
    fn places_of<S: Simd>(s: S, first: S::V, next: S::V) -> S::V;

    /// Places of `k` factors.
    #[inline(always)]
    fn places(k: usize) -> usize {
        k.div_ceil(Self::OF_A_PLACE)
    }

    /// Runs a kernel in which such numbers are stored or multiplied.
    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output;

    /// A number widened.
    fn widen(number: Self::Number) -> f32;

    /// A number as it is stored: rounded as a vector's would be.
    fn round(x: f32) -> Self::Number;

    /// A number as it is stored that has been rounded before.
    fn narrow(x: f32) -> Self::Number;

    /// The vector of numbers at `p`.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self::Number) -> S::V;

    /// The first `n` lanes from `p`, the others zero; `n` is at most `LANES`.
    ///
    /// # Safety
    /// `n` numbers can be read at `p`.
    unsafe fn load_first<S: Simd>(s: S, p: *const Self::Number, n: usize) -> S::V;

    /// Stores a vector at `p`.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `p`.
    unsafe fn store<S: Simd>(s: S, p: *mut Self::Number, v: S::V);

    /// Stores the first `n` lanes at `p`; `n` is at most `LANES`.
    ///
    /// # Safety
    /// `n` numbers can be written at `p`.
    unsafe fn store_first<S: Simd>(s: S, p: *mut Self::Number, n: usize, v: S::V);

    /// `c` and the products of a place in each lane with those in `a`.
    fn mul_add<S: Simd>(self, s: S, a: S::Multiplier, b: S::V, c: S::V) -> S::V;

    /// Widens all of `numbers`.
    #[inline(always)]
    fn widen_all(numbers: &[Self::Number], out: &mut [f32]) {
        assert_eq!(numbers.len(), out.len());
        out.iter_mut().zip(numbers).for_each(|(out, number)| *out = Self::widen(*number));
    }

    /// Rounds all of `numbers`.
    #[inline(always)]
    fn round_all<S: Simd>(s: S, numbers: &[f32], out: &mut [Self::Number]) {
        assert_eq!(numbers.len(), out.len());
        for i in (0..numbers.len()).step_by(S::LANES) {
            let n = S::LANES.min(numbers.len() - i);
            // SAFETY: `n` numbers are left from `i` on in both.
            unsafe {
                let v = s.load_first(numbers.as_ptr().add(i), n);
                Self::store_first(s, out.as_mut_ptr().add(i), n, v);
            }
        }
    }
}

/// Numbers as they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct F32;

/// Numbers rounded to `bf16`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bf16;

impl Format for F32 {
    type Number = f32;

    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
        isa.run(kernel)
    }

    #[inline(always)]
    fn place(first: f32, _: f32) -> f32 {
        first
    }

    #[inline(always)]
    fn places_of<S: Simd>(_: S, first: S::V, _: S::V) -> S::V {
        first
    }

    #[inline(always)]
    fn widen(number: f32) -> f32 {
        number
    }

    #[inline(always)]
    fn round(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn narrow(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load(p) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Simd>(s: S, p: *const f32, n: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_first(p, n) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, p: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(p, v) }
    }

    #[inline(always)]
    unsafe fn store_first<S: Simd>(s: S, p: *mut f32, n: usize, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_first(p, n, v) }
    }

    #[inline(always)]
    fn mul_add<S: Simd>(self, s: S, a: S::Multiplier, b: S::V, c: S::V) -> S::V {
        s.mul_add_by(a, b, c)
    }
}

impl Format for Bf16 {
    type Number = bf16;

    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
        isa.run_bf16(kernel)
    }

    #[inline(always)]
    fn place(first: bf16, next: bf16) -> f32 {
        f32::from_bits(u32::from(next.to_bits()) << 16 | u32::from(first.to_bits()))
    }

    #[inline(always)]
    fn places_of<S: Simd>(s: S, first: S::V, next: S::V) -> S::V {
        s.pairs(first, next)
    }

    #[inline(always)]
    fn widen(number: bf16) -> f32 {
        f32::from_bits(u32::from(number.to_bits()) << 16)
    }

    #[inline(always)]
    fn round(x: f32) -> bf16 {
        simd::rounded(x)
    }

    #[inline(always)]
    fn narrow(x: f32) -> bf16 {
        bf16::from_bits((x.to_bits() >> 16) as u16)
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const bf16) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16(p) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Simd>(s: S, p: *const bf16, n: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_first_bf16(p, n) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, p: *mut bf16, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_bf16(p, v) }
    }

    #[inline(always)]
    unsafe fn store_first<S: Simd>(s: S, p: *mut bf16, n: usize, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_first_bf16(p, n, v) }
    }

    #[inline(always)]
    fn mul_add<S: Simd>(self, s: S, a: S::Multiplier, b: S::V, c: S::V) -> S::V {
        s.dot(s.all_lanes(a), b, c)
    }
}
