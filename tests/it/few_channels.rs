//! Convolutions of few channels on tensor cores against plain loops, on whole numbers: every sum is
//! exact, and many are equal to another one of their window, or zero.

use half::{bf16, f16};
use vgg_kernels::FEW_CHANNELS_SM80;
use vgg_ptx::DeviceMemory;
use vgg_testkit::inputs;

use crate::convolution::{Size, gradients, sums};
use crate::first_stage::Half;
use crate::kernels::{Param, download, launch_in_order, upload};

/// n, h, w, c_in, c: rows of pixels that are no tile, one, and more; odd sides; channels that are no
/// slab and no vector, one, and more.
const SIZES: [[usize; 5]; 6] = [
    [1, 2, 2, 16, 1],
    [2, 7, 32, 16, 32],
    [1, 6, 71, 16, 9],
    [1, 5, 34, 32, 20],
    [2, 4, 6, 32, 32],
    [1, 9, 37, 16, 70],
];

/// Of a 3×3 convolution, pooled: of each pooled pixel and channel, the largest sum that is above zero, and
/// its code, of eight channels at a time.
pub(crate) fn pooled(size: Size, factors: [&[f32]; 3]) -> (Vec<f32>, Vec<u32>) {
    let ([n, h, w, _, c], sums) = (size, sums(size, factors));
    let (y_h, y_w, groups) = (h / 2, w / 2, c.div_ceil(8));
    let (mut y, mut codes) = (Vec::new(), Vec::new());
    for i in 0..n * y_h * y_w * groups * 8 {
        let (pixel, channel) = (i / (groups * 8), i % (groups * 8));
        let (mut largest, mut code) = (0.0, 0);
        for q in (0..4).rev().filter(|_| channel < c) {
            let sum = sums[place(size, pixel, q) * c + channel];
            if sum > 0.0 && sum >= largest {
                (largest, code) = (sum, 4 | q as u32);
            }
        }
        if channel < c {
            y.push(largest);
        }
        codes.push(code);
    }
    (y, codes)
}

/// The pixel of sum q of a pooled pixel.
fn place([_, h, w, ..]: Size, pixel: usize, q: usize) -> usize {
    let (y_h, y_w) = (h / 2, w / 2);
    let (image, row, column) = (pixel / y_w / y_h, pixel / y_w % y_h, pixel % y_w);
    (image * h + 2 * row + q / 2) * w + 2 * column + q % 2
}

/// The gradients of all sums, from those of pooled pixels and the decisions on their channels.
pub(crate) fn unpooled(size: Size, dy: &[f32], code: impl Fn(usize, usize) -> u32) -> Vec<f32> {
    let [n, h, w, _, c] = size;
    let mut dsums = vec![0.0; n * h * w * c];
    for (i, gradient) in dy.iter().enumerate() {
        let (pixel, channel) = (i / c, i % c);
        let code = code(pixel, channel) as usize;
        if code >= 4 {
            dsums[place(size, pixel, code % 4) * c + channel] = *gradient;
        }
    }
    dsums
}

/// The codes in words of `aux`: of the dead, which may have any, 0.
pub(crate) fn decisions(words: &[u32]) -> Vec<u32> {
    let codes = words.iter().flat_map(|word| (0..8).map(move |k| word >> (4 * k) & 7));
    codes.map(|code| if code < 4 { 0 } else { code }).collect()
}

fn check<T: Half>() {
    for [n, h, w, c_in, c] in SIZES {
        let [x, weight, bias] = [(1, n * h * w * c_in, 2), (2, 9 * c * c_in, 1), (3, c, 1)]
            .map(|(seed, len, most)| inputs::integers(seed, len, most));
        let (groups, pixels) = (c.div_ceil(8), n * (h / 2) * (w / 2));
        let expected = pooled([n, h, w, c_in, c], [&x, &weight, &bias]);
        let expected_y: Vec<T> = expected.0.iter().map(|x| T::half(*x)).collect();

        for (seed, tiles_per_warp) in [(1, 1u32), (2, 3)] {
            let mut memory = DeviceMemory::new();
            let half = |numbers: &[f32]| numbers.iter().map(|x| T::half(*x)).collect::<Vec<T>>();
            let [x, weight] = [&x, &weight].map(|numbers| upload(&mut memory, &half(numbers)));
            let bias = upload(&mut memory, &bias);
            let (y, aux) = (memory.alloc(2 * pixels * c), memory.alloc(4 * pixels * groups));
            let tiles = n * (h / 2) * (w / 2).div_ceil(16);
            let grid = [c.div_ceil(32) as u32, tiles.div_ceil(8 * tiles_per_warp as usize) as u32];
            let (n, h, w, c_in, channels) = (n as u64, h as u32, w as u32, c_in as u32, c as u32);
            let params: [&dyn Param; 11] =
                [&x, &weight, &bias, &y, &aux, &n, &h, &w, &c_in, &channels, &tiles_per_warp];
            let kernel = format!("few_channels_forward_{}", T::NAME);
            launch_in_order(seed, FEW_CHANNELS_SM80, &kernel, grid, &params, &mut memory).unwrap();
            let numbers: Vec<T> = download(&memory, y, pixels * c);
            assert!(numbers == expected_y, "{}: y of {h}×{w}, {c_in} to {c}", T::NAME);
            let codes = decisions(&download(&memory, aux, pixels * groups));
            assert!(codes == expected.1, "{}: decisions of {h}×{w}, {c_in} to {c}", T::NAME);
        }
    }
}

/// n, h, w, c_in, c.
const BACKWARD: [[usize; 5]; 5] = [
    [1, 2, 2, 16, 16],
    [2, 7, 32, 16, 32],
    [1, 6, 71, 32, 16],
    [3, 3, 5, 16, 48],
    [1, 5, 34, 32, 64],
];

fn check_backward<T: Half>() {
    for [n, h, w, c_in, c] in BACKWARD {
        let (y_h, y_w) = (h / 2, w / 2);
        let pixels = n * y_h * y_w;
        let [dy, weight, x] = [(1, pixels * c), (2, 9 * c * c_in), (4, n * h * w * c_in)]
            .map(|(seed, len)| inputs::integers(seed, len, 1));
        // Whatever decisions, of the dead and the living.
        let words: Vec<u32> = inputs::bytes(3, 4 * pixels * c / 8)
            .chunks(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
            .collect();
        let code = |pixel: usize, k: usize| words[pixel * c / 8 + k / 8] >> (4 * (k % 8)) & 7;
        let size = [n, h, w, c_in, c];
        let [dx, dweight, db] = gradients(size, [&unpooled(size, &dy, code), &weight, &x]);
        let expected: Vec<T> = dx.into_iter().map(T::half).collect();

        for (seed, tiles_per_warp) in [(1, 1u32), (2, 3)] {
            let mut memory = DeviceMemory::new();
            let half = |numbers: &[f32]| numbers.iter().map(|x| T::half(*x)).collect::<Vec<T>>();
            let [dy, weight, x] =
                [&dy, &weight, &x].map(|numbers| upload(&mut memory, &half(numbers)));
            let (aux, dx) = (upload(&mut memory, &words), memory.alloc(2 * n * h * w * c_in));
            let rows = |tiles: usize| tiles.div_ceil(8 * tiles_per_warp as usize);
            let grid = [c_in / 16, rows(n * h.div_ceil(2) * w.div_ceil(2).div_ceil(16))];
            let of_weight = [c / 16 * c_in / 16, rows(n * y_h * y_w.div_ceil(16))];
            let [len, weights, channels] = [n * h * w * c_in, 9 * c * c_in, c];
            let [dweight_rows, db_rows] =
                [weights, channels].map(|len| memory.alloc(4 * of_weight[1] * len));
            let (n, h, w, c_in, c) = (n as u64, h as u32, w as u32, c_in as u32, c as u32);
            let params: [&dyn Param; 10] =
                [&dy, &aux, &weight, &dx, &n, &h, &w, &c_in, &c, &tiles_per_warp];
            let kernel = format!("few_channels_backward_data_{}", T::NAME);
            let [grid, of_weight_grid] = [grid, of_weight].map(|grid| grid.map(|side| side as u32));
            launch_in_order(seed, FEW_CHANNELS_SM80, &kernel, grid, &params, &mut memory).unwrap();
            let numbers: Vec<T> = download(&memory, dx, len);
            assert!(numbers == expected, "{}: dx of {h}×{w}, {c_in} from {c}", T::NAME);

            let params: [&dyn Param; 11] =
                [&x, &dy, &aux, &dweight_rows, &db_rows, &n, &h, &w, &c_in, &c, &tiles_per_warp];
            let kernel = format!("few_channels_backward_weight_{}", T::NAME);
            let (grid, module) = (of_weight_grid, FEW_CHANNELS_SM80);
            launch_in_order(seed, module, &kernel, grid, &params, &mut memory).unwrap();
            for (name, rows, expected) in
                [("dweight", dweight_rows, &dweight), ("db", db_rows, &db)]
            {
                let rows: Vec<f32> = download(&memory, rows, of_weight[1] * expected.len());
                let sums: Vec<f32> = (0..expected.len())
                    .map(|i| rows.iter().skip(i).step_by(expected.len()).sum())
                    .collect();
                assert!(sums == *expected, "{}: {name} of {h}×{w}, {c_in} to {c}", T::NAME);
            }
        }
    }
}

#[test]
fn tensor_cores_compute_what_loops_do() {
    check::<bf16>();
    check::<f16>();
    check_backward::<bf16>();
    check_backward::<f16>();
}
