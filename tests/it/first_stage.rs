//! The first stage on tensor cores, on whole numbers: every sum is exact, and many are equal to another one
//! of their window, or zero. Of images of one channel against the plain kernels, of three against loops.

use half::{bf16, f16};
use vgg_kernels::{FIRST_STAGE, FIRST_STAGE_RGB_SM80, FIRST_STAGE_SM80};
use vgg_ptx::DeviceMemory;
use vgg_testkit::inputs;

use crate::convolution::gradients;
use crate::few_channels::{decisions, pooled, unpooled};
use crate::kernels::{Param, download, launch_in_order, upload};

/// n, h, w, c: rows of pixels that are no tile, one, and more; odd sides; channels that are no slab
/// and no vector, one, and more.
const SIZES: [[usize; 4]; 9] = [
    [1, 2, 2, 1],
    [2, 7, 32, 16],
    [1, 6, 71, 9],
    [3, 5, 34, 12],
    [1, 4, 6, 17],
    [2, 3, 33, 32],
    [1, 6, 64, 8],
    [1, 8, 66, 64],
    [2, 9, 20, 70],
];

pub(crate) trait Half: bytemuck::Pod + PartialEq {
    const NAME: &'static str;
    fn half(x: f32) -> Self;
}
impl Half for bf16 {
    const NAME: &'static str = "bf16";
    fn half(x: f32) -> Self {
        Self::from_f32(x)
    }
}
impl Half for f16 {
    const NAME: &'static str = "f16";
    fn half(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// A stage in memory.
struct Stage {
    memory: DeviceMemory,
    size: [usize; 4],
    x: u64,
    weight: u64,
    bias: u64,
    y: u64,
    aux: u64,
}

impl Stage {
    fn new<T: Half>(size: [usize; 4]) -> Self {
        let [n, h, w, c] = size;
        let mut memory = DeviceMemory::new();
        let mut halves = |seed, len, most| {
            let numbers: Vec<T> =
                inputs::integers(seed, len, most).into_iter().map(T::half).collect();
            upload(&mut memory, &numbers)
        };
        let (x, weight) = (halves(1, n * h * w, 2), halves(2, 9 * c, 1));
        let bias = upload(&mut memory, &inputs::integers(3, c, 1));
        let outputs = n * (h / 2) * (w / 2);
        let (y, aux) = (memory.alloc(2 * outputs * c), memory.alloc(4 * outputs * c.div_ceil(8)));
        Self { memory, size, x, weight, bias, y, aux }
    }

    /// Pooled pixels.
    fn pixels(&self) -> usize {
        let [n, h, w, _] = self.size;
        n * (h / 2) * (w / 2)
    }

    /// Rows of a grid whose warps have some tiles each, and how many.
    fn rows(&self, tiles_per_warp: usize) -> u32 {
        let [n, h, w, _] = self.size;
        (n * (h / 2) * (w / 2).div_ceil(16)).div_ceil(8 * tiles_per_warp) as u32
    }

    fn slabs(&self) -> u32 {
        let c = self.size[3];
        c.div_ceil(if c <= 16 { 16 } else { 32 }) as u32
    }

    /// Channels that live have their code, others none.
    fn decisions(&self) -> Vec<u32> {
        let words = self.pixels() * self.size[3].div_ceil(8);
        decisions(&download(&self.memory, self.aux, words))
    }

    /// Forward by the plain kernel, or if there are tiles by that of tensor cores.
    fn forward<T: Half>(&mut self, tiles_per_warp: Option<usize>) -> (Vec<u16>, Vec<u32>) {
        let [n, h, w, c] = self.size;
        let Self { x, weight, bias, y, aux, .. } = *self;
        let (n, h, w, c) = (n as u64, h as u32, w as u32, c as u32);
        let tiles = tiles_per_warp.unwrap_or_default() as u32;
        let mut params: Vec<&dyn Param> = vec![&x, &weight, &bias, &y, &aux, &n, &h, &w, &c];
        let (module, kernel, grid) = match tiles_per_warp {
            None => (FIRST_STAGE, "first_stage_forward", [2, 1]),
            Some(tiles_per_warp) => {
                params.push(&tiles);
                let grid = [self.slabs(), self.rows(tiles_per_warp)];
                (FIRST_STAGE_SM80, "first_stage_mma_forward", grid)
            }
        };
        let kernel = format!("{kernel}_{}", T::NAME);
        launch_in_order(7, module, &kernel, grid, &params, &mut self.memory).unwrap();
        let y = download(&self.memory, y, self.pixels() * c as usize);
        (y, self.decisions())
    }
}

impl Stage {
    /// `dweight` and `db` by the plain kernel, or if there are tiles by that of tensor cores.
    fn backward<T: Half>(&mut self, tiles_per_warp: Option<usize>) -> [Vec<f32>; 2] {
        let [n, h, w, c] = self.size;
        let dy: Vec<T> =
            inputs::integers(4, self.pixels() * c, 3).into_iter().map(T::half).collect();
        let dy = upload(&mut self.memory, &dy);
        let Self { x, aux, .. } = *self;
        let rows = self.rows(tiles_per_warp.unwrap_or(self.pixels())) as usize;
        let [dweight, db] = [9 * c, c].map(|len| self.memory.alloc(4 * rows * len));
        let (n, h, w, c) = (n as u64, h as u32, w as u32, c as u32);
        let (pixels, tiles) = (self.pixels() as u64, tiles_per_warp.unwrap_or_default() as u32);
        let mut params: Vec<&dyn Param> = vec![&x, &dy, &aux, &dweight, &db, &n, &h, &w, &c];
        let (module, kernel, grid) = match tiles_per_warp {
            None => {
                params.push(&pixels);
                (FIRST_STAGE, "first_stage_backward", [c.div_ceil(8), 1])
            }
            Some(_) => {
                params.push(&tiles);
                (FIRST_STAGE_SM80, "first_stage_mma_backward", [self.slabs(), rows as u32])
            }
        };
        let kernel = format!("{kernel}_{}", T::NAME);
        launch_in_order(5, module, &kernel, grid, &params, &mut self.memory).unwrap();
        [(dweight, 9 * c as usize), (db, c as usize)].map(|(at, len)| {
            let all: Vec<f32> = download(&self.memory, at, rows * len);
            (0..len).map(|i| all.iter().skip(i).step_by(len).sum()).collect()
        })
    }
}

fn check<T: Half>() {
    for size in SIZES {
        let mut stage = Stage::new::<T>(size);
        let plain = stage.forward::<T>(None);
        let gradients = stage.backward::<T>(None);
        for tiles in [1, 3] {
            let mut stage = Stage::new::<T>(size);
            let (y, decisions) = stage.forward::<T>(Some(tiles));
            assert!(y == plain.0, "{}: y of {size:?}", T::NAME);
            assert!(decisions == plain.1, "{}: decisions of {size:?}", T::NAME);
            let [dweight, db] = stage.backward::<T>(Some(tiles));
            assert_eq!(dweight, gradients[0], "{}: dweight of {size:?}", T::NAME);
            assert_eq!(db, gradients[1], "{}: db of {size:?}", T::NAME);
        }
    }
}

#[test]
fn tensor_cores_compute_what_the_plain_kernels_do() {
    check::<bf16>();
    check::<f16>();
}

/// n, h, w, c of images of three channels.
const RGB_SIZES: [[usize; 4]; 5] =
    [[1, 2, 2, 1], [2, 7, 32, 16], [1, 6, 71, 9], [1, 5, 34, 20], [2, 9, 20, 40]];

fn check_rgb<T: Half>() {
    for [n, h, w, c] in RGB_SIZES {
        let (y_h, y_w, groups) = (h / 2, w / 2, c.div_ceil(8));
        let pixels = n * y_h * y_w;
        let [x, weight, bias, dy] =
            [(1, n * h * w * 3, 2), (2, 27 * c, 1), (3, c, 1), (4, pixels * c, 3)]
                .map(|(seed, len, most)| inputs::integers(seed, len, most));
        let (y, codes) = pooled([n, h, w, 3, c], [&x, &weight, &bias]);
        let y: Vec<T> = y.into_iter().map(T::half).collect();
        let code = |pixel: usize, channel: usize| codes[pixel * groups * 8 + channel];
        let size = [n, h, w, 3, c];
        let [_, dweight, db] = gradients(size, [&unpooled(size, &dy, code), &weight, &x]);

        for (seed, tiles_per_warp) in [(1, 1u32), (2, 3)] {
            let what = format!("{} of {n}×{h}×{w}, to {c}", T::NAME);
            let mut memory = DeviceMemory::new();
            let half = |numbers: &[f32]| numbers.iter().map(|x| T::half(*x)).collect::<Vec<T>>();
            let [x, weight, dy] =
                [&x, &weight, &dy].map(|numbers| upload(&mut memory, &half(numbers)));
            let bias = upload(&mut memory, &bias);
            let (to, aux) = (memory.alloc(2 * pixels * c), memory.alloc(4 * pixels * groups));
            let tiles = n * y_h * y_w.div_ceil(16);
            let rows = tiles.div_ceil(8 * tiles_per_warp as usize);
            let grid = [c.div_ceil(16) as u32, rows as u32];
            let (n, h, w, channels) = (n as u64, h as u32, w as u32, c as u32);
            let params: [&dyn Param; 10] =
                [&x, &weight, &bias, &to, &aux, &n, &h, &w, &channels, &tiles_per_warp];
            let kernel = format!("first_stage_rgb_forward_{}", T::NAME);
            let module = FIRST_STAGE_RGB_SM80;
            launch_in_order(seed, module, &kernel, grid, &params, &mut memory).unwrap();
            let numbers: Vec<T> = download(&memory, to, pixels * c);
            assert!(numbers == y, "y, {what}");
            assert!(decisions(&download(&memory, aux, pixels * groups)) == codes, "aux, {what}");

            let sums = [27 * c, c].map(|len| memory.alloc(4 * rows * len));
            let params: [&dyn Param; 10] =
                [&x, &dy, &aux, &sums[0], &sums[1], &n, &h, &w, &channels, &tiles_per_warp];
            let kernel = format!("first_stage_rgb_backward_{}", T::NAME);
            launch_in_order(seed, module, &kernel, grid, &params, &mut memory).unwrap();
            for (at, expected) in sums.into_iter().zip([&dweight, &db]) {
                let all: Vec<f32> = download(&memory, at, rows * expected.len());
                let sum = |i: usize| all.iter().skip(i).step_by(expected.len()).sum::<f32>();
                let sums: Vec<f32> = (0..expected.len()).map(sum).collect();
                assert_eq!(sums, *expected, "gradients, {what}");
            }
        }
    }
}

#[test]
fn of_three_channels_tensor_cores_compute_what_loops_do() {
    check_rgb::<bf16>();
    check_rgb::<f16>();
}
