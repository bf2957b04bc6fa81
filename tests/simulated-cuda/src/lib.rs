//! A stand-in for the CUDA driver, cuDNN, cuBLAS and NCCL, to run the CUDA backend where there is no GPU.
//!
//! It is a library with the C functions that the backend calls. A process that finds it under the
//! names of the real libraries ([`Libraries`]) has a GPU whose memory is host memory, whose kernels
//! are run by `vgg_ptx` from their PTX, and whose convolutions and matrix products are plain loops.
//!
//! It is stricter than a GPU. Arguments and handles are checked as by the real libraries; device
//! memory knows its bounds and which bytes were written; work is done late and, between streams, in
//! a random legal order, so that what is not waited for shows. What goes wrong on the device is
//! printed and makes every later call fail, as it would there.
//!
//! There may be several GPUs, whose ranks are threads of one process.
//!
//! Environment variables say what a GPU is like: see `settings.rs`.
//!
//! What it cannot show: what cuDNN and cuBLAS refuse beyond the checks here, races between blocks,
//! and speed.

mod cublas;
mod cudnn;
mod driver;
mod ffi;
mod libraries;
mod memory;
mod nccl;
mod numbers;
mod settings;
mod state;
mod work;

pub use libraries::Libraries;
