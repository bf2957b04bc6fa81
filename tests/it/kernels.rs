//! The committed PTX of the CUDA kernels, run by the interpreter: what the conformance suite, which
//! sees operations, does not try.

use half::{bf16, f16};
use vgg_ptx::{DeviceMemory, LaunchError, Module};

#[test]
fn every_module_has_its_kernels() {
    for module in vgg_kernels::MODULES {
        let parsed = Module::parse(module.ptx).unwrap_or_else(|e| panic!("{}: {e}", module.name));
        for kernel in module.kernels {
            assert!(parsed.kernel(kernel).is_some(), "{kernel} of {}", module.name);
        }
    }
}

/// Runs a kernel of `vgg_kernels` with parameters of eight or four bytes each.
fn launch(
    module: vgg_kernels::Module,
    kernel: &str,
    blocks: u32,
    params: &[&dyn Param],
    memory: &mut DeviceMemory,
) -> Result<(), LaunchError> {
    launch_in_order(1, module, kernel, [blocks, 1], params, memory)
}

/// As [`launch`], on a grid, with the threads in an order that `seed` decides.
pub(crate) fn launch_in_order(
    seed: u64,
    module: vgg_kernels::Module,
    kernel: &str,
    [x, y]: [u32; 2],
    params: &[&dyn Param],
    memory: &mut DeviceMemory,
) -> Result<(), LaunchError> {
    let module = Module::parse(module.ptx).unwrap();
    let kernel = module.kernel(kernel).unwrap();
    let mut bytes = vec![0; kernel.param_bytes()];
    assert_eq!(kernel.params().count(), params.len());
    for ((offset, len), param) in kernel.params().zip(params) {
        bytes[offset..offset + len].copy_from_slice(&param.bytes());
    }
    kernel.launch([x, y, 1], [vgg_kernels::BLOCK, 1, 1], 0, &bytes, memory, seed)
}

pub(crate) trait Param {
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! param {
    ($($t:ty),*) => {
        $(impl Param for $t {
            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        })*
    };
}
param!(u64, u32, f32, f64);

pub(crate) fn upload<T: bytemuck::NoUninit>(memory: &mut DeviceMemory, numbers: &[T]) -> u64 {
    memory.upload(bytemuck::cast_slice(numbers))
}

pub(crate) fn download<T: bytemuck::AnyBitPattern>(
    memory: &DeviceMemory,
    at: u64,
    len: usize,
) -> Vec<T> {
    let bytes = memory.download(at, size_of::<T>() * len).unwrap();
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

/// Every number of 16 bits, and numbers around every place where rounding changes.
fn floats(widen: impl Fn(u16) -> f32) -> Vec<f32> {
    let exact = (0..=u16::MAX).step_by(7).map(widen);
    exact
        .flat_map(|x| {
            let next = widen_next(x);
            let middle = ((f64::from(x) + f64::from(next)) / 2.0) as f32;
            let bits = middle.to_bits();
            [x, middle, f32::from_bits(bits.wrapping_sub(1)), f32::from_bits(bits.wrapping_add(1))]
        })
        .chain([0.0, -0.0, 1e-45, -1e-40, 65519.99, 65520.0, f32::MAX, f32::MIN, f32::NAN])
        // Rounded like numbers, these would become zero and infinite.
        .chain([0x7FFF_FFFF, 0xFFFF_FFFF, 0x7F80_0001].map(f32::from_bits))
        .collect()
}

/// A number about a unit of a half further.
fn widen_next(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_add(1 << 13))
}

#[test]
fn halves_are_rounded_as_on_the_host() {
    let same = |ours: &[u16], hosts: &[u16], from: &[f32]| {
        for ((ours, hosts), x) in ours.iter().zip(hosts).zip(from) {
            assert!(ours == hosts || x.is_nan(), "{x:e}: {ours:#x} instead of {hosts:#x}");
        }
    };
    for half in ["bf16", "f16"] {
        let widen = |bits| match half {
            "bf16" => bf16::from_bits(bits).to_f32(),
            _ => f16::from_bits(bits).to_f32(),
        };
        let narrow = |x: &f32| match half {
            "bf16" => bf16::from_f32(*x).to_bits(),
            _ => f16::from_f32(*x).to_bits(),
        };
        let numbers = floats(widen);
        let len = numbers.len();
        let mut memory = DeviceMemory::new();
        let from = upload(&mut memory, &numbers);
        let to = memory.alloc(2 * len);
        let name = format!("narrow_{half}");
        launch(vgg_kernels::CONVERT, &name, 3, &[&from, &to, &(len as u64)], &mut memory).unwrap();
        let ours: Vec<u16> = download(&memory, to, len);
        same(&ours, &numbers.iter().map(narrow).collect::<Vec<_>>(), &numbers);
        let nan = |bits: u16| widen(bits).is_nan();
        assert!(ours.iter().zip(&numbers).all(|(bits, x)| nan(*bits) == x.is_nan()));

        let all: Vec<u16> = (0..=u16::MAX).collect();
        let from = upload(&mut memory, &all);
        let to = memory.alloc(4 * all.len());
        let scale = upload(&mut memory, &[4.0f32]);
        let name = format!("widen_{half}");
        let count = all.len() as u64;
        launch(vgg_kernels::CONVERT, &name, 3, &[&from, &to, &count, &scale], &mut memory).unwrap();
        for (bits, wide) in all.iter().zip(download::<f32>(&memory, to, all.len())) {
            let expected = widen(*bits) / 4.0;
            let same = wide.to_bits() == expected.to_bits() || wide.is_nan() && expected.is_nan();
            assert!(same, "{half} {bits:#x}: {wide:e} instead of {expected:e}");
        }
    }
}

#[test]
fn nan_is_not_above_zero() {
    let mut memory = DeviceMemory::new();
    let x = upload(&mut memory, &[f32::NAN, 1.0, -1.0]);
    let bias = upload(&mut memory, &[0.0f32; 3]);
    let (y, aux) = (memory.alloc(12), memory.alloc(1));
    let params: [&dyn Param; 8] = [&x, &bias, &y, &aux, &1u64, &3u32, &1u64, &1u32];
    launch(vgg_kernels::BIAS_RELU, "bias_relu_forward_f32", 1, &params, &mut memory).unwrap();
    assert_eq!(download::<f32>(&memory, y, 3), [0.0, 1.0, 0.0]);
    assert_eq!(download::<u8>(&memory, aux, 1), [0b010]);
}

/// With the bias, both numbers are rounded to 512.
#[test]
fn the_first_of_sums_that_rounding_makes_equal_wins() {
    let mut memory = DeviceMemory::new();
    let window = [1.0, 1.0078125, 0.0, 0.0].map(bf16::from_f32);
    let (x, bias) = (upload(&mut memory, &window), upload(&mut memory, &[512.0f32]));
    let (y, aux) = (memory.alloc(2), memory.alloc(4));
    let params: [&dyn Param; 10] = [&x, &bias, &y, &aux, &1u64, &2u32, &2u32, &1u32, &1u64, &1u32];
    let kernel = "bias_relu_max_pool_forward_bf16";
    launch(vgg_kernels::BIAS_RELU_MAX_POOL, kernel, 1, &params, &mut memory).unwrap();
    assert_eq!(download::<bf16>(&memory, y, 1)[0].to_f32(), 512.0);
    assert_eq!(download::<u32>(&memory, aux, 1), [0b100], "alive, and the first");
}

#[test]
fn a_label_that_is_no_class_shows_in_the_loss() {
    let mut memory = DeviceMemory::new();
    let logits = upload(&mut memory, &[0.0f32; 6]);
    let labels = upload(&mut memory, &[1u32, 3]);
    let (images, dlogits) = (memory.alloc(16), memory.alloc(24));
    let params: [&dyn Param; 10] =
        [&logits, &labels, &images, &dlogits, &2u64, &3u32, &0u32, &0u32, &0.0f32, &0u64];
    let kernel = "softmax_cross_entropy_f32";
    launch(vgg_kernels::SOFTMAX_CROSS_ENTROPY, kernel, 1, &params, &mut memory).unwrap();
    let images = download::<f32>(&memory, images, 4);
    assert!((images[0] - 3.0f32.ln()).abs() < 1e-6, "{images:?}");
    assert!(images[2].is_nan(), "{images:?}");
}

/// A lane that is ahead overwrites nothing that another one still reads.
#[test]
fn the_gradient_of_a_mixed_loss_may_replace_the_logits() {
    let (n, classes) = (8u64, 40u32);
    let numbers: Vec<f32> = (0..n as u32 * classes).map(|i| (i * 37 % 101) as f32 / 25.0).collect();
    let labels = (0..n as u32).map(|i| i % classes);
    let others = (0..n as u32).map(|i| (5 * i + 7) % classes);
    let shares = (0..n).map(|_| 0.25f32.to_bits());
    let targets: Vec<u32> = labels.chain(others).chain(shares).collect();
    let run = |seed: u64, in_place: bool| {
        let mut memory = DeviceMemory::new();
        let logits = upload(&mut memory, &numbers);
        let targets = upload(&mut memory, &targets);
        let images = memory.alloc(8 * n as usize);
        let dlogits = if in_place { logits } else { memory.alloc(4 * numbers.len()) };
        let params: [&dyn Param; 10] =
            [&logits, &targets, &images, &dlogits, &n, &classes, &1u32, &0u32, &0.0f32, &0u64];
        let (module, kernel) = (vgg_kernels::SOFTMAX_CROSS_ENTROPY, "softmax_cross_entropy_f32");
        launch_in_order(seed, module, kernel, [1, 1], &params, &mut memory).unwrap();
        let images = download::<f32>(&memory, images, 2 * n as usize);
        (images, download::<f32>(&memory, dlogits, numbers.len()))
    };
    let apart = run(1, false);
    for seed in 1..5 {
        assert!(run(seed, true) == apart, "with the threads in order {seed}");
    }
}

/// Tensors as an optimiser takes them: each with the addresses of its weight, its gradient, what is kept
/// first and second, and its copy, its length, and its rate and weight decay.
struct Updates(Vec<([u64; 6], [f32; 2])>);

impl Param for Updates {
    fn bytes(&self) -> Vec<u8> {
        let Self(tensors) = self;
        let mut bytes = Vec::new();
        for (wide, narrow) in tensors {
            bytes.extend(wide.iter().flat_map(|word| word.to_le_bytes()));
            bytes.extend(narrow.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes.resize(size_of::<vgg_kernels::Updates>(), 0);
        bytes
    }
}

#[test]
fn weights_whose_gradient_overflows_stay_as_they_are() {
    let numbers = [1.0f32, 2.0, 3.0, 4.0, 5.0];
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.5] {
        let mut memory = DeviceMemory::new();
        let weight = upload(&mut memory, &numbers);
        let velocity = upload(&mut memory, &numbers);
        let copy = upload(&mut memory, &numbers.map(f16::from_f32));
        let dweight = upload(&mut memory, &[0.5, 0.5, bad, 0.5, bad]);
        let (overflowed, lr) = (upload(&mut memory, &[0u32]), upload(&mut memory, &[1.0f32]));
        let updates = Updates(vec![([weight, dweight, velocity, 0, copy, 5], [1.0, 0.0])]);
        let params: [&dyn Param; 6] = [&updates, &1u32, &overflowed, &lr, &0.5f32, &0u32];
        launch(vgg_kernels::SGD, "sgd_f16", 1, &params, &mut memory).unwrap();
        let stays = |i: usize| !bad.is_finite() && (i == 2 || i == 4);
        for (i, x) in numbers.iter().enumerate() {
            let v = if stays(i) { *x } else { 0.5 * x + 0.5 };
            let w = if stays(i) { *x } else { x - v };
            assert_eq!(download::<f32>(&memory, velocity, 5)[i], v);
            assert_eq!(download::<f32>(&memory, weight, 5)[i], w);
            assert_eq!(download::<f16>(&memory, copy, 5)[i].to_f32(), w);
        }
        assert_eq!(download::<u32>(&memory, overflowed, 1)[0], u32::from(!bad.is_finite()));
    }
}

/// Tensors of a part of a block, of several blocks and of none, with rates of their own.
#[test]
fn many_tensors_are_updated_by_one_kernel() {
    let lens = [5usize, 3000, 0, 1024, 1, 2049];
    for blocks in [1, 2, 5, 20] {
        let mut memory = DeviceMemory::new();
        let tensor = |(i, len): (usize, usize)| {
            let numbers: Vec<f32> = (0..len).map(|k| (k % 13) as f32).collect();
            let [weight, dweight] = [0; 2].map(|_| upload(&mut memory, &numbers));
            ([weight, dweight, 0, 0, 0, len as u64], [i as f32, 0.0])
        };
        let tensors: Vec<_> = lens.into_iter().enumerate().map(tensor).collect();
        let lr = upload(&mut memory, &[0.5f32]);
        let updates = Updates(tensors.clone());
        let params: [&dyn Param; 6] = [&updates, &(lens.len() as u32), &0u64, &lr, &0.0f32, &0u32];
        launch(vgg_kernels::SGD, "sgd_f32", blocks, &params, &mut memory).unwrap();
        for (([weight, ..], [rate, _]), len) in tensors.iter().zip(lens) {
            let expected = (0..len).map(|k| (k % 13) as f32 * (1.0 - 0.5 * rate));
            let same = download::<f32>(&memory, *weight, len).into_iter().eq(expected);
            assert!(same, "{len} numbers, {blocks} blocks");
        }
    }
}

/// The tenth step after three that overflowed is the seventh, and one that overflows is none.
#[test]
fn steps_that_overflow_do_not_count() {
    let run = |step: u64, skipped: Option<u32>, g: f32| {
        let mut memory = DeviceMemory::new();
        let [weight, mean, square] = [0; 3].map(|_| upload(&mut memory, &[0.5f32, 0.25]));
        let dweight = upload(&mut memory, &[0.5, g]);
        let lr = upload(&mut memory, &[0.5f32]);
        let (step, overflowed) = (upload(&mut memory, &[step]), upload(&mut memory, &[0u32]));
        let skipped = skipped.map_or(0, |skipped| upload(&mut memory, &[skipped]));
        let updates = Updates(vec![([weight, dweight, mean, square, 0, 2], [1.0, 0.125])]);
        let params: [&dyn Param; 9] =
            [&updates, &1u32, &overflowed, &lr, &step, &skipped, &0.75f64, &0.875f64, &1e-8f32];
        launch(vgg_kernels::ADAMW, "adamw_f16", 1, &params, &mut memory).unwrap();
        let numbers = [weight, mean, square].map(|at| download::<f32>(&memory, at, 2));
        (numbers, download::<u32>(&memory, overflowed, 1)[0])
    };
    assert_eq!(run(9, Some(3), 1.0), run(6, None, 1.0));
    assert_ne!(run(9, Some(3), 1.0), run(9, None, 1.0));
    // As where the scale's words are older than the steps.
    assert_eq!(run(2, Some(3), 1.0), run(0, None, 1.0));
    for bad in [f32::INFINITY, f32::NAN] {
        let (numbers, overflowed) = run(6, Some(0), bad);
        assert_eq!((numbers.each_ref().map(|x| x[1]), overflowed), ([0.25; 3], 1));
        assert_eq!(numbers.map(|x| x[0]), run(6, None, 1.0).0.map(|x| x[0]));
    }
}

#[test]
fn the_loss_scale_halves_at_overflows_and_doubles_without() {
    let mut memory = DeviceMemory::new();
    let scale = upload(&mut memory, &[4.0f32, 0.25]);
    let (good, overflowed) = (upload(&mut memory, &[1998u32]), upload(&mut memory, &[1u32]));
    let skipped = upload(&mut memory, &[6u32]);
    let step = |memory: &mut DeviceMemory| {
        let params: [&dyn Param; 4] = [&scale, &good, &overflowed, &skipped];
        launch(vgg_kernels::LOSS_SCALE, "update_loss_scale", 1, &params, memory).unwrap();
        assert_eq!(download::<u32>(memory, overflowed, 1), [0]);
        assert_eq!(download::<u32>(memory, skipped, 1), [7]);
        let scales = download::<f32>(memory, scale, 2);
        assert_eq!(scales[0] * scales[1], 1.0);
        (scales[0], download::<u32>(memory, good, 1)[0])
    };
    assert_eq!(step(&mut memory), (2.0, 0));
    for steps in 1..2000 {
        assert_eq!(step(&mut memory), (2.0, steps));
    }
    assert_eq!(step(&mut memory), (4.0, 0));
}

#[test]
fn the_loss_scale_has_bounds() {
    let most = (1 << 24) as f32;
    for (before, overflows, after) in [(2.0, 1, 1.0), (1.0, 1, 1.0), (most, 0, most)] {
        let mut memory = DeviceMemory::new();
        let scale = upload(&mut memory, &[before, 1.0 / before]);
        let (good, overflowed) =
            (upload(&mut memory, &[1999u32]), upload(&mut memory, &[overflows]));
        let skipped = upload(&mut memory, &[0u32]);
        let params: [&dyn Param; 4] = [&scale, &good, &overflowed, &skipped];
        launch(vgg_kernels::LOSS_SCALE, "update_loss_scale", 1, &params, &mut memory).unwrap();
        assert_eq!(download::<f32>(&memory, scale, 2), [after, 1.0 / after]);
        assert_eq!(download::<u32>(&memory, good, 1), [0]);
    }
}

/// A norm that is no number says nothing about the numbers there are.
#[test]
fn gradients_that_overflowed_are_not_clipped() {
    for (number, factor) in [(f32::NAN, 1.0), (f32::INFINITY, 1.0), (3.0, 0.2)] {
        let mut memory = DeviceMemory::new();
        let x = upload(&mut memory, &[4.0, number]);
        let (sums, by) = (memory.alloc(16), memory.alloc(4));
        let module = vgg_kernels::UPDATE;
        launch(module, "sum_squares", 2, &[&x, &sums, &2u64], &mut memory).unwrap();
        launch(module, "clip_factor", 1, &[&sums, &2u64, &1.0f32, &by], &mut memory).unwrap();
        let by = download::<f32>(&memory, by, 1)[0];
        assert!((by - factor).abs() < 1e-6, "{number}: {by}");
        assert_eq!(vgg_tensor::clip_factor(1.0, f64::from(number).powi(2) + 16.0), by);
    }
}

/// Integers, of which every order of additions makes the same sum.
#[test]
fn rows_are_added_up_by_many_threads() {
    for (rows, c) in [(1u64, 1u32), (31, 7), (33, 8), (200, 9), (500, 20)] {
        let number = |i: usize| (i * 37 % 101) as f32 - 50.0;
        let x: Vec<f32> = (0..rows as usize * c as usize).map(number).collect();
        let sum = |k: usize| x.iter().skip(k).step_by(c as usize).sum::<f32>() / 4.0;
        let expected: Vec<f32> = (0..c as usize).map(sum).collect();
        for seed in 0..4 {
            let mut memory = DeviceMemory::new();
            let (x, y) = (upload(&mut memory, &x), memory.alloc(4 * c as usize));
            let scale = upload(&mut memory, &[4.0f32]);
            let params: [&dyn Param; 5] = [&x, &y, &rows, &c, &scale];
            let blocks = c.div_ceil(8);
            let module = vgg_kernels::SUM_ROWS;
            launch_in_order(seed, module, "sum_rows", [blocks, 1], &params, &mut memory).unwrap();
            let sums: Vec<f32> = download(&memory, y, c as usize);
            assert_eq!(sums, expected, "{rows} rows of {c}");
        }
    }
}

/// Numbers of windows or pixels of [`Backward`] that a block adds up: few, so that there are several
/// rows of blocks.
const PER_BLOCK: u64 = 30;

/// A gradient that goes back through what follows sums.
struct Backward<'a> {
    module: vgg_kernels::Module,
    kernel: &'static str,
    /// Channels, and groups of them in a block.
    c: u32,
    lanes: u32,
    /// Pixels of the output's gradient and of the sums', and what blocks divide among them.
    pixels: usize,
    places: usize,
    work: u64,
    /// Sizes, as the kernel takes them.
    sizes: &'a [&'a dyn Param],
    /// The bytes of `aux` that a group's decisions take.
    aux: fn(u32) -> Vec<u8>,
}

impl Backward<'_> {
    /// Runs the kernel and compares: `place` tells the place that a pixel's gradient goes to, if any,
    /// by its group's decisions and the channel's number in its group. Numbers are integers, of which
    /// every order of additions makes the same sum.
    fn goes(&self, place: impl Fn(usize, u32, usize) -> Option<usize>) {
        let Self { module, kernel, c, lanes, pixels, places, work, sizes, aux } = *self;
        let (channels, groups) = (c as usize, c.div_ceil(8) as usize);
        let dy: Vec<f32> = (0..pixels * channels).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
        let decisions = (0..pixels * groups).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 7) as u32);
        let decisions: Vec<u32> = decisions.collect();
        let (mut dx, mut db) = (vec![0.0; places * channels], vec![0.0; channels]);
        for (i, number) in dy.iter().enumerate() {
            let (pixel, k) = (i / channels, i % channels);
            if let Some(place) = place(pixel, decisions[pixel * groups + k / 8], k % 8) {
                dx[place * channels + k] = *number;
                db[k] += number / 4.0;
            }
        }
        let halves: Vec<bf16> = dy.iter().map(|x| bf16::from_f32(*x)).collect();
        let aux: Vec<u8> = decisions.iter().flat_map(|word| aux(*word)).collect();
        let rows = work.div_ceil(PER_BLOCK) as usize;
        let grid = [(groups as u32).div_ceil(lanes), rows as u32];
        for seed in 0..3 {
            let mut memory = DeviceMemory::new();
            let (from, aux) = (upload(&mut memory, &halves), upload(&mut memory, &aux));
            let [to, sums] = [2 * dx.len(), 4 * rows * channels].map(|len| memory.alloc(len));
            let scale = upload(&mut memory, &[4.0f32]);
            let mut params: Vec<&dyn Param> = vec![&from, &aux, &to, &sums];
            params.extend(sizes);
            params.extend([&c as &dyn Param, &PER_BLOCK, &lanes, &scale]);
            launch_in_order(seed, module, kernel, grid, &params, &mut memory).unwrap();
            let numbers: Vec<bf16> = download(&memory, to, dx.len());
            assert!(numbers.iter().map(|x| x.to_f32()).eq(dx.iter().copied()), "{c} channels");
            let sums: Vec<f32> = download(&memory, sums, rows * channels);
            let sum = |k: usize| sums.iter().skip(k).step_by(channels).sum::<f32>();
            assert!((0..channels).map(sum).eq(db.iter().copied()), "{c} channels");
        }
    }
}

/// Channels and groups of a block: a narrow block, several of them, and vectors that are not aligned.
const CHANNELS: [(u32, u32); 3] = [(20, 4), (320, 32), (324, 32)];

#[test]
fn gradients_go_back_through_relu_and_are_added_up() {
    for (c, lanes) in CHANNELS {
        let (pixels, work) = (70, 70u64);
        let (module, kernel) = (vgg_kernels::BIAS_RELU, "bias_relu_backward_bf16");
        let aux = |word| vec![word as u8];
        let sizes: &[&dyn Param] = &[&work];
        Backward { module, kernel, c, lanes, pixels, places: pixels, work, sizes, aux }
            .goes(|pixel, bits, k| (bits >> k & 1 == 1).then_some(pixel));
    }
}

/// Threads go on from row to row and from image to image, and a row and a column are dropped.
#[test]
fn gradients_go_back_through_a_pool_and_are_added_up() {
    let (n, h, w) = (3usize, 7usize, 5usize);
    let (y_h, y_w) = (h / 2, w / 2);
    for (c, lanes) in CHANNELS {
        let (pixels, places) = (n * y_h * y_w, n * h * w);
        let work = (n * h.div_ceil(2) * w.div_ceil(2)) as u64;
        let module = vgg_kernels::BIAS_RELU_MAX_POOL;
        let kernel = "bias_relu_max_pool_backward_bf16";
        let aux = |word: u32| word.to_le_bytes().to_vec();
        let sizes: &[&dyn Param] = &[&(n as u64), &(h as u32), &(w as u32)];
        Backward { module, kernel, c, lanes, pixels, places, work, sizes, aux }.goes(
            |pixel, word, k| {
                let decision = word as usize >> (4 * k);
                let (image, in_image) = (pixel / (y_h * y_w), pixel % (y_h * y_w));
                let row = 2 * (in_image / y_w) + decision / 2 % 2;
                let column = 2 * (in_image % y_w) + decision % 2;
                (decision & 4 != 0).then_some((image * h + row) * w + column)
            },
        );
    }
}

/// One row of blocks, in which threads go on from row to row and from image to image, or a row a few
/// pixels.
#[test]
fn what_follows_sums_does_not_depend_on_the_cut() {
    let (n, h, w) = (3u64, 14u32, 11u32);
    for (c, lanes) in CHANNELS {
        let pixels = n * u64::from(h * w);
        let len = pixels as usize * c as usize;
        let numbers = |len: usize, by: usize| -> Vec<bf16> {
            (0..len).map(|i| bf16::from_f32((i * by % 101) as f32 / 25.0 - 2.0)).collect()
        };
        let bias: Vec<f32> = numbers(c as usize, 29).iter().map(|x| x.to_f32()).collect();
        let run = |per_block: u64| {
            let mut memory = DeviceMemory::new();
            let (x, bias) = (upload(&mut memory, &numbers(len, 37)), upload(&mut memory, &bias));
            let [y, pooled, bits, words] =
                [2 * len, 2 * len, len, 4 * len].map(|l| memory.alloc(l));
            let windows = n * u64::from((h / 2) * (w / 2));
            let calls: [(_, _, u64, &[&dyn Param]); 2] = [
                (
                    vgg_kernels::BIAS_RELU,
                    "bias_relu_forward_bf16",
                    pixels,
                    &[&x, &bias, &y, &bits, &pixels, &c, &per_block, &lanes],
                ),
                (
                    vgg_kernels::BIAS_RELU_MAX_POOL,
                    "bias_relu_max_pool_forward_bf16",
                    windows,
                    &[&x, &bias, &pooled, &words, &n, &h, &w, &c, &per_block, &lanes],
                ),
            ];
            for (module, kernel, work, params) in calls {
                let grid = [c.div_ceil(8).div_ceil(lanes), work.div_ceil(per_block) as u32];
                launch_in_order(1, module, kernel, grid, params, &mut memory).unwrap();
            }
            let pooled_len = windows as usize * c as usize;
            let groups = c.div_ceil(8) as usize;
            let y: Vec<bf16> = download(&memory, y, len);
            let pooled: Vec<bf16> = download(&memory, pooled, pooled_len);
            let bits: Vec<u8> = download(&memory, bits, pixels as usize * groups);
            let words: Vec<u32> = download(&memory, words, windows as usize * groups);
            (y, pooled, bits, words)
        };
        let (one, many) = (run(pixels), run(3));
        assert!(one == many && one.1.iter().any(|x| x.to_f32() > 0.0), "{c} channels");
    }
}

/// With few blocks, a thread comes to groups of other channels, for which it loads other vectors.
#[test]
fn normalisations_do_not_depend_on_the_number_of_blocks() {
    let (n, h, w, c) = (2u64, 20u32, 22u32, 20u32);
    let pixels = n * u64::from(h * w);
    let x_len = (pixels * u64::from(c)) as usize;
    let numbers = |len: usize, by: usize| -> Vec<f32> {
        (0..len).map(|i| (i * by % 101) as f32 / 25.0 - 2.0).collect()
    };
    let run = |blocks: u32| {
        let mut memory = DeviceMemory::new();
        let [x, dy] = [37, 53].map(|by| upload(&mut memory, &numbers(x_len, by)));
        let [weight, bias] = [29, 31].map(|by| upload(&mut memory, &numbers(c as usize, by)));
        let [saved, sums] = [41, 43].map(|by| upload(&mut memory, &numbers(2 * c as usize, by)));
        let [y, pooled, dx, dx_pooled] = [4 * x_len; 4].map(|len| memory.alloc(len));
        let (bits, words) = (memory.alloc(x_len), memory.alloc(4 * x_len));
        let calls: [(&str, &[&dyn Param]); 4] = [
            ("relu_forward", &[&x, &saved, &weight, &bias, &y, &bits, &pixels, &c]),
            (
                "relu_max_pool_forward",
                &[&x, &saved, &weight, &bias, &pooled, &words, &n, &h, &w, &c],
            ),
            ("relu_backward", &[&x, &dy, &bits, &saved, &weight, &sums, &dx, &pixels, &c]),
            (
                "relu_max_pool_backward",
                &[&x, &dy, &words, &saved, &weight, &sums, &dx_pooled, &n, &h, &w, &c],
            ),
        ];
        for (name, params) in calls {
            let kernel = format!("batch_norm2d_{name}_f32");
            launch(vgg_kernels::BATCH_NORM2D, &kernel, blocks, params, &mut memory).unwrap();
        }
        let outputs = [(y, x_len), (pooled, x_len / 4), (dx, x_len), (dx_pooled, x_len)];
        outputs.map(|(at, len)| download::<f32>(&memory, at, len))
    };
    let (few, many) = (run(1), run(100));
    assert!(few == many && few.iter().all(|numbers| numbers.iter().any(|x| *x > 0.0)));
}
