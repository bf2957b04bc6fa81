//! The CUDA backend: convolutions by cuDNN, matrix products by cuBLAS, our own kernels for the rest.
//!
//! All libraries are opened at run time: building needs none of them, and a program that is linked
//! with this crate runs where they are missing.
//!
//! Work is ordered on one stream and done in that order; only the way of large downloads to the host is
//! another one. `unsafe` is confined to the calls of the libraries and the launches of kernels, each of
//! which says why the memory it is given suffices.

mod avg_pool2d;
mod backend;
mod batch_norm2d;
mod bias;
mod buffer;
mod columns;
mod conv2d;
mod cublas;
mod devices;
mod dropout;
mod error;
mod euclidean_loss;
mod exchange;
mod executable;
mod gpu;
mod layout;
mod libraries;
mod linear;
mod loss_scale;
mod lrn;
mod max_pool2d;
mod memory;
mod nccl;
mod optimizer;
mod pinned;
mod precision;
mod prepare_images;
pub mod roofline;
mod scalars;
mod sigmoid;
mod softmax_cross_entropy;
mod update;

use std::path::PathBuf;
use std::sync::Arc;

use vgg_tensor::Result;
use vgg_tensor::ranks::Peers;

pub use buffer::Buffer;
pub use devices::{Device, devices, find, first};
pub use executable::Executable;
pub use libraries::{Library, common_nccl, libraries, nccl, start_again_without_stubs};
pub use pinned::Landing;
pub use precision::Precision;

use conv2d::{Cudnn, Rules, Tuning};
use cublas::{Cublas, Factor};
use exchange::Ranks;
use gpu::Gpu;
use loss_scale::LossScale;
use memory::{Address, Scratch};
use pinned::Pinned;
use precision::Storage;
use prepare_images::Tables;
use scalars::ScalarMemory;

/// A convolution's workspace is at most this part of the device's memory.
const WORKSPACE_PART: usize = 32;

/// How to set up a [`Cuda`].
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The device's number, from 0 on.
    pub device: usize,
    /// What numbers are stored as and computed with.
    pub precision: Precision,
    /// Whether only such algorithms are used that give the same bits in every run.
    pub deterministic: bool,
    /// Whether cuDNN's algorithms are measured the first time a convolution is computed, and the
    /// file where the fastest are remembered, by GPU, cuDNN's version and shape. Without, cuDNN's
    /// heuristics choose.
    pub autotune: Option<PathBuf>,
    /// Whether the loss scale of [`Precision::F16`] stays at 1, so that gradients are what they are.
    /// Nobody who trains wants that: it is for tests, which compare single operations.
    #[doc(hidden)]
    pub unscaled: bool,
}

/// An NVIDIA GPU.
///
/// ```no_run
/// use vgg_cuda::{Config, Cuda, Precision};
/// let cuda = Cuda::new(Config { precision: Precision::Bf16, ..Config::default() })?;
/// # Ok::<(), vgg_tensor::Error>(())
/// ```
pub struct Cuda {
    // Fields are dropped in this order: what works on the stream before the stream.
    cudnn: Cudnn,
    cublas: Cublas,
    scalars: ScalarMemory,
    tables: Tables,
    scratch: Scratch,
    pinned: Pinned,
    /// In `f16` alone.
    loss_scale: Option<LossScale>,
    storage: Storage,
    description: String,
    /// The other ranks, where there are some.
    ranks: Option<Ranks>,
    gpu: Gpu,
}

impl Cuda {
    /// A backend on a GPU.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Unavailable`] if the driver, a library or the device is missing or too
    /// old, saying which and where to get it; [`vgg_tensor::Error::OutOfMemory`];
    /// [`vgg_tensor::Error::Device`].
    pub fn new(config: Config) -> Result<Self> {
        let Config { device, precision, deterministic, autotune, unscaled } = config;
        let storage = precision.storage();
        let found = find(device, precision)?;
        let gpu = Gpu::new(&found, storage)?;
        let workspace = found.memory as usize / WORKSPACE_PART;
        let rules = Rules { precision, deterministic, workspace };
        let stream = &gpu.stream;
        let [_, cudnn, _] = libraries();
        let setting = format!(
            "{}, cuDNN {}, {}, deterministic {deterministic}",
            found.name,
            cudnn.version.unwrap_or_default(),
            precision.name()
        );
        let tuning = autotune.map(|file| Tuning::open(&file, setting));
        let loss_scale = match storage {
            Storage::F16 => Some(LossScale::new(stream, !unscaled)?),
            Storage::F32 | Storage::Bf16 => None,
        };
        Ok(Self {
            cudnn: Cudnn::new(stream, rules, tuning)?,
            cublas: Cublas::new(stream, precision)?,
            scalars: ScalarMemory::new(stream)?,
            tables: Tables::default(),
            scratch: Scratch::new(stream)?,
            pinned: Pinned::default(),
            loss_scale,
            storage,
            description: format!("cuda:{device}, {}, {}", found.name, precision.name()),
            ranks: None,
            gpu,
        })
    }

    /// The same as one rank among others, which have the same kind of GPU, libraries and settings. They
    /// agree to the bit only if the device is [deterministic](Config::deterministic) and nothing is measured.
    ///
    /// The first exchange finds out how numbers get from one to the others: by NCCL if all ranks have it
    /// ([`nccl`]) and a GPU of their own, or by way of the host.
    #[must_use]
    pub fn with_peers(mut self, peers: Arc<dyn Peers>) -> Self {
        self.ranks = Some(Ranks::new(peers));
        self
    }

    /// Where the loss scale is, or nothing where gradients are not scaled.
    fn loss_scale_address(&self) -> Address {
        self.loss_scale.as_ref().map_or(Address::NULL, LossScale::address)
    }

    /// Where the optimiser notes an overflow, and how many steps had one; nothing where there is no scale
    /// to lower.
    fn overflow_addresses(&self) -> [Address; 2] {
        let of = |scale: &LossScale| [scale.overflowed(), scale.skipped()];
        self.loss_scale.as_ref().map_or([Address::NULL; 2], of)
    }

    /// What undoes the loss scale in a product.
    fn unscale(&self) -> Factor {
        self.loss_scale.as_ref().map_or(Factor::One, |scale| Factor::At(scale.reciprocal()))
    }
}

impl Drop for Cuda {
    /// Waits for what still uses the memory.
    fn drop(&mut self) {
        if let Err(error) = self.gpu.synchronize() {
            log::debug!("the device did not end its work: {error}");
        }
    }
}
