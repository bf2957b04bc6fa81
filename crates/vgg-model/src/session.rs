//! Classifying images.

mod grad_cam;

use vgg_tensor::{Backend, Error, Result};

use crate::network::Network;
use crate::plan::program::Weights;
use crate::{Input, Mode, Params, Plan, Softmax, Task, Vgg, WeightType, fold};

pub use grad_cam::Heatmap;

/// A trained network on a backend, ready to classify.
///
/// # Example
/// ```
/// use vgg_cpu::{Config, Cpu};
/// use vgg_model::{Init, Input, Params, Session, Vgg, VggConfig};
///
/// let config =
///     VggConfig { input: [1, 32, 32], width: 0.1, classes: 3, fc_width: 8, ..Default::default() };
/// let vgg = Vgg::new(&config)?;
/// let params = Params::init(&vgg, &Init::default(), 42)?; // or `Checkpoint::load(…)?.params`
/// let input = Input::unnormalized(1, 28, 28);
/// let mut session = Session::new(Cpu::new(Config::default())?, &vgg, &input, params, 8)?;
/// let probabilities = session.probabilities(&[0; 2 * 28 * 28])?;
/// assert_eq!(probabilities.len(), 2 * 3);
/// # Ok::<(), vgg_model::Error>(())
/// ```
pub struct Session<B: Backend> {
    network: Network<B>,
}

impl<B: Backend> Session<B> {
    /// A session that runs up to `max_batch` images at once, with the parameters as they are: fewer,
    /// where more would hardly be faster and take more memory ([`Backend::images_at_once`]).
    ///
    /// A batch normalisation becomes part of the convolution before it. The session moves the
    /// parameters to where the backend wants them, some MiB at a time: a network need not fit into
    /// memory twice, nor does its largest layer.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if the parts do not fit together; what the backend returns,
    /// as when memory does not suffice.
    pub fn new(
        backend: B,
        vgg: &Vgg,
        input: &Input,
        params: Params,
        max_batch: usize,
    ) -> Result<Self> {
        Self::with_linear_weights(WeightType::Factors, backend, vgg, input, params, max_batch)
    }

    /// As [`Session::new`], with the fully connected layers' weights stored as `linear_weights`.
    ///
    /// They are nearly all of a VGG's parameters, and reading them is most of the time that few
    /// images take: [`WeightType::F16`] halves both. What it changes are the logits, by about the
    /// 2⁻¹² to which it rounds each weight.
    ///
    /// # Errors
    /// As [`Session::new`], and [`vgg_tensor::Error::Shape`] if a weight is too large for an `f16`.
    ///
    /// ```
    /// use vgg_cpu::{Config, Cpu};
    /// use vgg_model::{Init, Input, Params, Session, Vgg, VggConfig, WeightType};
    ///
    /// let config = VggConfig { input: [1, 32, 32], width: 0.1, fc_width: 8, ..Default::default() };
    /// let vgg = Vgg::new(&config)?;
    /// let params = Params::init(&vgg, &Init::default(), 42)?;
    /// let input = Input::unnormalized(1, 28, 28);
    /// let cpu = Cpu::new(Config::default())?;
    /// let mut session =
    ///     Session::with_linear_weights(WeightType::F16, cpu, &vgg, &input, params, 8)?;
    /// let logits = session.logits(&[0; 28 * 28])?;
    /// # assert_eq!(logits.len(), 1000);
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn with_linear_weights(
        linear_weights: WeightType,
        backend: B,
        vgg: &Vgg,
        input: &Input,
        params: Params,
        max_batch: usize,
    ) -> Result<Self> {
        params.check(vgg)?;
        let (vgg, params) = (vgg.folded(), fold::params(vgg, params));
        let batch = at_once(&backend, max_batch);
        let plan = Plan::new(&vgg, input, batch, Mode::Infer { linear_weights })?;
        let mut network = Network::alloc(backend, &vgg, input, &params, plan, 0)?;
        network.take_in(params)?;
        Ok(Self { network })
    }

    /// Takes other images from now on: as `input` describes them, up to `max_batch` at once.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if they do not fit the network, or `max_batch` is zero; what the
    /// backend returns, as when memory does not suffice.
    pub fn set_input(&mut self, input: &Input, max_batch: usize) -> Result<()> {
        let vgg = self.network.vgg().clone();
        self.set_network(&vgg, input, max_batch)
    }

    /// Runs another network from now on, which has the same parameters, as for images of another
    /// size ([`Vgg::dense`]).
    ///
    /// # Errors
    /// As [`Session::set_input`], and if it has other parameters.
    pub fn set_network(&mut self, vgg: &Vgg, input: &Input, max_batch: usize) -> Result<()> {
        let batch = at_once(&self.network.backend, max_batch);
        self.network.set_network(&vgg.folded(), input, batch)
    }

    /// The logits of any number of images, `[n, classes]`: of a network that locates the numbers of its
    /// boxes, `[n, boxes, 4]`, as [`crate::Task::Localisation`] has them.
    ///
    /// `pixels` are `[n, channels, height, width]` bytes as [`Input`] describes them.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if `pixels` are not whole images.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        self.network.logits(pixels, Weights::Last)
    }

    /// The probability of each class for any number of images, `[n, classes]`: the [`Softmax`] of
    /// [`Session::logits`].
    ///
    /// # Errors
    /// As [`Session::logits`], and if the network locates objects instead of classifying.
    pub fn probabilities(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        self.require_classes()?;
        let mut logits = self.logits(pixels)?;
        for logits in logits.chunks_mut(self.network.vgg().outputs()) {
            let softmax = Softmax::of(logits);
            logits.iter_mut().for_each(|logit| *logit = softmax.probability(*logit) as f32);
        }
        Ok(logits)
    }

    /// Passes if the network classifies.
    fn require_classes(&self) -> Result<()> {
        match self.vgg().config().task {
            Task::Classification => Ok(()),
            Task::Localisation { .. } => {
                let message = "the network says where objects are, and nothing of their classes";
                Err(Error::Shape(message.into()))
            }
        }
    }

    /// How many of so many images it would run at once.
    pub fn at_once(&self, images: usize) -> usize {
        at_once(&self.network.backend, images)
    }

    /// The network it runs, without batch normalisations.
    pub fn vgg(&self) -> &Vgg {
        self.network.vgg()
    }

    /// Its operations and memory.
    pub fn plan(&self) -> &Plan {
        self.network.plan()
    }

    /// What it runs on.
    pub fn backend(&self) -> &B {
        &self.network.backend
    }

    /// Gives the backend back and frees the memory.
    pub fn into_backend(self) -> B {
        self.network.backend
    }
}

/// How many of so many images pass at once.
fn at_once(backend: &impl Backend, images: usize) -> usize {
    backend.images_at_once().map_or(images, |enough| images.min(enough))
}

#[cfg(test)]
mod tests;
