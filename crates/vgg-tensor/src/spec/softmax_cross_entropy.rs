//! The loss.

use crate::{Result, Shape};

/// Softmax followed by the cross-entropy with the target, averaged over the batch
/// (`torch.nn.CrossEntropyLoss()`).
///
/// An image's target is its true class, or with [`Self::mixed`] `1 − share` of it and `share` of
/// another class (mixup: Zhang et al. 2018); of that, with [`Self::with_smoothing`], `1 − smoothing`,
/// and `smoothing / classes` of every class (Szegedy et al. 2016; PyTorch's `label_smoothing`).
///
/// With [`Self::weighted`] each class's part of a target counts as much as the class, and what the
/// images have together is divided by a given number instead of `n`. With the sum of the weights of
/// their classes that is `torch.nn.CrossEntropyLoss(weight)` of labels, smooth ones, too; with `n` it is
/// that of probabilities, which PyTorch divides by the images.
///
/// # Shapes
/// `logits: [n, classes]`; `labels: [n]` of `u32`; if they are mixed the other classes, `[n]` of `u32`,
/// and their shares, `[n]` of `f32`, behind them; if classes have weights those, `[classes]` of `f32`,
/// and the divisor, an `f32` above 0, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SoftmaxCrossEntropy {
    logits: Shape,
    mixed: bool,
    weighted: bool,
    /// The bits of an `f32`.
    smoothing: u32,
}

impl SoftmaxCrossEntropy {
    /// The loss of `n` images over `classes` classes.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if a dimension is zero or huge.
    pub fn new(n: usize, classes: usize) -> Result<Self> {
        let logits = Shape::flat(n, classes);
        logits.check("logits")?;
        Ok(Self { logits, mixed: false, weighted: false, smoothing: 0 })
    }

    /// The same loss with labels that have another class each.
    pub const fn mixed(self) -> Self {
        Self { mixed: true, ..self }
    }

    /// The same loss with classes that count differently.
    pub const fn weighted(self) -> Self {
        Self { weighted: true, ..self }
    }

    /// The same loss with smooth targets; `smoothing` is from 0 to 1.
    pub const fn with_smoothing(self, smoothing: f32) -> Self {
        Self { smoothing: smoothing.to_bits(), ..self }
    }

    /// The logits' shape.
    pub const fn logits(&self) -> Shape {
        self.logits
    }

    /// Whether labels have another class each.
    pub const fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Whether classes have weights.
    pub const fn is_weighted(&self) -> bool {
        self.weighted
    }

    /// What all classes share of a target.
    pub const fn smoothing(&self) -> f32 {
        f32::from_bits(self.smoothing)
    }

    /// Bytes of labels, with all that is behind them.
    pub const fn label_bytes(&self) -> usize {
        4 * (self.label_words() + if self.weighted { self.logits.c + 1 } else { 0 })
    }

    /// Words before the classes' weights.
    pub const fn label_words(&self) -> usize {
        self.logits.n * if self.mixed { 3 } else { 1 }
    }
}

/// What the loss operation reports of a batch, as the three numbers of its metrics buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Sum over the images of `−Σ target · ln softmax(logits)`: without mixing and smoothing,
    /// `−ln softmax(logits)[label]`. Where classes have weights, `n` times the mean loss.
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
