//! Which instruction set the kernels use: chosen at run time, never at compile time.

use std::fmt;

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Scalar, Simd};

/// An instruction set that this CPU has.
///
/// Values come from [`Isa::best`] and [`Isa::available`] only, so holding one is the proof.
#[derive(Clone, Copy)]
pub struct Isa(Set);

#[derive(Clone, Copy)]
enum Set {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Isa {
    /// The instruction sets of this CPU, slowest first: always at least the portable code.
    pub fn available() -> Vec<Isa> {
        let portable = Set::Scalar(Scalar);
        #[cfg(target_arch = "x86_64")]
        let faster = [Avx2::detect().map(Set::Avx2), Avx512::detect().map(Set::Avx512)];
        #[cfg(target_arch = "aarch64")]
        let faster = [Neon::detect().map(Set::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let faster: [Option<Set>; 0] = [];
        [Some(portable)].into_iter().chain(faster).flatten().map(Isa).collect()
    }

    /// The fastest instruction set of this CPU.
    pub fn best() -> Isa {
        *Self::available().last().expect("the portable code is always there")
    }

    /// Runs a kernel compiled for this instruction set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Scalar(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(s) => s.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(s) => s.vectorize(kernel),
        }
    }

    /// Runs a kernel of operations on `bf16`, with instructions for them where the CPU has some.
    pub(crate) fn run_bf16<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(s) if let Some(s) = s.with_bf16() => s.vectorize(kernel),
            _ => self.run(kernel),
        }
    }

    /// Whether the CPU has instructions for [`crate::Precision::Bf16`].
    pub fn has_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(s) => s.with_bf16().is_some(),
            _ => false,
        }
    }

    /// Whether this is the code for every CPU, of whose registers nothing is known.
    pub(crate) fn is_portable(self) -> bool {
        matches!(self.0, Set::Scalar(_))
    }

    /// Numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        self.run(TileSize).0
    }

    /// Rows of the GEMM's register tile.
    pub(crate) fn mr(self) -> usize {
        self.run(TileSize).1
    }
}

/// Vector length and rows of the register tile.
struct TileSize;

impl Kernel for TileSize {
    type Output = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        (S::LANES, S::MR)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Scalar(_) => "portable code",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "AVX2+FMA",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => "NEON",
        })
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
