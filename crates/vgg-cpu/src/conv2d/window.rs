//! The rows that a kernel slides over, with their padding.

use vgg_tensor::Shape;
use vgg_tensor::spec::Conv2d;

use crate::format::Format;

/// A kernel sliding over padded rows of an image.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The image: one of a batch.
    pub(super) image: Shape,
    pub(super) kernel: usize,
    padding: usize,
    /// Rows, and columns, from one place of the kernel to the next.
    pub(super) stride: usize,
}

impl Window {
    /// Over x, to get y.
    pub(super) fn forward(op: &Conv2d) -> Self {
        Self { image: op.x(), kernel: op.kernel(), padding: op.padding(), stride: op.stride() }
    }

    /// Over the sums' gradient, to get dx. With a stride, the gradients of the sums that it skips
    /// are zeros, and the window slides over them, too.
    pub(super) fn input_gradient(op: &Conv2d) -> Self {
        let padding = op.kernel() - 1 - op.padding();
        let unstrided = |side| side + 2 * op.padding() + 1 - op.kernel();
        let (x, sums) = (op.x(), op.conv_y());
        let image = Shape { h: unstrided(x.h), w: unstrided(x.w), ..sums };
        Self { image, kernel: op.kernel(), padding, stride: 1 }
    }

    /// Numbers in a padded row. It is as long as an even number of outputs needs, so that they can be
    /// taken two at a time.
    pub(super) fn row_len(&self) -> usize {
        let padded = self.image.w + 2 * self.padding;
        let outputs = (padded - self.kernel) / self.stride + 1;
        let reached = (outputs.next_multiple_of(2) - 1) * self.stride + self.kernel;
        reached.max(padded) * self.image.c
    }

    /// Products of an output number under one kernel row.
    pub(super) fn row_k(&self) -> usize {
        self.kernel * self.image.c
    }

    /// Numbers in the padded rows under `rows` rows of output.
    pub(super) fn padded_len(&self, rows: usize) -> usize {
        self.padded_rows(rows) * self.row_len()
    }

    /// Padded rows under `rows` rows of output.
    fn padded_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + self.kernel
    }

    /// Copies the rows of the image under output rows `first .. first + rows`, with their padding.
    pub(super) fn pad_rows<F: Format>(
        &self,
        image: &[F::Number],
        first: usize,
        rows: usize,
        padded: &mut [f32],
    ) {
        let (h, w, c) = (self.image.h, self.image.w, self.image.c);
        let margin = self.padding * c;
        let padded = padded.chunks_exact_mut(self.row_len()).take(self.padded_rows(rows));
        for (i, out) in padded.enumerate() {
            // Row `first · stride + i` of the padded image.
            match (first * self.stride + i).checked_sub(self.padding).filter(|row| *row < h) {
                Some(row) => {
                    out[..margin].fill(0.0);
                    F::widen_all(&image[row * w * c..][..w * c], &mut out[margin..][..w * c]);
                    out[margin + w * c..].fill(0.0);
                }
                None => out.fill(0.0),
            }
        }
    }
}
