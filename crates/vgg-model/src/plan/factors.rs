//! Fully connected layers whose weights' gradients are computed of the whole batch.
//!
//! The gradient is the product of the sums' gradients and the inputs, over the images. Where a batch is cut
//! into shards, each rank can gather these two from all, and compute the product by itself: to the same bits
//! on each, and nothing is left to be added. For a batch of 128 images and 4096 × 4096 weights they are a
//! thirty-second of what the gradient's exchange moves (sufficient factors: Xie et al.,
//! "Lighter-communication distributed machine learning via sufficient factor broadcasting", 2016).

use vgg_tensor::spec::{Linear, LinearEpilogue};
use vgg_tensor::{Content, Result, Shape};

use crate::Recipe;
use crate::plan::Plan;

/// Of each parameter, the product that is its gradient over a full batch of `batch` images, if it is computed
/// so.
pub(super) fn factors(
    recipe: &Recipe,
    params: &[Content],
    trained: &[bool],
    batch: usize,
) -> Result<Vec<Option<Linear>>> {
    let factors = |(content, trained): (&Content, &bool)| {
        let Content::LinearWeight { out_features, c, h, w, .. } = *content else { return Ok(None) };
        if !*trained || !are_few(batch, c * h * w, out_features) {
            return Ok(None);
        }
        Linear::new(Shape::new(batch, c, h, w), out_features, LinearEpilogue::Bias).map(Some)
    };
    match recipe.shards.count() > 1 {
        true => params.iter().zip(trained).map(factors).collect(),
        false => Ok(vec![None; params.len()]),
    }
}

/// Whether a product's factors are few beside what ranks move to add up its parts, which is each number of it
/// twice: a quarter at most, as every rank then computes the whole product.
fn are_few(batch: usize, inputs: usize, outputs: usize) -> bool {
    batch.saturating_mul(4 * (inputs + outputs)) <= 2 * inputs * outputs
}

impl Plan {
    /// The product that is a parameter's gradient over a batch of `n` images, if it is computed so.
    pub(crate) fn factors(&self, i: usize, n: usize) -> Result<Option<Linear>> {
        let of = |full: Linear| {
            Linear::new(Shape { n, ..full.x() }, full.out_features(), full.epilogue())
        };
        self.factors[i].map(of).transpose()
    }

    /// Whether neither a parameter's gradient nor that of its layer's weight is added up.
    pub(crate) fn is_of_factors(&self, i: usize) -> bool {
        // Each layer has a weight and a bias.
        self.factors[i / 2 * 2].is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_layers_and_small_batches_have_few_factors() {
        // The full VGG-11's layers.
        assert!(are_few(128, 25088, 4096) && are_few(128, 4096, 4096));
        assert!(are_few(1024, 4096, 4096) && !are_few(1025, 4096, 4096));
        assert!(!are_few(128, 4096, 10) && !are_few(usize::MAX, 4096, 4096));
    }
}
