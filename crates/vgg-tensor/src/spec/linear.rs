//! Fully connected layers.

use crate::{Content, Result, Shape, WeightType};

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
    weight_type: WeightType,
}

impl Linear {
    /// A layer of `out_features` outputs on `x`, its weight stored as `f32`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if a dimension is zero or huge.
    pub fn new(x: Shape, out_features: usize, epilogue: LinearEpilogue) -> Result<Self> {
        x.check("input")?;
        Shape::flat(x.n, out_features).check("output")?;
        Shape::flat(out_features, x.features()).check("weight")?;
        Ok(Self { x, out_features, epilogue, weight_type: WeightType::F32 })
    }

    /// The layer with its weight stored in another way.
    #[must_use]
    pub const fn with_weight_type(self, weight_type: WeightType) -> Self {
        Self { weight_type, ..self }
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

    /// How the weight is stored.
    pub const fn weight_type(&self) -> WeightType {
        self.weight_type
    }

    /// The weight, as a buffer's content.
    pub const fn weight(&self) -> Content {
        let Shape { c, h, w, .. } = self.x;
        let Self { out_features, weight_type, .. } = *self;
        Content::LinearWeight { out_features, c, h, w, weight_type }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_end_where_they_would_round_to_infinity() {
        let holds = |x| WeightType::F16.holds(x);
        assert!(holds(-65504.0) && holds(65519.99) && !holds(65520.0) && !holds(-1e30));
        assert!(holds(f32::NEG_INFINITY) && holds(f32::NAN), "as good as in f32");
        assert!(WeightType::F32.holds(1e30));
    }

    #[test]
    fn halves_take_half_the_memory_and_do_not_train() {
        let whole = Linear::new(Shape::flat(2, 5), 3, LinearEpilogue::Bias).unwrap();
        let half = whole.with_weight_type(WeightType::F16);
        assert_eq!((whole.weight().bytes(), half.weight().bytes()), (60, 30));
        assert_eq!(whole.weight().len(), half.weight().len());
        assert!(whole.weight().check_trainable().is_ok());
        let message = half.weight().check_trainable().unwrap_err().to_string();
        assert_eq!(message, "a weight in f16 is for inference alone: gradients take it in f32");
    }
}
