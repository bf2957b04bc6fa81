//! The forward pass.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};
use vgg_tensor::{Result, Shape};

use super::{KERNEL, STRIP, TAPS, assert_inside, columns_of_tiles, products, used_sums};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer, Form};
use crate::conv2d::direct::{packed_filters, packed_filters_len};
use crate::conv2d::strips::{StripOutput, Strips};
use crate::conv2d::window::Window;
use crate::epilogue::{AuxLayout, relu_max_pool};
use crate::format::Format;
use crate::gemm::panel_width;
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// `y` and, unless it is empty, `aux` of a convolution; see [`vgg_tensor::Command::Conv2d`].
pub(in crate::conv2d) fn forward<F: Format>(
    cpu: &Cpu,
    op: &Conv2d,
    x: &[F::Number],
    weight: &Buffer,
    bias: &[f32],
    y: &mut [F::Number],
    aux: &mut [u8],
) -> Result<()> {
    cpu.threads.reserve_scratch(forward_needs(cpu, op).scratch)?;
    let filters = packed_filters(cpu, op, weight, Form::Forward)?;
    let strips = Strips::new(op, STRIP);
    let window = Window::forward(op);
    strips.split(strips.output::<F>(y, aux), 1).into_par_iter().for_each(|output| {
        let mut scratch = cpu.threads.scratch();
        let [padded] = scratch.split([window.padded_len(STRIP)]);
        let (image, row) = strips.locate(output.strips.start);
        window.pad_rows::<F>(&x[image * op.x().features()..], row, STRIP, padded);
        let (sums, y) = (op.conv_y(), op.y());
        let strip = Strip { op, sums, y, window, filters, bias, row, output, padded };
        match op.x().c {
            1 => F::run(cpu.isa, Channels::<F, 1>(strip)),
            2 => F::run(cpu.isa, Channels::<F, 2>(strip)),
            3 => F::run(cpu.isa, Channels::<F, 3>(strip)),
            c => unreachable!("{c} channels are not few"),
        }
    });
    Ok(())
}

/// What [`forward`] takes besides its buffers.
pub(in crate::conv2d) fn forward_needs(cpu: &Cpu, op: &Conv2d) -> Needs {
    Needs {
        workspace: 0,
        scratch: AlignedVec::len_of([Window::forward(op).padded_len(STRIP)]),
        derived: packed_filters_len(cpu, op, Form::Forward),
    }
}

/// One strip of the output.
struct Strip<'a, F: Format> {
    op: &'a Conv2d,
    /// The operation's, of which each tile asks.
    sums: Shape,
    y: Shape,
    window: Window,
    /// See [`packed_filters`].
    filters: &'a [f32],
    bias: &'a [f32],
    /// The strip's first row of sums.
    row: usize,
    output: StripOutput<'a, F>,
    padded: &'a [f32],
}

/// A strip whose number of input channels the compiler knows.
struct Channels<'a, F: Format, const C_IN: usize>(Strip<'a, F>);

impl<F: Format, const C_IN: usize> Kernel for Channels<'_, F, C_IN> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(mut strip) = self;
        let (h, w) = used_sums(strip.op);
        for i in (0..STRIP.min(h.saturating_sub(strip.row))).step_by(2) {
            for columns in columns_of_tiles(w) {
                for c in (0..strip.op.c_out()).step_by(S::LANES) {
                    strip.tiles::<S, C_IN>(s, i, columns.clone(), c);
                }
            }
        }
    }
}

impl<F: Format> Strip<'_, F> {
    /// The outputs from the tiles of sums at row `i` of the strip and these columns, for a vector
    /// of channels from `c` on.
    #[inline(always)]
    fn tiles<S: Simd, const C_IN: usize>(
        &mut self,
        s: S,
        i: usize,
        columns: Range<usize>,
        c: usize,
    ) {
        let (y, rows) = (self.y, self.sums.h - self.row);
        let n = (y.c - c).min(S::LANES);
        let (row_len, width) = (self.window.row_len(), panel_width(S::LANES));
        let filters = &self.filters[c / width * TAPS * C_IN * width + c % width..];
        assert!(self.window.image.c == C_IN);
        assert!(filters.len() >= (TAPS * C_IN - 1) * width + S::LANES);
        assert_inside(&self.window, self.padded, i, &columns);
        // SAFETY: the bias has a number for each of the `n` channels from `c` on.
        let bias = unsafe { s.load_first(self.bias[c..c + n].as_ptr(), n) };
        let layout = AuxLayout::new(self.op);
        let keep_aux = !self.output.aux.is_empty();
        let put = |y_out: &mut [F::Number], pixel: usize, value: S::V| {
            let y = &mut y_out[pixel * y.c + c..][..n];
            // SAFETY: the slice has `n` numbers.
            unsafe { F::store_first(s, y.as_mut_ptr(), n, value) }
        };
        let zero = s.splat(0.0);
        for j in columns.step_by(2) {
            // SAFETY: the patch lies in the padded rows, and the filters have all taps, as asserted.
            let sums = unsafe {
                let patch = self.padded.as_ptr().add(i * row_len + j * C_IN);
                sums::<S, C_IN>(s, patch, row_len, filters.as_ptr(), bias)
            };
            match self.op.epilogue() {
                ConvEpilogue::Bias | ConvEpilogue::BiasRelu => {
                    let relu = self.op.epilogue() == ConvEpilogue::BiasRelu;
                    for di in 0..2 {
                        for dj in 0..2 {
                            if i + di >= rows || j + dj >= y.w {
                                continue;
                            }
                            let (sum, pixel) = (sums[di][dj], (i + di) * y.w + j + dj);
                            put(self.output.y, pixel, if relu { s.max(sum, zero) } else { sum });
                            if relu && keep_aux {
                                layout.put_alive(self.output.aux, pixel, c, n, s.gt(sum, zero));
                            }
                        }
                    }
                }
                ConvEpilogue::BiasReluMaxPool => {
                    let pixel = i / 2 * y.w + j / 2;
                    let (max, bits) = relu_max_pool(s, sums);
                    put(self.output.y, pixel, max);
                    if keep_aux {
                        layout.put_pool(self.output.aux, pixel, c, n, bits);
                    }
                }
            }
        }
    }
}

/// A tile of sums that begin with the bias.
///
/// # Safety
/// The patch's rows, `row_len` apart, have `PATCH · C_IN` numbers, and the filters a vector for each
/// tap and input channel, a panel's width apart.
#[inline(always)]
unsafe fn sums<S: Simd, const C_IN: usize>(
    s: S,
    patch: *const f32,
    row_len: usize,
    filters: *const f32,
    bias: S::V,
) -> [[S::V; 2]; 2] {
    let mut sums = [[bias; 2]; 2];
    for k in 0..C_IN {
        // Each channel's sums are a chain of their own, so that they do not wait for each other.
        let mut chain = if k == 0 { sums } else { [[s.splat(0.0); 2]; 2] };
        products(|[pi, pj], [ki, kj], [di, dj]| {
            let tap = (ki * KERNEL + kj) * C_IN + k;
            // SAFETY: the caller's promise.
            let (x, w) = unsafe {
                let x = *patch.add(pi * row_len + pj * C_IN + k);
                (s.splat(x), s.load(filters.add(tap * panel_width(S::LANES))))
            };
            chain[di][dj] = s.mul_add(x, w, chain[di][dj]);
        });
        for di in 0..2 {
            for dj in 0..2 {
                let sum = &mut sums[di][dj];
                *sum = if k == 0 { chain[di][dj] } else { s.add(*sum, chain[di][dj]) };
            }
        }
    }
    sums
}
