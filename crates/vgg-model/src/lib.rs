//! VGG networks (Simonyan & Zisserman 2014): what they are, running them, training them, keeping
//! them.
//!
//! A [`VggConfig`] becomes a [`Vgg`], a checked list of layers; [`Plan`] is the arithmetic of
//! running it on batches of some size: every operation and every buffer. [`Session`] classifies
//! images and [`Trainer`] trains, on any [`vgg_tensor::Backend`]. [`Params`] are the weights
//! outside of a backend, [`weights`] are those of other programs, [`Checkpoint`] is a training run on
//! disk, and [`mod@onnx`] gives a network to other programs.
//!
//! Images enter as bytes, in their own size; resizing and normalising them is the backend's first
//! operation, and [`Input`] says how.
//!
//! `examples/embed.rs` shows how another program uses this crate.
#![forbid(unsafe_code)]

mod arch;
mod checkpoint;
mod config;
mod dense;
mod fold;
mod group;
mod init;
mod input;
mod layer;
mod loss;
mod memory;
mod network;
pub mod onnx;
mod optimizer;
mod params;
mod placement;
mod plan;
mod recipe;
mod schedule;
mod sequential;
mod session;
mod snapshot;
mod softmax;
pub mod streams;
mod target;
mod task;
mod tensor_file;
mod trainer;
mod transfer;
mod vgg;
pub mod weights;

pub use arch::Arch;
pub use checkpoint::{Checkpoint, Progress};
pub use config::VggConfig;
pub use group::{Group, is_within};
pub use init::{BiasInit, Init, WeightInit};
pub use input::Input;
pub use layer::Layer;
pub use loss::{Metrics, Score};
pub use optimizer::{AdamWConfig, Moment, Moments, OptimizerConfig, SgdConfig};
pub use params::Params;
pub use plan::{Mode, Plan, Row};
pub use recipe::Recipe;
pub use schedule::{Decay, Plateau, Schedule};
pub use session::{Heatmap, Session};
pub use snapshot::{Snapshot, TrainerState};
pub use softmax::Softmax;
pub use target::Target;
pub use task::{Regression, Task};
pub use tensor_file::safetensors_header;
pub use trainer::Trainer;
pub use transfer::{Copying, Transferred, transfers};
pub use vgg::{ParamSpec, Role, Vgg};
pub use vgg_tensor::spec::WeightType;
pub use vgg_tensor::{Backend, Error, Result, Tensor};

/// The error of a setting that is not allowed: its key, its value and what would be allowed.
fn invalid(key: &str, value: impl std::fmt::Display, allowed: &str) -> Error {
    Error::Shape(format!("{key} = {value}, but it must be {allowed}"))
}

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
