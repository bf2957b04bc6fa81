//! One layer of a network, as data.

/// One layer, with the name it has in PyTorch.
///
/// ReLU is part of the layer before it and has no entry of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A convolution.
    Conv2d {
        /// See [`Layer::name`].
        name: String,
        /// Output channels.
        c_out: usize,
        /// Side of the square kernel.
        kernel: usize,
        /// Rows, and columns, of the input from one output to the next.
        stride: usize,
        /// Zeros on each side of the input.
        padding: usize,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// A batch normalisation of a convolution's sums, then ReLU: [`vgg_tensor::spec::BatchNorm2d`].
    BatchNorm2d {
        /// See [`Layer::name`].
        name: String,
    },
    /// A local response normalisation: [`vgg_tensor::spec::Lrn`].
    Lrn {
        /// See [`Layer::name`].
        name: String,
    },
    /// A max-pool over square windows.
    MaxPool2d {
        /// See [`Layer::name`].
        name: String,
        /// Side of a window.
        kernel: usize,
        /// Rows, and columns, from one window to the next.
        stride: usize,
    },
    /// An average pool to maps of this size: [`vgg_tensor::spec::AvgPool2d`].
    AvgPool2d {
        /// See [`Layer::name`].
        name: String,
        /// Rows of the output.
        h: usize,
        /// Columns of the output.
        w: usize,
    },
    /// The logistic sigmoid.
    Sigmoid {
        /// See [`Layer::name`].
        name: String,
    },
    /// A fully connected layer.
    Linear {
        /// See [`Layer::name`].
        name: String,
        /// Outputs.
        out_features: usize,
        /// Whether ReLU follows.
        relu: bool,
    },
    /// Inverted dropout, in training only.
    Dropout {
        /// See [`Layer::name`].
        name: String,
        /// Probability of a zero.
        p: f32,
    },
}

impl Layer {
    /// Whether it is computed from the sums of the layer before alone: it is part of that layer for
    /// whoever asks what comes out of it.
    pub(crate) fn is_of_sums(&self) -> bool {
        matches!(self, Layer::BatchNorm2d { .. } | Layer::Sigmoid { .. })
    }

    /// Its place in PyTorch's model, as `features.0`; its parameters' names begin with it.
    /// [`crate::Arch`] says which model that is.
    pub fn name(&self) -> &str {
        match self {
            Layer::Conv2d { name, .. }
            | Layer::BatchNorm2d { name }
            | Layer::Lrn { name }
            | Layer::MaxPool2d { name, .. }
            | Layer::AvgPool2d { name, .. }
            | Layer::Sigmoid { name }
            | Layer::Linear { name, .. }
            | Layer::Dropout { name, .. } => name,
        }
    }
}
