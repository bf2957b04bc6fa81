//! The CUDA kernels, as PTX.
//!
//! `src/*.cu` are the sources, one file a [`Module`]. `cargo xtask build-kernels` makes `ptx/*.ptx`
//! of them, which are committed: building this workspace needs no CUDA. The PTX is loaded by
//! drivers from 525 on and runs on GPUs from Turing (sm_75) on.
//!
//! # Common to all kernels
//! - A block has [`BLOCK`] threads in one dimension. Unless a kernel says otherwise, the grid has one
//!   dimension and any number of blocks, since loops stride over it; enough for all threads to have
//!   work, and no more than fit on the device at once, is best.
//! - No dynamic shared memory. Parameters are in the order of the signature, which is CUDA C:
//!   `u8`, `u32`, `u64` are unsigned integers, `float2` is two `f32`.
//! - Activations have channels innermost: `[n, h, w, c]` or `[pixels, c]`, where `pixels` counts
//!   through images, rows and columns. `groups` is `ceil(c / 8)`: a thread works on eight channels
//!   of a pixel.
//! - `f32` in a name is how activations are stored. Biases, their gradients, weights and metrics are
//!   always `f32`.
//! - Pointers to words (`u32`, `f32`, `u64`) are aligned as those are; vector instructions are used
//!   where an address allows them. Outputs are overwritten, and may be the input only where said so.
//! - What a kernel computes is what `vgg_tensor::Backend` says of its operation.

#![forbid(unsafe_code)]

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

/// All modules, by name.
pub const MODULES: &[Module] = &[
    BIAS_GRADIENT,
    BIAS_RELU,
    BIAS_RELU_MAX_POOL,
    DROPOUT,
    LRN,
    MAX_POOL2D,
    PREPARE_IMAGES,
    SGD,
    SOFTMAX_CROSS_ENTROPY,
];

/// The gradient of a bias, `db: [c]`, from that of a layer's output, `dy: [pixels, c]`.
///
/// - `bias_gradient_f32(const f32* dy, f32* db, u64 pixels, u32 c, u64 pixels_per_block, u32 lanes)`
/// - `bias_gradient_relu_f32(dy, const u8* aux, db, …)`: after [`BIAS_RELU`], whose `aux` it is.
/// - `bias_gradient_relu_max_pool_f32(dy, const u32* aux, db, …)`: after [`BIAS_RELU_MAX_POOL`];
///   `dy` and `pixels` are the pooled ones.
///
/// Grid: `(ceil(groups / lanes), rows)` blocks, where `lanes` is the least power of two that is not
/// below `min(groups, 32)`, and `rows = ceil(pixels / pixels_per_block)`, at most 65,535. Each block
/// adds up `pixels_per_block` pixels, and row `r` of `db: [rows, c]` is the sum of blocks `(·, r)`.
/// Where there are several rows, `bias_gradient_f32` on them (`dy` the rows, `pixels` their number
/// and `pixels_per_block` no less) adds them up.
///
/// The order of additions depends on the parameters alone, so that every run has the same sums; a
/// thread adds `pixels_per_block · lanes / 256` numbers one after the other.
pub const BIAS_GRADIENT: Module = Module {
    name: "bias_gradient",
    kernels: &["bias_gradient_f32", "bias_gradient_relu_f32", "bias_gradient_relu_max_pool_f32"],
    ptx: include_str!("../ptx/bias_gradient.ptx"),
};

/// Bias and ReLU of a layer's sums, `x: [pixels, c]`, into `y: [pixels, c]`.
///
/// - `bias_forward_f32(const f32* x, const f32* bias, f32* y, u64 pixels, u32 c)`: no ReLU.
/// - `bias_relu_forward_f32(const f32* x, const f32* bias, f32* y, u8* aux, u64 pixels, u32 c)`:
///   `aux` may be null.
/// - `relu_backward_f32(const f32* dy, const u8* aux, f32* dx, u64 pixels, u32 c)`
///
/// Input and output may be the same. `bias: [c]`. `aux: [pixels, groups]` bytes: bit `k % 8` is set
/// where the sum of channel `k` is above zero.
///
/// Work: `pixels · groups` threads.
pub const BIAS_RELU: Module = Module {
    name: "bias_relu",
    kernels: &["bias_forward_f32", "bias_relu_forward_f32", "relu_backward_f32"],
    ptx: include_str!("../ptx/bias_relu.ptx"),
};

/// Bias, ReLU and 2×2 max-pool of a convolution's sums, `x: [n, h, w, c]`, into
/// `y: [n, h / 2, w / 2, c]`; an odd last row or column is dropped.
///
/// - `bias_relu_max_pool_forward_f32(const f32* x, const f32* bias, f32* y, u32* aux, u64 n, u32 h,
///   u32 w, u32 c)`: `aux` may be null.
/// - `relu_max_pool_backward_f32(const f32* dy, const u32* aux, f32* dx, u64 n, u32 h, u32 w,
///   u32 c)`: all of `dx: [n, h, w, c]` is written, zeros included.
///
/// `bias: [c]`. `aux: [n, h / 2, w / 2, groups]` words, four bits a channel from the lowest on: two
/// for the winner's place in its window in row-major order, one that is set where the winner is
/// above zero, and one unused.
///
/// Work: `n · (h / 2) · (w / 2) · groups` threads forward, halves rounded up backward.
pub const BIAS_RELU_MAX_POOL: Module = Module {
    name: "bias_relu_max_pool",
    kernels: &["bias_relu_max_pool_forward_f32", "relu_max_pool_backward_f32"],
    ptx: include_str!("../ptx/bias_relu_max_pool.ptx"),
};

/// Inverted dropout of `x: [len]`, in place, and its own gradient.
///
/// - `dropout_f32(f32* x, u64 len, f32 p, u64 seed, u32 stream, u64 step)`
///
/// `seed`, `stream` and `step` are those of `vgg_tensor::Draw`; `p` is in [0, 1).
///
/// Work: `ceil(len / 4)` threads.
pub const DROPOUT: Module =
    Module { name: "dropout", kernels: &["dropout_f32"], ptx: include_str!("../ptx/dropout.ptx") };

/// Local response normalisation of `x: [pixels, c]` across five channels.
///
/// - `lrn_forward_f32(const f32* x, f32* y, u64 pixels, u32 c)`
/// - `lrn_backward_f32(const f32* x, const f32* dy, f32* dx, u64 pixels, u32 c)`
///
/// Work: `pixels · groups` threads.
pub const LRN: Module = Module {
    name: "lrn",
    kernels: &["lrn_backward_f32", "lrn_forward_f32"],
    ptx: include_str!("../ptx/lrn.ptx"),
};

/// Max-pooling of `x: [n, h, w, c]` into `y: [n, h', w', c]` with `h' = (h − kernel) / stride + 1`.
///
/// - `max_pool2d_forward_f32(const f32* x, f32* y, u8* aux, u64 n, u32 h, u32 w, u32 c, u32 kernel,
///   u32 stride)`: `aux` may be null.
/// - `max_pool2d_backward_f32(const f32* dy, const u8* aux, f32* dx, u64 n, u32 h, u32 w, u32 c,
///   u32 kernel, u32 stride)`: all of `dx: [n, h, w, c]` is written.
///
/// `aux: [n, h', w', c]` bytes, the winner's place in its window. `kernel` is in 1..=16 and no more
/// than `h` and `w`, `stride` is above zero.
///
/// Work: `n · h' · w' · groups` threads forward, `n · h · w · groups` backward.
pub const MAX_POOL2D: Module = Module {
    name: "max_pool2d",
    kernels: &["max_pool2d_backward_f32", "max_pool2d_forward_f32"],
    ptx: include_str!("../ptx/max_pool2d.ptx"),
};

/// Images of bytes, `pixels: [n, c, from_h, from_w]`, resized and normalised into
/// `x: [n, h, w, c]`.
///
/// - `prepare_images_f32(const u8* pixels, const u32* row_firsts, const i32* row_weights,
///   u32 row_taps, const u32* column_firsts, const i32* column_weights, u32 column_taps,
///   const f32* numbers, f32* x, u64 n, u32 c, u32 from_h, u32 from_w, u32 h, u32 w)`
///
/// `row_firsts: [h]` are the first input rows of each output row, and `row_weights: [row_taps, h]`
/// the weights of the inputs from there on, in units of 2⁻²²: `vgg_tensor::spec::PrepareImages::taps`,
/// with zeros where an output has fewer. All inputs they name must exist. Columns alike. A side that
/// stays has one tap of weight 2²². `numbers: [c, 256]` is what each byte becomes.
///
/// Work: `n · h · w` threads.
pub const PREPARE_IMAGES: Module = Module {
    name: "prepare_images",
    kernels: &["prepare_images_f32"],
    ptx: include_str!("../ptx/prepare_images.ptx"),
};

/// One step of stochastic gradient descent, in place.
///
/// - `sgd_f32(f32* weight, const f32* dweight, f32* velocity, u64 len, f32 lr, f32 momentum,
///   f32 weight_decay, u32 nesterov)`: all are `[len]`; `velocity` is null without momentum.
///
/// Work: `ceil(len / 4)` threads.
pub const SGD: Module =
    Module { name: "sgd", kernels: &["sgd_f32"], ptx: include_str!("../ptx/sgd.ptx") };

/// Loss, hits and the gradient of `logits: [n, classes]`.
///
/// - `softmax_cross_entropy_f32(const f32* logits, const u32* labels, float2* images, f32* dlogits,
///   u64 n, u32 classes)`: `dlogits: [n, classes]` may be null, or the logits. `images: [n]`, aligned
///   to 8 bytes, receives each image's loss and how many classes are ahead of the true one, at most
///   5. Work: a warp an image, so `32 · n` threads. A label that is no class makes a loss of NaN.
/// - `softmax_cross_entropy_metrics(const float2* images, f32* metrics, u64 n)`: adds them up to
///   `vgg_tensor::spec::Metrics`, three numbers. Grid: exactly one block.
pub const SOFTMAX_CROSS_ENTROPY: Module = Module {
    name: "softmax_cross_entropy",
    kernels: &["softmax_cross_entropy_f32", "softmax_cross_entropy_metrics"],
    ptx: include_str!("../ptx/softmax_cross_entropy.ptx"),
};
