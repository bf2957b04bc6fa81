//! From files to verified data sets to shuffled batches.
//!
//! Pixels stay bytes at their stored size: resizing and normalising are the backend's
//! [`prepare_images`](vgg_tensor::Backend::prepare_images).
//! A file is trusted only once the SHA-256 of its decompressed contents is the known one.
//!
//! ```
//! use std::sync::Arc;
//! use vgg_data::{Loader, fashion_mnist::Split, sample};
//!
//! let images = Arc::new(sample::load(Split::Train)?);
//! let loader = Loader::new(images, 128, 42)?;
//! let mut epoch = loader.epoch(0, 0);
//! let mut seen = 0;
//! while let Some(batch) = epoch.next_batch()? {
//!     seen += batch.labels.len();
//! }
//! assert_eq!(seen, sample::TRAIN_LEN);
//! # Ok::<(), vgg_tensor::Error>(())
//! ```
//!
//! Features: `fetch` adds downloading (and with it TLS), `image-files` adds PNG and JPEG decoding.
#![forbid(unsafe_code)]

mod dataset;
mod dir;
pub mod fashion_mnist;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod idx;
#[cfg(feature = "image-files")]
mod image_file;
mod loader;
pub mod sample;

pub use dataset::Dataset;
pub use dir::{DATA_DIR_VARIABLE, data_dir};
#[cfg(feature = "image-files")]
pub use image_file::{DecodedImage, decode_image};
pub use loader::{Batch, Epoch, Loader, SHUFFLE_STREAM};
