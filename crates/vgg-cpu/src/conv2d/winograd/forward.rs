//! The forward pass.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::Conv2d;

use super::algebra::Interpolation;
use super::block::Block;
use super::blocking::{Blocking, Parallel, Products, whole_vectors};
use super::filters::Filters;
use super::input::TransformInput;
use super::output::PutOutput;
use super::points::Points;
use super::transform::TILE;
use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer, Form};
use crate::conv2d::strips::{StripOutput, Strips};
use crate::format::F32;
use crate::gemm::{Ahead, Gemm, panel_width};
use crate::needs::Needs;
use crate::simd::{Kernel, Simd};

/// `y` and, unless it is empty, `aux` of a convolution; see [`vgg_tensor::Command::Conv2d`].
/// `workspace` becomes the transforms of a block, if the threads share it.
pub(in crate::conv2d) fn forward<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    blocking: Blocking,
    x: &[F::Number],
    weight: &Buffer,
    bias: &[f32],
    y: &mut [F::Number],
    aux: &mut [u8],
    workspace: &mut AlignedVec,
) -> Result<()> {
    let Blocking { parallel, size } = blocking;
    forward_needs::<F>(cpu, op, blocking).reserve(cpu, workspace)?;
    let filters = Filters::<F>::new(cpu, op, weight, Form::Forward)?;
    let strips = Strips::new(op, TILE);
    let channels = whole_vectors(cpu, op);
    let (width, threads) = (panel_width(cpu.isa.lanes()), cpu.threads.count());
    let products = Products::new(parallel, channels[1], width, threads);
    let block = |output: StripOutput<'_, F>, memory: &mut [f32]| {
        let block = Block::new(op, strips, output.strips.clone());
        let (v, m) = block.points::<F, F32>(memory, channels);
        parallel.run(block.range(), |strips| {
            F::run(cpu.isa, TransformInput { block, strips, x, v });
        });
        let ahead = [Ahead::new(block.next().new_input(x, 0)), Ahead::new(output.y)];
        parallel.run(0..products.count(), |jobs| {
            F::run(cpu.isa, Multiply { block, filters, v, m, ahead, products, jobs });
        });
        let put = |output| F::run(cpu.isa, PutOutput { block, m, bias, output });
        match parallel {
            Parallel::Blocks => put(output),
            Parallel::Points => strips.split(output, 1).into_par_iter().for_each(put),
        }
    };
    let len = blocking.first_block(op).len::<F, F32>(channels);
    let outputs = strips.split(strips.output(y, aux), size);
    match parallel {
        Parallel::Blocks => outputs.into_par_iter().for_each(|output| {
            let mut scratch = cpu.threads.scratch();
            let [memory] = scratch.split([len]);
            block(output, memory);
        }),
        Parallel::Points => {
            let [memory] = workspace.split([len]);
            outputs.into_iter().for_each(|output| block(output, memory));
        }
    }
    Ok(())
}

/// What [`forward`] takes besides its buffers.
pub(in crate::conv2d) fn forward_needs<F: Interpolation>(
    cpu: &Cpu,
    op: &Conv2d,
    blocking: Blocking,
) -> Needs {
    let len = blocking.first_block(op).len::<F, F32>(whole_vectors(cpu, op));
    let [workspace, scratch] = blocking.parallel.workspace_and_scratch(len);
    Needs { workspace, scratch, derived: Filters::<F>::len(cpu, op, Form::Forward) }
}

/// `M[p] = V[p] · U[p]` for some of the jobs.
struct Multiply<'a, F> {
    block: Block<'a>,
    filters: Filters<'a, F>,
    v: Points<'a, F>,
    m: Points<'a>,
    ahead: [Ahead; 2],
    products: Products,
    jobs: Range<usize>,
}

impl<F: Interpolation> Kernel for Multiply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { v, m, products, .. } = self;
        let (c, width) = (self.block.op.x().c, panel_width(S::LANES));
        let k = c.div_ceil(F::OF_A_PLACE);
        assert!(c <= v.channels && v.rows == m.rows && v.rows == self.block.tiles());
        assert!(self.filters.panel_len == k * width);
        for i in self.jobs {
            let (p, channels) = products.job(i);
            let tiles = self.block.tiles_at(p);
            let filters = self.filters.of(p, channels.clone(), width);
            assert!(filters.len() >= channels.len().div_ceil(width) * k * width);
            let ahead = self.ahead.map(|ahead| ahead.share(i, products.count()));
            // SAFETY: the lengths were just asserted and those of `v` and `m` when they were made;
            // this job alone has these channels of this point of `m`.
            unsafe {
                Gemm {
                    factors: F::default(),
                    rows: tiles.len(),
                    columns: channels.len(),
                    k,
                    segments: 1,
                    a: v.at(p, tiles.start, 0),
                    a_row: v.of_a_row(),
                    a_k: 1,
                    a_segment: 0,
                    b: filters.as_ptr(),
                    b_k: width,
                    b_panel: k * width,
                    c: m.at(p, tiles.start, channels.start),
                    c_row: m.channels,
                    c_panel: width,
                    accumulate: false,
                }
                .compute_and_fetch(s, ahead);
            }
        }
    }
}
