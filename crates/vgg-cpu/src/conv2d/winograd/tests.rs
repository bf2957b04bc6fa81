//! Whatever the blocks are, the results are the same.

use proptest::prelude::*;
use vgg_tensor::Shape;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

use super::algebra::Interpolation;
use super::blocking::Parallel;
use super::{Blocking, backward, forward};
use crate::buffer::{AlignedVec, Buffer};
use crate::conv2d::Gradients;
use crate::format::{Bf16, F32, Format as _};
use crate::{Config, Cpu, Isa};

/// What a forward and a backward pass write.
#[derive(Debug, PartialEq)]
struct Written {
    y: Vec<f32>,
    aux: Vec<u8>,
    dx: Vec<f32>,
    dweight: Vec<f32>,
    dbias: Vec<f32>,
}

/// Numbers as they are stored.
fn stored<F: Interpolation>(numbers: &[f32]) -> Vec<F::Number> {
    numbers.iter().map(|x| F::round(*x)).collect()
}

fn widened<F: Interpolation>(numbers: &[F::Number]) -> Vec<f32> {
    numbers.iter().map(|x| F::widen(*x)).collect()
}

fn run<F: Interpolation>(cpu: &Cpu, op: &Conv2d, blocking: Blocking) -> Written {
    // From −1 to 1, as good as random, of few enough digits for either format.
    let number = |i: usize, seed: usize| ((i * seed) as f64 * 0.618_033_988_749).fract() as f32;
    let short = |x: f32| Bf16::widen(Bf16::round(x));
    let numbers = |len: usize, seed: usize| -> Vec<f32> {
        (0..len).map(|i| short(2.0 * number(i * i + 1, seed) - 1.0)).collect()
    };
    let [x, dy] = [numbers(op.x().len(), 7), numbers(op.y().len(), 5)].map(|x| stored::<F>(&x));
    let bias = numbers(op.c_out(), 3);
    let mut weight = Buffer::zeroed(op.weight().len()).unwrap();
    let w = numbers(op.weight().len(), 11);
    weight.f32_mut(w.len()).copy_from_slice(&w);
    let workspace = &mut AlignedVec::default();
    // What is there before must not matter.
    let nothing = |len: usize| stored::<F>(&vec![f32::NAN; len]);
    let (y, dx) = (&mut *nothing(op.y().len()), &mut *nothing(op.x().len()));
    let aux = &mut *vec![0xa5; op.aux_bytes()];
    let dweight = &mut *vec![f32::NAN; op.weight().len()];
    let dbias = &mut *vec![f32::NAN; op.c_out()];
    cpu.threads.run(|| {
        forward::<F>(cpu, op, blocking, &x, &weight, &bias, y, aux, workspace).unwrap();
        let gradients = Gradients::<F> { dweight, dbias, dx: Some(dx) };
        backward::<F>(cpu, op, blocking, &x, &weight, &dy, aux, gradients, workspace).unwrap();
    });
    let [y, dx] = [y, dx].map(|numbers| widened::<F>(numbers));
    Written { y, aux: aux.to_vec(), dx, dweight: dweight.to_vec(), dbias: dbias.to_vec() }
}

/// Filters that were transformed for a map of a few pixels are those of a larger one.
#[test]
fn a_weight_serves_maps_of_all_sizes() {
    check_sizes::<F32>();
    check_sizes::<Bf16>();
}

fn check_sizes<F: Interpolation>() {
    let op =
        |side| Conv2d::new(Shape::new(1, 3, side, side), 4, 3, 1, ConvEpilogue::BiasRelu).unwrap();
    let blocking = Blocking { parallel: Parallel::Blocks, size: 1 };
    for isa in Isa::available() {
        let cpu =
            Cpu::new(Config { threads: Some(1), isa: Some(isa), ..Config::default() }).unwrap();
        let mut weight = Buffer::zeroed(op(2).weight().len()).unwrap();
        let numbers = weight.f32_mut(op(2).weight().len());
        numbers.iter_mut().enumerate().for_each(|(i, w)| *w = (i % 7) as f32 - 3.0);
        let of_side = |side: usize, weight: &Buffer| {
            let op = op(side);
            let x: Vec<_> = (0..op.x().len()).map(|i| F::round((i % 5) as f32 - 2.0)).collect();
            let (mut y, bias) = (stored::<F>(&vec![f32::NAN; op.y().len()]), [0.0; 4]);
            let workspace = &mut AlignedVec::default();
            let run =
                || forward::<F>(&cpu, &op, blocking, &x, weight, &bias, &mut y, &mut [], workspace);
            cpu.threads.run(run).unwrap();
            widened::<F>(&y)
        };
        of_side(2, &weight);
        let after_a_small_one = of_side(8, &weight);
        // What is derived of a weight is forgotten when it is written.
        weight.f32_mut(0);
        assert_eq!(after_a_small_one, of_side(8, &weight), "{isa}");
    }
}

/// The root of the mean square of what `b` is off by, for the size of `a`.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        a.iter().zip(b).map(|(a, b)| f(f64::from(*a), f64::from(*b)).powi(2)).sum::<f64>()
    };
    (sum(&|a, b| a - b) / sum(&|a, _| a)).sqrt()
}

/// As little as the points allow.
#[test]
fn bf16_is_off_by_a_hundredth() {
    let op = Conv2d::new(Shape::new(2, 48, 16, 16), 48, 3, 1, ConvEpilogue::Bias).unwrap();
    let cpu = Cpu::new(Config::default()).unwrap();
    let blocking = Blocking { parallel: Parallel::Blocks, size: 2 };
    let [exact, rounded] = [run::<F32>, run::<Bf16>].map(|run| run(&cpu, &op, blocking));
    for (what, exact, rounded) in [
        ("y", &exact.y, &rounded.y),
        ("dx", &exact.dx, &rounded.dx),
        ("dweight", &exact.dweight, &rounded.dweight),
    ] {
        let error = relative_error(exact, rounded);
        assert!((0.002..0.014).contains(&error), "{what}: {error}");
    }
    assert!(relative_error(&exact.dbias, &rounded.dbias) < 1e-6);
}

fn close(a: &[f32], b: &[f32]) -> bool {
    let scale = a.iter().fold(0f32, |max, x| max.max(x.abs()));
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * scale)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_blockings_agree(
        n in 1usize..4, c in 1usize..180, h in 2usize..23, w in 2usize..15, c_out in 1usize..180,
        padding in 0usize..2, pool: bool, size in 1usize..9, threads in 1usize..5,
    ) {
        prop_assume!(h + 2 * padding >= 4 && w + 2 * padding >= 4);
        let epilogue = if pool { ConvEpilogue::BiasReluMaxPool } else { ConvEpilogue::BiasRelu };
        let op = Conv2d::new(Shape::new(n, c, h, w), c_out, 3, padding, epilogue).unwrap();
        for isa in Isa::available() {
            let cpu = Cpu::new(Config { threads: Some(threads), isa: Some(isa), ..Config::default() }).unwrap();
            for run in [run::<F32>, run::<Bf16>] {
                let expected = run(&cpu, &op, Blocking { parallel: Parallel::Blocks, size: 1 });
                for parallel in [Parallel::Blocks, Parallel::Points] {
                    let found = run(&cpu, &op, Blocking { parallel, size });
                    prop_assert_eq!(&found.y, &expected.y);
                    prop_assert_eq!(&found.aux, &expected.aux);
                    prop_assert_eq!(&found.dx, &expected.dx);
                    // The sums over tiles come in another order.
                    prop_assert!(close(&expected.dweight, &found.dweight), "{:?} dweight", parallel);
                    prop_assert!(close(&expected.dbias, &found.dbias), "{:?} dbias", parallel);
                }
            }
        }
    }
}
