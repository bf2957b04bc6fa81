//! The rows that a kernel slides over, with their padding.

use vgg_tensor::Shape;
use vgg_tensor::spec::Conv2d;

/// A kernel sliding over padded rows of an image.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The image: one of a batch.
    pub(super) image: Shape,
    pub(super) kernel: usize,
    padding: usize,
}

impl Window {
    /// Over x, to get y.
    pub(super) fn forward(op: &Conv2d) -> Self {
        Self { image: op.x(), kernel: op.kernel(), padding: op.padding() }
    }

    /// Over dy, to get dx.
    pub(super) fn input_gradient(op: &Conv2d) -> Self {
        let padding = op.kernel() - 1 - op.padding();
        Self { image: op.conv_y(), kernel: op.kernel(), padding }
    }

    /// Numbers in a padded row. It is as long as an even number of outputs needs, so that they can be
    /// taken two at a time.
    pub(super) fn row_len(&self) -> usize {
        let outputs = self.image.w + 2 * self.padding + 1 - self.kernel;
        (outputs.next_multiple_of(2) + self.kernel - 1) * self.image.c
    }

    /// Products of an output number under one kernel row.
    pub(super) fn row_k(&self) -> usize {
        self.kernel * self.image.c
    }

    /// Numbers in the padded rows under `rows` rows of output.
    pub(super) fn padded_len(&self, rows: usize) -> usize {
        (rows + self.kernel - 1) * self.row_len()
    }

    /// Copies the rows of the image under output rows `first .. first + rows`, with their padding.
    pub(super) fn pad_rows(&self, image: &[f32], first: usize, rows: usize, padded: &mut [f32]) {
        let (h, w, c) = (self.image.h, self.image.w, self.image.c);
        let margin = self.padding * c;
        let count = rows + self.kernel - 1;
        for (i, out) in padded.chunks_exact_mut(self.row_len()).take(count).enumerate() {
            // Row `first + i` of the padded image.
            match (first + i).checked_sub(self.padding).filter(|row| *row < h) {
                Some(row) => {
                    out[..margin].fill(0.0);
                    out[margin..][..w * c].copy_from_slice(&image[row * w * c..][..w * c]);
                    out[margin + w * c..].fill(0.0);
                }
                None => out.fill(0.0),
            }
        }
    }
}
