//! The gradients, in one pass over the tiles of each image.

use rayon::prelude::*;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::transform::{InputGradient, OutputGradient, PATCH, POINTS, TILE, Transform};
use super::{Ahead, Geometry, Patch, filters, load, new_input, store, transform_input};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer, Form, LINE};
use crate::conv2d::Gradients;
use crate::conv2d::epilogue::{AuxLayout, relu_max_pool_gradient};
use crate::conv2d::pieces::Pieces;
use crate::conv2d::strips::Strips;
use crate::gemm::{Gemm, panel_width};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The gradients of a convolution; see [`vgg_tensor::Backend::conv2d_backward`]. `workspace`
/// becomes the pieces' shares of the weight's and the bias's gradient.
pub(in crate::conv2d) fn backward(
    cpu: &Cpu,
    op: &Conv2d,
    x: &[f32],
    weight: &Buffer,
    dy: &[f32],
    aux: &[u8],
    Gradients { dweight, dbias, dx }: Gradients<'_>,
    workspace: &mut AlignedVec,
) -> vgg_tensor::Result<()> {
    let lanes = cpu.isa.lanes();
    let filters = match dx {
        Some(_) => filters::transformed(cpu, op, weight, Form::Backward),
        None => &[],
    };
    let block = Geometry::new(op, lanes, Geometry::tile_rows_per_block(op));
    // As in `Geometry`: an odd number of cache lines from point to point.
    let point_stride = (op.x().c * block.c_out).next_multiple_of(2 * LINE) + LINE;
    let du_len = POINTS * point_stride;
    let pieces =
        Pieces::new(op.x().n, op.conv_y().h.div_ceil(TILE) * block.tiles_w, du_len + block.c_out);
    let partials = pieces.partials(workspace)?;
    pieces.with_images(dx, op.x().features(), partials).into_par_iter().for_each(|piece| {
        let lens = [POINTS * block.v_point, POINTS * block.m_point];
        let mut scratch = cpu.threads.scratch();
        let [v, dm] = scratch.split(lens).expect("scratch memory");
        let (du, db) = piece.partial.split_at_mut(du_len);
        let images = piece.images;
        cpu.isa.run(Piece {
            op,
            x,
            filters,
            dy,
            aux,
            images,
            dx: piece.dx,
            du,
            point_stride,
            db,
            v,
            dm,
        });
    });
    filters::weight_gradient(cpu, op, partials, pieces.partial_len, point_stride, dweight);
    pieces.sum_into(partials, du_len, dbias);
    Ok(())
}

/// The images of one piece.
struct Piece<'a> {
    op: &'a Conv2d,
    x: &'a [f32],
    /// U[p]ᵀ in panels; empty if no `dx` is wanted.
    filters: &'a [f32],
    dy: &'a [f32],
    aux: &'a [u8],
    images: std::ops::Range<usize>,
    /// The input gradient of these images.
    dx: Option<&'a mut [f32]>,
    /// This piece's share of the filters' gradient at the points: `[point][c_in][c_out]`.
    du: &'a mut [f32],
    point_stride: usize,
    /// This piece's share of the bias's gradient.
    db: &'a mut [f32],
    /// Transformed inputs, later their gradients: `[point][tile][c_in]`.
    v: &'a mut [f32],
    /// Transformed output gradients: `[point][tile][c_out]`.
    dm: &'a mut [f32],
}

impl Kernel for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.du.fill(0.0);
        self.db.fill(0.0);
        let strips = Strips::new(self.op, TILE);
        let tile_rows = Geometry::tile_rows_per_block(self.op);
        let end = self.images.end * strips.per_image;
        let mut start = self.images.start * strips.per_image;
        while start < end {
            let block = start..(start + tile_rows).min(end);
            self.block(s, strips, block);
            start += tile_rows;
        }
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn block<S: Simd>(&mut self, s: S, strips: Strips, block: std::ops::Range<usize>) {
        let geometry = Geometry::new(self.op, S::LANES, block.len());
        let Geometry { tiles_w, c_in, c_out, .. } = geometry;
        let features = self.op.x().features();
        for (row, strip) in block.clone().enumerate() {
            let (image, y) = strips.locate(strip);
            let x = &self.x[image * features..][..features];
            for tile in 0..tiles_w {
                let index = row * tiles_w + tile;
                let patch = Patch::new(self.op, y, tile * TILE);
                transform_input(s, self.op, &geometry, x, patch, &mut self.v[index * c_in..]);
                self.transform_gradient(s, &geometry, strips, strip, tile, index * c_out);
            }
        }
        let ahead = self.ahead(strips, &block);
        self.multiply(s, &geometry, ahead);
        let Some(dx) = self.dx.take() else { return };
        for (row, strip) in block.enumerate() {
            let (image, y) = strips.locate(strip);
            let dx = &mut dx[(image - self.images.start) * features..][..features];
            for tile in 0..tiles_w {
                let patch = Patch::new(self.op, y, tile * TILE);
                let dv = &self.v[(row * tiles_w + tile) * c_in..];
                put_input_gradient(s, self.op, &geometry, dv, patch, dx);
            }
        }
        self.dx = Some(dx);
    }

    /// What will be used after the block's products: its part of dx, and the next block's part of
    /// x, dy and aux.
    #[inline(always)]
    fn ahead(&self, strips: Strips, block: &std::ops::Range<usize>) -> [Ahead; 4] {
        let end = self.images.end * strips.per_image;
        let next = block.end..(block.end + block.len()).min(end);
        let before = |strip: usize| strips.y_pixels_before(strip);
        let pixels = before(next.start)..before(next.end);
        let c = self.op.c_out();
        let aux_pixel = self.aux.len() / (self.dy.len() / c);
        let dx = self.dx.as_deref().map_or(&[][..], |dx| {
            let first = self.images.start * strips.per_image;
            new_input(self.op, strips, block.start - first..block.end - first, dx)
        });
        [
            Ahead::new(dx),
            Ahead::new(new_input(self.op, strips, next, self.x)),
            Ahead::new(&self.dy[pixels.start * c..pixels.end * c]),
            Ahead::new(&self.aux[pixels.start * aux_pixel..pixels.end * aux_pixel]),
        ]
    }

    /// `dM = A dy Aᵀ` for a tile, ReLU and pool undone on the way, and the bias's gradient.
    #[inline(always)]
    fn transform_gradient<S: Simd>(
        &mut self,
        s: S,
        geometry: &Geometry,
        strips: Strips,
        strip: usize,
        tile: usize,
        first: usize,
    ) {
        let (sums, y) = (self.op.conv_y(), self.op.y());
        let (_, row) = strips.locate(strip);
        let column = tile * TILE;
        let first_pixel = strips.y_pixels_before(strip);
        let (rows, columns) = ((sums.h - row).min(TILE), (sums.w - column).min(TILE));
        let layout = AuxLayout::new(self.op);
        let dm = &mut self.dm[first..];
        assert!(dm.len() >= (POINTS - 1) * geometry.m_point + geometry.c_out);
        assert!(self.db.len() >= geometry.c_out);
        for c in (0..y.c).step_by(S::LANES) {
            let n = (y.c - c).min(S::LANES);
            let get = |pixel: usize| {
                let dy = &self.dy[pixel * y.c + c..][..n];
                // SAFETY: the slice has `n` numbers.
                unsafe { load(s, dy.as_ptr(), n) }
            };
            // The loops have constant bounds, so that the gradients stay in registers.
            let mut gradient = [[s.splat(0.0); TILE]; TILE];
            match self.op.epilogue() {
                ConvEpilogue::Bias | ConvEpilogue::BiasRelu => {
                    let relu = self.op.epilogue() == ConvEpilogue::BiasRelu;
                    for i in 0..TILE {
                        for j in 0..TILE {
                            if i >= rows || j >= columns {
                                continue;
                            }
                            let pixel = first_pixel + i * y.w + column + j;
                            let alive = if relu { layout.alive(self.aux, pixel, c, n) } else { !0 };
                            gradient[i][j] = s.keep(alive, get(pixel));
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
                            let bits = layout.pool(self.aux, pixel, c, n);
                            let window = relu_max_pool_gradient(s, get(pixel), bits);
                            for (k, g) in window.as_flattened().iter().enumerate() {
                                gradient[2 * i + k / 2][2 * j + k % 2] = *g;
                            }
                        }
                    }
                }
            }
            let (dm, db) = (dm.as_mut_ptr(), self.db.as_mut_ptr());
            let put = |i: usize, j: usize, point: S::V| {
                // SAFETY: asserted above; `c_out` is rounded up to whole vectors.
                unsafe {
                    s.store(dm.add((i * PATCH + j) * geometry.m_point + c), point);
                    // A's row for the point 1 is all ones: there, dM is the sum of the tile.
                    if (i, j) == (1, 1) {
                        s.store(db.add(c), s.add(s.load(db.add(c)), point));
                    }
                }
            };
            OutputGradient::two(s, |i, j| gradient[i][j], put);
        }
    }

    /// `dU[p] += V[p]ᵀ · dM[p]`, then, over V, `dV[p] = dM[p] · U[p]ᵀ`, for every point.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, s: S, geometry: &Geometry, ahead: [Ahead; 4]) {
        let Geometry { tiles, c_in, c_out, v_point, m_point, .. } = *geometry;
        let width = panel_width(S::LANES);
        let k = self.op.c_out();
        assert!(self.v.len() >= POINTS * v_point && self.dm.len() >= POINTS * m_point);
        assert!(self.du.len() >= POINTS * self.point_stride);
        if self.dx.is_some() {
            assert!(self.filters.len() >= c_in.div_ceil(width) * POINTS * k * width);
        }
        for p in 0..POINTS {
            for ahead in ahead {
                ahead.fetch(s, p, POINTS);
            }
            // SAFETY: the lengths were just asserted; points hold `tiles` rows of channels, or
            // `c_in` rows of output channels.
            unsafe {
                let v = self.v.as_mut_ptr().add(p * v_point);
                let dm = self.dm.as_ptr().add(p * m_point);
                Gemm {
                    rows: self.op.x().c,
                    columns: c_out,
                    k: tiles,
                    segments: 1,
                    a: v,
                    a_row: 1,
                    a_k: c_in,
                    a_segment: 0,
                    b: dm,
                    b_k: c_out,
                    b_panel: width,
                    c: self.du.as_mut_ptr().add(p * self.point_stride),
                    c_row: c_out,
                    c_panel: width,
                    accumulate: true,
                }
                .compute(s);
                if self.dx.is_none() {
                    continue;
                }
                Gemm {
                    rows: tiles,
                    columns: c_in,
                    k,
                    segments: 1,
                    a: dm,
                    a_row: c_out,
                    a_k: 1,
                    a_segment: 0,
                    b: self.filters.as_ptr().add(p * k * width),
                    b_k: width,
                    b_panel: POINTS * k * width,
                    c: v,
                    c_row: c_in,
                    c_panel: width,
                    accumulate: false,
                }
                .compute(s);
            }
        }
    }
}

/// `dx += B dV Bᵀ` for one tile's patch of an image.
///
/// Tiles come in row-major order, so it is known which contribution to a pixel is the first, and
/// that one overwrites what was there.
#[inline(always)]
fn put_input_gradient<S: Simd>(
    s: S,
    op: &Conv2d,
    geometry: &Geometry,
    dv: &[f32],
    patch: Patch,
    dx: &mut [f32],
) {
    let c = op.x().c;
    assert!(dx.len() == op.x().features());
    assert!(dv.len() >= (POINTS - 1) * geometry.v_point + geometry.c_in);
    for c0 in (0..c).step_by(S::LANES) {
        let n = (c - c0).min(S::LANES);
        let dx = dx.as_mut_ptr();
        let pixel = |i: usize, j: usize| dx.wrapping_add(patch.pixel(i, j) * c + c0);
        // SAFETY: asserted above; `c_in` is rounded up to whole vectors.
        let get = |i: usize, j: usize| unsafe {
            s.load(dv.as_ptr().add((i * PATCH + j) * geometry.v_point + c0))
        };
        if patch.inside() && patch.has_neighbours() && n == S::LANES {
            // What is shared is known at compile time.
            InputGradient::two(s, get, |i, j, g| {
                let pixel = pixel(i, j);
                // SAFETY: all pixels lie in the image, and so do the `n` channels from `c0` on.
                unsafe {
                    let shared = i < PATCH - TILE || j < PATCH - TILE;
                    s.store(pixel, if shared { s.add(s.load(pixel), g) } else { g });
                }
            });
        } else {
            // Choices of address instead of branches.
            let zeros = [0.0; MAX_LANES];
            let mut nowhere = [0.0; MAX_LANES];
            InputGradient::two(s, get, |i, j, g| {
                let pixel = if patch.has(i, j) { pixel(i, j) } else { nowhere.as_mut_ptr() };
                let before = if patch.is_shared(i, j) { pixel } else { zeros.as_ptr() };
                // SAFETY: the pixel has `n` channels from `c0` on; `zeros` and `nowhere` have room
                // for a vector.
                unsafe { store(s, pixel, n, s.add(load(s, before, n), g)) };
            });
        }
    }
}
