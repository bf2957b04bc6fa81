//! What a buffer holds, and how its numbers are stored.

use crate::{Error, Result, Shape};

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
    /// A convolution's weight, its gradient or what an optimiser keeps of it: `[c_out, c_in, kernel, kernel]`.
    ConvWeight {
        /// Output channels.
        c_out: usize,
        /// Input channels.
        c_in: usize,
        /// Side of the kernel.
        kernel: usize,
    },
    /// A fully connected layer's weight, and the same as for a convolution's: `[out_features, c · h · w]`,
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

/// How a fully connected layer's weight is stored. Sums are always taken in the backend's own
/// arithmetic, `f32` or better, on the numbers as they are stored.
///
/// For few images, reading the weight is all that such a layer costs: halves halve it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// As it is.
    #[default]
    F32,
    /// As the backend's products take it: as it is, or rounded as they round their factors anyway, so that
    /// what is computed is the same. For inference, too; an input's gradient may be taken through it.
    Factors,
    /// Rounded to IEEE 754 `binary16`, ties to even: 11 bits of precision, for inference alone.
    /// A gradient step is mostly smaller than that, so that training in it would stand still.
    F16,
}

impl WeightType {
    /// Bytes of a number, at most.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::Factors => 4,
            Self::F16 => 2,
        }
    }

    /// Whether it has a finite number near `x`, or `x` is not finite itself. An `f16` ends at
    /// 65504, and what would round to a larger number becomes infinite.
    pub const fn holds(self, x: f32) -> bool {
        match self {
            Self::F32 | Self::Factors => true,
            Self::F16 => x.abs() < 65520.0 || !x.is_finite(),
        }
    }
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

    /// Its rows: elements of the outermost dimension.
    pub const fn rows(&self) -> usize {
        match *self {
            Content::Bytes(len) | Content::Vector(len) => len,
            Content::Maps(shape) => shape.n,
            Content::ConvWeight { c_out, .. } => c_out,
            Content::LinearWeight { out_features, .. } => out_features,
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

    /// Checks that gradients may be computed of it, and that it may be updated.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is a weight that is not stored as [`WeightType::F32`].
    pub fn check_trainable(&self) -> Result<()> {
        match self {
            Content::LinearWeight { weight_type: WeightType::Factors, .. } => {
                let message =
                    "a weight as factors is for inference: gradients of it take it in f32";
                Err(Error::Shape(message.into()))
            }
            _ => self.check_differentiable(),
        }
    }

    /// Checks that gradients may be computed through it.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is a weight that is stored as [`WeightType::F16`].
    pub fn check_differentiable(&self) -> Result<()> {
        match self {
            Content::LinearWeight { weight_type: WeightType::F16, .. } => {
                let message = "a weight in f16 is for inference alone: gradients take it in f32";
                Err(Error::Shape(message.into()))
            }
            _ => Ok(()),
        }
    }
}
