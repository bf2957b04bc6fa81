//! What every other crate speaks: shapes, host tensors, layer specs, the error type, the
//! counter-based random numbers, and [`Backend`], the seam between the model and a device.
//!
//! Nothing here computes a layer. The specs say *what* a layer is, `Backend`'s documentation says
//! what its result must be, and the crates that implement it say how.
#![forbid(unsafe_code)]

mod backend;
mod error;
pub mod new_file;
mod philox;
pub mod profile;
mod room;
mod shape;
pub mod spec;
mod tensor;

pub use backend::{Backend, Content, Download, WeightGradient, clip_factor};
pub use error::{Error, Result};
pub use philox::{Draw, philox4x32_10};
pub use room::{room_for, zeros};
pub use shape::Shape;
pub use tensor::Tensor;
