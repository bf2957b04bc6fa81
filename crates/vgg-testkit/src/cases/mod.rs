//! Specs to try: tables of awkward ones, and strategies for random ones.
//!
//! Sizes sit on both sides of what implementations like: vectors of 8 and 16, tiles of 4 and 6,
//! pools of 2.

pub mod avg_pool2d;
pub mod batch_norm2d;
pub mod conv2d;
pub mod euclidean_loss;
pub mod linear;
pub mod lrn;
pub mod max_pool2d;
pub mod prepare_images;
pub mod softmax_cross_entropy;

use std::cell::RefCell;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Random specs tried of each operation.
const RANDOM: u32 = 24;

/// Calls `check` with random values: the same in every run. If it panics, smaller values are looked
/// for.
///
/// # Panics
/// With the smallest value that `check` panics for.
pub fn for_random<S: Strategy>(strategy: S, check: impl FnMut(S::Value)) {
    let config = Config {
        cases: RANDOM,
        rng_seed: RngSeed::Fixed(0),
        failure_persistence: None,
        ..Config::default()
    };
    let check = RefCell::new(check);
    let run = |value| {
        (check.borrow_mut())(value);
        Ok(())
    };
    if let Err(error) = TestRunner::new(config).run(&strategy, run) {
        panic!("{error}");
    }
}
