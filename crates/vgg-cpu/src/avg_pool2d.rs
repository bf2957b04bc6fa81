//! Average pooling.

use std::ops::Range;

use rayon::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::AvgPool2d;

use crate::Cpu;
use crate::buffer::Buffer;
use crate::format::Format;
use crate::simd::{Kernel, Simd};

/// See [`vgg_tensor::Command::AvgPool2d`].
pub(crate) fn forward<F: Format>(cpu: &Cpu, op: &AvgPool2d, x: &Buffer, y: &mut Buffer) {
    let (from, to) = (op.x(), op.y());
    let x = x.maps::<F>(from.len());
    let rows = y.maps_mut::<F>(to.len()).par_chunks_exact_mut(to.w * to.c).enumerate();
    cpu.threads.run(|| {
        rows.for_each(|(index, out)| {
            F::run(cpu.isa, Row::<F> { from, to, x, index, out, pass: Pass::Forward });
        });
    });
}

/// See [`vgg_tensor::Command::AvgPool2dBackward`].
pub(crate) fn backward<F: Format>(cpu: &Cpu, op: &AvgPool2d, dy: &Buffer, dx: &mut Buffer) {
    let (from, to) = (op.y(), op.x());
    let dy = dy.maps::<F>(from.len());
    let rows = dx.maps_mut::<F>(to.len()).par_chunks_exact_mut(to.w * to.c).enumerate();
    cpu.threads.run(|| {
        rows.for_each(|(index, out)| {
            F::run(cpu.isa, Row::<F> { from, to, x: dy, index, out, pass: Pass::Backward });
        });
    });
}

#[derive(Clone, Copy)]
enum Pass {
    Forward,
    Backward,
}

/// Row `index`, counted through all images, of either pass. Both are weighted sums over windows,
/// since the windows that an input is in are a window, too: no two rows write the same place.
struct Row<'a, F: Format> {
    from: Shape,
    to: Shape,
    x: &'a [F::Number],
    index: usize,
    out: &'a mut [F::Number],
    pass: Pass,
}

impl<F: Format> Row<'_, F> {
    /// What the numbers at `place` along a side are divided by: the length of the window that is
    /// averaged, which is this output's in the forward pass and that number's in the backward pass.
    #[inline(always)]
    fn divisor(&self, window: &Range<usize>, place: usize, from: usize, to: usize) -> f32 {
        let len = match self.pass {
            Pass::Forward => window.len(),
            Pass::Backward => AvgPool2d::window(place, to, from).len(),
        };
        len as f32
    }
}

impl<F: Format> Kernel for Row<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (from, to, c) = (self.from, self.to, self.from.c);
        let (image, i) = (self.index / to.h, self.index % to.h);
        let rows = AvgPool2d::window(i, from.h, to.h);
        assert!(self.x.len() == from.len() && self.out.len() == to.w * c);
        assert!(to.c == c && image < from.n && rows.end <= from.h);
        for j in 0..to.w {
            let columns = AvgPool2d::window(j, from.w, to.w);
            assert!(columns.end <= from.w);
            for k in (0..c).step_by(S::LANES) {
                let n = (c - k).min(S::LANES);
                let mut sum = s.splat(0.0);
                for row in rows.clone() {
                    let row_divisor = self.divisor(&rows, row, from.h, to.h);
                    for column in columns.clone() {
                        let divisor = row_divisor * self.divisor(&columns, column, from.w, to.w);
                        let pixel = (image * from.h + row) * from.w + column;
                        let x = self.x.as_ptr().wrapping_add(pixel * c + k);
                        // SAFETY: the pixel is one of the input's, as was just asserted, and `n` of
                        // its channels are left from `k` on.
                        let x = unsafe { F::load_first(s, x, n) };
                        sum = s.add(sum, s.div(x, s.splat(divisor)));
                    }
                }
                // SAFETY: `n` of this pixel's channels are left from `k` on.
                unsafe { F::store_first(s, self.out.as_mut_ptr().add(j * c + k), n, sum) };
            }
        }
    }
}
