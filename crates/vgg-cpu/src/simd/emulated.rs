//! Operations on `bf16` for processors that have no instructions for them: slowly, and to the bit as those
//! with them compute them.

use std::array::from_fn;

use half::bf16;

use super::{MAX_LANES, Simd};

/// See [`Simd::load_bf16`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(s: S, p: *const bf16) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { load_first(s, p, S::LANES) }
}

/// See [`Simd::load_first_bf16`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn load_first<S: Simd>(s: S, p: *const bf16, n: usize) -> S::V {
    // SAFETY: the caller vouches for `n` numbers, and no others are read.
    vector(s, |i| if i < n { unsafe { pair(bf16::ZERO, *p.add(i)) } } else { 0.0 })
}

/// See [`Simd::store_bf16`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(s: S, p: *mut bf16, v: S::V) {
    // SAFETY: the caller's promise.
    unsafe { store_first(s, p, S::LANES, v) }
}

/// See [`Simd::store_first_bf16`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn store_first<S: Simd>(s: S, p: *mut bf16, n: usize, v: S::V) {
    let numbers = lanes(s, v);
    for i in 0..S::LANES {
        if i < n {
            // SAFETY: the caller vouches for `n` numbers.
            unsafe { *p.add(i) = rounded(numbers[i]) };
        }
    }
}

/// See [`Simd::pairs`].
#[inline(always)]
pub(super) fn pairs<S: Simd>(s: S, first: S::V, second: S::V) -> S::V {
    let [first, second] = [first, second].map(|v| lanes(s, v));
    vector(s, |i| pair(rounded(first[i]), rounded(second[i])))
}

/// See [`Simd::load_pairs`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn load_pairs<S: Simd>(s: S, first: *const bf16, second: *const bf16) -> S::V {
    // SAFETY: the caller vouches for `LANES` numbers at both.
    vector(s, |i| unsafe { pair(*first.add(i), *second.add(i)) })
}

/// See [`Simd::dot`].
#[inline(always)]
pub(super) fn dot<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
    let [a, b, c] = [a, b, c].map(|v| lanes(s, v));
    vector(s, |i| {
        let [[a0, a1], [b0, b1]] = [a[i], b[i]].map(halves);
        let upper = flushed(a1.mul_add(b1, flushed(c[i])));
        flushed(a0.mul_add(b0, upper))
    })
}

/// The lanes of a vector.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::V) -> [f32; MAX_LANES] {
    let mut lanes = [0.0; MAX_LANES];
    // SAFETY: there is room for the widest vector.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    lanes
}

/// The vector of what `lane` says of each.
#[inline(always)]
fn vector<S: Simd>(s: S, lane: impl Fn(usize) -> f32) -> S::V {
    let lanes: [f32; MAX_LANES] = from_fn(|i| if i < S::LANES { lane(i) } else { 0.0 });
    // SAFETY: there is room for the widest vector.
    unsafe { s.load(lanes.as_ptr()) }
}

/// Two numbers in the place of one.
fn pair(first: bf16, second: bf16) -> f32 {
    f32::from_bits(u32::from(second.to_bits()) << 16 | u32::from(first.to_bits()))
}

fn halves(pair: f32) -> [f32; 2] {
    let bits = pair.to_bits();
    [bits << 16, bits & 0xffff_0000].map(|bits| flushed(f32::from_bits(bits)))
}

/// A number as [`Simd::store_bf16`] rounds it.
pub(crate) fn rounded(x: f32) -> bf16 {
    bf16::from_f32(flushed(x))
}

/// Zero, of the same sign, for what is subnormal.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}
