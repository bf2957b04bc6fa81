//! Strips: a few rows of a batch's output each.

use std::ops::Range;

use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use crate::format::Format;

/// The batch's output as strips of a few rows of sums each, counted through all images. With
/// channels innermost, what consecutive strips write is contiguous.
#[derive(Clone, Copy)]
pub(super) struct Strips {
    /// Rows of sums in a strip; an image's last strip may have fewer.
    pub(super) rows: usize,
    /// Strips of an image.
    pub(super) per_image: usize,
    /// Strips of the batch.
    pub(super) count: usize,
    y_rows: usize,
    y_width: usize,
    y_channels: usize,
    rows_per_y_row: usize,
    /// Bytes of `aux` for an output pixel.
    aux_pixel: usize,
}

/// Consecutive strips and what they write.
pub(super) struct StripOutput<'a, F: Format> {
    pub(super) strips: Range<usize>,
    pub(super) y: &'a mut [F::Number],
    /// Empty if no `aux` is wanted.
    pub(super) aux: &'a mut [u8],
}

impl Strips {
    /// Strips of `rows` rows of sums, an even number.
    pub(super) fn new(op: &Conv2d, rows: usize) -> Self {
        let (sums, y) = (op.conv_y(), op.y());
        let pooled = op.epilogue() == ConvEpilogue::BiasReluMaxPool;
        let per_image = sums.h.div_ceil(rows);
        Self {
            rows,
            per_image,
            count: sums.n * per_image,
            y_rows: y.h,
            y_width: y.w,
            y_channels: y.c,
            aux_pixel: op.aux_bytes() / (y.n * y.h * y.w),
            rows_per_y_row: if pooled { 2 } else { 1 },
        }
    }

    /// The image of a strip, and the strip's first row of sums in it.
    #[inline(always)]
    pub(super) fn locate(&self, strip: usize) -> (usize, usize) {
        (strip / self.per_image, strip % self.per_image * self.rows)
    }

    /// Output pixels before a strip.
    #[inline(always)]
    pub(super) fn y_pixels_before(&self, strip: usize) -> usize {
        let (image, row) = self.locate(strip);
        (image * self.y_rows + (row / self.rows_per_y_row).min(self.y_rows)) * self.y_width
    }

    /// What all strips write.
    pub(super) fn output<'a, F: Format>(
        &self,
        y: &'a mut [F::Number],
        aux: &'a mut [u8],
    ) -> StripOutput<'a, F> {
        StripOutput { strips: 0..self.count, y, aux }
    }

    /// Splits an output into those of `strips` strips each (the last one may have fewer).
    pub(super) fn split<'a, F: Format>(
        &self,
        output: StripOutput<'a, F>,
        strips: usize,
    ) -> Vec<StripOutput<'a, F>> {
        let StripOutput { strips: Range { start, end }, mut y, mut aux } = output;
        let aux_pixel = if aux.is_empty() { 0 } else { self.aux_pixel };
        let output = |start: usize| {
            let strips = start..(start + strips).min(end);
            let pixels = self.y_pixels_before(strips.end) - self.y_pixels_before(strips.start);
            let y = y.split_off_mut(..pixels * self.y_channels).expect("strips partition y");
            let aux = aux.split_off_mut(..pixels * aux_pixel).expect("strips partition aux");
            StripOutput { strips, y, aux }
        };
        (start..end).step_by(strips).map(output).collect()
    }
}

#[cfg(test)]
mod tests {
    use vgg_tensor::Shape;

    use super::*;
    use crate::format::F32;

    #[test]
    fn strips_partition_the_output() {
        for (h, epilogue) in [(9, ConvEpilogue::BiasReluMaxPool), (9, ConvEpilogue::BiasRelu)] {
            let op = Conv2d::new(Shape::new(3, 2, h, 6), 5, 3, 1, epilogue).unwrap();
            let strips = Strips::new(&op, 4);
            assert_eq!((strips.per_image, strips.count), (3, 9));
            let (mut y, mut aux) = (vec![0.0; op.y().len()], vec![0; op.aux_bytes()]);
            let outputs = strips.split(strips.output::<F32>(&mut y, &mut aux), 2);
            assert_eq!(outputs.iter().map(|s| s.strips.len()).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
            let outputs =
                outputs.into_iter().flat_map(|output| strips.split(output, 1)).collect::<Vec<_>>();
            assert_eq!(outputs.len(), strips.count);
            assert_eq!(outputs.iter().map(|s| s.y.len()).sum::<usize>(), op.y().len());
            assert_eq!(outputs.iter().map(|s| s.aux.len()).sum::<usize>(), op.aux_bytes());
        }
    }
}
