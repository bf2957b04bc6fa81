//! The tests that need more than one crate, as one binary.

mod conformance;
mod convolution;
mod cuda;
mod cuda_downloads;
mod cuda_products;
mod cuda_ranks;
mod embedding;
mod exchange;
mod facts;
mod few_channels;
mod first_stage;
mod golden;
mod kernels;
mod one_build;
mod one_by_one;
mod recorded;
mod rooms;
mod simulated;
mod unpooled;
