//! How a batch's images are split for the backward pass.

use std::ops::Range;

use crate::buffer::LINE;

/// A fixed split of the batch into pieces of whole images. Each piece sums the weight's gradient
/// over its own images; the shares are then added in the order of the pieces. The split depends on
/// the spec alone, so the result does not depend on the threads.
#[derive(Clone, Copy)]
pub(super) struct Pieces {
    images: usize,
    count: usize,
    /// Numbers from one piece's share to the next's: whole cache lines.
    pub(super) partial_len: usize,
}

/// One piece: its images, their part of `dx`, and its share of the sums.
pub(super) struct PieceOutput<'a> {
    pub(super) images: Range<usize>,
    pub(super) dx: Option<&'a mut [f32]>,
    pub(super) partial: &'a mut [f32],
}

impl Pieces {
    /// Pieces of a batch of `images` whose shares have `partial_len` numbers, each a sum over
    /// `terms` products an image.
    pub(super) fn new(images: usize, terms: usize, partial_len: usize) -> Self {
        // More pieces keep more threads busy, but every share is memory to write and to add up:
        // that must be little beside the products.
        const SHARES: usize = 12 << 20; // numbers, in all shares
        const TERMS: usize = 128;
        const MOST: usize = 32;
        let partial_len = partial_len.next_multiple_of(LINE);
        let worth = (SHARES / partial_len).min(images * terms / TERMS);
        let count = worth.clamp(2, MOST).min(images);
        // A power of two goes evenly into the usual batches and numbers of cores.
        let count = 1 << count.ilog2();
        Self { images, count, partial_len }
    }

    /// All images in one piece.
    pub(super) fn one(images: usize, partial_len: usize) -> Self {
        Self { images, count: 1, partial_len: partial_len.next_multiple_of(LINE) }
    }

    /// Numbers in all shares.
    pub(super) fn len(&self) -> usize {
        self.count * self.partial_len
    }

    /// The pieces with what each of them writes; an image's gradient has `features` numbers.
    pub(super) fn with_images<'a>(
        &self,
        mut dx: Option<&'a mut [f32]>,
        features: usize,
        partials: &'a mut [f32],
    ) -> Vec<PieceOutput<'a>> {
        let bound = |piece: usize| piece * self.images / self.count;
        let piece = |(i, partial): (usize, &'a mut [f32])| {
            let images = bound(i)..bound(i + 1);
            let len = images.len() * features;
            let dx = dx.as_mut().map(|dx| dx.split_off_mut(..len).expect("pieces partition dx"));
            PieceOutput { images, dx, partial }
        };
        partials.chunks_exact_mut(self.partial_len).enumerate().map(piece).collect()
    }

    /// Adds up the numbers from `first` on of all shares, in their order.
    pub(super) fn sum_into(&self, partials: &[f32], first: usize, out: &mut [f32]) {
        out.fill(0.0);
        for partial in partials.chunks_exact(self.partial_len) {
            let share = &partial[first..first + out.len()];
            out.iter_mut().zip(share).for_each(|(sum, x)| *sum += x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::AlignedVec;

    #[test]
    fn pieces_partition_the_batch() {
        for (images, partial_len) in [(128, 100), (1, 100), (96, 9 << 20), (5, 1 << 22), (3, 7)] {
            let pieces = Pieces::new(images, 16, partial_len);
            let mut memory = AlignedVec::default();
            memory.reserve(AlignedVec::len_of([pieces.len()])).unwrap();
            let [partials] = memory.split([pieces.len()]);
            let mut dx = vec![0.0; images * 2];
            let outputs = pieces.with_images(Some(&mut dx), 2, partials);
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
