//! Fully connected layers.

use crate::{Content, Result, Shape};

/// What is done to a fully connected layer's sums before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinearEpilogue {
    /// Add the bias.
    Bias,
    /// Add the bias, then ReLU.
    BiasRelu,
}

/// A fully connected layer on flattened feature maps: `y = x · weightᵀ + bias`.
///
/// Maps count as flattened in C, H, W order, whatever a backend's layout of activations, so that
/// weights interchange with PyTorch.
///
/// # Shapes
/// `x: [n, c, h, w]`, `weight: [out_features, c · h · w]`, `bias: [out_features]`,
/// `y: [n, out_features]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    x: Shape,
    out_features: usize,
    epilogue: LinearEpilogue,
}

impl Linear {
    /// A layer of `out_features` outputs on `x`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if a dimension is zero or huge.
    pub fn new(x: Shape, out_features: usize, epilogue: LinearEpilogue) -> Result<Self> {
        x.check("input")?;
        Shape::flat(x.n, out_features).check("output")?;
        Shape::flat(out_features, x.features()).check("weight")?;
        Ok(Self { x, out_features, epilogue })
    }

    /// The input's shape.
    pub const fn x(&self) -> Shape {
        self.x
    }

    /// The output's shape: a vector an image.
    pub const fn y(&self) -> Shape {
        Shape::flat(self.x.n, self.out_features)
    }

    /// Inputs of one image: `c · h · w`.
    pub const fn in_features(&self) -> usize {
        self.x.features()
    }

    /// Outputs of one image.
    pub const fn out_features(&self) -> usize {
        self.out_features
    }

    /// What follows the sums.
    pub const fn epilogue(&self) -> LinearEpilogue {
        self.epilogue
    }

    /// The weight, as a buffer's content.
    pub const fn weight(&self) -> Content {
        let Shape { c, h, w, .. } = self.x;
        Content::LinearWeight { out_features: self.out_features, c, h, w }
    }

    /// Bytes of `aux`: a bit an output with ReLU (alive or dead), nothing without.
    /// The encoding is the backend's own.
    pub const fn aux_bytes(&self) -> usize {
        match self.epilogue {
            LinearEpilogue::Bias => 0,
            LinearEpilogue::BiasRelu => self.x.n * self.out_features.div_ceil(8),
        }
    }

    /// Multiply-adds of the forward pass.
    pub const fn macs(&self) -> u64 {
        (self.x.n * self.in_features() * self.out_features) as u64
    }
}
