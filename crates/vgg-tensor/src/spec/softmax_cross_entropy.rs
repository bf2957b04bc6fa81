//! The loss.

use crate::{Result, Shape};

/// Softmax followed by the cross-entropy with the true class, averaged over the batch
/// (`torch.nn.CrossEntropyLoss()`).
///
/// # Shapes
/// `logits: [n, classes]`, `labels: [n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SoftmaxCrossEntropy {
    logits: Shape,
}

impl SoftmaxCrossEntropy {
    /// The loss of `n` images over `classes` classes.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if a dimension is zero or huge.
    pub fn new(n: usize, classes: usize) -> Result<Self> {
        let logits = Shape::flat(n, classes);
        logits.check("logits")?;
        Ok(Self { logits })
    }

    /// The logits' shape.
    pub const fn logits(&self) -> Shape {
        self.logits
    }
}

/// What the loss operation reports of a batch, as the three numbers of its metrics buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Sum over the images of `−ln softmax(logits)[label]`.
    pub loss_sum: f32,
    /// Images whose true class has the highest logit.
    pub top1: f32,
    /// Images whose true class is among the five highest logits.
    pub top5: f32,
}

impl Metrics {
    /// Numbers in a metrics buffer.
    pub const LEN: usize = 3;

    /// The numbers in buffer order.
    pub const fn to_array(self) -> [f32; Self::LEN] {
        [self.loss_sum, self.top1, self.top5]
    }

    /// From the numbers in buffer order.
    pub const fn from_array([loss_sum, top1, top5]: [f32; Self::LEN]) -> Self {
        Self { loss_sum, top1, top5 }
    }
}
