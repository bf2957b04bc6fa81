//! Convolutions of any kernel and stride by implicit matrix products, for the layers where nothing
//! faster applies: kernels other than 3×3, strides other than 1, channels too few for Winograd, and
//! the gradient of an input of few channels.
//!
//! With channels innermost and the rows padded, the inputs of output pixel `j` under kernel row `r`
//! are `kernel · c_in` contiguous numbers that start `j · c_in` into row `i + r`; a stride multiplies
//! `i` and `j`. So a row of outputs
//! is a matrix product whose A is the padded rows themselves, read with overlapping rows, one segment
//! a kernel row; nothing is gathered. The gradients are such products, too:
//! - weight: `dw[r] = Σ_i X(i + r)ᵀ · dY(i)`, with the same overlapping view X of the padded rows;
//! - input: the forward pass on dy with the kernel turned by 180° and the channels' roles swapped; with
//!   a stride, dy has zeros for the sums that are skipped.

use rayon::prelude::*;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};
use vgg_tensor::{Result, Shape};

use super::Gradients;
use super::chunks::Chunks;
use super::strips::{StripOutput, Strips};
use super::window::Window;
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer, Form};
use crate::epilogue::{AuxLayout, relu_max_pool, relu_max_pool_gradient};
use crate::format::{F32, Format};
use crate::gemm::{Gemm, panel_width};
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// Rows of sums in a strip: enough to share the padded rows, few enough for the cache.
const STRIP: usize = 4;

/// `y` and, unless it is empty, `aux` of a convolution; see [`vgg_tensor::Command::Conv2d`].
pub(super) fn forward<F: Format>(
    cpu: &Cpu,
    op: &Conv2d,
    x: &[F::Number],
    weight: &Buffer,
    bias: &[f32],
    y: &mut [F::Number],
    aux: &mut [u8],
) -> Result<()> {
    let filters = packed_filters(cpu, op, weight, Form::Forward)?;
    let strips = Strips::new(op, STRIP);
    let window = Window::forward(op);
    let lens = forward_lens(cpu, op);
    cpu.threads.reserve_scratch(AlignedVec::len_of(lens))?;
    strips.split(strips.output::<F>(y, aux), 1).into_par_iter().for_each(|output| {
        let mut scratch = cpu.threads.scratch();
        let [padded, sums] = scratch.split(lens);
        let (image, row) = strips.locate(output.strips.start);
        let rows = STRIP.min(op.conv_y().h - row);
        window.pad_rows::<F>(&x[image * op.x().features()..], row, rows, padded);
        F::run(cpu.isa, ForwardStrip { op, window, filters, bias, output, rows, padded, sums });
    });
    Ok(())
}

/// What [`forward`] takes besides its buffers.
pub(super) fn forward_needs(cpu: &Cpu, op: &Conv2d) -> Needs {
    Needs {
        workspace: 0,
        scratch: AlignedVec::len_of(forward_lens(cpu, op)),
        derived: packed_filters_len(cpu, op, Form::Forward),
    }
}

/// Numbers of a thread's scratch memory: for the padded rows and the sums of a strip.
fn forward_lens(cpu: &Cpu, op: &Conv2d) -> [usize; 2] {
    let c_out = op.c_out().next_multiple_of(cpu.isa.lanes());
    [Window::forward(op).padded_len(STRIP), STRIP * op.conv_y().w * c_out]
}

/// The gradients of a convolution; see [`vgg_tensor::Command::Conv2dBackward`]. `workspace`
/// becomes the chunks' sums of the weight's and the bias's gradient.
pub(super) fn backward<F: Format>(
    cpu: &Cpu,
    op: &Conv2d,
    x: &[F::Number],
    weight: &Buffer,
    dy: &[F::Number],
    aux: &[u8],
    Gradients { dweight, dbias, dx }: Gradients<'_, F>,
    workspace: &mut AlignedVec,
) -> Result<()> {
    backward_needs(cpu, op, dx.is_some()).reserve(cpu, workspace)?;
    let filters = match dx {
        Some(_) => packed_filters(cpu, op, weight, Form::Backward)?,
        None => &[],
    };
    let window = Window::forward(op);
    let gradient_window = Window::input_gradient(op);
    let c_out = op.c_out().next_multiple_of(cpu.isa.lanes());
    let dw_len = weight_gradient_len(op, c_out);
    let chunks = chunks(op, c_out);
    let [partials] = workspace.split([chunks.len()]);
    let lens = backward_lens(cpu, op, dx.is_some());
    chunks.with_images::<F>(dx, op.x().features(), partials).into_par_iter().for_each(|chunk| {
        let mut scratch = cpu.threads.scratch();
        let [padded, gradient, full_gradient, padded_gradient, sums] = scratch.split(lens);
        let (dw, db) = chunk.partial.split_at_mut(dw_len);
        let chunk = BackwardChunk::<F> {
            op,
            window,
            gradient_window,
            x,
            filters,
            dy,
            aux,
            images: chunk.images,
            dx: chunk.dx,
            dw,
            db,
            padded,
            gradient,
            full_gradient,
            padded_gradient,
            sums,
        };
        F::run(cpu.isa, chunk);
    });
    sum_weight_gradient(op, &chunks, partials, c_out, dweight);
    chunks.sum_into(partials, dw_len, dbias);
    Ok(())
}

/// What [`backward`] takes besides its buffers. `dx` says whether the input's gradient is wanted.
pub(super) fn backward_needs(cpu: &Cpu, op: &Conv2d, dx: bool) -> Needs {
    let c_out = op.c_out().next_multiple_of(cpu.isa.lanes());
    Needs {
        workspace: AlignedVec::len_of([chunks(op, c_out).len()]),
        scratch: AlignedVec::len_of(backward_lens(cpu, op, dx)),
        derived: if dx { packed_filters_len(cpu, op, Form::Backward) } else { 0 },
    }
}

/// Numbers of a chunk's memory: for `padded`, `gradient`, `full_gradient`, `padded_gradient` and
/// `sums` of [`BackwardChunk`].
fn backward_lens(cpu: &Cpu, op: &Conv2d, dx: bool) -> [usize; 5] {
    let lanes = cpu.isa.lanes();
    let (window, gradient_window) = (Window::forward(op), Window::input_gradient(op));
    [
        window.padded_len(STRIP),
        STRIP * op.conv_y().w * op.c_out().next_multiple_of(lanes),
        if dx { gradient_window.image.features() } else { 0 },
        gradient_window.padded_len(STRIP),
        STRIP * op.x().w * op.x().c.next_multiple_of(lanes),
    ]
}

/// The chunks. A chunk's sums, of `c_out` columns, are the weight's gradient, then the bias's.
pub(super) fn chunks(op: &Conv2d, c_out: usize) -> Chunks {
    let terms = op.conv_y().h * op.conv_y().w;
    Chunks::new(op.x().n, terms, weight_gradient_len(op, c_out) + c_out)
}

/// Numbers of a weight's gradient of `c_out` columns.
pub(super) fn weight_gradient_len(op: &Conv2d, c_out: usize) -> usize {
    op.kernel() * op.kernel() * op.x().c * c_out
}

/// The weight's gradient from the chunks' sums, which begin with
/// `[kernel row][kernel column][c_in][columns]`.
pub(super) fn sum_weight_gradient(
    op: &Conv2d,
    chunks: &Chunks,
    partials: &[f32],
    columns: usize,
    dweight: &mut [f32],
) {
    let (taps, c_in) = (op.kernel() * op.kernel(), op.x().c);
    dweight.par_chunks_mut(c_in * taps).enumerate().for_each(|(o, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            let (c, tap) = (i / taps, i % taps);
            let at = (tap * c_in + c) * columns + o;
            *out = partials.chunks_exact(chunks.partial_len).map(|partial| partial[at]).sum();
        }
    });
}

/// The filters as the B of the products, in panels: `[panel][kernel row][kernel column][k][width]`.
///
/// Forward, the panels run along the output channels and k along the input channels; backward the
/// other way round, with the kernel turned by 180°.
pub(super) fn packed_filters<'a>(
    cpu: &Cpu,
    op: &Conv2d,
    weight: &'a Buffer,
    form: Form,
) -> Result<&'a [f32]> {
    let (c_in, taps) = (op.x().c, op.kernel() * op.kernel());
    let w = weight.f32(op.weight().len());
    let (long, k) = long_and_k(op, form);
    let width = panel_width(cpu.isa.lanes());
    let panel_len = taps * k * width;
    weight.derived(form, packed_filters_len(cpu, op, form), |out| {
        for (i, out) in out.iter_mut().enumerate() {
            let (panel, lane) = (i / panel_len, i % width);
            let (tap, k) = (i % panel_len / width / k, i / width % k);
            let channel = panel * width + lane;
            let at = match form {
                Form::Forward => (channel * c_in + k) * taps + tap,
                Form::Backward => (k * c_in + channel) * taps + (taps - 1 - tap),
            };
            *out = if channel < long { w[at] } else { 0.0 };
        }
    })
}

/// Numbers of [`packed_filters`].
pub(super) fn packed_filters_len(cpu: &Cpu, op: &Conv2d, form: Form) -> usize {
    let (long, k) = long_and_k(op, form);
    let width = panel_width(cpu.isa.lanes());
    long.div_ceil(width) * op.kernel() * op.kernel() * k * width
}

/// The channels that panels run along, and those that are k.
fn long_and_k(op: &Conv2d, form: Form) -> (usize, usize) {
    match form {
        Form::Forward => (op.c_out(), op.x().c),
        Form::Backward => (op.x().c, op.c_out()),
    }
}

/// `rows` rows of sums, `[rows][w][c rounded up]`, of a window over padded rows.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
fn slide<S: Simd>(
    s: S,
    window: &Window,
    rows: usize,
    w: usize,
    c: usize,
    padded: &[f32],
    filters: &[f32],
    sums: &mut [f32],
) {
    let (width, columns) = (panel_width(S::LANES), c.next_multiple_of(S::LANES));
    let (k, panel_len) = (window.row_k(), window.kernel * window.row_k() * width);
    assert!(padded.len() >= window.padded_len(rows));
    assert!((w - 1) * window.stride + window.kernel <= window.row_len() / window.image.c);
    assert!(filters.len() >= columns.div_ceil(width) * panel_len);
    assert!(sums.len() >= rows * w * columns);
    for row in 0..rows {
        // SAFETY: the lengths were just asserted.
        unsafe {
            Gemm {
                factors: F32,
                rows: w,
                columns,
                k,
                segments: window.kernel,
                a: padded.as_ptr().add(row * window.stride * window.row_len()),
                a_row: window.stride * window.image.c,
                a_k: 1,
                a_segment: window.row_len(),
                b: filters.as_ptr(),
                b_k: width,
                b_panel: panel_len,
                c: sums.as_mut_ptr().add(row * w * columns),
                c_row: columns,
                c_panel: width,
                accumulate: false,
            }
            .compute(s);
        }
    }
}

/// One strip of the output.
struct ForwardStrip<'a, F: Format> {
    op: &'a Conv2d,
    window: Window,
    filters: &'a [f32],
    bias: &'a [f32],
    output: StripOutput<'a, F>,
    /// Rows of sums in the strip.
    rows: usize,
    padded: &'a [f32],
    /// `[row][w][c_out rounded up]`
    sums: &'a mut [f32],
}

impl<F: Format> Kernel for ForwardStrip<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (y, w) = (self.op.y(), self.op.conv_y().w);
        slide(s, &self.window, self.rows, w, y.c, self.padded, self.filters, self.sums);
        let row_len = w * y.c.next_multiple_of(S::LANES);
        let layout = AuxLayout::new(self.op);
        let keep_aux = !self.output.aux.is_empty();
        let zero = s.splat(0.0);
        for pixel in 0..self.output.y.len() / y.c {
            let (i, j) = (pixel / y.w, pixel % y.w);
            for c in (0..y.c).step_by(S::LANES) {
                let n = (y.c - c).min(S::LANES);
                let bias = &self.bias[c..c + n];
                // SAFETY: the slice has `n` numbers.
                let bias = unsafe { s.load_first(bias.as_ptr(), n) };
                let sum = |i: usize, j: usize| {
                    let at = i * row_len + j * (row_len / w) + c;
                    let sum = &self.sums[at..at + S::LANES];
                    // SAFETY: the slice has a vector's length.
                    s.add(unsafe { s.load(sum.as_ptr()) }, bias)
                };
                let value = match self.op.epilogue() {
                    ConvEpilogue::Bias => sum(i, j),
                    ConvEpilogue::BiasRelu => {
                        let sum = sum(i, j);
                        if keep_aux {
                            layout.put_alive(self.output.aux, pixel, c, n, s.gt(sum, zero));
                        }
                        s.max(sum, zero)
                    }
                    ConvEpilogue::BiasReluMaxPool => {
                        let (i, j) = (2 * i, 2 * j);
                        let window =
                            [[sum(i, j), sum(i, j + 1)], [sum(i + 1, j), sum(i + 1, j + 1)]];
                        let (max, bits) = relu_max_pool(s, window);
                        if keep_aux {
                            layout.put_pool(self.output.aux, pixel, c, n, bits);
                        }
                        max
                    }
                };
                let y = &mut self.output.y[pixel * y.c + c..][..n];
                // SAFETY: the slice has `n` numbers.
                unsafe { F::store_first(s, y.as_mut_ptr(), n, value) };
            }
        }
    }
}

/// The images of one chunk of the backward pass.
struct BackwardChunk<'a, F: Format> {
    op: &'a Conv2d,
    window: Window,
    gradient_window: Window,
    x: &'a [F::Number],
    filters: &'a [f32],
    dy: &'a [F::Number],
    aux: &'a [u8],
    images: std::ops::Range<usize>,
    dx: Option<&'a mut [F::Number]>,
    /// The weight's gradient over this chunk: `[kernel row][kernel column][c_in][c_out]`.
    dw: &'a mut [f32],
    /// The bias's gradient over this chunk.
    db: &'a mut [f32],
    padded: &'a mut [f32],
    /// Gradients of a strip of sums: `[row][w][c_out rounded up]`.
    gradient: &'a mut [f32],
    /// Gradients of an image's sums as `gradient_window` takes them, `[h][w][c_out]`, if `dx` is
    /// wanted.
    full_gradient: &'a mut [f32],
    padded_gradient: &'a mut [f32],
    sums: &'a mut [f32],
}

impl<F: Format> Kernel for BackwardChunk<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.dw.fill(0.0);
        self.db.fill(0.0);
        if self.op.stride() > 1 {
            // Those of the sums that are skipped stay zeros.
            self.full_gradient.fill(0.0);
        }
        for image in self.images.clone() {
            for row in (0..self.op.conv_y().h).step_by(STRIP) {
                let rows = STRIP.min(self.op.conv_y().h - row);
                self.undo_epilogue(s, image, row, rows);
                self.weight_gradient(s, image, row, rows);
            }
            self.input_gradient(s, image);
        }
    }
}

impl<F: Format> BackwardChunk<'_, F> {
    /// The gradient of a strip's sums, ReLU and pool undone, and the bias's gradient.
    #[inline(always)]
    fn undo_epilogue<S: Simd>(&mut self, s: S, image: usize, row: usize, rows: usize) {
        let (sums, y) = (self.op.conv_y(), self.op.y());
        let layout = AuxLayout::new(self.op);
        let padded_c = y.c.next_multiple_of(S::LANES);
        let gradient = &mut self.gradient[..rows * sums.w * padded_c];
        gradient.fill(0.0);
        let pooled = self.op.epilogue() == ConvEpilogue::BiasReluMaxPool;
        let scale = if pooled { 2 } else { 1 };
        for i in row / scale..((row + rows) / scale).min(y.h) {
            for j in 0..y.w {
                let pixel = (image * y.h + i) * y.w + j;
                for c in (0..y.c).step_by(S::LANES) {
                    let n = (y.c - c).min(S::LANES);
                    let dy = &self.dy[pixel * y.c + c..][..n];
                    // SAFETY: the slice has `n` numbers.
                    let dy = unsafe { F::load_first(s, dy.as_ptr(), n) };
                    let mut put = |i: usize, j: usize, g: S::V| {
                        let at = ((i - row) * sums.w + j) * padded_c + c;
                        let gradient = &mut gradient[at..at + S::LANES];
                        // SAFETY: the slice has a vector's length.
                        unsafe { s.store(gradient.as_mut_ptr(), g) };
                    };
                    let alive = match self.op.epilogue() {
                        ConvEpilogue::Bias => !0,
                        ConvEpilogue::BiasRelu => layout.alive(self.aux, pixel, c, n),
                        ConvEpilogue::BiasReluMaxPool => {
                            let bits = layout.pool(self.aux, pixel, c, n);
                            let window = relu_max_pool_gradient(s, dy, bits);
                            for (k, g) in window.as_flattened().iter().enumerate() {
                                put(2 * i + k / 2, 2 * j + k % 2, *g);
                            }
                            bits.alive()
                        }
                    };
                    let g = s.keep(alive, dy);
                    if !pooled {
                        put(i, j, g);
                    }
                    let db = &mut self.db[c..c + S::LANES];
                    // SAFETY: the slice has a vector's length.
                    unsafe { s.store(db.as_mut_ptr(), s.add(s.load(db.as_ptr()), g)) };
                }
            }
        }
        if self.dx.is_some() {
            let (stride, row_len) = (self.op.stride(), self.gradient_window.image.w * y.c);
            let out = self.full_gradient[row * stride * row_len..].chunks_mut(stride * row_len);
            for (out, g) in out.zip(gradient.chunks_exact(sums.w * padded_c)) {
                let pixels = out[..row_len].chunks_mut(stride * y.c);
                for (out, g) in pixels.zip(g.chunks_exact(padded_c)) {
                    out[..y.c].copy_from_slice(&g[..y.c]);
                }
            }
        }
    }

    /// `dw[r] += Σ_i X(i + r)ᵀ · dY(i)` over a strip's rows i.
    #[inline(always)]
    fn weight_gradient<S: Simd>(&mut self, s: S, image: usize, row: usize, rows: usize) {
        let window = self.window;
        window.pad_rows::<F>(&self.x[image * self.op.x().features()..], row, rows, self.padded);
        let w = self.op.conv_y().w;
        let columns = self.op.c_out().next_multiple_of(S::LANES);
        assert!(self.padded.len() >= window.padded_len(rows));
        assert!((w - 1) * window.stride + window.kernel <= window.row_len() / window.image.c);
        assert!(self.gradient.len() >= rows * w * columns);
        assert!(self.dw.len() >= window.kernel * window.row_k() * columns);
        for r in 0..window.kernel {
            // SAFETY: the lengths were just asserted.
            unsafe {
                Gemm {
                    factors: F32,
                    rows: window.row_k(),
                    columns,
                    k: w,
                    segments: rows,
                    a: self.padded.as_ptr().add(r * window.row_len()),
                    a_row: 1,
                    a_k: window.stride * window.image.c,
                    a_segment: window.stride * window.row_len(),
                    b: self.gradient.as_ptr(),
                    b_k: columns,
                    b_panel: panel_width(S::LANES),
                    c: self.dw.as_mut_ptr().add(r * window.row_k() * columns),
                    c_row: columns,
                    c_panel: panel_width(S::LANES),
                    accumulate: true,
                }
                .compute(s);
            }
        }
    }

    /// An image's `dx`, if it is wanted.
    #[inline(always)]
    fn input_gradient<S: Simd>(&mut self, s: S, image: usize) {
        let Some(dx) = &mut self.dx else { return };
        let Shape { c, h, w, .. } = self.op.x();
        let window = self.gradient_window;
        let first = (image - self.images.start) * self.op.x().features();
        let padded_c = c.next_multiple_of(S::LANES);
        for row in (0..h).step_by(STRIP) {
            let rows = STRIP.min(h - row);
            window.pad_rows::<F32>(self.full_gradient, row, rows, self.padded_gradient);
            slide(s, &window, rows, w, c, self.padded_gradient, self.filters, self.sums);
            let out = &mut dx[first + row * w * c..][..rows * w * c];
            for (out, sum) in out.chunks_exact_mut(c).zip(self.sums.chunks_exact(padded_c)) {
                F::round_all(s, &sum[..c], out);
            }
        }
    }
}
