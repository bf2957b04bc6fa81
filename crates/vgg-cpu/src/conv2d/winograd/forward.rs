//! The forward pass.

use rayon::prelude::*;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::transform::{Output, PATCH, POINTS, TILE, Transform};
use super::{Ahead, Geometry, Patch, filters, new_input, store, transform_input};
use crate::Cpu;
use crate::buffer::{Buffer, Form};
use crate::conv2d::epilogue::{AuxLayout, relu_max_pool};
use crate::conv2d::strips::{Slab, Strips};
use crate::gemm::{Gemm, panel_width};
use crate::simd::{Kernel, Simd};

/// `y` and, unless it is empty, `aux` of a convolution; see [`vgg_tensor::Backend::conv2d`].
pub(in crate::conv2d) fn forward(
    cpu: &Cpu,
    op: &Conv2d,
    x: &[f32],
    weight: &Buffer,
    bias: &[f32],
    y: &mut [f32],
    aux: &mut [u8],
) {
    let filters = filters::transformed(cpu, op, weight, Form::Forward);
    let strips = Strips::new(op, TILE);
    let tile_rows = Geometry::tile_rows_per_block(op);
    strips.slabs(op, tile_rows, y, aux).into_par_iter().for_each(|slab| {
        let geometry = Geometry::new(op, cpu.isa.lanes(), slab.strips.len());
        let lens = [POINTS * geometry.v_point, POINTS * geometry.m_point];
        let mut scratch = cpu.threads.scratch();
        let [v, m] = scratch.split(lens).expect("scratch memory");
        cpu.isa.run(Block { op, strips, geometry, x, filters, bias, slab, v, m });
    });
}

/// A block of tiles.
struct Block<'a> {
    op: &'a Conv2d,
    strips: Strips,
    geometry: Geometry,
    x: &'a [f32],
    filters: &'a [f32],
    bias: &'a [f32],
    slab: Slab<'a>,
    /// Transformed inputs: `[point][tile][c_in]`.
    v: &'a mut [f32],
    /// Products: `[point][tile][c_out]`.
    m: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Geometry { tiles_w, c_in, c_out, .. } = self.geometry;
        for (row, strip) in self.slab.strips.clone().enumerate() {
            let (image, y) = self.strips.locate(strip);
            let features = self.op.x().features();
            let image = &self.x[image * features..][..features];
            for tile in 0..tiles_w {
                let patch = Patch::new(self.op, y, tile * TILE);
                let v = &mut self.v[(row * tiles_w + tile) * c_in..];
                transform_input(s, self.op, &self.geometry, image, patch, v);
            }
        }
        self.multiply(s);
        for (row, strip) in self.slab.strips.clone().enumerate() {
            for tile in 0..tiles_w {
                let first = (row * tiles_w + tile) * c_out;
                self.finish_tile(s, strip, tile, first);
            }
        }
    }
}

impl Block<'_> {
    /// `M[p] = V[p] · U[p]` for every point.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, s: S) {
        let Geometry { tiles, c_in, c_out, v_point, m_point, .. } = self.geometry;
        let (k, width) = (self.op.x().c, panel_width(S::LANES));
        assert!(self.v.len() >= POINTS * v_point && self.m.len() >= POINTS * m_point);
        assert!(self.filters.len() >= c_out.div_ceil(width) * POINTS * k * width);
        let strips = &self.slab.strips;
        let next = strips.end..strips.end + strips.len();
        let ahead =
            [Ahead::new(new_input(self.op, self.strips, next, self.x)), Ahead::new(self.slab.y)];
        for p in 0..POINTS {
            for ahead in ahead {
                ahead.fetch(s, p, POINTS);
            }
            // SAFETY: the lengths were just asserted; points hold `tiles` rows of channels.
            unsafe {
                Gemm {
                    rows: tiles,
                    columns: c_out,
                    k,
                    segments: 1,
                    a: self.v.as_ptr().add(p * v_point),
                    a_row: c_in,
                    a_k: 1,
                    a_segment: 0,
                    b: self.filters.as_ptr().add(p * k * width),
                    b_k: width,
                    b_panel: POINTS * k * width,
                    c: self.m.as_mut_ptr().add(p * m_point),
                    c_row: c_out,
                    c_panel: width,
                    accumulate: false,
                }
                .compute(s);
            }
        }
    }

    /// `y = Aᵀ M A` and the epilogue for the tile whose products start at `first`.
    #[inline(always)]
    fn finish_tile<S: Simd>(&mut self, s: S, strip: usize, tile: usize, first: usize) {
        let (sums, y) = (self.op.conv_y(), self.op.y());
        let m_point = self.geometry.m_point;
        let (_, row) = self.strips.locate(strip);
        let column = tile * TILE;
        let before = self.strips.y_pixels_before(self.slab.strips.start);
        let first_pixel = self.strips.y_pixels_before(strip) - before;
        let (rows, columns) = ((sums.h - row).min(TILE), (sums.w - column).min(TILE));
        let layout = AuxLayout::new(self.op);
        let keep_aux = !self.slab.aux.is_empty();
        let m = &self.m[first..];
        assert!(m.len() >= (POINTS - 1) * m_point + self.geometry.c_out);
        for c in (0..y.c).step_by(S::LANES) {
            let n = (y.c - c).min(S::LANES);
            // SAFETY: asserted above; `c_out` is rounded up to whole vectors.
            let get = |i: usize, j: usize| unsafe {
                s.load(m.as_ptr().add((i * PATCH + j) * m_point + c))
            };
            // SAFETY: the bias has a number for each of the `n` channels from `c` on.
            let bias = unsafe { s.load_first(self.bias[c..c + n].as_ptr(), n) };
            let mut tile = [[bias; TILE]; TILE];
            Output::two(s, get, |i, j, sum| tile[i][j] = s.add(sum, bias));
            let put = |slab: &mut Slab<'_>, pixel: usize, value: S::V| {
                let y = &mut slab.y[pixel * y.c + c..][..n];
                // SAFETY: the slice has `n` numbers.
                unsafe { store(s, y.as_mut_ptr(), n, value) };
            };
            // These loops have constant bounds, so that the sums stay in registers.
            match self.op.epilogue() {
                ConvEpilogue::Bias | ConvEpilogue::BiasRelu => {
                    let relu = self.op.epilogue() == ConvEpilogue::BiasRelu;
                    let zero = s.splat(0.0);
                    for i in 0..TILE {
                        for j in 0..TILE {
                            if i >= rows || j >= columns {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column + j;
                            let sum = tile[i][j];
                            put(&mut self.slab, pixel, if relu { s.max(sum, zero) } else { sum });
                            if relu && keep_aux {
                                layout.put_alive(self.slab.aux, pixel, c, n, s.gt(sum, zero));
                            }
                        }
                    }
                }
                ConvEpilogue::BiasReluMaxPool => {
                    for i in 0..TILE / 2 {
                        for j in 0..TILE / 2 {
                            if i >= rows / 2 || j >= columns / 2 {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column / 2 + j;
                            let [i, j] = [2 * i, 2 * j];
                            let window = [
                                [tile[i][j], tile[i][j + 1]],
                                [tile[i + 1][j], tile[i + 1][j + 1]],
                            ];
                            let (max, bits) = relu_max_pool(s, window);
                            put(&mut self.slab, pixel, max);
                            if keep_aux {
                                layout.put_pool(self.slab.aux, pixel, c, n, bits);
                            }
                        }
                    }
                }
            }
        }
    }
}
