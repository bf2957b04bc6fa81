//! What every other crate speaks: shapes, host tensors, layer specs, commands and programs, the error
//! type, the counter-based random numbers, and [`Backend`], the seam between the model and a device.
//!
//! Nothing here computes a layer. The specs say *what* a layer is, a [`Command`] says what its result
//! must be, a [`Program`] lists commands, and the crates that implement [`Backend`] say how.
#![forbid(unsafe_code)]

mod backend;
mod command;
mod content;
mod download;
mod error;
mod hex;
pub mod new_file;
mod operand;
mod philox;
pub mod profile;
mod program;
pub mod protobuf;
pub mod ranks;
mod room;
mod shape;
pub mod spec;
mod tensor;

pub use backend::Backend;
pub use command::{Command, Operands, Optimizer, ShardSum, WeightGradient, clip_factor};
pub use content::{Content, WeightType};
pub use download::Download;
pub use error::{Error, Result};
pub use hex::hex;
pub use operand::{BufferId, In, InOut, Out};
pub use philox::{Draw, philox4x32_10};
pub use program::{
    Bound, BufferSpec, Executable, Instruction, Pass, Program, Role, Scalars, Shared, check_sharing,
};
pub use room::{room_for, zeros};
pub use shape::Shape;
pub use tensor::Tensor;
