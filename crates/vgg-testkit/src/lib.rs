//! What the tests are made of, each part trusted because of the one before it:
//!
//! 1. [`Reference`] is every [`vgg_tensor::Command`] as naive loops. Its gradients are proven by
//!    finite differences ([`check_gradient`]) and its conventions by numbers from PyTorch and Pillow
//!    ([`Golden`]).
//! 2. [`mod@conformance`] compares any other backend with the reference, on the awkward and random
//!    specs of [`cases`], within the error bounds of [`compare`].
#![forbid(unsafe_code)]

mod arithmetic;
pub mod cases;
pub mod compare;
pub mod conformance;
mod golden;
mod gradcheck;
pub mod inputs;
mod real;
mod reference;

pub use arithmetic::Arithmetic;
pub use golden::Golden;
pub use gradcheck::check_gradient;
pub use real::Real;
pub use reference::{Buffer, Reference};
