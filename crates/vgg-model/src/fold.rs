//! Batch normalisation as part of the convolution before it.
//!
//! With running statistics it is linear: `z = scale · (x − mean) + shift` with
//! `scale = weight / √(var + ε)`. The convolution whose weight is multiplied by `scale`, and whose bias
//! is `scale · (bias − mean) + shift`, gives `z` at once. So inference has no normalisations.

use vgg_tensor::spec::BatchNorm2d;

use crate::{Layer, Params, Vgg};

impl Vgg {
    /// The same network in inference, where each batch normalisation is part of the convolution
    /// before it.
    pub(crate) fn folded(&self) -> Self {
        let folded = Self::from_layers(self.config().clone(), layers(self.layers()));
        folded.expect("these layers were checked, and are fewer now")
    }
}

/// The layers without normalisations, and with the ReLUs that follow them at the convolutions.
fn layers(layers: &[Layer]) -> Vec<Layer> {
    let mut folded: Vec<Layer> = Vec::new();
    for layer in layers {
        match (layer, folded.last_mut()) {
            (Layer::BatchNorm2d { .. }, Some(Layer::Conv2d { relu, .. })) => *relu = true,
            _ => folded.push(layer.clone()),
        }
    }
    folded
}

/// The parameters of [`Vgg::folded`], computed in `f64`, of those of `vgg`, which they fit.
pub(crate) fn params(vgg: &Vgg, mut params: Params) -> Params {
    for pair in vgg.layers().windows(2) {
        let [conv, Layer::BatchNorm2d { name: norm }] = pair else { continue };
        let take = |name: &str| params.get(&format!("{norm}.{name}")).map(|t| t.data().to_vec());
        let vectors = ["weight", "bias", "running_mean", "running_var"].map(take);
        let [scale, shift, mean, var] = vectors.map(|vector| vector.expect("parameters that fit"));
        let affine = |c: usize| {
            let [weight, shift, mean, var] = [&scale, &shift, &mean, &var].map(|v| f64::from(v[c]));
            (weight / (var + f64::from(BatchNorm2d::EPSILON)).sqrt(), mean, shift)
        };
        let mut change = |name: &str, number: &dyn Fn(usize, f64) -> f64| {
            let tensor = params.get_mut(&format!("{}.{name}", conv.name()));
            let numbers = tensor.expect("parameters that fit").data_mut();
            let fan_in = numbers.len() / scale.len();
            for (c, numbers) in numbers.chunks_exact_mut(fan_in).enumerate() {
                numbers.iter_mut().for_each(|x| *x = number(c, f64::from(*x)) as f32);
            }
        };
        change("weight", &|c, weight| affine(c).0 * weight);
        change("bias", &|c, bias| {
            let (scale, mean, shift) = affine(c);
            scale * (bias - mean) + shift
        });
    }
    let folded = vgg.folded();
    params.retain(|name| folded.params().iter().any(|spec| spec.name == name));
    params
}

#[cfg(test)]
mod tests;
