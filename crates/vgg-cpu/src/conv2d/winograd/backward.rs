//! The gradients, in one pass over the tiles.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::algebra::Interpolation;
use super::block::Block;
use super::blocking::{Blocking, Parallel, Products, whole_vectors};
use super::filters::{self, Filters};
use super::input::{PutInputGradient, TransformInput};
use super::output::TransformOutputGradient;
use super::points::{Points, UsedPoints};
use super::transform::{PATCH, TILE};
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer, Form, LINE};
use crate::conv2d::Gradients;
use crate::conv2d::chunks::{Chunk, Chunks};
use crate::conv2d::strips::Strips;
use crate::epilogue::{AuxLayout, relu_max_pool_gradient};
use crate::format::F32;
use crate::gemm::{Ahead, Gemm, panel_width};
use crate::needs::Needs;
use crate::shared::Shared;
use crate::simd::{Kernel, Simd};

/// The gradients of a convolution; see [`vgg_tensor::Command::Conv2dBackward`]. `workspace`
/// becomes the chunks' sums of the weight's and the bias's gradient and, if the threads share a
/// block, its transforms.
pub(in crate::conv2d) fn backward<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    blocking: Blocking,
    x: &[F::Number],
    weight: &Buffer,
    dy: &[F::Number],
    aux: &[u8],
    Gradients { dweight, dbias, dx }: Gradients<'_, F>,
    workspace: &mut AlignedVec,
) -> Result<()> {
    let Blocking { parallel, size } = blocking;
    backward_needs::<F>(cpu, op, blocking, dx.is_some()).reserve(cpu, workspace)?;
    let filters =
        dx.is_some().then(|| Filters::<F>::new(cpu, op, weight, Form::Backward)).transpose()?;
    let strips = Strips::new(op, TILE);
    let channels = whole_vectors(cpu, op);
    let du_len = Points::<F32>::len(op.x().c, channels[1]);
    let chunks = chunks(op, parallel, channels);
    let (len, pairs_len) = lens::<F>(blocking.first_block(op), channels);
    let (parallel, threads) = sharing(cpu, parallel, &chunks);
    let shared_len = match parallel {
        Parallel::Blocks => 0,
        Parallel::Points => AlignedVec::len_of([len]),
    };
    let [partials, shared] = workspace.split([chunks.len(), chunks.count * shared_len]);
    let pass = Pass { cpu, op, parallel, threads, size, strips, channels, x, filters, dy, aux };
    let outputs = chunks.with_images(dx, op.x().features(), partials).into_par_iter();
    match parallel {
        Parallel::Blocks => outputs.for_each(|output| {
            let mut scratch = cpu.threads.scratch();
            let [memory, pairs] = scratch.split([len, pairs_len]);
            pass.chunk(output, memory, pairs);
        }),
        Parallel::Points => outputs
            .zip(shared.par_chunks_exact_mut(shared_len))
            .for_each(|(output, memory)| pass.chunk(output, memory, &mut [])),
    }
    filters::weight_gradient::<F>(cpu, op, partials, chunks.partial_len, dweight);
    chunks.sum_into(partials, du_len, dbias);
    Ok(())
}

/// What [`backward`] takes besides its buffers. `dx` says whether the input's gradient is wanted.
pub(in crate::conv2d) fn backward_needs<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    blocking: Blocking,
    dx: bool,
) -> Needs {
    let channels = whole_vectors(cpu, op);
    let chunks = chunks(op, blocking.parallel, channels);
    let (block, pairs) = lens::<F>(blocking.first_block(op), channels);
    let (parallel, _) = sharing(cpu, blocking.parallel, &chunks);
    let [block, scratch] = parallel.workspace_and_scratch(block);
    Needs {
        workspace: AlignedVec::len_of([chunks.len()]) + chunks.count * block,
        scratch: scratch + AlignedVec::len_of([pairs]),
        derived: if dx { Filters::<F>::len(cpu, op, Form::Backward) } else { 0 },
    }
}

/// Places that a block takes at the points, and that a job of its products takes for pairs of tiles.
fn lens<F: Interpolation>(block: Block<'_>, channels: [usize; 2]) -> (usize, usize) {
    let [c_in, c_out] = channels;
    let factors = block.len::<F, F>(channels);
    match F::OF_A_PLACE {
        // The input's gradient takes its input's places.
        1 => (factors, 0),
        _ => {
            let gradient = Points::<F32>::len(block.tiles(), c_in);
            (factors + gradient, block.tiles().div_ceil(F::OF_A_PLACE) * (c_in + c_out))
        }
    }
}

/// The chunks. A chunk's sums are the gradient of the filters at the points, then the bias's.
fn chunks(op: &Conv2d, parallel: Parallel, [_, c_out]: [usize; 2]) -> Chunks {
    let partial_len = Points::<F32>::len(op.x().c, c_out) + c_out;
    match parallel {
        Parallel::Blocks => {
            let tiles = op.conv_y().h.div_ceil(TILE) * op.conv_y().w.div_ceil(TILE);
            Chunks::new(op.x().n, tiles, partial_len)
        }
        Parallel::Points => Chunks::one(op.x().n, partial_len),
    }
}

/// Who does the work on a chunk's blocks, and how many threads do: where there are more threads than chunks,
/// they share the blocks of each. What is computed does not depend on it.
fn sharing(cpu: &Cpu, parallel: Parallel, chunks: &Chunks) -> (Parallel, usize) {
    match cpu.threads.count().div_ceil(chunks.count) {
        1 => (parallel, 1),
        threads => (Parallel::Points, threads),
    }
}

/// What all chunks read.
struct Pass<'a, F: Interpolation> {
    cpu: &'a Cpu,
    op: &'a Conv2d,
    parallel: Parallel,
    /// Threads that share a chunk.
    threads: usize,
    /// Strips of a block.
    size: usize,
    strips: Strips,
    /// Of input and output, rounded up to whole vectors.
    channels: [usize; 2],
    x: &'a [F::Number],
    /// U[p]ᵀ in panels, if `dx` is wanted.
    filters: Option<Filters<'a, F>>,
    dy: &'a [F::Number],
    aux: &'a [u8],
}

impl<F: Interpolation> Pass<'_, F> {
    /// The gradients of a chunk's images, in a block's `memory`; `pairs` is the thread's, if it does all
    /// jobs.
    fn chunk(&self, chunk: Chunk<'_, F>, memory: &mut [f32], pairs: &mut [f32]) {
        let Self {
            cpu,
            op,
            parallel,
            threads,
            strips,
            channels: [c_in, c_out],
            x,
            filters,
            dy,
            aux,
            ..
        } = *self;
        let (du, db) = chunk.partial.split_at_mut(Points::<F32>::len(op.x().c, c_out));
        let du = Points::new(du, op.x().c, c_out);
        db.fill(0.0);
        let mut dx = chunk.dx;
        let products = Products::new(parallel, c_in, panel_width(cpu.isa.lanes()), threads);
        let first = chunk.images.start * strips.per_image;
        let end = chunk.images.end * strips.per_image;
        for start in (first..end).step_by(self.size) {
            let block = Block::new(op, strips, start..(start + self.size).min(end));
            let (factors, gradient) = memory.split_at_mut(block.len::<F, F>(self.channels));
            let (v, dm) = block.points::<F, F>(factors, self.channels);
            let dv = v.in_f32().unwrap_or_else(|| Points::new(gradient, block.tiles(), c_in));
            parallel.run(block.range(), |strips| {
                F::run(cpu.isa, TransformInput { block, strips: strips.clone(), x, v });
                F::run(cpu.isa, TransformOutputGradient { block, strips, dy, aux, dm });
            });
            F::run(cpu.isa, SumBiasGradient { block, dy, aux, dm, db });

            let ahead = self.ahead(block, dx.as_deref(), chunk.images.start);
            let overwrite = start == first;
            let (_, pairs_len) = lens::<F>(block, self.channels);
            let of_the_thread = Shared::new(pairs);
            parallel.run(0..products.count(), |jobs| {
                let mut scratch;
                let pairs = match parallel {
                    Parallel::Blocks => of_the_thread,
                    Parallel::Points => {
                        scratch = cpu.threads.scratch();
                        let [pairs] = scratch.split([pairs_len]);
                        Shared::new(pairs)
                    }
                };
                F::run(
                    cpu.isa,
                    Multiply {
                        block,
                        filters,
                        v,
                        dm,
                        dv,
                        pairs,
                        du,
                        overwrite,
                        ahead,
                        products,
                        jobs,
                    },
                );
            });
            let Some(dx) = dx.as_deref_mut() else { continue };
            let dx = Shared::new(dx);
            let first_image = chunk.images.start;
            let images = block.images();
            // Whole pixels are read and written faster than some of their channels.
            let jobs_of_an_image = match parallel {
                Parallel::Blocks => 1,
                Parallel::Points => threads.div_ceil(images.len()),
            };
            let of_a_job = c_in.div_ceil(jobs_of_an_image).next_multiple_of(LINE);
            parallel.run(0..images.len() * jobs_of_an_image, |jobs| {
                for job in jobs {
                    let strips = block.range_of(images.start + job / jobs_of_an_image);
                    let first = job % jobs_of_an_image * of_a_job;
                    let channels = first.min(op.x().c)..(first + of_a_job).min(op.x().c);
                    F::run(
                        cpu.isa,
                        PutInputGradient::<F> { block, strips, channels, dv, dx, first_image },
                    );
                }
            });
        }
    }

    /// What will be used after the block's products: its rows of dx, which starts with image
    /// `first_image`, and the next block's of x, dy and aux.
    fn ahead(&self, block: Block<'_>, dx: Option<&[F::Number]>, first_image: usize) -> [Ahead; 4] {
        let next = block.next();
        let before = |strip: usize| self.strips.y_pixels_before(strip);
        let pixels = before(next.range().start)..before(next.range().end);
        let c = self.op.c_out();
        let aux_pixel = self.aux.len() / (self.dy.len() / c);
        [
            Ahead::new(dx.map_or(&[][..], |dx| block.new_input(dx, first_image))),
            Ahead::new(next.new_input(self.x, 0)),
            Ahead::new(&self.dy[pixels.start * c..pixels.end * c]),
            Ahead::new(&self.aux[pixels.start * aux_pixel..pixels.end * aux_pixel]),
        ]
    }
}

/// The bias's gradient. Where one of the points is 1, A's row for it is all ones, so there dM is the sum of
/// the tile.
struct SumBiasGradient<'a, F: Interpolation> {
    block: Block<'a>,
    dy: &'a [F::Number],
    aux: &'a [u8],
    dm: Points<'a, F>,
    db: &'a mut [f32],
}

impl<F: Interpolation> Kernel for SumBiasGradient<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.db.len() >= self.dm.channels);
        if F::A == 1.0 { self.of_tiles(s) } else { self.of_pixels(s) }
    }
}

impl<F: Interpolation> SumBiasGradient<'_, F> {
    #[inline(always)]
    fn of_tiles<S: Simd>(self, s: S) {
        let db = self.db.as_mut_ptr();
        for tile in 0..self.dm.rows {
            for c in (0..self.dm.channels).step_by(S::LANES) {
                // SAFETY: asserted; channels are whole vectors, and no job writes `dm` now.
                unsafe {
                    let sum = F::load(s, self.dm.at(PATCH + 1, tile, c).cast());
                    s.store(db.add(c), s.add(s.load(db.add(c)), sum));
                }
            }
        }
    }

    #[inline(always)]
    fn of_pixels<S: Simd>(self, s: S) {
        let Block { op, y, strips, .. } = self.block;
        let (layout, epilogue) = (AuxLayout::new(op), op.epilogue());
        let Range { start, end } = self.block.range();
        for c in (0..y.c).step_by(S::LANES) {
            let n = (y.c - c).min(S::LANES);
            let mut sum = s.splat(0.0);
            for pixel in strips.y_pixels_before(start)..strips.y_pixels_before(end) {
                let dy = &self.dy[pixel * y.c + c..][..n];
                // SAFETY: the slice has `n` numbers.
                let dy = unsafe { F::load_first(s, dy.as_ptr(), n) };
                let gradient = match epilogue {
                    ConvEpilogue::Bias => dy,
                    ConvEpilogue::BiasRelu => s.keep(layout.alive(self.aux, pixel, c, n), dy),
                    ConvEpilogue::BiasReluMaxPool => {
                        let bits = layout.pool(self.aux, pixel, c, n);
                        let [[a, b], [c, d]] = relu_max_pool_gradient(s, dy, bits);
                        s.add(s.add(a, b), s.add(c, d))
                    }
                };
                sum = s.add(sum, gradient);
            }
            let db = &mut self.db[c..c + n];
            // SAFETY: as above.
            unsafe { s.store_first(db.as_mut_ptr(), n, s.add(s.load_first(db.as_ptr(), n), sum)) };
        }
    }
}

/// `dU[p] += V[p]ᵀ · dM[p]`, then `dV[p] = dM[p] · U[p]ᵀ`, which may be over V, for some of the jobs: a job
/// has some of the input's channels.
struct Multiply<'a, F> {
    block: Block<'a>,
    /// If `dx` is wanted.
    filters: Option<Filters<'a, F>>,
    v: Points<'a, F>,
    dm: Points<'a, F>,
    dv: Points<'a>,
    /// For pairs of tiles, along which `dU` is summed.
    pairs: Shared<'a>,
    du: Points<'a>,
    /// `dU` is written for the first time: there is nothing to add to.
    overwrite: bool,
    ahead: [Ahead; 4],
    products: Products,
    jobs: Range<usize>,
}

impl<F: Interpolation> Kernel for Multiply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { v, dm, dv, pairs, du, products, .. } = self;
        let (width, c_out) = (panel_width(S::LANES), self.block.op.c_out());
        let k = c_out.div_ceil(F::OF_A_PLACE);
        let c_in = self.block.op.x().c;
        let used = UsedPoints::of(self.block.op);
        assert!(
            v.rows == dm.rows
                && v.rows == self.block.tiles()
                && dm.channels == du.channels
                && c_out <= dm.channels
        );
        assert!(du.rows == c_in && c_in <= v.channels);
        assert!(dv.rows == v.rows && dv.channels == v.channels);
        for i in self.jobs {
            let (p, channels) = products.job(i);
            let tiles = self.block.tiles_at(p);
            if !used.has(p / PATCH, p % PATCH) {
                continue;
            }
            let filters = self.filters.map(|filters| {
                assert!(filters.panel_len == k * width);
                let filters = filters.of(p, channels.clone(), width);
                assert!(filters.len() >= channels.len().div_ceil(width) * k * width);
                filters
            });
            let ahead = self.ahead.map(|ahead| ahead.share(i, products.count()));
            // SAFETY: the lengths were just asserted, and those of the points when they were made;
            // this job alone has these channels of this point of V and of dV, these rows of dU, and
            // `pairs`.
            unsafe {
                // Of V some channels, of dM all: a row a tile, or a pair of tiles.
                let [(a, a_k), (b, b_k)] = if F::OF_A_PLACE == 1 {
                    let a = v.at(p, tiles.start, channels.start);
                    [(a, v.channels), (dm.at(p, tiles.start, 0), dm.channels)]
                } else {
                    let all = 0..dm.channels;
                    let len = tiles.len().div_ceil(F::OF_A_PLACE) * channels.len();
                    assert!(pairs.len() >= len / channels.len() * (channels.len() + all.len()));
                    let [a, b] = [pairs.at(0), pairs.at(len)];
                    v.pair_rows(s, p, tiles.clone(), channels.clone(), a);
                    dm.pair_rows(s, p, tiles.clone(), all, b);
                    [(a, channels.len()), (b, dm.channels)]
                };
                Gemm {
                    factors: F::default(),
                    rows: channels.end.min(c_in) - channels.start,
                    columns: dm.channels,
                    k: tiles.len().div_ceil(F::OF_A_PLACE),
                    segments: 1,
                    a,
                    a_row: 1,
                    a_k,
                    a_segment: 0,
                    b,
                    b_k,
                    b_panel: width,
                    c: du.at(p, channels.start, 0),
                    c_row: du.channels,
                    c_panel: width,
                    accumulate: !self.overwrite,
                }
                .compute_and_fetch(s, ahead);
                let Some(filters) = filters else { continue };
                Gemm {
                    factors: F::default(),
                    rows: tiles.len(),
                    columns: channels.len(),
                    k,
                    segments: 1,
                    a: dm.at(p, tiles.start, 0),
                    a_row: dm.of_a_row(),
                    a_k: 1,
                    a_segment: 0,
                    b: filters.as_ptr(),
                    b_k: width,
                    b_panel: k * width,
                    c: dv.at(p, tiles.start, channels.start),
                    c_row: dv.channels,
                    c_panel: width,
                    accumulate: false,
                }
                .compute(s);
            }
        }
    }
}
