//! The weight's and the bias's gradient. (The input's is left to matrix products: a network's first
//! layer has none.)

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::{KERNEL, STRIP, TILES, assert_inside, columns_of_tiles, products, used_sums};
use crate::Cpu;
use crate::buffer::AlignedVec;
use crate::conv2d::Gradients;
use crate::conv2d::direct::{chunks, sum_weight_gradient, weight_gradient_len};
use crate::conv2d::window::Window;
use crate::epilogue::{AuxLayout, relu_max_pool_gradient};
use crate::format::Format;
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// The gradients of a convolution but for `dx`; see [`vgg_tensor::Command::Conv2dBackward`].
/// `workspace` becomes the chunks' sums of them.
pub(in crate::conv2d) fn backward<F: Format>(
    cpu: &Cpu,
    op: &Conv2d,
    x: &[F::Number],
    dy: &[F::Number],
    aux: &[u8],
    Gradients { dweight, dbias, .. }: Gradients<'_, F>,
    workspace: &mut AlignedVec,
) -> Result<()> {
    backward_needs(cpu, op).reserve(cpu, workspace)?;
    let window = Window::forward(op);
    let c_out = op.c_out().next_multiple_of(cpu.isa.lanes());
    let dw_len = weight_gradient_len(op, c_out);
    let chunks = chunks(op, c_out);
    let [partials] = workspace.split([chunks.len()]);
    chunks.with_images::<F>(None, op.x().features(), partials).into_par_iter().for_each(|chunk| {
        let mut scratch = cpu.threads.scratch();
        let [padded] = scratch.split([window.padded_len(STRIP)]);
        let (dw, db) = chunk.partial.split_at_mut(dw_len);
        let chunk = BackwardChunk { op, window, x, dy, aux, images: chunk.images, dw, db, padded };
        match op.x().c {
            1 => F::run(cpu.isa, Channels::<F, 1>(chunk)),
            2 => F::run(cpu.isa, Channels::<F, 2>(chunk)),
            3 => F::run(cpu.isa, Channels::<F, 3>(chunk)),
            c => unreachable!("{c} channels are not few"),
        }
    });
    sum_weight_gradient(op, &chunks, partials, c_out, dweight);
    chunks.sum_into(partials, dw_len, dbias);
    Ok(())
}

/// What [`backward`] takes besides its buffers.
pub(in crate::conv2d) fn backward_needs(cpu: &Cpu, op: &Conv2d) -> Needs {
    let c_out = op.c_out().next_multiple_of(cpu.isa.lanes());
    Needs {
        workspace: AlignedVec::len_of([chunks(op, c_out).len()]),
        scratch: AlignedVec::len_of([Window::forward(op).padded_len(STRIP)]),
        derived: 0,
    }
}

/// The images of one chunk.
struct BackwardChunk<'a, F: Format> {
    op: &'a Conv2d,
    window: Window,
    x: &'a [F::Number],
    dy: &'a [F::Number],
    aux: &'a [u8],
    images: Range<usize>,
    /// The weight's gradient over this chunk: `[kernel row][kernel column][c_in][c_out]`, with c_out
    /// rounded up to whole vectors.
    dw: &'a mut [f32],
    /// The bias's gradient over this chunk.
    db: &'a mut [f32],
    padded: &'a mut [f32],
}

/// A chunk whose number of input channels the compiler knows.
struct Channels<'a, F: Format, const C_IN: usize>(BackwardChunk<'a, F>);

/// The gradients of a tile of sums.
type Tile<S> = [[<S as Simd>::V; 2]; 2];

impl<F: Format, const C_IN: usize> Kernel for Channels<'_, F, C_IN> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(mut chunk) = self;
        chunk.dw.fill(0.0);
        chunk.db.fill(0.0);
        let op = chunk.op;
        let (h, w) = used_sums(op);
        let mut gradients = [[[s.splat(0.0); 2]; 2]; TILES];
        for image in chunk.images.clone() {
            for row in (0..h).step_by(STRIP) {
                let x = &chunk.x[image * op.x().features()..];
                chunk.window.pad_rows::<F>(x, row, STRIP, chunk.padded);
                for i in (0..STRIP.min(h - row)).step_by(2) {
                    for columns in columns_of_tiles(w) {
                        for c in (0..op.c_out()).step_by(S::LANES) {
                            let gradients = &mut gradients[..columns.len().div_ceil(2)];
                            let j = columns.start;
                            chunk.undo_epilogue(s, image, [row + i, j], c, gradients);
                            chunk.weight_gradient::<S, C_IN>(s, i, columns.clone(), c, gradients);
                        }
                    }
                }
            }
        }
    }
}

impl<F: Format> BackwardChunk<'_, F> {
    /// The gradients of tiles from row `i` and column `j` of an image's sums on, for a vector of
    /// channels from `c` on. Adds their sum to the bias's.
    #[inline(always)]
    fn undo_epilogue<S: Simd>(
        &mut self,
        s: S,
        image: usize,
        [i, j]: [usize; 2],
        c: usize,
        gradients: &mut [Tile<S>],
    ) {
        let y = self.op.y();
        let n = (y.c - c).min(S::LANES);
        let layout = AuxLayout::new(self.op);
        let dy = |pixel: usize| {
            let dy = &self.dy[pixel * y.c + c..][..n];
            // Later tiles' gradients come from memory while these ones' products are computed.
            s.prefetch_far(dy.as_ptr().wrapping_add(2 * TILES * y.c).cast());
            // SAFETY: the slice has `n` numbers.
            unsafe { F::load_first(s, dy.as_ptr(), n) }
        };
        let mut db = s.splat(0.0);
        match self.op.epilogue() {
            ConvEpilogue::Bias | ConvEpilogue::BiasRelu => {
                let relu = self.op.epilogue() == ConvEpilogue::BiasRelu;
                for (tile, out) in gradients.iter_mut().enumerate() {
                    for di in 0..2 {
                        for dj in 0..2 {
                            let (i, j) = (i + di, j + 2 * tile + dj);
                            let mut g = s.splat(0.0);
                            if i < y.h && j < y.w {
                                let pixel = (image * y.h + i) * y.w + j;
                                let alive =
                                    if relu { layout.alive(self.aux, pixel, c, n) } else { !0 };
                                g = s.keep(alive, dy(pixel));
                            }
                            out[di][dj] = g;
                            db = s.add(db, g);
                        }
                    }
                }
            }
            ConvEpilogue::BiasReluMaxPool => {
                let first = (image * y.h + i / 2) * y.w + j / 2;
                for (tile, out) in gradients.iter_mut().enumerate() {
                    let pixel = first + tile;
                    let (dy, bits) = (dy(pixel), layout.pool(self.aux, pixel, c, n));
                    *out = relu_max_pool_gradient(s, dy, bits);
                    db = s.add(db, s.keep(bits.alive(), dy));
                }
            }
        }
        add(s, &mut self.db[c..], db);
    }

    /// Adds the weight's gradient of the tiles at row `i` of the strip and these columns, for a
    /// vector of output channels from `c` on.
    #[inline(always)]
    fn weight_gradient<S: Simd, const C_IN: usize>(
        &mut self,
        s: S,
        i: usize,
        columns: Range<usize>,
        c: usize,
        gradients: &[Tile<S>],
    ) {
        let row_len = self.window.row_len();
        assert!(self.window.image.c == C_IN);
        assert_inside(&self.window, self.padded, i, &columns);
        assert!(gradients.len() == columns.len().div_ceil(2));
        let c_out = self.op.c_out().next_multiple_of(S::LANES);
        for k in 0..C_IN {
            let mut dw = [[s.splat(0.0); KERNEL]; KERNEL];
            for (j, g) in columns.clone().step_by(2).zip(gradients) {
                products(|[pi, pj], [ki, kj], [di, dj]| {
                    let at = (i + pi) * row_len + (j + pj) * C_IN + k;
                    // SAFETY: the patch lies in the padded rows, as asserted above.
                    let x = s.splat(unsafe { *self.padded.as_ptr().add(at) });
                    dw[ki][kj] = s.mul_add(x, g[di][dj], dw[ki][kj]);
                });
            }
            for (tap, sum) in dw.as_flattened().iter().enumerate() {
                add(s, &mut self.dw[(tap * C_IN + k) * c_out + c..], *sum);
            }
        }
    }
}

/// Adds a vector to the first of the sums.
#[inline(always)]
fn add<S: Simd>(s: S, sums: &mut [f32], x: S::V) {
    let sums = &mut sums[..S::LANES];
    // SAFETY: the slice has a vector's length.
    unsafe { s.store(sums.as_mut_ptr(), s.add(s.load(sums.as_ptr()), x)) };
}
