//! A 3×3 convolution with one zero on each side, and its gradients, as plain loops: what the kernels on tensor
//! cores are compared with. Maps are `[n, h, w, c]`, weights `[c, 3, 3, c_in]`.

/// n, h, w, c_in, c.
pub(crate) type Size = [usize; 5];

/// All sums, of `x`, `weight` and `bias`.
pub(crate) fn sums(size: Size, [x, weight, bias]: [&[f32]; 3]) -> Vec<f32> {
    let [n, h, w, c_in, c] = size;
    let mut sums: Vec<f32> = (0..n * h * w).flat_map(|_| bias).copied().collect();
    for_each_tap(size, |pixel, input, tap| {
        for channel in 0..c {
            let filter = (channel * 9 + tap) * c_in;
            let products = (0..c_in).map(|k| x[input * c_in + k] * weight[filter + k]);
            sums[pixel * c + channel] += products.sum::<f32>();
        }
    });
    sums
}

/// Of `x`, weight and bias, from the gradients of all sums.
pub(crate) fn gradients(size: Size, [dsums, weight, x]: [&[f32]; 3]) -> [Vec<f32>; 3] {
    let [n, h, w, c_in, c] = size;
    let [mut dx, mut dweight, mut db] =
        [n * h * w * c_in, 9 * c * c_in, c].map(|len| vec![0.0; len]);
    for (i, gradient) in dsums.iter().enumerate() {
        db[i % c] += gradient;
    }
    for_each_tap(size, |pixel, input, tap| {
        for channel in 0..c {
            let gradient = dsums[pixel * c + channel];
            for k in 0..c_in {
                let filter = (channel * 9 + tap) * c_in + k;
                dx[input * c_in + k] += gradient * weight[filter];
                dweight[filter] += gradient * x[input * c_in + k];
            }
        }
    });
    [dx, dweight, db]
}

/// Calls `f` with each pixel, each that it sees through the filter, and the tap.
fn for_each_tap([n, h, w, ..]: Size, mut f: impl FnMut(usize, usize, usize)) {
    for pixel in 0..n * h * w {
        let (image, row, column) = (pixel / w / h, pixel / w % h, pixel % w);
        for tap in 0..9 {
            let (r, s) = (row + tap / 3, column + tap % 3);
            if (1..=h).contains(&r) && (1..=w).contains(&s) {
                f(pixel, (image * h + r - 1) * w + s - 1, tap);
            }
        }
    }
}
