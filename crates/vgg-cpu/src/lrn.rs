//! Local response normalisation.

use rayon::prelude::*;
use vgg_tensor::Result;
use vgg_tensor::spec::Lrn;

use crate::Cpu;
use crate::buffer::{AlignedVec, Buffer};
use crate::format::Format;
use crate::needs::Needs;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// Numbers of one piece of work, if a pixel has no more: few enough to stay in the first-level
/// cache from one sweep over them to the next.
const CHUNK: usize = 1024;

/// Channels on either side that are in a channel's window.
const REACH: usize = Lrn::SIZE / 2;

/// See [`vgg_tensor::Command::Lrn`].
pub(crate) fn forward<F: Format>(cpu: &Cpu, op: &Lrn, x: &Buffer, y: &mut Buffer) -> Result<()> {
    let chunk = Chunk::of(op);
    cpu.threads.reserve_scratch(forward_needs(op).scratch)?;
    let x = x.maps::<F>(op.x().len()).par_chunks(chunk.len());
    let y = y.maps_mut::<F>(op.x().len()).par_chunks_mut(chunk.len());
    cpu.threads.run(|| {
        y.zip(x).for_each(|(y, x)| {
            let mut scratch = cpu.threads.scratch();
            let [squares] = scratch.split([chunk.padded_len()]);
            F::run(cpu.isa, Forward::<F> { chunk, x, y, squares });
        });
    });
    Ok(())
}

/// What [`forward`] takes besides its buffers.
pub(crate) fn forward_needs(op: &Lrn) -> Needs {
    let scratch = AlignedVec::len_of([Chunk::of(op).padded_len()]);
    Needs { scratch, ..Needs::default() }
}

/// See [`vgg_tensor::Command::LrnBackward`].
///
/// With `s_j = k + alpha · Σ x²` over j's window, channel i is in the windows of its neighbours:
/// `dx_i = dy_i · s_i^−beta − 2 · alpha · beta · x_i · Σ_j dy_j · x_j · s_j^(−beta − 1)`.
pub(crate) fn backward<F: Format>(
    cpu: &Cpu,
    op: &Lrn,
    x: &Buffer,
    dy: &Buffer,
    dx: &mut Buffer,
) -> Result<()> {
    let chunk = Chunk::of(op);
    cpu.threads.reserve_scratch(backward_needs(op).scratch)?;
    let x = x.maps::<F>(op.x().len()).par_chunks(chunk.len());
    let dy = dy.maps::<F>(op.x().len()).par_chunks(chunk.len());
    let dx = dx.maps_mut::<F>(op.x().len()).par_chunks_mut(chunk.len());
    cpu.threads.run(|| {
        dx.zip(x).zip(dy).for_each(|((dx, x), dy)| {
            let mut scratch = cpu.threads.scratch();
            let [squares, through, direct] = scratch.split(backward_lens(chunk));
            F::run(cpu.isa, Backward::<F> { chunk, x, dy, dx, squares, through, direct });
        });
    });
    Ok(())
}

/// What [`backward`] takes besides its buffers.
pub(crate) fn backward_needs(op: &Lrn) -> Needs {
    let scratch = AlignedVec::len_of(backward_lens(Chunk::of(op)));
    Needs { scratch, ..Needs::default() }
}

/// Numbers of a thread's scratch memory in the backward pass: for `squares`, `through` and `direct`.
fn backward_lens(chunk: Chunk) -> [usize; 3] {
    [chunk.padded_len(), chunk.padded_len(), chunk.len()]
}

/// How many pixels a piece of work has, and of how many channels.
#[derive(Clone, Copy)]
struct Chunk {
    pixels: usize,
    c: usize,
}

impl Chunk {
    fn of(op: &Lrn) -> Self {
        let c = op.x().c;
        Self { pixels: (CHUNK / c).max(1), c }
    }

    fn len(self) -> usize {
        self.pixels * self.c
    }

    /// Numbers from one pixel to the next where zeros stand before and after each pixel's channels,
    /// so that a window never has to end early.
    fn stride(self) -> usize {
        self.c + REACH
    }

    /// Numbers of all pixels with zeros around them. The last vector, and the windows of its lanes,
    /// may reach beyond.
    fn padded_len(self) -> usize {
        self.pixels * self.stride() + Lrn::SIZE + MAX_LANES
    }

    /// Calls `visit` for each vector of channels of the first `len` numbers: with its index, the
    /// index of its first window in padded memory, and how many channels it has.
    #[inline(always)]
    fn for_each<S: Simd>(self, _: S, len: usize, mut visit: impl FnMut(usize, usize, usize)) {
        for pixel in 0..len / self.c {
            for k in (0..self.c).step_by(S::LANES) {
                visit(pixel * self.c + k, pixel * self.stride() + k, (self.c - k).min(S::LANES));
            }
        }
    }
}

struct Forward<'a, F: Format> {
    chunk: Chunk,
    x: &'a [F::Number],
    y: &'a mut [F::Number],
    squares: &'a mut [f32],
}

impl<F: Format> Kernel for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { chunk, x, y, squares } = self;
        assert!(x.len() <= chunk.len() && squares.len() == chunk.padded_len());
        assert_eq!(x.len(), y.len());
        square::<F, S>(s, chunk, x, squares);
        chunk.for_each(s, x.len(), |i, padded, n| {
            // SAFETY: `n` numbers are left from `i` on in `x` and `y`, which are equally long, and
            // a window and a vector in `squares`.
            unsafe {
                let (_, power) = powers(s, window_sum(s, squares.as_ptr().add(padded)));
                let y_i = s.mul(F::load_first(s, x.as_ptr().add(i), n), power);
                F::store_first(s, y.as_mut_ptr().add(i), n, y_i);
            }
        });
    }
}

struct Backward<'a, F: Format> {
    chunk: Chunk,
    x: &'a [F::Number],
    dy: &'a [F::Number],
    dx: &'a mut [F::Number],
    squares: &'a mut [f32],
    through: &'a mut [f32],
    /// The part of `dx` that comes from the same channel.
    direct: &'a mut [f32],
}

impl<F: Format> Kernel for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { chunk, x, dy, dx, squares, through, direct } = self;
        assert!(x.len() <= direct.len());
        assert!([squares.len(), through.len()] == [chunk.padded_len(); 2]);
        assert!([dy.len(), dx.len()] == [x.len(); 2]);
        square::<F, S>(s, chunk, x, squares);
        through.fill(0.0);
        chunk.for_each(s, x.len(), |i, padded, n| {
            // SAFETY: as in `Forward`; `through` is as long as `squares`.
            unsafe {
                let (inverse, power) = powers(s, window_sum(s, squares.as_ptr().add(padded)));
                let direct_i = s.mul(F::load_first(s, dy.as_ptr().add(i), n), power);
                s.store_first(direct.as_mut_ptr().add(i), n, direct_i);
                let x_i = F::load_first(s, x.as_ptr().add(i), n);
                let through_i = s.mul(s.mul(direct_i, x_i), inverse);
                s.store_first(through.as_mut_ptr().add(padded + REACH), n, through_i);
            }
        });
        let factor = s.splat(-2.0 * Lrn::ALPHA * Lrn::BETA);
        chunk.for_each(s, x.len(), |i, padded, n| {
            // SAFETY: as before.
            unsafe {
                let neighbours = window_sum(s, through.as_ptr().add(padded));
                let x_i = s.mul(factor, F::load_first(s, x.as_ptr().add(i), n));
                let direct_i = s.load_first(direct.as_ptr().add(i), n);
                F::store_first(s, dx.as_mut_ptr().add(i), n, s.mul_add(x_i, neighbours, direct_i));
            }
        });
    }
}

/// The squares of `x` in padded memory.
#[inline(always)]
fn square<F: Format, S: Simd>(s: S, chunk: Chunk, x: &[F::Number], squares: &mut [f32]) {
    assert!(x.len() <= chunk.len() && squares.len() == chunk.padded_len());
    squares.fill(0.0);
    chunk.for_each(s, x.len(), |i, padded, n| {
        // SAFETY: `n` numbers are left from `i` on in `x`, and from the middle of the window on in
        // `squares`.
        unsafe {
            let x = F::load_first(s, x.as_ptr().add(i), n);
            s.store_first(squares.as_mut_ptr().add(padded + REACH), n, s.mul(x, x));
        }
    });
}

/// The sums over the windows that begin at each of a vector's places from `p` on.
///
/// # Safety
/// `SIZE - 1` numbers more than a vector has can be read at `p`.
#[inline(always)]
unsafe fn window_sum<S: Simd>(s: S, p: *const f32) -> S::V {
    // SAFETY: the caller vouches for them.
    unsafe { (1..Lrn::SIZE).fold(s.load(p), |sum, i| s.add(sum, s.load(p.add(i)))) }
}

/// `1 / d` and `d^−beta` of the denominator `d = k + alpha · squares`.
#[inline(always)]
fn powers<S: Simd>(s: S, squares: S::V) -> (S::V, S::V) {
    // A general power would be a logarithm and an exponential; this one is two roots.
    const { assert!(Lrn::BETA == 0.75) };
    let d = s.mul_add(s.splat(Lrn::ALPHA), squares, s.splat(Lrn::K));
    let inverse = s.div(s.splat(1.0), d);
    let root = s.sqrt(inverse);
    (inverse, s.mul(root, s.sqrt(root)))
}
