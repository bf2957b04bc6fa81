//! One vector register of `f32`, whatever the instruction set.
//!
//! A kernel is written once, against [`Simd`], and compiled once for each instruction set: it
//! implements [`Kernel`], and [`Simd::vectorize`] (or [`crate::Isa`], from outside) runs it inside a
//! function that has the instruction set's features enabled. For that to reach the kernel's body,
//! [`Kernel::run`] and all that it calls must be `#[inline(always)]`.

mod emulated;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::{bf16, f16};

pub(crate) use emulated::rounded;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// A computation that is generic over the instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// Runs it. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// An instruction set's vectors. A value can only be had where the CPU has the instructions, so
/// holding one is the proof that they may be used.
pub(crate) trait Simd: Copy + Send + Sync {
    /// A vector: a register, or several that are used as one.
    type V: Copy;
    /// Numbers in a vector: at most [`MAX_LANES`].
    const LANES: usize;
    /// Rows of the GEMM's register tile, which is two vectors wide.
    const MR: usize;
    /// A number that all lanes of vectors are multiplied by, as the instructions take it.
    type Multiplier: Copy;

    /// Runs `kernel` with the instruction set enabled, in a function of its own.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;

    /// The vector at `p`.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// The vector of halves at `p`, widened, those that are subnormal as a half, too.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    unsafe fn load_f16(self, p: *const f16) -> Self::V;

    /// The first `n` lanes from `p`, the others zero; `n` is at most `LANES`.
    ///
    /// # Safety
    /// `n` numbers can be read at `p`.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V;

    /// The number `i` places from `p`.
    ///
    /// # Safety
    /// It can be read.
    unsafe fn load_multiplier(self, p: *const f32, i: usize) -> Self::Multiplier;

    /// All lanes that number.
    fn all_lanes(self, number: Self::Multiplier) -> Self::V;

    /// [`Simd::mul_add`] of all lanes `a`, to the same bits.
    fn mul_add_by(self, a: Self::Multiplier, b: Self::V, c: Self::V) -> Self::V;

    /// Stores a vector at `p`.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `p`.
    unsafe fn store(self, p: *mut f32, v: Self::V);

    /// Stores a vector at `p`, past the caches if the instruction set can.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `p`, which is a multiple of the vector's size. Before
    /// another thread may read them, this one calls [`Simd::flush_streams`].
    unsafe fn stream(self, p: *mut f32, v: Self::V);

    /// Orders all [`Simd::stream`]s so far before all that follows.
    fn flush_streams(self);

    /// Stores the first `n` lanes at `p`; `n` is at most `LANES`.
    ///
    /// # Safety
    /// `n` numbers can be written at `p`.
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V);

    /// Asks for the cache line at `p`, soon to be used. Any address will do.
    fn prefetch(self, p: *const f32);
    /// Asks for the cache line at `p` in the second-level cache, to be used later.
    fn prefetch_far(self, p: *const f32);

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the CPU has such an instruction.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The larger of each pair.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// A bit for each lane, lowest first: `a > b`.
    fn gt(self, a: Self::V, b: Self::V) -> u32;
    /// The lanes whose bit is set; zero in the others.
    fn keep(self, bits: u32, v: Self::V) -> Self::V;

    /// The vector of `bf16` at `p`, widened.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `p`.
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { emulated::load(self, p) }
    }

    /// Stores a vector at `p` as `bf16`, rounded to the nearest, ties to even; what is subnormal becomes
    /// zero.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `p`.
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut bf16, v: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { emulated::store(self, p, v) }
    }

    /// The first `n` lanes from `p`, the others zero; `n` is at most `LANES`.
    ///
    /// # Safety
    /// `n` numbers can be read at `p`.
    #[inline(always)]
    unsafe fn load_first_bf16(self, p: *const bf16, n: usize) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { emulated::load_first(self, p, n) }
    }

    /// Stores the first `n` lanes at `p`, rounded as by [`Simd::store_bf16`]; `n` is at most `LANES`.
    ///
    /// # Safety
    /// `n` numbers can be written at `p`.
    #[inline(always)]
    unsafe fn store_first_bf16(self, p: *mut bf16, n: usize, v: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { emulated::store_first(self, p, n, v) }
    }

    /// Two numbers in each lane, as `bf16` that are rounded so: of `first` in the lower half, of `second`
    /// in the upper half.
    #[inline(always)]
    fn pairs(self, first: Self::V, second: Self::V) -> Self::V {
        emulated::pairs(self, first, second)
    }

    /// Two numbers in each lane: of the `bf16` at `first` in the lower half, at `second` in the upper half.
    ///
    /// # Safety
    /// `LANES` numbers can be read at both.
    #[inline(always)]
    unsafe fn load_pairs(self, first: *const bf16, second: *const bf16) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { emulated::load_pairs(self, first, second) }
    }

    /// `c + a₁ · b₁ + a₀ · b₀` of the pairs in each lane, the upper halves first, rounded after each of the
    /// two sums; what is subnormal counts as zero. x86's `VDPBF16PS`.
    #[inline(always)]
    fn dot(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        emulated::dot(self, a, b, c)
    }
}

/// The widest vector of any instruction set.
pub(crate) const MAX_LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// Every operation on numbers that show a swapped operand or lane.
    struct AllOperations;

    impl Kernel for AllOperations {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let numbers: Vec<f32> = (0..64).map(|i| ((i * 37) % 64) as f32 - 31.5).collect();
            let (a, b, c) = (&numbers[1..], &numbers[20..], &numbers[40..]);
            let lanes = |v: S::V| {
                let mut out = [0.0; MAX_LANES];
                // SAFETY: `out` has room for the widest vector.
                unsafe { s.store(out.as_mut_ptr(), v) };
                out[..S::LANES].to_vec()
            };
            let expect = |f: &dyn Fn(usize) -> f32| (0..S::LANES).map(f).collect::<Vec<_>>();
            // SAFETY: each slice has at least `MAX_LANES` numbers left.
            let [va, vb, vc] = [a, b, c].map(|x| unsafe { s.load(x.as_ptr()) });
            assert_eq!(lanes(va), a[..S::LANES]);
            assert_eq!(lanes(s.splat(2.5)), vec![2.5; S::LANES]);
            let halves: Vec<f16> = a.iter().map(|x| f16::from_f32(x * 1e-6)).collect();
            // SAFETY: there are as many as in `a`.
            let widened = lanes(unsafe { s.load_f16(halves.as_ptr()) });
            assert_eq!(widened, expect(&|i| halves[i].to_f32()));
            assert_eq!(lanes(s.add(va, vb)), expect(&|i| a[i] + b[i]));
            assert_eq!(lanes(s.sub(va, vb)), expect(&|i| a[i] - b[i]));
            assert_eq!(lanes(s.mul(va, vb)), expect(&|i| a[i] * b[i]));
            assert_eq!(lanes(s.mul_add(va, vb, vc)), expect(&|i| a[i] * b[i] + c[i]));
            for i in 0..3 {
                // SAFETY: there are more numbers.
                let number = unsafe { s.load_multiplier(b.as_ptr(), i) };
                assert_eq!(lanes(s.all_lanes(number)), vec![b[i]; S::LANES]);
                let products = s.mul_add_by(number, va, vc);
                assert_eq!(lanes(products), lanes(s.mul_add(s.splat(b[i]), va, vc)));
            }
            assert_eq!(lanes(s.div(va, vb)), expect(&|i| a[i] / b[i]));
            assert_eq!(lanes(s.sqrt(s.mul(va, va))), expect(&|i| (a[i] * a[i]).sqrt()));
            assert_eq!(lanes(s.max(va, vb)), expect(&|i| a[i].max(b[i])));
            let bits = s.gt(va, vb);
            assert_eq!(bits, (0..S::LANES).map(|i| u32::from(a[i] > b[i]) << i).sum::<u32>());
            assert_eq!(s.gt(va, va), 0);
            let kept = |i: usize| if bits >> i & 1 == 1 { c[i] } else { 0.0 };
            assert_eq!(lanes(s.keep(bits, vc)), expect(&kept));
            #[repr(align(64))]
            struct Line([f32; MAX_LANES]);
            let mut line = Line([9.0; MAX_LANES]);
            // SAFETY: the line has room for the widest vector and is aligned for it.
            unsafe { s.stream(line.0.as_mut_ptr(), va) };
            s.flush_streams();
            assert_eq!(line.0[..S::LANES], a[..S::LANES]);
            for n in 0..=S::LANES {
                // SAFETY: as above, and `out` has room for the widest vector.
                let (first, out) = unsafe {
                    let mut out = [9.0; MAX_LANES];
                    s.store_first(out.as_mut_ptr(), n, va);
                    (s.load_first(a.as_ptr(), n), out)
                };
                assert_eq!(lanes(first), expect(&|i| if i < n { a[i] } else { 0.0 }));
                assert!((0..MAX_LANES).all(|i| out[i] == if i < n { a[i] } else { 9.0 }));
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        for isa in Isa::available() {
            isa.run(AllOperations);
        }
    }

    /// The operations on `bf16`, on some bits and others like them.
    struct Bf16Operations([[u32; MAX_LANES]; 3]);

    impl Kernel for Bf16Operations {
        type Output = [Vec<u32>; 6];

        /// What each operation makes of the lanes.
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            // SAFETY: arrays of the widest vector's length.
            let [a, b, c] = self.0.each_ref().map(|bits| unsafe { s.load(bits.as_ptr().cast()) });
            let lanes = |v: S::V| {
                let mut out = [0f32; MAX_LANES];
                // SAFETY: as above.
                unsafe { s.store(out.as_mut_ptr(), v) };
                out[..S::LANES].iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let mut stored = [bf16::ZERO; MAX_LANES];
            let halves = self.0.map(|bits| bits.map(|bits| bf16::from_bits(bits as u16)));
            // SAFETY: as above.
            let (widened, both) = unsafe {
                s.store_bf16(stored.as_mut_ptr(), a);
                let [first, second, _] = halves.each_ref().map(|halves| halves.as_ptr());
                (s.load_bf16(first), s.load_pairs(first, second))
            };
            let stored = stored[..S::LANES].iter().map(|x| u32::from(x.to_bits())).collect();
            let dot = lanes(s.dot(a, b, c));
            // Which NaN it is, is the processor's.
            let nan = |bits: u32| f32::from_bits(bits).is_nan();
            let dot = dot.into_iter().map(|bits| if nan(bits) { u32::MAX } else { bits }).collect();
            let upper = lanes(s.pairs(c, b));
            [stored, lanes(widened), lanes(s.pairs(a, b)), lanes(both), dot, upper]
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        /// As the portable code has it, whose operations say what is meant.
        #[test]
        fn bf16_is_the_same_with_instructions_for_it_and_without(
            bits: [[u32; MAX_LANES]; 3], exponents in 100u32..150, near: bool,
        ) {
            // Numbers like each other, whose sums round, or any: infinite, subnormal and no numbers, too.
            let near_ones = |bits: u32, i: usize| {
                let exponent = |shift: usize| (exponents + (bits >> shift) % 8) << 7;
                let half = |shift: usize| ((bits >> shift) & 0x807f) | exponent(shift);
                if i < 2 { half(16) << 16 | half(0) } else { bits & 0x807f_ffff | exponent(3) << 16 }
            };
            let mut numbers = bits;
            if near {
                for (i, bits) in numbers.iter_mut().enumerate() {
                    *bits = bits.map(|bits| near_ones(bits, i));
                }
            }
            let expected = Isa::available()[0].run(Bf16Operations(numbers));
            for isa in Isa::available() {
                for found in [isa.run(Bf16Operations(numbers)), isa.run_bf16(Bf16Operations(numbers))] {
                    for (found, expected) in found.iter().zip(&expected) {
                        let lanes = found.len().min(expected.len());
                        proptest::prop_assert_eq!(&found[..lanes], &expected[..lanes], "{}", isa);
                    }
                }
            }
        }
    }

    #[test]
    fn bf16_is_rounded_as_it_should() {
        for (x, rounded) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0), // ties, to even
            (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0),
            (1.0 + 1.1 / 256.0, 1.0 + 1.0 / 128.0),
            (f32::MIN_POSITIVE / 2.0, 0.0),
            (3.4e38, f32::INFINITY),
        ] {
            let mut bits = [[0; MAX_LANES]; 3];
            bits[0][0] = f32::to_bits(x);
            for isa in Isa::available() {
                let [stored, ..] = isa.run_bf16(Bf16Operations(bits));
                assert_eq!(f32::from_bits(stored[0] << 16), rounded, "{x}");
            }
        }
    }
}
