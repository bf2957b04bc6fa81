//! The loss of boxes.

use crate::{Error, Result, Shape};

/// Half the squared Euclidean distance between the box that a network gives an image and the true one,
/// averaged over the images that have one (Simonyan & Zisserman 2014, appendix A; Caffe's
/// `EuclideanLoss`).
///
/// A box is four numbers: its centre across and down, its width and height, as shares of the image. A
/// network gives one for all classes, or one for each, of which that of the image's class alone counts;
/// [`Self::boxes`] is how many.
///
/// # Shapes
/// `predicted: [n, 4 · boxes]`; the targets are `[n]` of `u32`, which box counts, or [`Self::NO_BOX`] for an
/// image that counts nothing; behind that the true boxes, `[n, 4]` of `f32`; at the end what the images'
/// losses are divided by, an `f32` above 0: how many have a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EuclideanLoss {
    predicted: Shape,
}

impl EuclideanLoss {
    /// What targets say of an image without a box.
    pub const NO_BOX: u32 = u32::MAX;

    /// Numbers of a box.
    pub const BOX: usize = 4;

    /// From this intersection over union on, not included, a box is right (the rule of ILSVRC).
    pub const RIGHT: f32 = 0.5;

    /// The loss of `n` images, each with so many boxes.
    ///
    /// # Errors
    /// [`Error::Shape`] if a dimension is zero or huge.
    pub fn new(n: usize, boxes: usize) -> Result<Self> {
        let numbers = boxes
            .checked_mul(Self::BOX)
            .ok_or_else(|| Error::Shape(format!("{boxes} boxes an image are too many")))?;
        let predicted = Shape::flat(n, numbers);
        predicted.check("boxes")?;
        Ok(Self { predicted })
    }

    /// The shape of what a network gives.
    pub const fn predicted(&self) -> Shape {
        self.predicted
    }

    /// Boxes of an image.
    pub const fn boxes(&self) -> usize {
        self.predicted.c / Self::BOX
    }

    /// Bytes of the targets.
    pub const fn target_bytes(&self) -> usize {
        4 * ((1 + Self::BOX) * self.predicted.n + 1)
    }
}

/// What the loss of boxes reports of a batch, as the three numbers of its metrics buffer: sums over the
/// images that have a box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoxMetrics {
    /// Of `½ ‖predicted − true‖²`.
    pub loss_sum: f32,
    /// Images whose box is right: its intersection over union with the true one is above
    /// [`EuclideanLoss::RIGHT`].
    pub right: f32,
    /// Of the intersection over union, from 0 to 1. A box whose width or height is not above 0, or no
    /// number, has 0.
    pub iou_sum: f32,
}

impl BoxMetrics {
    /// Numbers in a metrics buffer.
    pub const LEN: usize = 3;

    /// The numbers in buffer order.
    pub const fn to_array(self) -> [f32; Self::LEN] {
        [self.loss_sum, self.right, self.iou_sum]
    }

    /// From the numbers in buffer order.
    pub const fn from_array([loss_sum, right, iou_sum]: [f32; Self::LEN]) -> Self {
        Self { loss_sum, right, iou_sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() -> Result<()> {
        let loss = EuclideanLoss::new(3, 10)?;
        assert_eq!((loss.predicted(), loss.boxes()), (Shape::flat(3, 40), 10));
        assert_eq!(loss.target_bytes(), 4 * (3 + 12 + 1));
        assert!(EuclideanLoss::new(0, 1).is_err() && EuclideanLoss::new(1, usize::MAX).is_err());
        Ok(())
    }
}
