//! Memory that jobs write at the same time, each in its own places.

use std::marker::PhantomData;
use std::ops::Range;

/// Numbers, mostly `f32`, that jobs running at the same time read and write through pointers.
///
/// Whoever does so says, in a SAFETY comment, why no other job writes those places meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    len: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a pointer with a length; using the pointer is what has to be vouched for.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(memory: &'a mut [T]) -> Self {
        Self { start: memory.as_mut_ptr(), len: memory.len(), memory: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// The place of number `i`, inside if `i` is below the length.
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> *mut T {
        self.start.wrapping_add(i)
    }

    /// Some of the numbers.
    ///
    /// # Safety
    /// While the slice lives, nobody else uses these numbers.
    ///
    /// # Panics
    /// If they do not lie inside.
    #[inline(always)]
    pub(crate) unsafe fn slice(self, numbers: Range<usize>) -> &'a mut [T] {
        assert!(numbers.start <= numbers.end && numbers.end <= self.len);
        // SAFETY: they lie inside; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at(numbers.start), numbers.len()) }
    }
}
