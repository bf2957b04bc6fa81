//! Grad-CAM: where in an image a network sees a class.

use vgg_tensor::{Backend, Result, Shape, zeros};

use super::Session;
use crate::target::check_labels;

/// Where in an image a network sees a class, by Grad-CAM.
///
/// It has a number for each place of the last convolution's maps. These are taken to lie evenly over
/// the network's input: row `i` of `height` from the share `i / height` of its height on. That is so
/// where convolutions pad, as VGG's do; of LeNet, whose maps lack a margin, it is stretched a little.
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`: what speaks for the class at each place, in units of its logit, 0 where
    /// nothing does. The numbers are not normalised: of one image and network they compare.
    pub values: Vec<f32>,
}

impl<B: Backend> Session<B> {
    /// Where in each of any number of images the network sees a class: `classes` has one for each
    /// image.
    ///
    /// This is Grad-CAM (Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via
    /// gradient-based localization", ICCV 2017, section 3): with the maps `A_k` of the last
    /// convolution, after its ReLU or sigmoid and before any pool, and the class's logit `y`,
    ///
    /// `alpha_k = mean over places of ∂y/∂A_k` (eq. 1), `map = ReLU(Σ_k alpha_k · A_k)` (eq. 2).
    ///
    /// The maps and their gradients are the backend's, these sums are taken in `f64`. `pixels` are
    /// `[n, channels, height, width]` bytes as [`crate::Input`] describes them. A call computes the
    /// forward pass and a backward pass through what follows the last convolution; the memory that
    /// this takes besides is allocated by the first call and kept.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if `pixels` are not whole images, if there is not a class for
    /// each or a class is none of the network's, if the network has no fully connected layer after
    /// its last convolution, as [`crate::Vgg::dense`] has none, if it locates instead of classifying, or if its weights are stored as
    /// [`crate::WeightType::F16`]; what the backend returns, as when memory does not suffice.
    ///
    /// ```
    /// use vgg_cpu::{Config, Cpu};
    /// use vgg_model::{Init, Input, Params, Session, Vgg, VggConfig};
    ///
    /// let config = VggConfig { input: [1, 64, 96], width: 0.1, fc_width: 8, ..Default::default() };
    /// let vgg = Vgg::new(&config)?;
    /// let params = Params::init(&vgg, &Init::default(), 42)?;
    /// let input = Input::unnormalized(1, 64, 96);
    /// let mut session = Session::new(Cpu::new(Config::default())?, &vgg, &input, params, 8)?;
    /// let maps = session.grad_cam(&[0; 2 * 64 * 96], &[3, 7])?;
    /// // Four pools come before VGG's last convolution.
    /// assert_eq!((maps.len(), maps[0].height, maps[0].width), (2, 4, 6));
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn grad_cam(&mut self, pixels: &[u8], classes: &[u32]) -> Result<Vec<Heatmap>> {
        self.require_classes()?;
        let network = &mut self.network;
        let n = network.count(pixels)?;
        check_labels(n, classes, network.vgg().outputs())?;
        let (outputs, batch) = (network.vgg().outputs(), network.plan().batch());
        let mut heatmaps = Vec::with_capacity(n);
        let chunks = pixels.chunks(batch * network.input.image_bytes());
        for (pixels, classes) in chunks.zip(classes.chunks(batch)) {
            // The gradient of each image's own logit.
            let mut dlogits = zeros(classes.len() * outputs)?;
            for (dlogits, class) in dlogits.chunks_exact_mut(outputs).zip(classes) {
                dlogits[*class as usize] = 1.0;
            }
            let (shape, [maps, gradients]) = network.maps_and_gradient(pixels, &dlogits)?;
            let images = maps.chunks_exact(shape.features());
            let images = images.zip(gradients.chunks_exact(shape.features()));
            heatmaps.extend(images.map(|(maps, gradients)| heatmap(shape, maps, gradients)));
        }
        Ok(heatmaps)
    }
}

/// Of one image's maps and gradients, both `[c, h, w]`.
fn heatmap(Shape { h, w, .. }: Shape, maps: &[f32], gradients: &[f32]) -> Heatmap {
    let mut sums = vec![0.0; h * w];
    for (map, gradient) in maps.chunks_exact(h * w).zip(gradients.chunks_exact(h * w)) {
        let alpha = gradient.iter().map(|g| f64::from(*g)).sum::<f64>() / (h * w) as f64;
        sums.iter_mut().zip(map).for_each(|(sum, a)| *sum += alpha * f64::from(*a));
    }
    // What is not a number stays so.
    let relu = |sum: f64| if sum < 0.0 { 0.0 } else { sum as f32 };
    Heatmap { height: h, width: w, values: sums.into_iter().map(relu).collect() }
}

#[cfg(test)]
mod tests;
