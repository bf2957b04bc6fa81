//! How long the weights and gradients of layers are, as vectors.

use anyhow::{Context as _, Result};
use vgg_model::{Params, Vgg};
use vgg_tensor::{Backend, Tensor};

use super::TrainingLoop;
use crate::data;
use crate::reporters::LayerNorms;

impl<B: Backend> TrainingLoop<'_, B> {
    /// The norms after an epoch, if the run's config has reports that show them, and that of the gradients
    /// of all that is trained, if the config asks for it. The gradients are of
    /// the first batch of the next epoch, or of its first micro-batch, and neither clipped nor
    /// followed by an update: training goes on to the bit as without.
    pub(super) fn norms(&mut self) -> Result<(Vec<LayerNorms>, Option<f64>)> {
        // The first rank alone tells of them.
        if !self.config.report.shows_norms() || !self.together.is_first() {
            return Ok((vec![], None));
        }
        // Gone before there are gradients, so that there is one copy at a time.
        let params = self.trainer.params()?;
        let weights = of_layers(self.trainer.vgg(), &params);
        drop(params);

        let mut batches = self.loader.epoch(self.position.epoch + 1, 0);
        let unreadable = || data::unreadable(&self.data.train.images);
        let batch = batches.next_batch().with_context(unreadable)?;
        let batch = batch.context("there are no images to train on")?;
        let n = self.trainer.plan().batch().min(batch.labels.len());
        let own = self.trainer.rows(batch.labels.len()).len();
        let pixels = &batch.pixels[..batch.pixels.len() / own * n];
        let (_, gradients) = self.trainer.gradients(pixels, data::target(batch).rows(0..n))?;

        let all = self.config.report.gradient_norm;
        let all = all.then(|| of_all(&gradients, &self.trainer.plan().trained()));
        let gradients = of_layers(self.trainer.vgg(), &gradients);
        let norms = weights
            .into_iter()
            .zip(gradients)
            .map(|((layer, weights), (_, gradients))| LayerNorms { layer, weights, gradients });
        Ok((norms.collect(), all))
    }
}

/// The L2 norm of all that is trained together.
fn of_all(params: &Params, trained: &[bool]) -> f64 {
    let trained = params.iter().zip(trained).filter(|(_, trained)| **trained);
    trained.map(|((_, tensor), _)| sum_of_squares(tensor)).sum::<f64>().sqrt()
}

fn sum_of_squares(tensor: &Tensor) -> f64 {
    tensor.data().iter().map(|x| f64::from(*x).powi(2)).sum()
}

/// Each layer's name and the L2 norm of its parameters, or of what has their shapes. What comes after
/// them, statistics of normalisations, does not count.
fn of_layers(vgg: &Vgg, params: &Params) -> Vec<(String, f64)> {
    let mut squares: Vec<(String, f64)> = Vec::new();
    for (spec, (_, tensor)) in vgg.params().iter().zip(params.iter()) {
        let layer = spec.name.rsplit_once('.').map_or(&*spec.name, |(layer, _)| layer);
        let sum = sum_of_squares(tensor);
        match squares.last_mut().filter(|(last, _)| last == layer) {
            Some((_, squares)) => *squares += sum,
            None => squares.push((layer.into(), sum)),
        }
    }
    squares.into_iter().map(|(layer, squares)| (layer, squares.sqrt())).collect()
}

#[cfg(test)]
mod tests {
    use vgg_model::VggConfig;

    use super::*;

    #[test]
    fn a_layer_is_its_weight_and_bias_together() {
        let input = [1, 32, 32];
        let config =
            VggConfig { input, width: 0.1, fc_width: 8, batch_norm: true, ..VggConfig::default() };
        let vgg = Vgg::new(&config).unwrap();
        // One number a tensor; of the running statistics, which come last, too.
        let firsts = [3.0, 4.0, 5.0, 12.0].into_iter().chain(std::iter::repeat(0.0));
        let firsts = firsts.take(vgg.params().len()).chain(std::iter::repeat(7.0));
        let specs = vgg.params().iter().chain(vgg.state());
        let tensors = specs.zip(firsts).map(|(spec, first)| {
            let mut tensor = Tensor::zeros(spec.dims.clone()).unwrap();
            tensor.data_mut()[0] = first;
            (spec.name.clone(), tensor)
        });
        let params = Params::new(&vgg, tensors).unwrap();
        let norms = of_layers(&vgg, &params);
        assert_eq!(norms[..2], [("features.0".into(), 5.0), ("features.1".into(), 13.0)]);
        assert!(norms[2..].iter().all(|(_, norm)| *norm == 0.0), "{norms:?}");
        assert_eq!(norms.len(), 2 * 8 + 3);

        let mut trained = vec![true; vgg.params().len()];
        assert_eq!(of_all(&params, &trained), 194_f64.sqrt());
        trained[3] = false;
        assert_eq!(of_all(&params, &trained), 50_f64.sqrt());
    }
}
