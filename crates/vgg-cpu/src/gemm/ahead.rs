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
        // Rounded up: no line is left out, and some of what comes after them may be asked for.
        let stride = ((spread * LINE) as u32).div_ceil(steps as u32);
        let of_steps = Steps { next: self.next, stride };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::simd::Kernel;

    /// So many lines, asked for in so many steps.
    struct Asked(usize, usize);

    impl Kernel for Asked {
        type Output = (usize, Vec<usize>);

        /// The lines that are asked for at once, and those of the steps.
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let Self(lines, steps) = self;
            let mut ahead = Ahead { next: 0, lines };
            let mut of_steps = ahead.steps(s, lines, steps);
            assert_eq!((ahead.next, ahead.lines), (lines * LINE, 0));
            let mut line = || {
                let line = of_steps.next / LINE;
                of_steps.fetch(s);
                line
            };
            (lines.saturating_sub(steps), (0..steps).map(|_| line()).collect())
        }
    }

    #[test]
    fn steps_leave_no_line_out() {
        for (lines, steps) in [(1, 1), (9, 100), (11, 256), (64, 128), (16, 16), (70, 64), (0, 5)] {
            for isa in Isa::available() {
                let (at_once, mut of_steps) = isa.run(Asked(lines, steps));
                of_steps.dedup();
                of_steps.retain(|line| *line < lines);
                assert_eq!(of_steps, (at_once..lines).collect::<Vec<_>>(), "{lines}, {steps}");
            }
        }
    }
}
