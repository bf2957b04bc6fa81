//! The CUDA backend: convolutions by cuDNN, matrix products by cuBLAS, our own kernels for the rest.
//!
//! All libraries are opened at run time: building needs none of them, and a program that is linked
//! with this crate runs where they are missing.

mod precision;

pub use precision::Precision;
