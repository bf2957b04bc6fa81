//! Convolutions on tensor cores without a pool behind them against plain loops, on whole numbers: every sum is
//! exact, and many are zero.

use half::{bf16, f16};
use vgg_kernels::{
    FEW_CHANNELS_UNPOOLED_SM80, FIRST_STAGE_RGB_UNPOOLED_SM80, FIRST_STAGE_UNPOOLED_SM80, Module,
};
use vgg_ptx::DeviceMemory;
use vgg_testkit::inputs;

use crate::convolution::{Size, gradients, sums};
use crate::first_stage::Half;
use crate::kernels::{Param, download, launch_in_order, upload};

/// Rows of windows that are no tile, one, and more; odd sides, and sides of one; channels that are no slab and
/// no vector, one, and more.
const SIZES: [Size; 18] = [
    [1, 1, 1, 1, 1],
    [2, 7, 32, 1, 16],
    [1, 6, 71, 1, 9],
    [3, 5, 33, 1, 12],
    [2, 3, 64, 1, 17],
    [1, 1, 9, 1, 32],
    [1, 8, 66, 1, 64],
    [2, 9, 20, 1, 70],
    [1, 2, 2, 3, 1],
    [2, 7, 32, 3, 16],
    [1, 6, 71, 3, 9],
    [3, 5, 34, 3, 20],
    [2, 9, 1, 3, 40],
    [1, 2, 2, 16, 16],
    [2, 7, 32, 16, 32],
    [1, 6, 71, 32, 16],
    [3, 3, 5, 16, 48],
    [1, 5, 33, 32, 64],
];

/// Forward alone: channels of y that are no multiple of sixteen.
const FORWARD: [Size; 4] =
    [[1, 1, 2, 16, 1], [1, 6, 71, 16, 9], [1, 5, 34, 32, 20], [1, 9, 37, 16, 70]];

/// What computes a convolution.
struct Kernels {
    module: Module,
    /// What the names of its kernels begin with.
    prefix: &'static str,
    /// Channels of a block forward and, as rows of `dweight`, backward.
    slabs: [usize; 2],
    /// Whether they take the number of input channels, and compute the gradient of `x`.
    takes_c_in: bool,
}

fn kernels([.., c_in, c]: Size) -> Kernels {
    match c_in {
        1 => {
            let (module, slab) = (FIRST_STAGE_UNPOOLED_SM80, if c <= 16 { 16 } else { 32 });
            Kernels { module, prefix: "first_stage_unpooled", slabs: [slab; 2], takes_c_in: false }
        }
        3 => {
            let (module, prefix) = (FIRST_STAGE_RGB_UNPOOLED_SM80, "first_stage_rgb_unpooled");
            Kernels { module, prefix, slabs: [16; 2], takes_c_in: false }
        }
        _ => {
            let (module, prefix) = (FEW_CHANNELS_UNPOOLED_SM80, "few_channels_unpooled");
            Kernels { module, prefix, slabs: [32, 16], takes_c_in: true }
        }
    }
}

/// The rows of a grid whose warps have some tiles each.
fn rows([n, h, w, ..]: Size, tiles_per_warp: u32) -> usize {
    let tiles = n * h.div_ceil(2) * w.div_ceil(2).div_ceil(16);
    tiles.div_ceil(8 * tiles_per_warp as usize)
}

fn halves<T: Half>(memory: &mut DeviceMemory, numbers: &[f32]) -> u64 {
    upload(memory, &numbers.iter().map(|x| T::half(*x)).collect::<Vec<T>>())
}

/// `y` and, with ReLU, `aux`.
fn forward<T: Half>(
    size: Size,
    [x, weight, bias]: [&[f32]; 3],
    relu: bool,
    tiles_per_warp: u32,
) -> (Vec<T>, Vec<u8>) {
    let ([n, h, w, c_in, c], kernels) = (size, kernels(size));
    let (pixels, groups) = (n * h * w, c.div_ceil(8));
    let mut memory = DeviceMemory::new();
    let [x, weight] = [x, weight].map(|numbers| halves::<T>(&mut memory, numbers));
    let bias = upload(&mut memory, bias);
    let y = memory.alloc(2 * pixels * c);
    let aux = if relu { memory.alloc(pixels * groups) } else { 0 };
    let grid = [c.div_ceil(kernels.slabs[0]) as u32, rows(size, tiles_per_warp) as u32];
    let (n, h, w, c_in, channels) = (n as u64, h as u32, w as u32, c_in as u32, c as u32);
    let has_relu = u32::from(relu);
    let mut params: Vec<&dyn Param> = vec![&x, &weight, &bias, &y, &aux, &has_relu, &n, &h, &w];
    params.extend(kernels.takes_c_in.then_some(&c_in as &dyn Param));
    params.extend([&channels as &dyn Param, &tiles_per_warp]);
    let kernel = format!("{}_forward_{}", kernels.prefix, T::NAME);
    launch_in_order(tiles_per_warp.into(), kernels.module, &kernel, grid, &params, &mut memory)
        .unwrap();
    let bytes = if relu { download(&memory, aux, pixels * groups) } else { Vec::new() };
    (download(&memory, y, pixels * c), bytes)
}

/// Of `weight` and bias and, where there is a kernel for it, of `x`. Without ReLU there is no `aux`.
fn backward<T: Half>(
    size: Size,
    [x, weight, dy]: [&[f32]; 3],
    aux: Option<&[u8]>,
    tiles_per_warp: u32,
) -> (Vec<f32>, Vec<f32>, Option<Vec<T>>) {
    let ([n, h, w, c_in, c], kernels) = (size, kernels(size));
    let (pixels, grid_rows, weights) = (n * h * w, rows(size, tiles_per_warp), 9 * c * c_in);
    let mut memory = DeviceMemory::new();
    let [x, weight, dy] = [x, weight, dy].map(|numbers| halves::<T>(&mut memory, numbers));
    let aux = aux.map_or(0, |aux| upload(&mut memory, aux));
    let dx = memory.alloc(2 * pixels * c_in);
    let [dweight, db] = [weights, c].map(|len| memory.alloc(4 * grid_rows * len));
    let slabs = c.div_ceil(kernels.slabs[1]);
    let of_x = c_in / 16;
    let slabs = if kernels.takes_c_in { slabs * of_x } else { slabs };
    let (n, h, w, in_channels, channels) = (n as u64, h as u32, w as u32, c_in as u32, c as u32);
    let mut params: Vec<&dyn Param> = vec![&x, &dy, &aux, &dweight, &db, &n, &h, &w];
    params.extend(kernels.takes_c_in.then_some(&in_channels as &dyn Param));
    params.extend([&channels as &dyn Param, &tiles_per_warp]);
    let pass = if kernels.takes_c_in { "backward_weight" } else { "backward" };
    let kernel = format!("{}_{pass}_{}", kernels.prefix, T::NAME);
    let (seed, grid) = (tiles_per_warp.into(), [slabs as u32, grid_rows as u32]);
    launch_in_order(seed, kernels.module, &kernel, grid, &params, &mut memory).unwrap();
    let [dweight, db] = [(dweight, weights), (db, c)].map(|(at, len)| -> Vec<f32> {
        let all: Vec<f32> = download(&memory, at, grid_rows * len);
        (0..len).map(|i| all.iter().skip(i).step_by(len).sum()).collect()
    });

    let dx = kernels.takes_c_in.then(|| {
        let params: [&dyn Param; 10] =
            [&dy, &aux, &weight, &dx, &n, &h, &w, &in_channels, &channels, &tiles_per_warp];
        let kernel = format!("{}_backward_data_{}", kernels.prefix, T::NAME);
        let grid = [of_x as u32, grid_rows as u32];
        launch_in_order(seed, kernels.module, &kernel, grid, &params, &mut memory).unwrap();
        download(&memory, dx, pixels * c_in)
    });
    (dweight, db, dx)
}

/// ReLU's bits of maps of c channels, a byte of eight.
fn bits(c: usize, is_alive: &[bool]) -> Vec<u8> {
    let byte =
        |alive: &[bool]| alive.iter().enumerate().map(|(k, alive)| (*alive as u8) << k).sum();
    is_alive.chunks(c).flat_map(|pixel| pixel.chunks(8)).map(byte).collect()
}

fn check_forward<T: Half>() {
    for size in SIZES.into_iter().chain(FORWARD) {
        let [n, h, w, c_in, c] = size;
        let [x, weight, bias] = [(1, n * h * w * c_in, 2), (2, 9 * c * c_in, 1), (3, c, 1)]
            .map(|(seed, len, most)| inputs::integers(seed, len, most));
        let factors = [x.as_slice(), &weight, &bias];
        let sums = sums(size, factors);
        let alive: Vec<bool> = sums.iter().map(|sum| *sum > 0.0).collect();
        let plain: Vec<T> = sums.iter().map(|sum| T::half(*sum)).collect();
        let relu: Vec<T> = sums.iter().map(|sum| T::half(sum.max(0.0))).collect();
        for tiles_per_warp in [1, 3] {
            let what = format!("{} of {size:?}, {tiles_per_warp} tiles", T::NAME);
            let (y, aux) = forward::<T>(size, factors, true, tiles_per_warp);
            assert!(y == relu, "y, {what}");
            assert!(aux == bits(c, &alive), "aux, {what}");
            let (y, _) = forward::<T>(size, factors, false, tiles_per_warp);
            assert!(y == plain, "y without ReLU, {what}");
        }
    }
}

fn check_backward<T: Half>() {
    for size in SIZES {
        let [n, h, w, c_in, c] = size;
        let [x, weight, dy] =
            [(4, n * h * w * c_in, 1), (2, 9 * c * c_in, 1), (1, n * h * w * c, 1)]
                .map(|(seed, len, most)| inputs::integers(seed, len, most));
        let factors = [x.as_slice(), &weight, &dy];
        // Whatever decisions; those on channels that are not there are of no matter.
        let aux = inputs::bytes(3, n * h * w * c.div_ceil(8));
        let alive = |i: usize| aux[i / c * c.div_ceil(8) + i % c / 8] >> (i % c % 8) & 1 == 1;
        let living: Vec<f32> =
            dy.iter().enumerate().map(|(i, dy)| if alive(i) { *dy } else { 0.0 }).collect();
        for (aux, dsums) in [(Some(aux.as_slice()), &living), (None, &dy)] {
            let [dx, dweight, db] = gradients(size, [dsums, &weight, &x]);
            let dx: Vec<T> = dx.into_iter().map(T::half).collect();
            for tiles_per_warp in [1, 3] {
                let what = format!("{} of {size:?}, ReLU: {}", T::NAME, aux.is_some());
                let found = backward::<T>(size, factors, aux, tiles_per_warp);
                assert!(found.0 == dweight, "dweight, {what}");
                assert!(found.1 == db, "db, {what}");
                assert!(found.2.is_none_or(|found| found == dx), "dx, {what}");
            }
        }
    }
}

#[test]
fn forward_is_what_loops_compute() {
    check_forward::<bf16>();
    check_forward::<f16>();
}

#[test]
fn backward_is_what_loops_compute() {
    check_backward::<bf16>();
    check_backward::<f16>();
}

/// What is above zero is decided on a sum as it is stored; ReLU makes zero of NaN, without it NaN stays.
#[test]
fn sums_at_the_ends_of_numbers() {
    /// The least number above zero that `f16` has.
    const LEAST: f32 = 1.0 / 16_777_216.0;
    for c_in in [1, 3, 16] {
        let size = [1, 1, 1, c_in, 8];
        let bias = [1e-9, -0.0, f32::NAN, f32::INFINITY, LEAST, -1.0, 1e9, f32::NEG_INFINITY];
        let (x, weight) = (vec![0.0; c_in], vec![0.0; 9 * 8 * c_in]);
        let factors = [x.as_slice(), &weight, &bias];
        let (y, aux) = forward::<f16>(size, factors, true, 1);
        let expected = [0.0, 0.0, 0.0, f32::INFINITY, LEAST, 0.0, f32::INFINITY, 0.0];
        assert_eq!(y, expected.map(f16::from_f32), "{c_in}");
        assert_eq!(aux, [1 << 3 | 1 << 4 | 1 << 6], "{c_in}");
        let (y, aux) = forward::<bf16>(size, factors, true, 1);
        let expected = [1e-9, 0.0, 0.0, f32::INFINITY, LEAST, 0.0, 1e9, 0.0];
        assert_eq!(y, expected.map(bf16::from_f32), "{c_in}");
        assert_eq!(aux, [1 | 1 << 3 | 1 << 4 | 1 << 6], "{c_in}");
        let (y, _) = forward::<f16>(size, factors, false, 1);
        assert!(
            y[2].is_nan() && y[6] == f16::INFINITY && y[7] == f16::NEG_INFINITY,
            "{c_in}: {y:?}"
        );
    }
}
