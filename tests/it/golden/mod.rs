//! The reference, the CPU and CUDA against PyTorch and Pillow.
//!
//! `golden/generate.py` says how the numbers were computed. They are exact to `f32`; PyTorch's own
//! runs in `f32` stray from them by up to 1e-6 of the largest number, and so may ours.

mod batch_norm;
mod grad_cam;
mod nets;
mod operations;
mod recipes;
mod resize;
mod schedules;
mod steps;
mod vgg11;
mod weights;
pub(crate) mod whole_step;
mod wide;

use std::path::{Path, PathBuf};

use vgg_cuda::{Config, Precision};
use vgg_tensor::Result;
use vgg_testkit::compare::{assert_close, max_norm};
use vgg_testkit::{Golden, Reference};

use crate::simulated::{self, has_cuda};

/// Largest error of a backend in `f32`, as a share of the largest number of a tensor: ten times
/// what PyTorch's own `f32` needs, for Winograd's sake.
const F32: f64 = 1e-5;
/// The same for the reference in `f64`, whose results are rounded to `f32` at the end.
const F64: f64 = 1e-7;

/// A file of this package, whose folder Cargo starts tests in. `cargo xtask gpu-check` does, too, also
/// on a machine that has no more of the checkout.
fn file(name: &str) -> PathBuf {
    Path::new("golden").join(name)
}

fn golden(name: &str) -> Golden {
    Golden::open(file(name).with_extension("safetensors"))
}

/// Checks a tensor of a golden file.
fn check(golden: &Golden, name: &str, actual: &[f32], error: f64) {
    let expected = golden.numbers(name);
    assert_close(name, actual, expected, error * max_norm(expected));
}

/// Tests that call `$check(backend, largest error)`, one for each backend.
macro_rules! on_each_backend {
    ($name:ident, $check:path) => {
        mod $name {
            use super::*;

            #[test]
            fn reference_f64() -> Result<()> {
                $check(Reference::<f64>::new, F64)
            }

            #[test]
            fn reference_f32() -> Result<()> {
                $check(Reference::<f32>::new, F32)
            }

            #[test]
            fn cpu() -> Result<()> {
                let default = vgg_cpu::Config::default();
                $check(|| vgg_cpu::Cpu::new(default).expect("threads start"), F32)
            }

            #[test]
            fn cuda() -> Result<()> {
                let config = Config { precision: Precision::F32, ..Config::default() };
                match has_cuda(concat!(module_path!(), "::cuda")) {
                    true => $check(|| simulated::make(config.clone()), F32),
                    false => Ok(()),
                }
            }
        }
    };
}

on_each_backend!(single_operations, operations::check_all);
on_each_backend!(resized_bytes, resize::check_all);
on_each_backend!(logits_and_gradients, vgg11::logits_and_gradients);
on_each_backend!(training, vgg11::training);
on_each_backend!(recipes_of_training, recipes::training);
on_each_backend!(every_network, nets::check_all);
on_each_backend!(batch_normalisation, batch_norm::check_all);
on_each_backend!(heatmaps, grad_cam::check_all);
