//! One suite for every backend: each command, forward and backward, against the reference.
//!
//! A [`Trial`] is one operation with its inputs. Its commands run on any backend, on a [`Bench`], and
//! give numbers, which [`check`] compares with those of `Reference<f64>`. What a trial computes into holds NaN before,
//! so that what is not overwritten, or is read where it should not be, shows.

mod avg_pool2d;
mod batch_norm2d;
mod bench;
mod conv2d;
mod dropout;
mod euclidean_loss;
mod exchange;
mod linear;
mod lrn;
mod max_pool2d;
mod optimizer;
mod prepare_images;
mod sigmoid;
mod softmax_cross_entropy;
mod transfer;
mod update;

pub use avg_pool2d::AvgPool2dTrial;
pub use batch_norm2d::BatchNorm2dTrial;
pub use bench::{Bench, Memory, Operand, Trying};
pub use conv2d::Conv2dTrial;
pub use dropout::DropoutTrial;
pub use euclidean_loss::EuclideanLossTrial;
pub use exchange::check_exchange;
pub use linear::LinearTrial;
pub use lrn::LrnTrial;
pub use max_pool2d::MaxPool2dTrial;
pub use optimizer::OptimizerTrial;
pub use prepare_images::PrepareImagesTrial;
pub use sigmoid::SigmoidTrial;
pub use softmax_cross_entropy::SoftmaxCrossEntropyTrial;
pub use transfer::check_transfer;
pub use update::{BlendTrial, ClipGradientsTrial};

use std::fmt;

use vgg_tensor::spec::WeightType;
use vgg_tensor::{Backend, Content, Result};

use crate::compare::{Tolerance, assert_near};
use crate::{Arithmetic, Reference};

/// What a trial gives: names and numbers.
pub type Outputs = Vec<(&'static str, Vec<f32>)>;

/// One operation with its inputs.
pub trait Trial: Sized {
    /// What is tried, for messages.
    fn name(&self) -> String;

    /// Runs it.
    ///
    /// # Errors
    /// Those of the backend.
    fn run<B: Backend>(&self, bench: &mut Bench<'_, B>) -> Result<Outputs>;

    /// How far each of the outputs may be from what is expected.
    fn tolerances(&self) -> Vec<Tolerance>;

    /// What is expected where the reference computes `exact` numbers.
    fn expected(&self, exact: Outputs) -> Outputs {
        exact
    }

    /// Trials of all awkward specs, for backends of this arithmetic.
    fn table(arithmetic: Arithmetic) -> Vec<Self>;

    /// Calls `check` with trials of random specs.
    fn random(arithmetic: Arithmetic, check: impl FnMut(Self));
}

/// Checks one trial: near the reference, and the same to the bit in whatever memory.
///
/// # Panics
/// If it is not, naming the trial, the output and the worst place.
pub fn check<B: Backend, T: Trial>(backend: &mut B, trial: &T, worst: &mut Worst) {
    let expected = trial.expected(run(&mut Reference::<f64>::new(), trial, Memory::Exact));
    let actual = run(backend, trial, Memory::Exact);
    let tolerances = trial.tolerances();
    assert_eq!(tolerances.len(), expected.len(), "a tolerance for each output");
    for (i, (output, numbers)) in actual.iter().enumerate() {
        let what = format!("{}, {output}", trial.name());
        worst.add(output, assert_near(&what, numbers, &expected[i].1, tolerances[i]));
    }
    worst.trials += 1;
    for (memory, what) in
        [(Memory::Spare, "in larger buffers"), (Memory::Bytes, "in buffers of bytes")]
    {
        assert_same(trial, what, &actual, &run(backend, trial, memory));
    }
}

/// How much of what is allowed was needed.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    trials: usize,
    /// By output: the largest error, as a share of its tolerance.
    shares: Vec<(&'static str, f64)>,
}

impl Worst {
    fn add(&mut self, output: &'static str, share: f64) {
        match self.shares.iter_mut().find(|(known, _)| *known == output) {
            Some((_, worst)) => *worst = worst.max(share),
            None => self.shares.push((output, share)),
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trials; of what is allowed:", self.trials)?;
        self.shares.iter().try_for_each(|(output, share)| write!(f, " {output} {share:.2}"))
    }
}

/// Checks all trials of an operation, those of awkward specs and random ones.
///
/// # Panics
/// As [`check`].
pub fn check_all<B: Backend, T: Trial>(backend: &mut B, arithmetic: Arithmetic) -> Worst {
    let mut worst = Worst::default();
    T::table(arithmetic).iter().for_each(|trial| check(backend, trial, &mut worst));
    T::random(arithmetic, |trial| check(backend, &trial, &mut worst));
    worst
}

/// The tolerance of numbers that are computed as near as `computed` and then stored once.
fn stored(computed: f64, arithmetic: Arithmetic) -> Tolerance {
    Tolerance::absolute(computed) + arithmetic.rounding()
}

/// Checks that two backends give the same bits, as the same backend with other numbers of threads
/// has to.
///
/// # Panics
/// At the first bit that differs.
pub fn check_same_bits<A: Backend, B: Backend>(a: &mut A, b: &mut B) {
    fn compare<A: Backend, B: Backend, T: Trial>(a: &mut A, b: &mut B) {
        for trial in T::table(Arithmetic::F32) {
            let what = format!("on {} and {}", a.describe(), b.describe());
            let [a, b] = [run(a, &trial, Memory::Exact), run(b, &trial, Memory::Exact)];
            assert_same(&trial, &what, &a, &b);
        }
    }
    compare::<A, B, PrepareImagesTrial>(a, b);
    compare::<A, B, Conv2dTrial>(a, b);
    compare::<A, B, MaxPool2dTrial>(a, b);
    compare::<A, B, AvgPool2dTrial>(a, b);
    compare::<A, B, LrnTrial>(a, b);
    compare::<A, B, BatchNorm2dTrial>(a, b);
    compare::<A, B, SigmoidTrial>(a, b);
    compare::<A, B, LinearTrial>(a, b);
    compare::<A, B, DropoutTrial>(a, b);
    compare::<A, B, SoftmaxCrossEntropyTrial>(a, b);
    compare::<A, B, EuclideanLossTrial>(a, b);
    compare::<A, B, OptimizerTrial>(a, b);
    compare::<A, B, BlendTrial>(a, b);
    compare::<A, B, ClipGradientsTrial>(a, b);
}

fn run<B: Backend, T: Trial>(backend: &mut B, trial: &T, memory: Memory) -> Outputs {
    trial
        .run(&mut Bench::with(backend, memory))
        .unwrap_or_else(|error| panic!("{}: {error}", trial.name()))
}

fn assert_same<T: Trial>(trial: &T, what: &str, a: &Outputs, b: &Outputs) {
    for ((output, a), (_, b)) in a.iter().zip(b) {
        let differs = (0..a.len().max(b.len())).find(|i| a[*i].to_bits() != b[*i].to_bits());
        if let Some(i) = differs {
            panic!("{}, {output}: [{i}] is {:e} and {:e} {what}", trial.name(), a[i], b[i]);
        }
    }
}

/// The weight of `out_features` outputs on maps of `[c, h, w]`.
const fn linear_weight(
    out_features: usize,
    [c, h, w]: [usize; 3],
    weight_type: WeightType,
) -> Content {
    Content::LinearWeight { out_features, c, h, w, weight_type }
}

/// Makes a module of tests out of a backend: `conformance!(name, make)`, where `make(test)` is
/// `Some(backend)`, or `None` where this process cannot run it. It is given the test's path. For
/// backends of other arithmetic than `f32`: `conformance!(name, make, arithmetic)`.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $make:expr) => {
        $crate::conformance!($name, $make, $crate::Arithmetic::F32);
    };
    ($name:ident, $make:expr, $arithmetic:expr) => {
        $crate::conformance!(@tests $name, $make, $arithmetic,
            prepare_images: PrepareImagesTrial,
            conv2d: Conv2dTrial,
            max_pool2d: MaxPool2dTrial,
            avg_pool2d: AvgPool2dTrial,
            lrn: LrnTrial,
            batch_norm2d: BatchNorm2dTrial,
            sigmoid: SigmoidTrial,
            linear: LinearTrial,
            dropout: DropoutTrial,
            softmax_cross_entropy: SoftmaxCrossEntropyTrial,
            euclidean_loss: EuclideanLossTrial,
            optimizer: OptimizerTrial,
            blend: BlendTrial,
            clip_gradients: ClipGradientsTrial
        );
    };
    (@tests $name:ident, $make:expr, $arithmetic:expr, $($op:ident: $trial:ident),*) => {
        mod $name {
            use super::*;

            #[test]
            fn transfer() {
                let make = $make;
                if let Some(mut backend) = make(concat!(module_path!(), "::transfer")) {
                    $crate::conformance::check_transfer(&mut backend, $arithmetic);
                }
            }

            $(#[test]
            fn $op() {
                let make = $make;
                if let Some(mut backend) = make(concat!(module_path!(), "::", stringify!($op))) {
                    let (backend, arithmetic) = (&mut backend, $arithmetic);
                    let worst = $crate::conformance::check_all::<
                        _,
                        $crate::conformance::$trial,
                    >(backend, arithmetic);
                    println!("{} at {arithmetic:?}: {worst}", stringify!($op));
                }
            })*
        }
    };
}
