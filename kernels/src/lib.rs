//! The CUDA kernels, as PTX.
//!
//! `src/*.cu` are the sources, one file a [`Module`]. `cargo xtask build-kernels` makes `ptx/*.ptx`
//! of them, and `src/signatures.rs`, which are committed: building this workspace needs no CUDA. The
//! PTX is loaded by drivers from 525 on and runs on GPUs from Turing (sm_75) on; modules whose names
//! end with `_sm80` take Ampere.
//!
//! # Common to all kernels
//! - A block has [`BLOCK`] threads in one dimension. Unless a kernel says otherwise, the grid has one
//!   dimension and any number of blocks, since loops stride over it; enough for all threads to have
//!   work, and no more than fit on the device at once, is best.
//! - No dynamic shared memory. Signatures are CUDA C: `u8`, `u32`, `u64` are unsigned integers,
//!   `float2` is two `f32`. In Rust, each is a struct of [`signatures`].
//! - Activations have channels innermost: `[n, h, w, c]` or `[pixels, c]`, where `pixels` counts
//!   through images, rows and columns. `groups` is `ceil(c / 8)`: a thread works on eight channels
//!   of a pixel.
//! - `T` is how activations are stored: a kernel `name_T` exists as `name_f32`, `name_bf16` and
//!   `name_f16`. Biases, weights, the gradients of both, and metrics are always `f32`, and so is
//!   everything that is computed with. ReLU and pooling decide on numbers rounded to `T`.
//! - A `loss_scale` is a power of two, or null for none. Gradients of activations are multiplied by
//!   it, those of parameters are not.
//! - Pointers to words (`u32`, `f32`, `u64`) are aligned as those are; vector instructions are used
//!   where an address allows them. Outputs are overwritten, and may be the input only where said so.
//! - What a kernel computes is what `vgg_tensor::Command` says of its operation.

#![forbid(unsafe_code)]

mod kernel;
pub mod signatures;

pub use kernel::{Address, Kernel, Update, Updates};

/// Threads of a block, of every kernel.
pub const BLOCK: u32 = 256;

/// A file of kernels.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// The name of its files, without extension.
    pub name: &'static str,
    /// The names of its kernels.
    pub kernels: &'static [&'static str],
    /// The generated code.
    pub ptx: &'static str,
}

impl Module {
    /// The compute capability that it takes.
    pub fn capability(&self) -> (i32, i32) {
        capability(self.name)
    }
}

/// The compute capability that a module of this name takes: that of Turing, 7.5, unless the name ends
/// with another one, as in `first_stage_sm80`.
pub fn capability(module: &str) -> (i32, i32) {
    let digits = module.rsplit_once("_sm").and_then(|(_, digits)| digits.parse().ok());
    digits.map_or((7, 5), |number: i32| (number / 10, number % 10))
}

/// All modules, by name.
pub const MODULES: &[Module] = &[
    ADAMW,
    AVG_POOL2D,
    BATCH_NORM2D,
    BIAS_GRADIENT,
    BIAS_RELU,
    BIAS_RELU_MAX_POOL,
    CONVERT,
    DROPOUT,
    EUCLIDEAN_LOSS,
    FEW_CHANNELS_SM80,
    FEW_CHANNELS_UNPOOLED_SM80,
    FIRST_STAGE,
    FIRST_STAGE_RGB_SM80,
    FIRST_STAGE_RGB_UNPOOLED_SM80,
    FIRST_STAGE_SM80,
    FIRST_STAGE_UNPOOLED_SM80,
    LINEAR_FACTORS,
    LOSS_SCALE,
    LRN,
    MAX_POOL2D,
    PREPARE_IMAGES,
    SGD,
    SIGMOID,
    SOFTMAX_CROSS_ENTROPY,
    SUM_ROWS,
    UPDATE,
];

/// The names of kernels that exist for every type.
macro_rules! of_every_type {
    ($($name:literal),*) => {
        &[$(concat!($name, "_f32"), concat!($name, "_bf16"), concat!($name, "_f16")),*]
    };
}

/// One step of Adam with decoupled weight decay, in place, of tensors that have no memory in common.
///
/// - `adamw_T(Updates updates, u32 count, u32* overflowed, const f32* lr, const u64* step,
///   const u32* skipped, f64 beta1, f64 beta2, f32 eps)`: as [`SGD`], but that `first` is the mean of
///   gradients and `second` that of their squares. `*step` is from 0; `skipped` may be null, or
///   `*skipped` steps of those did not count.
///
/// Work: a block for each 1,024 numbers, or their rest, of a tensor.
pub const ADAMW: Module = Module {
    name: "adamw",
    kernels: of_every_type!["adamw"],
    ptx: include_str!("../ptx/adamw.ptx"),
};

/// Average pooling of `x: [n, h, w, c]` into `y: [n, y_h, y_w, c]`.
///
/// - `avg_pool2d_forward_T(const T* x, T* y, u64 n, u32 h, u32 w, u32 c, u32 y_h, u32 y_w)`
/// - `avg_pool2d_backward_T(const T* dy, T* dx, u64 n, u32 h, u32 w, u32 c, u32 y_h, u32 y_w)`: all
///   of `dx: [n, h, w, c]` is written.
///
/// Sides are in 1..=65535. `vgg_tensor::spec::AvgPool2d` says which inputs each output is the mean
/// of.
///
/// Work: `n · y_h · y_w · groups` threads forward, `n · h · w · groups` backward.
pub const AVG_POOL2D: Module = Module {
    name: "avg_pool2d",
    kernels: of_every_type!["avg_pool2d_backward", "avg_pool2d_forward"],
    ptx: include_str!("../ptx/avg_pool2d.ptx"),
};

/// Batch normalisation of `x: [pixels, c]`, or `[n, h, w, c]` with a pool, and its gradients.
///
/// - `batch_norm2d_statistics_T(const T* x, f32* partial, u64 pixels, u32 c, u64 pixels_per_block,
///   u32 lanes)`: `partial: [rows, 2, c]`, each row's means and sums of squared differences from them.
/// - `batch_norm2d_combine(const f32* partial, u64 rows, u64 pixels, u64 pixels_per_block, u32 c,
///   u32 lanes, f32* running_mean, f32* running_var, f32* saved)`: `saved: [2, c]` becomes the
///   batch's means and `1 / √(variance + 1e-5)`; the running statistics are updated.
/// - `batch_norm2d_running(const f32* running_mean, const f32* running_var, f32* saved, u32 c)`:
///   `saved` becomes that of the running statistics. Work: `c` threads.
/// - `batch_norm2d_relu_forward_T(const T* x, const f32* saved, const f32* weight, const f32* bias,
///   T* y, u8* aux, u64 pixels, u32 c)`: `aux`, that of [`BIAS_RELU`], may be null.
/// - `batch_norm2d_relu_max_pool_forward_T(x, saved, weight, bias, y, u32* aux, u64 n, u32 h, u32 w,
///   u32 c)`: `aux`, that of [`BIAS_RELU_MAX_POOL`], may be null.
/// - `batch_norm2d_relu_sums_T(const T* x, const T* dy, const u8* aux, const f32* saved,
///   f32* partial, u64 pixels, u32 c, u64 pixels_per_block, u32 lanes)`: `partial: [rows, 2, c]`,
///   sums of the normalised maps' gradient, and of its products with `x − mean`.
/// - `batch_norm2d_relu_max_pool_sums_T(x, dy, const u32* aux, saved, partial, u64 pixels, u32 h,
///   u32 w, u32 c, u64 pixels_per_block, u32 lanes)`: `pixels` are the pooled ones, `h` and `w` not.
/// - `batch_norm2d_gradients(const f32* partial, u64 rows, u32 c, u32 lanes, const f32* saved,
///   f32* sums, f32* dweight, f32* dbias, const f32* loss_scale)`: adds up the rows. `sums: [2, c]`
///   are `dbias` and `dweight` as the loss scale has them.
/// - `batch_norm2d_relu_backward_T(const T* x, const T* dy, const u8* aux, const f32* saved,
///   const f32* weight, const f32* sums, T* dx, u64 pixels, u32 c)`
/// - `batch_norm2d_relu_max_pool_backward_T(x, dy, const u32* aux, saved, weight, sums, dx, u64 n,
///   u32 h, u32 w, u32 c)`: all of `dx: [n, h, w, c]` is written.
///
/// Grid of those that write rows: as [`BIAS_GRADIENT`]'s; of those that add up rows: one row of it.
/// Work of the others: that of [`BIAS_RELU`]'s and [`BIAS_RELU_MAX_POOL`]'s.
pub const BATCH_NORM2D: Module = Module {
    name: "batch_norm2d",
    kernels: &[
        "batch_norm2d_statistics_f32",
        "batch_norm2d_statistics_bf16",
        "batch_norm2d_statistics_f16",
        "batch_norm2d_combine",
        "batch_norm2d_running",
        "batch_norm2d_relu_forward_f32",
        "batch_norm2d_relu_forward_bf16",
        "batch_norm2d_relu_forward_f16",
        "batch_norm2d_relu_max_pool_forward_f32",
        "batch_norm2d_relu_max_pool_forward_bf16",
        "batch_norm2d_relu_max_pool_forward_f16",
        "batch_norm2d_relu_sums_f32",
        "batch_norm2d_relu_sums_bf16",
        "batch_norm2d_relu_sums_f16",
        "batch_norm2d_relu_max_pool_sums_f32",
        "batch_norm2d_relu_max_pool_sums_bf16",
        "batch_norm2d_relu_max_pool_sums_f16",
        "batch_norm2d_gradients",
        "batch_norm2d_relu_backward_f32",
        "batch_norm2d_relu_backward_bf16",
        "batch_norm2d_relu_backward_f16",
        "batch_norm2d_relu_max_pool_backward_f32",
        "batch_norm2d_relu_max_pool_backward_bf16",
        "batch_norm2d_relu_max_pool_backward_f16",
    ],
    ptx: include_str!("../ptx/batch_norm2d.ptx"),
};

/// The gradient of a bias that nothing follows.
///
/// - `bias_gradient_T(const T* dy, f32* db, u64 pixels, u32 c, u64 pixels_per_block, u32 lanes,
///   const f32* loss_scale)`: `dy: [pixels, c]`.
///
/// # Sums over pixels
/// Of this and of `bias_relu_backward_T` and `bias_relu_max_pool_backward_T`. Grid:
/// `(ceil(groups / lanes), rows)` blocks, where `lanes` is a power of two, at most 32, and
/// `rows = ceil(pixels / pixels_per_block)`, at most 65,535. Row `r` of `db: [rows, c]` are the sums of
/// blocks `(·, r)`, divided by the loss scale. Where there are several rows, [`SUM_ROWS`] adds them up.
///
/// The order of additions depends on the parameters alone, so that every run has the same sums; a
/// thread adds `pixels_per_block · lanes / 256` numbers one after the other.
pub const BIAS_GRADIENT: Module = Module {
    name: "bias_gradient",
    kernels: of_every_type!["bias_gradient"],
    ptx: include_str!("../ptx/bias_gradient.ptx"),
};

/// Bias and ReLU of a layer's sums, `x: [pixels, c]`, into `y: [pixels, c]`.
///
/// - `bias_forward_T(const T* x, const f32* bias, T* y, u64 pixels, u32 c, u64 pixels_per_block,
///   u32 lanes)`: no ReLU.
/// - `bias_relu_forward_T(const T* x, const f32* bias, T* y, u8* aux, u64 pixels, u32 c,
///   u64 pixels_per_block, u32 lanes)`: `aux` may be null.
/// - `bias_relu_backward_T(const T* dy, const u8* aux, T* dx, f32* db, u64 pixels, u32 c,
///   u64 pixels_per_block, u32 lanes, const f32* loss_scale)`: `db`, as of [`BIAS_GRADIENT`], may be
///   null.
///
/// Grid: that of [`BIAS_GRADIENT`]. Input and output may be the same. `bias: [c]`. `aux: [pixels, groups]` bytes: bit `k % 8` is set
/// where the sum of channel `k` is above zero.
pub const BIAS_RELU: Module = Module {
    name: "bias_relu",
    kernels: of_every_type!["bias_forward", "bias_relu_backward", "bias_relu_forward"],
    ptx: include_str!("../ptx/bias_relu.ptx"),
};

/// Bias, ReLU and 2×2 max-pool of a convolution's sums, `x: [n, h, w, c]`, into
/// `y: [n, h / 2, w / 2, c]`; an odd last row or column is dropped.
///
/// - `bias_relu_max_pool_forward_T(const T* x, const f32* bias, T* y, u32* aux, u64 n, u32 h, u32 w,
///   u32 c, u64 pixels_per_block, u32 lanes)`: `aux` may be null. Grid: that of [`BIAS_GRADIENT`], whose
///   pixels are those of `y` here.
/// - `bias_relu_max_pool_backward_T(const T* dy, const u32* aux, T* dx, f32* db, u64 n, u32 h, u32 w,
///   u32 c, u64 windows_per_block, u32 lanes, const f32* loss_scale)`: all of `dx: [n, h, w, c]` is
///   written, zeros included. Grid and `db`, which may be null, as of [`BIAS_GRADIENT`], whose pixels
///   are windows here: `n · ceil(h / 2) · ceil(w / 2)`.
///
/// `bias: [c]`. `aux: [n, h / 2, w / 2, groups]` words, four bits a channel from the lowest on: two
/// for the winner's place in its window in row-major order, one that is set where the winner is
/// above zero, and one unused.
pub const BIAS_RELU_MAX_POOL: Module = Module {
    name: "bias_relu_max_pool",
    kernels: of_every_type!["bias_relu_max_pool_backward", "bias_relu_max_pool_forward"],
    ptx: include_str!("../ptx/bias_relu_max_pool.ptx"),
};

/// From one type to another, `x: [len]` into `y: [len]`.
///
/// - `widen_bf16(const bf16* x, f32* y, u64 len, const f32* loss_scale)`, `widen_f16` alike: `y` is
///   divided by the loss scale.
/// - `narrow_bf16(const f32* x, bf16* y, u64 len)`, `narrow_f16` alike.
/// - `f16_to_bf16(const f16* x, bf16* y, u64 len)`
///
/// Rounds to nearest, ties to even. Work: `ceil(len / 8)` threads.
pub const CONVERT: Module = Module {
    name: "convert",
    kernels: &["widen_bf16", "narrow_bf16", "widen_f16", "narrow_f16", "f16_to_bf16"],
    ptx: include_str!("../ptx/convert.ptx"),
};

/// Inverted dropout of `x: [len]`, in place, and its own gradient.
///
/// - `dropout_T(T* x, u64 len, f32 p, u64 seed, u32 stream, const u64* step)`
///
/// `seed`, `stream` and `*step` are those of `vgg_tensor::Draw`; `p` is in [0, 1).
///
/// Work: `ceil(len / 4)` threads.
pub const DROPOUT: Module = Module {
    name: "dropout",
    kernels: of_every_type!["dropout"],
    ptx: include_str!("../ptx/dropout.ptx"),
};

/// A 3×3 convolution of `x: [n, h, w, c_in]` with one zero on each side, bias, ReLU and a 2×2 max-pool
/// into `y: [n, h / 2, w / 2, c]`, on tensor cores; an odd last row or column is dropped.
///
/// - `few_channels_forward_T(const T* x, const T* weight, const f32* bias, T* y, u32* aux, u64 n, u32 h,
///   u32 w, u32 c_in, u32 c, u32 tiles_per_warp)`: `aux` may be null.
/// - `few_channels_backward_data_T(const T* dy, const u32* aux, const T* weight, T* dx, u64 n, u32 h,
///   u32 w, u32 c_in, u32 c, u32 tiles_per_warp)`: all of `dx: [n, h, w, c_in]` is written. `c` is a
///   multiple of 16, at most 64; slabs are of 16 channels of `dx`, and tiles of windows, those of an odd
///   last row and column, too.
/// - `few_channels_backward_weight_T(const T* x, const T* dy, const u32* aux, f32* dweight, f32* db, u64 n,
///   u32 h, u32 w, u32 c_in, u32 c, u32 tiles_per_warp)`: partial sums into `dweight: [rows, c, 3, 3, c_in]`
///   and `db: [rows, c]`. `c` is a multiple of 16; a slab is 16 channels of `y` by 16 of `x`.
///
/// `c_in` is 16 or 32, and `x` and `weight: [c, 3, 3, c_in]` are aligned to 8 bytes. The rest is as of
/// [`FIRST_STAGE_SM80`], slabs of 32 channels.
pub const FEW_CHANNELS_SM80: Module = Module {
    name: "few_channels_sm80",
    kernels: &[
        "few_channels_backward_data_bf16",
        "few_channels_backward_data_f16",
        "few_channels_backward_weight_bf16",
        "few_channels_backward_weight_f16",
        "few_channels_forward_bf16",
        "few_channels_forward_f16",
    ],
    ptx: include_str!("../ptx/few_channels_sm80.ptx"),
};

/// As [`FEW_CHANNELS_SM80`], without a pool: `y: [n, h, w, c]`, and `aux` as of [`BIAS_RELU`].
///
/// - `few_channels_unpooled_forward_T(const T* x, const T* weight, const f32* bias, T* y, u8* aux,
///   u32 relu, u64 n, u32 h, u32 w, u32 c_in, u32 c, u32 tiles_per_warp)`: without ReLU if `relu` is zero;
///   `aux` is null then, and may be null with it.
/// - `few_channels_unpooled_backward_data_T(const T* dy, const u8* aux, const T* weight, T* dx, u64 n,
///   u32 h, u32 w, u32 c_in, u32 c, u32 tiles_per_warp)`
/// - `few_channels_unpooled_backward_weight_T(const T* x, const T* dy, const u8* aux, f32* dweight,
///   f32* db, u64 n, u32 h, u32 w, u32 c_in, u32 c, u32 tiles_per_warp)`
///
/// Backward, `aux` is null where there was no ReLU. Tiles are of windows of 2×2 sums, those of an odd last
/// row and column, too.
pub const FEW_CHANNELS_UNPOOLED_SM80: Module = Module {
    name: "few_channels_unpooled_sm80",
    kernels: &[
        "few_channels_unpooled_backward_data_bf16",
        "few_channels_unpooled_backward_data_f16",
        "few_channels_unpooled_backward_weight_bf16",
        "few_channels_unpooled_backward_weight_f16",
        "few_channels_unpooled_forward_bf16",
        "few_channels_unpooled_forward_f16",
    ],
    ptx: include_str!("../ptx/few_channels_unpooled_sm80.ptx"),
};

/// The first stage of a network whose images have one channel: a 3×3 convolution of `x: [n, h, w]`
/// with one zero on each side, bias, ReLU and a 2×2 max-pool, into `y: [n, h / 2, w / 2, c]`; an odd
/// last row or column is dropped.
///
/// - `first_stage_forward_T(const T* x, const T* weight, const f32* bias, T* y, u32* aux, u64 n, u32 h,
///   u32 w, u32 c)`: `aux` may be null. Work: `n · (h / 2) · (w / 2)` threads.
/// - `first_stage_backward_T(const T* x, const T* dy, const u32* aux, f32* dweight, f32* db, u64 n,
///   u32 h, u32 w, u32 c, u64 pixels_per_block)`. Grid: `(groups, rows)` blocks, where
///   `rows = ceil(n · (h / 2) · (w / 2) / pixels_per_block)`, at most 65,535. Row `r` of
///   `dweight: [rows, c, 3, 3]` and `db: [rows, c]` are the sums over `pixels_per_block` pixels of
///   `dy`; [`SUM_ROWS`] adds up the rows. Every run has the same sums.
///
/// `weight: [c, 3, 3]`, `bias: [c]`, `aux` as of [`BIAS_RELU_MAX_POOL`]. Sums are of `f32`, and rounded
/// to `T` with their bias.
pub const FIRST_STAGE: Module = Module {
    name: "first_stage",
    kernels: of_every_type!["first_stage_backward", "first_stage_forward"],
    ptx: include_str!("../ptx/first_stage.ptx"),
};

/// What [`FIRST_STAGE`] computes, on tensor cores: where numbers have 16 bits, from Ampere on.
///
/// - `first_stage_mma_forward_T(const T* x, const T* weight, const f32* bias, T* y, u32* aux, u64 n,
///   u32 h, u32 w, u32 c, u32 tiles_per_warp)`: `aux` may be null.
/// - `first_stage_mma_backward_T(const T* x, const T* dy, const u32* aux, f32* dweight, f32* db, u64 n,
///   u32 h, u32 w, u32 c, u32 tiles_per_warp)`: row `r` of `dweight: [rows, c, 3, 3]` and
///   `db: [rows, c]` are the sums of row `r` of the grid; [`SUM_ROWS`] adds them up. Every run has the
///   same sums.
///
/// A tile is 16 pooled pixels of a row, or its rest; a slab is 32 channels, or 16 where `c ≤ 16`. Grid:
/// `(slabs, rows)` blocks, where `rows = ceil(tiles / (8 · tiles_per_warp))`, at most 65,535.
/// ReLU and pooling decide on sums of `f32`, of which they see 21 bits. `x` and `weight` are finite.
pub const FIRST_STAGE_SM80: Module = Module {
    name: "first_stage_sm80",
    kernels: &[
        "first_stage_mma_backward_bf16",
        "first_stage_mma_backward_f16",
        "first_stage_mma_forward_bf16",
        "first_stage_mma_forward_f16",
    ],
    ptx: include_str!("../ptx/first_stage_sm80.ptx"),
};

/// As [`FIRST_STAGE_SM80`], without a pool: `y: [n, h, w, c]`, and `aux` as of [`BIAS_RELU`].
///
/// - `first_stage_unpooled_forward_T(const T* x, const T* weight, const f32* bias, T* y, u8* aux,
///   u32 relu, u64 n, u32 h, u32 w, u32 c, u32 tiles_per_warp)`: without ReLU if `relu` is zero; `aux` is
///   null then, and may be null with it.
/// - `first_stage_unpooled_backward_T(const T* x, const T* dy, const u8* aux, f32* dweight, f32* db,
///   u64 n, u32 h, u32 w, u32 c, u32 tiles_per_warp)`: `aux` is null where there was no ReLU.
///
/// A tile is 16 windows of 2×2 sums beside each other, or the rest of a row, those of an odd last row and
/// column, too. ReLU decides on sums as they are rounded to `T`.
pub const FIRST_STAGE_UNPOOLED_SM80: Module = Module {
    name: "first_stage_unpooled_sm80",
    kernels: &[
        "first_stage_unpooled_backward_bf16",
        "first_stage_unpooled_backward_f16",
        "first_stage_unpooled_forward_bf16",
        "first_stage_unpooled_forward_f16",
    ],
    ptx: include_str!("../ptx/first_stage_unpooled_sm80.ptx"),
};

/// As [`FIRST_STAGE_SM80`], of images with three channels: `x: [n, h, w, 3]`, `weight: [c, 3, 3, 3]`,
/// `dweight: [rows, c, 3, 3, 3]`, channels innermost. A slab is 16 channels.
///
/// - `first_stage_rgb_forward_T(const T* x, const T* weight, const f32* bias, T* y, u32* aux, u64 n,
///   u32 h, u32 w, u32 c, u32 tiles_per_warp)`
/// - `first_stage_rgb_backward_T(const T* x, const T* dy, const u32* aux, f32* dweight, f32* db, u64 n,
///   u32 h, u32 w, u32 c, u32 tiles_per_warp)`
pub const FIRST_STAGE_RGB_SM80: Module = Module {
    name: "first_stage_rgb_sm80",
    kernels: &[
        "first_stage_rgb_backward_bf16",
        "first_stage_rgb_backward_f16",
        "first_stage_rgb_forward_bf16",
        "first_stage_rgb_forward_f16",
    ],
    ptx: include_str!("../ptx/first_stage_rgb_sm80.ptx"),
};

/// As [`FIRST_STAGE_RGB_SM80`], without a pool: `y: [n, h, w, c]`, and `aux` as of [`BIAS_RELU`].
///
/// - `first_stage_rgb_unpooled_forward_T(const T* x, const T* weight, const f32* bias, T* y, u8* aux,
///   u32 relu, u64 n, u32 h, u32 w, u32 c, u32 tiles_per_warp)`: without ReLU if `relu` is zero; `aux` is
///   null then, and may be null with it.
/// - `first_stage_rgb_unpooled_backward_T(const T* x, const T* dy, const u8* aux, f32* dweight, f32* db,
///   u64 n, u32 h, u32 w, u32 c, u32 tiles_per_warp)`: `aux` is null where there was no ReLU.
///
/// Tiles are those of [`FIRST_STAGE_UNPOOLED_SM80`].
pub const FIRST_STAGE_RGB_UNPOOLED_SM80: Module = Module {
    name: "first_stage_rgb_unpooled_sm80",
    kernels: &[
        "first_stage_rgb_unpooled_backward_bf16",
        "first_stage_rgb_unpooled_backward_f16",
        "first_stage_rgb_unpooled_forward_bf16",
        "first_stage_rgb_unpooled_forward_f16",
    ],
    ptx: include_str!("../ptx/first_stage_rgb_unpooled_sm80.ptx"),
};

/// What a part of a batch has to do with the gradient of a fully connected layer's weight.
///
/// - `linear_factors_T(const T* dy, const u8* aux, T* dsums, u64 pixels, u32 c, f32 alpha)`: `dsums` is
///   `alpha · dy` where ReLU was alive by `aux`, as of [`BIAS_RELU`], and zero elsewhere; `aux` is null
///   where there is none. Work: `pixels · groups` threads.
pub const LINEAR_FACTORS: Module = Module {
    name: "linear_factors",
    kernels: of_every_type!["linear_factors"],
    ptx: include_str!("../ptx/linear_factors.ptx"),
};

/// The loss scale of the next step.
///
/// - `update_loss_scale(f32* scale, u32* good_steps, u32* overflowed, u32* skipped)`: `scale` is the loss
///   scale and its reciprocal. `*overflowed`, which the optimisers set, is cleared, and counted in
///   `*skipped`. Grid: one block.
pub const LOSS_SCALE: Module = Module {
    name: "loss_scale",
    kernels: &["update_loss_scale"],
    ptx: include_str!("../ptx/loss_scale.ptx"),
};

/// Local response normalisation of `x: [pixels, c]` across five channels.
///
/// - `lrn_forward_T(const T* x, T* y, u64 pixels, u32 c)`
/// - `lrn_backward_T(const T* x, const T* dy, T* dx, u64 pixels, u32 c)`
///
/// Work: `pixels · groups` threads.
pub const LRN: Module = Module {
    name: "lrn",
    kernels: of_every_type!["lrn_backward", "lrn_forward"],
    ptx: include_str!("../ptx/lrn.ptx"),
};

/// Max-pooling of `x: [n, h, w, c]` into `y: [n, h', w', c]` with `h' = (h − kernel) / stride + 1`.
///
/// - `max_pool2d_forward_T(const T* x, T* y, u8* aux, u64 n, u32 h, u32 w, u32 c, u32 kernel,
///   u32 stride)`: `aux` may be null.
/// - `max_pool2d_backward_T(const T* dy, const u8* aux, T* dx, u64 n, u32 h, u32 w, u32 c,
///   u32 kernel, u32 stride)`: all of `dx: [n, h, w, c]` is written.
///
/// `aux: [n, h', w', c]` bytes, the winner's place in its window. `kernel` is in 1..=16 and no more
/// than `h` and `w`, `stride` is above zero.
///
/// Work: `n · h' · w' · groups` threads forward, `n · h · w · groups` backward.
pub const MAX_POOL2D: Module = Module {
    name: "max_pool2d",
    kernels: of_every_type!["max_pool2d_backward", "max_pool2d_forward"],
    ptx: include_str!("../ptx/max_pool2d.ptx"),
};

/// Images of bytes, `pixels: [n, c, from_h, from_w]`, resized and normalised into
/// `x: [n, h, w, c]`.
///
/// - `prepare_images_T(const u8* pixels, const u32* row_firsts, const i32* row_weights,
///   u32 row_taps, const u32* column_firsts, const i32* column_weights, u32 column_taps,
///   const f32* numbers, T* x, u64 n, u32 c, u32 from_h, u32 from_w, u32 h, u32 w,
///   u32 rows_per_block)`
///
/// `row_firsts: [h]` are the first input rows of each output row, and `row_weights: [row_taps, h]`
/// the weights of the inputs from there on, in units of 2⁻²²: `vgg_tensor::spec::PrepareImages::taps`,
/// with zeros where an output has fewer. All inputs they name must exist. Columns alike. A side that
/// stays has one tap of weight 2²². `numbers: [c, 256]` is what each byte becomes.
///
/// Grid: `(ceil(n · w / 256), ceil(h / rows_per_block))` blocks.
pub const PREPARE_IMAGES: Module = Module {
    name: "prepare_images",
    kernels: of_every_type!["prepare_images"],
    ptx: include_str!("../ptx/prepare_images.ptx"),
};

/// One step of stochastic gradient descent, in place, of tensors that have no memory in common.
///
/// - `sgd_T(Updates updates, u32 count, u32* overflowed, const f32* lr, f32 momentum, u32 nesterov)`:
///   the first `count` of [`Updates`], each with `f32* weight`, `const f32* dweight`, `f32* first`, the
///   velocity, and `T* copy`, all `[len]`. `rate` multiplies the learning rate. `first` is null without
///   momentum. `copy`, if it is not null, receives the weight as `T`. If `overflowed` is not null, an
///   element whose gradient is not finite stays as it is, and `*overflowed` is set to 1.
///
/// Work: a block for each 1,024 numbers, or their rest, of a tensor.
pub const SGD: Module =
    Module { name: "sgd", kernels: of_every_type!["sgd"], ptx: include_str!("../ptx/sgd.ptx") };

/// The logistic sigmoid of `x: [len]`, in place.
///
/// - `sigmoid_forward_T(T* x, u64 len)`
/// - `sigmoid_backward_T(const T* y, T* dy, u64 len)`: `dy: [len]` in place, from the sigmoid's
///   output `y: [len]`.
///
/// Work: `ceil(len / 4)` threads.
pub const SIGMOID: Module = Module {
    name: "sigmoid",
    kernels: of_every_type!["sigmoid_backward", "sigmoid_forward"],
    ptx: include_str!("../ptx/sigmoid.ptx"),
};

/// The loss of boxes, how good they are, and the gradient of `predicted: [n, boxes, 4]`.
///
/// - `euclidean_loss_backward_T(const T* predicted, const u32* targets, T* dpredicted, u64 n, u32 boxes,
///   const f32* loss_scale)`: `targets`, `5 n + 1` words as `vgg_tensor::spec::EuclideanLoss` says;
///   `dpredicted: [n, boxes, 4]`. Work: `n · boxes` threads.
/// - `euclidean_loss_metrics_T(const T* predicted, const u32* targets, f32* metrics, u64 n, u32 boxes)`:
///   `vgg_tensor::spec::BoxMetrics`, three numbers; a box that does not exist makes a loss of NaN. Grid:
///   exactly one block.
pub const EUCLIDEAN_LOSS: Module = Module {
    name: "euclidean_loss",
    kernels: of_every_type!["euclidean_loss_backward", "euclidean_loss_metrics"],
    ptx: include_str!("../ptx/euclidean_loss.ptx"),
};

/// Loss, correct classes and the gradient of `logits: [n, classes]`.
///
/// - `softmax_cross_entropy_T(const T* logits, const u32* labels, float2* images, T* dlogits, u64 n,
///   u32 classes, u32 mixed, u32 weighted, f32 smoothing, const f32* loss_scale)`: `dlogits: [n,
///   classes]` may be the logits. `labels: [n]`, or if `mixed` is not zero `[3, n]` with other classes
///   and their shares, of `f32`; if `weighted` is not zero `[classes + 1]` behind them, of `f32`, the
///   weights of classes and the divisor, as `vgg_tensor::spec::SoftmaxCrossEntropy` says; a label that
///   is no class makes a loss of NaN. `images: [n]`, aligned to 8 bytes, receives each image's loss and how many
///   classes are ahead of the true one, at most 5. Work: a warp an image, so `32 · n` threads.
/// - `softmax_cross_entropy_metrics(const float2* images, f32* metrics, u64 n)`: adds them up to
///   `vgg_tensor::spec::Metrics`, three numbers. Grid: exactly one block.
pub const SOFTMAX_CROSS_ENTROPY: Module = Module {
    name: "softmax_cross_entropy",
    kernels: &[
        "softmax_cross_entropy_f32",
        "softmax_cross_entropy_bf16",
        "softmax_cross_entropy_f16",
        "softmax_cross_entropy_metrics",
    ],
    ptx: include_str!("../ptx/softmax_cross_entropy.ptx"),
};

/// The sums over the rows of `x: [rows, c]`, into `y: [c]`, divided by the loss scale.
///
/// - `sum_rows(const f32* x, f32* y, u64 rows, u32 c, const f32* loss_scale)`. Grid: `groups` blocks.
///   Every run has the same sums.
pub const SUM_ROWS: Module =
    Module { name: "sum_rows", kernels: &["sum_rows"], ptx: include_str!("../ptx/sum_rows.ptx") };

/// What gradients and weights go through besides the optimiser.
///
/// - `blend_T(const f32* x, f32* y, T* copy, u64 len, f32 alpha, f32 beta)`:
///   `y = alpha · x + beta · y`; with `beta = 0`, `y` is not read. `copy`, if it is not null, receives
///   `y` as `T`. Work: `ceil(len / 4)` threads.
/// - `sum_squares(const f32* x, f64* sums, u64 len)`: a sum of squares from each block, of any number.
/// - `clip_factor(const f64* sums, u64 count, f32 max_norm, f32* factor)`: what gradients with these
///   sums of squares are multiplied by to limit their norm (`vgg_tensor::clip_factor`). Grid: one
///   block.
/// - `clip(f32* x, u64 len, const f32* factor)`: multiplies. Work: `ceil(len / 4)` threads.
pub const UPDATE: Module = Module {
    name: "update",
    kernels: &["blend_f32", "blend_bf16", "blend_f16", "sum_squares", "clip_factor", "clip"],
    ptx: include_str!("../ptx/update.ptx"),
};

#[cfg(test)]
mod tests {
    use super::{FIRST_STAGE, FIRST_STAGE_SM80};

    #[test]
    fn capabilities_are_in_the_names() {
        assert_eq!(FIRST_STAGE.capability(), (7, 5));
        assert_eq!(FIRST_STAGE_SM80.capability(), (8, 0));
        assert_eq!(super::capability("a_smell"), (7, 5));
        assert_eq!(super::capability("a_sm120"), (12, 0));
    }
}
