//! Convolutions as plain loops in `f64`: over images, outputs, taps, and channels innermost.

/// A convolution. Maps are `[n, h, w, c]`, weights `[c_out, h, w, c_in]`.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) n: usize,
    pub(super) x: [usize; 2],
    pub(super) y: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) padding: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) c_in: usize,
    pub(super) c_out: usize,
}

impl Sizes {
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Calls `product` with the pixel of `x`, the pixel of `y` and the tap of all that meet.
    fn for_each(&self, mut product: impl FnMut(usize, usize, usize)) {
        let ([x_h, x_w], [y_h, y_w], [k_h, k_w]) = (self.x, self.y, self.kernel);
        let [down, across] = self.stride;
        for image in 0..self.n {
            for row in 0..y_h {
                for column in 0..y_w {
                    let y = (image * y_h + row) * y_w + column;
                    for r in 0..k_h {
                        let Some(i) = (row * down + r).checked_sub(self.padding[0]) else {
                            continue;
                        };
                        for s in 0..k_w {
                            let Some(j) = (column * across + s).checked_sub(self.padding[1]) else {
                                continue;
                            };
                            if i < x_h && j < x_w {
                                product((image * x_h + i) * x_w + j, y, r * k_w + s);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `sums += factor · row`.
fn add(sums: &mut [f64], factor: f64, row: &[f64]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += factor * x;
    }
}

/// The `i`-th of rows of `len` numbers.
fn row(numbers: &[f64], i: usize, len: usize) -> &[f64] {
    &numbers[i * len..(i + 1) * len]
}

pub(super) fn forward(sizes: &Sizes, x: &[f64], weight: &[f64]) -> Vec<f64> {
    let Sizes { n, y: [h, w], c_in, c_out, .. } = *sizes;
    // [taps, c_in, c_out], so that outputs are innermost.
    let taps = sizes.taps();
    let mut turned = vec![0.0; weight.len()];
    for (i, weight) in weight.iter().enumerate() {
        let (out, rest) = (i / (taps * c_in), i % (taps * c_in));
        turned[rest * c_out + out] = *weight;
    }
    let mut y = vec![0.0; n * h * w * c_out];
    sizes.for_each(|from, to, tap| {
        let sums = &mut y[to * c_out..(to + 1) * c_out];
        for (c, x) in row(x, from, c_in).iter().enumerate() {
            add(sums, *x, row(&turned, tap * c_in + c, c_out));
        }
    });
    y
}

pub(super) fn backward_data(sizes: &Sizes, weight: &[f64], dy: &[f64]) -> Vec<f64> {
    let Sizes { n, x: [h, w], c_in, c_out, .. } = *sizes;
    let taps = sizes.taps();
    let mut dx = vec![0.0; n * h * w * c_in];
    sizes.for_each(|to, from, tap| {
        let sums = &mut dx[to * c_in..(to + 1) * c_in];
        for (out, dy) in row(dy, from, c_out).iter().enumerate() {
            add(sums, *dy, row(weight, out * taps + tap, c_in));
        }
    });
    dx
}

pub(super) fn backward_filter(sizes: &Sizes, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let Sizes { c_in, c_out, .. } = *sizes;
    let taps = sizes.taps();
    let mut dw = vec![0.0; c_out * taps * c_in];
    sizes.for_each(|from, to, tap| {
        for (out, dy) in row(dy, to, c_out).iter().enumerate() {
            let first = (out * taps + tap) * c_in;
            add(&mut dw[first..first + c_in], *dy, row(x, from, c_in));
        }
    });
    dw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_row() {
        let sizes = Sizes {
            n: 1,
            x: [1, 3],
            y: [1, 3],
            kernel: [1, 3],
            padding: [0, 1],
            stride: [1, 1],
            c_in: 1,
            c_out: 1,
        };
        let (x, weight, dy) = ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [1.0, 0.0, 2.0]);
        assert_eq!(forward(&sizes, &x, &weight), [80.0, 140.0, 80.0]);
        assert_eq!(backward_data(&sizes, &weight, &dy), [20.0, 50.0, 40.0]);
        assert_eq!(backward_filter(&sizes, &x, &dy), [4.0, 7.0, 2.0]);
    }

    #[test]
    fn a_stride_takes_every_other_sum() {
        let sizes = Sizes {
            n: 1,
            x: [3, 4],
            y: [2, 2],
            kernel: [1, 2],
            padding: [0, 0],
            stride: [2, 2],
            c_in: 1,
            c_out: 1,
        };
        let x: Vec<f64> = (0..12).map(f64::from).collect();
        let (weight, dy) = ([1.0, 10.0], [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(forward(&sizes, &x, &weight), [10.0, 32.0, 98.0, 120.0]);
        let dx = [1.0, 10.0, 2.0, 20.0, 0.0, 0.0, 0.0, 0.0, 3.0, 30.0, 4.0, 40.0];
        assert_eq!(backward_data(&sizes, &weight, &dy), dx);
        assert_eq!(backward_filter(&sizes, &x, &dy), [68.0, 78.0]);
    }
}
