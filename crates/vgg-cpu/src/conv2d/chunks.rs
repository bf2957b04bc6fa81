//! Chunks: how a batch's images are split for the backward pass.

use std::ops::Range;

use crate::buffer::LINE;
use crate::format::Format;

/// A fixed split of the batch into chunks of whole images. Each chunk sums the weight's gradient
/// over its own images; these sums are then added in the order of the chunks. The split depends on
/// the spec alone, so the result does not depend on the threads.
#[derive(Clone, Copy)]
pub(super) struct Chunks {
    images: usize,
    pub(super) count: usize,
    /// Numbers from one chunk's sums to the next's: whole cache lines.
    pub(super) partial_len: usize,
}

/// One chunk: its images, their `dx`, and its own sums.
pub(super) struct Chunk<'a, F: Format> {
    pub(super) images: Range<usize>,
    pub(super) dx: Option<&'a mut [F::Number]>,
    pub(super) partial: &'a mut [f32],
}

impl Chunks {
    /// Chunks of a batch of `images` whose sums are `partial_len` numbers, each over
    /// `terms` products an image.
    pub(super) fn new(images: usize, terms: usize, partial_len: usize) -> Self {
        // More chunks keep more threads busy, but all their sums are memory to write and to add up:
        // that must be little beside the products.
        const SUMS: usize = 12 << 20; // numbers, of all chunks
        const TERMS: usize = 128;
        const MOST: usize = 32;
        let partial_len = partial_len.next_multiple_of(LINE);
        let worth = (SUMS / partial_len).min(images * terms / TERMS);
        let count = worth.clamp(2, MOST).min(images);
        // A power of two goes evenly into the usual batches and numbers of cores.
        let count = 1 << count.ilog2();
        Self { images, count, partial_len }
    }

    /// All images in one chunk.
    pub(super) fn one(images: usize, partial_len: usize) -> Self {
        Self { images, count: 1, partial_len: partial_len.next_multiple_of(LINE) }
    }

    /// Numbers in all chunks' sums.
    pub(super) fn len(&self) -> usize {
        self.count * self.partial_len
    }

    /// The chunks with what each of them writes; an image's gradient has `features` numbers.
    pub(super) fn with_images<'a, F: Format>(
        &self,
        mut dx: Option<&'a mut [F::Number]>,
        features: usize,
        partials: &'a mut [f32],
    ) -> Vec<Chunk<'a, F>> {
        let bound = |chunk: usize| chunk * self.images / self.count;
        let chunk = |(i, partial): (usize, &'a mut [f32])| {
            let images = bound(i)..bound(i + 1);
            let len = images.len() * features;
            let dx = dx.as_mut().map(|dx| dx.split_off_mut(..len).expect("chunks partition dx"));
            Chunk { images, dx, partial }
        };
        partials.chunks_exact_mut(self.partial_len).enumerate().map(chunk).collect()
    }

    /// Adds up the numbers from `first` on of all chunks' sums, in their order.
    pub(super) fn sum_into(&self, partials: &[f32], first: usize, out: &mut [f32]) {
        out.fill(0.0);
        for partial in partials.chunks_exact(self.partial_len) {
            let partial = &partial[first..first + out.len()];
            out.iter_mut().zip(partial).for_each(|(sum, x)| *sum += x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::AlignedVec;
    use crate::format::F32;

    #[test]
    fn chunks_partition_the_batch() {
        for (images, partial_len) in [(128, 100), (1, 100), (96, 9 << 20), (5, 1 << 22), (3, 7)] {
            let chunks = Chunks::new(images, 16, partial_len);
            let mut memory = AlignedVec::default();
            memory.reserve(AlignedVec::len_of([chunks.len()])).unwrap();
            let [partials] = memory.split([chunks.len()]);
            let mut dx = vec![0.0; images * 2];
            let outputs = chunks.with_images::<F32>(Some(&mut dx), 2, partials);
            let mut next = 0;
            for output in outputs {
                assert_eq!(output.images.start, next);
                assert_eq!(output.dx.unwrap().len(), output.images.len() * 2);
                assert!(!output.images.is_empty() && output.partial.len() >= partial_len);
                next = output.images.end;
            }
            assert_eq!(next, images);
        }
    }
}
