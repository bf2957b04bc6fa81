//! From files to verified data sets to shuffled batches.
//!
//! Pixels stay bytes: normalising them, and resizing where all have one size, are the backend's
//! [`prepare_images`](vgg_tensor::Command::PrepareImages).
//! A file is trusted only once the SHA-256 of its decompressed contents is the known one.
//!
//! ```
//! use vgg_data::{Images, Loader, Transform, fashion_mnist::Split, sample};
//!
//! let images = Images::from(sample::load(Split::Train)?);
//! let loader = Loader::new(images, Transform::same_size([1, 28, 28]), 128, 0)?.shuffled(42);
//! let mut epoch = loader.epoch(0, 0);
//! let mut seen = 0;
//! while let Some(batch) = epoch.next_batch()? {
//!     seen += batch.labels.len();
//! }
//! assert_eq!(seen, sample::TRAIN_LEN);
//! # Ok::<(), vgg_tensor::Error>(())
//! ```
//!
//! Feature: `fetch` adds downloading (and with it TLS).
#![deny(unsafe_code)]

mod batch;
mod beta;
pub mod boxes;
mod csv_lines;
mod cutmix;
mod dataset;
mod dir;
pub mod fashion_mnist;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod idx;
pub mod image_folder;
pub mod imagenet;
mod images;
mod loader;
mod mixup;
mod moment;
pub mod names;
mod order;
pub mod pack;
mod picture;
mod rescale;
pub mod sample;
mod simd;
mod statistics;
mod threads;
mod transform;

pub use batch::Batch;
pub use cutmix::CutMix;
pub use dataset::Dataset;
pub use dir::{DATA_DIR_VARIABLE, WEIGHTS_DIR_VARIABLE, cache_dir, data_dir, weights_dir};
pub use image_folder::ImageFolder;
pub use images::Images;
pub use loader::{Epoch, Loader};
pub use mixup::Mixup;
pub use moment::Moment;
pub use picture::{Decoding, Foreign, Picture, is_animation, is_panic_caught, is_picture};
pub use rescale::{scaled_size, scaled_within};
pub use statistics::{Components, Statistics};
pub use transform::{
    Augment, AutoAugment, ColorJitter, ColorShift, Crop, Erase, MAGNITUDES, MOST_OPERATIONS,
    ResizedCrop, Transform,
};
