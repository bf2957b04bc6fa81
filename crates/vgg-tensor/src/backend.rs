//! The seam between the model and a device.

use crate::profile::Operation;
use crate::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Normalize, PrepareImages, Sgd,
    SoftmaxCrossEntropy, WeightType,
};
use crate::{Draw, Error, Result, Shape};

/// What a buffer holds, and so how a backend may lay it out.
///
/// Outside of a backend the order is always PyTorch's contiguous one, as noted at each variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Raw bytes: pixels, labels, `aux`.
    Bytes(usize),
    /// A vector of `f32`: biases, metrics.
    Vector(usize),
    /// Activations or their gradients: `[n, c, h, w]`. A buffer of maps may be used for any other
    /// maps of no more numbers.
    Maps(Shape),
    /// A convolution's weight, its gradient or velocity: `[c_out, c_in, kernel, kernel]`.
    ConvWeight {
        /// Output channels.
        c_out: usize,
        /// Input channels.
        c_in: usize,
        /// Side of the kernel.
        kernel: usize,
    },
    /// A fully connected layer's weight, its gradient or velocity: `[out_features, c · h · w]`,
    /// where the inputs are `c × h × w` maps flattened in this order.
    LinearWeight {
        /// Outputs.
        out_features: usize,
        /// Channels of the input maps.
        c: usize,
        /// Rows of the input maps.
        h: usize,
        /// Columns of the input maps.
        w: usize,
        /// How each number is stored.
        weight_type: WeightType,
    },
}

impl Content {
    /// Numbers (bytes, for [`Content::Bytes`]) it has outside of a backend.
    pub const fn len(&self) -> usize {
        match *self {
            Content::Bytes(len) | Content::Vector(len) => len,
            Content::Maps(shape) => shape.len(),
            Content::ConvWeight { c_out, c_in, kernel } => c_out * c_in * kernel * kernel,
            Content::LinearWeight { out_features, c, h, w, .. } => out_features * c * h * w,
        }
    }

    /// Whether there is nothing to hold.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes it takes where nothing is padded: a number has 32 bits, or those of its
    /// [`WeightType`].
    pub const fn bytes(&self) -> usize {
        match *self {
            Content::Bytes(len) => len,
            Content::LinearWeight { weight_type, .. } => weight_type.bytes() * self.len(),
            Content::Vector(_) | Content::Maps(_) | Content::ConvWeight { .. } => 4 * self.len(),
        }
    }

    /// Checks that gradients of it may be computed and that it may be updated.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is a weight that is stored as [`WeightType::F16`].
    pub fn check_trainable(&self) -> Result<()> {
        match self {
            Content::LinearWeight { weight_type: WeightType::F16, .. } => {
                Err(Error::Shape("a weight in f16 is for inference alone: train it in f32".into()))
            }
            _ => Ok(()),
        }
    }
}

/// A fully connected layer's weight in the backward pass, and what becomes of its gradient.
///
/// Where no step needs that gradient as a whole (as clipping by its norm would), it need not exist
/// as a whole: the optimiser can take each part as it is computed. For the fully connected layers
/// of a VGG this saves as much memory as their weights take, and writing and reading it once a
/// step. Convolutions' weights are small enough not to care.
pub enum WeightGradient<'a, Buffer> {
    /// It is written to memory.
    Stored {
        /// The weight.
        weight: &'a Buffer,
        /// Receives its gradient.
        dweight: &'a mut Buffer,
    },
    /// The weight is updated, to the same bits as by [`Backend::sgd`] with the stored gradient. The
    /// input's gradient is that of the weight before.
    Applied {
        /// The optimiser's settings.
        settings: &'a Sgd,
        /// The weight, updated in place.
        weight: &'a mut Buffer,
        /// Its velocity, given exactly if momentum is not zero.
        velocity: Option<&'a mut Buffer>,
    },
}

impl<Buffer> WeightGradient<'_, Buffer> {
    /// The weight, as it is before any update.
    pub fn weight(&self) -> &Buffer {
        match self {
            Self::Stored { weight, .. } => weight,
            Self::Applied { weight, .. } => weight,
        }
    }
}

/// Numbers on their way from a device ([`Backend::start_download`]). Another thread may wait for
/// them.
pub trait Download: Send + 'static {
    /// Whether they have arrived, or never will.
    fn is_done(&self) -> bool;

    /// Waits for them to arrive: whether none is infinite or NaN. It costs less than to have them.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn is_finite(&self) -> Result<bool>;

    /// Waits for them.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn wait(self) -> Result<Vec<f32>>;
}

/// Numbers that have arrived, on devices where work is done when a call returns.
impl Download for Vec<f32> {
    fn is_done(&self) -> bool {
        true
    }

    fn is_finite(&self) -> Result<bool> {
        // No early end within a piece, so that it is done by vectors.
        let finite = |piece: &[f32]| piece.iter().fold(true, |all, x| all & x.is_finite());
        Ok(self.chunks(4096).all(finite))
    }

    fn wait(self) -> Result<Vec<f32>> {
        Ok(self)
    }
}

/// One device and one ordered stream of work on it.
///
/// The operations are whole layers with out-parameters: inputs are `&`, outputs `&mut`, and an
/// output is overwritten, never accumulated into, unless said otherwise. No buffer is allocated in an
/// operation once its spec has been seen. A call may return before its work is done; only
/// [`Backend::download`] and [`Download::wait`] wait for all that was ordered before.
///
/// What ReLU and pooling make of NaN is left open: a run that has come to it has failed, which shows
/// in its loss or its weights. Numbers below 2⁻¹²⁶, subnormal ones, may be taken for zeros: some
/// devices and libraries do, and none has to.
///
/// How activations and weights lie in a [`Backend::Buffer`] is the backend's own business;
/// [`Backend::upload`] and [`Backend::download`] translate. Results do not depend on how many
/// threads a backend has, and are the same in every run on the same machine.
///
/// # Errors
/// Every method returns [`crate::Error::Device`] if the device fails, and `alloc` also
/// [`crate::Error::OutOfMemory`].
///
/// # Panics
/// If a buffer was allocated for less than the spec needs: that is a bug in the caller.
pub trait Backend {
    /// Plain device memory. Shapes live in the specs.
    type Buffer;

    /// Numbers on their way from the device.
    type Download: Download;

    /// One line for the user: the device, its instruction set or driver, its threads.
    fn describe(&self) -> String;

    /// Bytes that are free on a device with memory of its own. Nothing where it is the host's.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Bytes that [`Backend::alloc`] takes for `content`.
    fn bytes(&self, content: Content) -> u64 {
        content.bytes() as u64
    }

    /// Bytes that these operations, one after the other, take besides their buffers, as far as that
    /// is known before they are called. Each has parameters of its own.
    fn workspace(&self, _operations: &[Operation]) -> u64 {
        0
    }

    /// Passes if an operation is not too large: a library below may count numbers with 32 bits.
    ///
    /// # Errors
    /// [`Error::Unavailable`], saying what is too large for what.
    fn check_size(&self, _operation: &Operation) -> Result<()> {
        Ok(())
    }

    /// A buffer of zeros with room for `content`.
    fn alloc(&mut self, content: Content) -> Result<Self::Buffer>;

    /// Copies numbers in PyTorch's order to the device, rounded as `content` stores them. `content`
    /// is not `Bytes`, and `src` has exactly its length.
    fn upload(&mut self, content: Content, src: &[f32], dst: &mut Self::Buffer) -> Result<()>;

    /// Copies bytes to the start of a buffer of `Bytes`. Labels go up as `u32` in native byte order.
    fn upload_bytes(&mut self, src: &[u8], dst: &mut Self::Buffer) -> Result<()>;

    /// Copies numbers in PyTorch's order from the device, after all work ordered before.
    /// `content` is not `Bytes`, and `dst` has exactly its length.
    fn download(&mut self, content: Content, src: &Self::Buffer, dst: &mut [f32]) -> Result<()>;

    /// As [`Backend::download`], without waiting. The numbers are those of now: what is ordered next
    /// may change the buffer.
    fn start_download(&mut self, content: Content, src: &Self::Buffer) -> Result<Self::Download>;

    /// What this backend has come to in training that decides about further steps, besides what its
    /// buffers hold: nothing on most. A run that is to go on to the bit keeps it.
    fn state(&mut self) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    /// Goes on from what [`Backend::state`] gave. Of a backend of another kind, it is ignored.
    fn restore_state(&mut self, _state: &[u32]) -> Result<()> {
        Ok(())
    }

    /// Orders `work`, operations that will be ordered again and again, such as a training step.
    ///
    /// The result is that of `work(self)`. A backend may record the operations and replay them, if
    /// nothing but [`Sgd::lr`] and [`Draw::step`] is different, where that is faster than ordering
    /// them one by one. It may call `work` several times to find out: it has to order the same
    /// operations each time, and no transfers. Where `work` fails, so does this.
    fn repeat(&mut self, work: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        work(self)
    }

    /// Resizes and normalises a batch of bytes; [`PrepareImages`] and [`Normalize`] say how, to the
    /// bit.
    fn prepare_images(
        &mut self,
        op: &PrepareImages,
        normalize: &Normalize,
        pixels: &Self::Buffer,
        x: &mut Self::Buffer,
    ) -> Result<()>;

    /// Convolution (cross-correlation, as everywhere in deep learning) with its epilogue.
    ///
    /// `y[n, o, i, j] = bias[o] + Σ x[n, c, i · stride + r − padding, j · stride + s − padding]
    /// · weight[o, c, r, s]` with zeros outside of `x`; then ReLU and 2×2 max-pool where the epilogue has them.
    /// `aux`, of [`Conv2d::aux_bytes`], is written for the backward pass; without one the network
    /// is not trained.
    fn conv2d(
        &mut self,
        op: &Conv2d,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        y: &mut Self::Buffer,
        aux: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// Gradients of [`Backend::conv2d`], epilogue included, in one call so that they share work.
    ///
    /// `dy` is the gradient of the output, `aux` what the forward pass wrote. The gradient of ReLU
    /// at zero is zero. Where several of a pooling window's elements are equal, the first in
    /// row-major order gets the gradient, as in PyTorch. `dx` is left out for the first layer.
    fn conv2d_backward(
        &mut self,
        op: &Conv2d,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        dy: &Self::Buffer,
        aux: &Self::Buffer,
        dweight: &mut Self::Buffer,
        dbias: &mut Self::Buffer,
        dx: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// The maximum of each window. `aux`, of [`MaxPool2d::aux_bytes`], is written for the backward
    /// pass.
    fn max_pool2d(
        &mut self,
        op: &MaxPool2d,
        x: &Self::Buffer,
        y: &mut Self::Buffer,
        aux: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// Gradient of [`Backend::max_pool2d`]: each window's gradient goes to its maximum, the first
    /// in row-major order where there are several; overlapping windows add up.
    fn max_pool2d_backward(
        &mut self,
        op: &MaxPool2d,
        dy: &Self::Buffer,
        aux: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;

    /// The mean of each window; [`AvgPool2d`] says which inputs those are.
    fn avg_pool2d(&mut self, op: &AvgPool2d, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<()>;

    /// Gradient of [`Backend::avg_pool2d`]: each window's gradient is shared equally by its inputs;
    /// overlapping windows add up.
    fn avg_pool2d_backward(
        &mut self,
        op: &AvgPool2d,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;

    /// Local response normalisation; the formula is at [`Lrn`].
    fn lrn(&mut self, op: &Lrn, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<()>;

    /// Gradient of [`Backend::lrn`].
    fn lrn_backward(
        &mut self,
        op: &Lrn,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;

    /// Batch normalisation with its epilogue, in training: by the batch's statistics, which also
    /// change the running ones; [`BatchNorm2d`] has the formulas.
    ///
    /// `saved`, of [`BatchNorm2d::saved`], and `aux`, of [`BatchNorm2d::aux_bytes`], are written for
    /// the backward pass. A mean that is large beside the deviation does not spoil the variance:
    /// squares are summed of differences from a mean.
    fn batch_norm2d(
        &mut self,
        op: &BatchNorm2d,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        running_mean: &mut Self::Buffer,
        running_var: &mut Self::Buffer,
        saved: &mut Self::Buffer,
        y: &mut Self::Buffer,
        aux: &mut Self::Buffer,
    ) -> Result<()>;

    /// Batch normalisation with its epilogue, in evaluation: by the running statistics. (What only
    /// classifies has none: [`BatchNorm2d`] is linear then, and part of the convolution before it.)
    fn batch_norm2d_inference(
        &mut self,
        op: &BatchNorm2d,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        running_mean: &Self::Buffer,
        running_var: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// Gradients of [`Backend::batch_norm2d`], epilogue included, through the batch's statistics.
    ///
    /// `dy` is the gradient of the output, `saved` and `aux` are what the forward pass wrote.
    /// Decisions at zero and between equals are as in [`Backend::conv2d_backward`].
    fn batch_norm2d_backward(
        &mut self,
        op: &BatchNorm2d,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        saved: &Self::Buffer,
        dy: &Self::Buffer,
        aux: &Self::Buffer,
        dweight: &mut Self::Buffer,
        dbias: &mut Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;

    /// The logistic sigmoid of maps of `shape`, in place: `1 / (1 + exp(−x))`.
    fn sigmoid(&mut self, shape: Shape, x: &mut Self::Buffer) -> Result<()>;

    /// Gradient of [`Backend::sigmoid`], in place, from the sigmoid's output: `dy · y · (1 − y)`.
    fn sigmoid_backward(
        &mut self,
        shape: Shape,
        y: &Self::Buffer,
        dy: &mut Self::Buffer,
    ) -> Result<()>;

    /// A fully connected layer with its epilogue: `y = x · weightᵀ + bias`, then ReLU if asked.
    /// `aux`, of [`Linear::aux_bytes`], is written for the backward pass.
    fn linear(
        &mut self,
        op: &Linear,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        y: &mut Self::Buffer,
        aux: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// Gradients of [`Backend::linear`], epilogue included. `dx` is left out for a first layer.
    /// The weight's is stored, or the optimiser applies it at once, as [`WeightGradient`] says.
    ///
    /// # Errors
    /// As [`Content::check_trainable`] for the weight.
    fn linear_backward(
        &mut self,
        op: &Linear,
        x: &Self::Buffer,
        weight: WeightGradient<'_, Self::Buffer>,
        dy: &Self::Buffer,
        aux: &Self::Buffer,
        dbias: &mut Self::Buffer,
        dx: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// Inverted dropout, in place: element `i` of the flattened `shape` is multiplied by
    /// `1 / (1 − p)` where `draw.uniform(i) >= p` and set to zero elsewhere.
    ///
    /// The gradient is the same call with the same `draw` on the gradient, so no mask is stored.
    /// `shape` has `h = w = 1` and `p` is in [0, 1).
    fn dropout(&mut self, shape: Shape, p: f32, draw: Draw, x: &mut Self::Buffer) -> Result<()>;

    /// The loss, how often the true class is first or among the first five, and the gradient.
    ///
    /// `labels` holds what [`SoftmaxCrossEntropy`] says, each class below the number of classes.
    /// `metrics` receives [`crate::spec::Metrics`]; where logits are equal, the lower class ranks
    /// first. NaN ranks before all numbers, but as the true class's it is never a hit: a network that
    /// has blown up does not look accurate. `dlogits`, if given, receives the gradient of the *mean* loss:
    /// `(softmax(logits) − target) / n`.
    fn softmax_cross_entropy(
        &mut self,
        op: &SoftmaxCrossEntropy,
        logits: &Self::Buffer,
        labels: &Self::Buffer,
        metrics: &mut Self::Buffer,
        dlogits: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// One optimiser step on one parameter, in place; [`Sgd`] has the formula. `velocity` is given
    /// exactly if momentum is not zero, and starts as zeros.
    ///
    /// # Errors
    /// As [`Content::check_trainable`].
    fn sgd(
        &mut self,
        settings: &Sgd,
        content: Content,
        weight: &mut Self::Buffer,
        dweight: &Self::Buffer,
        velocity: Option<&mut Self::Buffer>,
    ) -> Result<()>;

    /// `y = alpha · x + beta · y`, number by number, of two parameters or gradients of the same
    /// content: gradients that add up over several batches, averages of weights over steps. Where
    /// `beta` is zero, `y` need not hold numbers.
    ///
    /// # Errors
    /// As [`Content::check_trainable`].
    fn blend(
        &mut self,
        content: Content,
        alpha: f32,
        x: &Self::Buffer,
        beta: f32,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// Limits the norm of gradients, all taken together: where `norm = sqrt(Σ g²)` is above
    /// `max_norm`, all are multiplied by `max_norm / (norm + 10⁻⁶)`, as by
    /// `torch.nn.utils.clip_grad_norm_`. Where it is not finite, they are left as they are.
    ///
    /// # Errors
    /// As [`Content::check_trainable`].
    fn clip_gradients(
        &mut self,
        max_norm: f32,
        gradients: &mut [(Content, &mut Self::Buffer)],
    ) -> Result<()>;
}

/// What [`Backend::clip_gradients`] multiplies by, for a sum of squares.
pub fn clip_factor(max_norm: f32, squares: f64) -> f32 {
    let (norm, max_norm) = (squares.sqrt(), f64::from(max_norm));
    if norm.is_finite() && norm > max_norm { (max_norm / (norm + 1e-6)) as f32 } else { 1.0 }
}
