//! Fetching memory while a product keeps the arithmetic busy and the memory idle.

use crate::buffer;
use crate::simd::Simd;

/// Bytes of a cache line.
const LINE: usize = buffer::LINE * size_of::<f32>();

/// Contiguous memory that will be read or written soon.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Only an address: nothing is read through it.
    next: usize,
    lines: usize,
}

impl Ahead {
    pub(crate) fn new<T>(memory: &[T]) -> Self {
        Self::at(memory.as_ptr(), memory.len())
    }

    /// `len` numbers from `start` on.
    #[inline(always)]
    pub(crate) fn at<T>(start: *const T, len: usize) -> Self {
        Self { next: start.addr(), lines: (len * size_of::<T>()).div_ceil(LINE) }
    }

    /// The `i`-th of `n` equal shares.
    #[inline(always)]
    pub(crate) fn share(self, i: usize, n: usize) -> Self {
        let (start, end) = (self.lines * i / n, self.lines * (i + 1) / n);
        Self { next: self.next + start * LINE, lines: end - start }
    }

    /// How many lines to fetch at a time to be done after `times`.
    #[inline(always)]
    pub(crate) fn quota(self, times: usize) -> usize {
        (self.lines as u32).div_ceil(times as u32) as usize
    }

    /// Asks for the next `lines` lines.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd>(&mut self, s: S, lines: usize) {
        let lines = lines.min(self.lines);
        for line in 0..lines {
            s.prefetch_far(std::ptr::without_provenance(self.next + line * LINE));
        }
        self.next += lines * LINE;
        self.lines -= lines;
    }

    /// The next `lines` lines, to be asked for in so many steps: those that are more than the steps at once.
    #[inline(always)]
    pub(crate) fn steps<S: Simd>(&mut self, s: S, lines: usize, steps: usize) -> Steps {
        let lines = lines.min(self.lines);
        self.fetch(s, lines.saturating_sub(steps));
        let spread = lines.min(steps);
        let of_steps = Steps { next: self.next, stride: (spread * LINE) as u32 / steps as u32 };
        self.next += spread * LINE;
        self.lines -= spread;
        of_steps
    }
}

/// Memory that is asked for in steps, at most a line in each.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    next: usize,
    stride: u32,
}

impl Steps {
    /// Asks for what is next.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd>(&mut self, s: S) {
        s.prefetch_far(std::ptr::without_provenance(self.next));
        self.next += self.stride as usize;
    }
}
