//! Fetching memory while the products keep the arithmetic busy and the memory idle.

use crate::buffer;
use crate::simd::Simd;

/// Bytes of a cache line.
const LINE: usize = buffer::LINE * size_of::<f32>();

/// Contiguous memory that will be read or written after the products.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    /// Only an address: nothing is read through it.
    start: usize,
    lines: usize,
}

impl Ahead {
    pub(super) fn new<T>(memory: &[T]) -> Self {
        Self { start: memory.as_ptr().addr(), lines: size_of_val(memory).div_ceil(LINE) }
    }

    /// Asks for the `i`-th of `n` equal shares.
    #[inline(always)]
    pub(super) fn fetch<S: Simd>(self, s: S, i: usize, n: usize) {
        for line in self.lines * i / n..self.lines * (i + 1) / n {
            s.prefetch_far(std::ptr::without_provenance(self.start + line * LINE));
        }
    }
}
