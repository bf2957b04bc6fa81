//! Plain Rust, for every CPU: eight numbers at a time, which the compiler turns into whatever
//! vectors the target always has.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{Kernel, Simd};

const LANES: usize = 8;

/// No instruction set beyond the target's baseline.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    const MR: usize = 2;
    type Multiplier = Self::V;

    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: the caller vouches for `LANES` numbers; `f32` arrays need no more than its alignment.
        unsafe { p.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> Self::V {
        let mut wide = [0.0; LANES];
        // SAFETY: the caller vouches for `LANES` numbers.
        let halves = unsafe { &*p.cast::<[f16; LANES]>() };
        halves.convert_to_f32_slice(&mut wide);
        wide
    }

    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        if n == LANES {
            // SAFETY: the caller vouches for all of them.
            return unsafe { self.load(p) };
        }
        // SAFETY: the caller vouches for `n` numbers, and no others are read.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
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
        // SAFETY: the caller vouches for `LANES` numbers; `f32` arrays need no more than its alignment.
        unsafe { p.cast::<Self::V>().write(v) }
    }

    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { self.store(p, v) }
    }

    #[inline(always)]
    fn flush_streams(self) {}

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V) {
        if n == LANES {
            // SAFETY: the caller vouches for all of them.
            return unsafe { self.store(p, v) };
        }
        for i in 0..n {
            // SAFETY: the caller vouches for `n` numbers.
            unsafe { *p.add(i) = v[i] };
        }
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn prefetch_far(self, _: *const f32) {}

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }

    // Two roundings: without the instruction, `f32::mul_add` is a slow library call.
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.map(f32::sqrt)
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> u32 {
        (0..LANES).fold(0, |bits, i| bits | u32::from(a[i] > b[i]) << i)
    }

    #[inline(always)]
    fn keep(self, bits: u32, v: Self::V) -> Self::V {
        std::array::from_fn(|i| if bits >> i & 1 == 1 { v[i] } else { 0.0 })
    }
}
