//! Training.

use std::collections::VecDeque;

use vgg_tensor::{Backend, Download, Result};

use crate::exec::{self, Noise};
use crate::network::Network;
use crate::optimizer::check_lr;
use crate::{Input, Metrics, Mode, Params, Plan, SgdConfig, Vgg};

/// A network in training on a backend.
///
/// A step is a function of the parameters, the velocities, the batch, the learning rate, the seed
/// and the number of the step. So a run that is interrupted continues to the bit with
/// [`Trainer::restore`] of what [`Trainer::params`], [`Trainer::velocity`] and [`Trainer::steps`]
/// gave, on the same batches.
///
/// After an error from the backend the parameters may be those of half a step: restore them, or
/// start over.
///
/// # Example
/// ```
/// use vgg_cpu::{Config, Cpu};
/// use vgg_model::{Init, Input, Params, SgdConfig, Trainer, Vgg, VggConfig};
///
/// let config =
///     VggConfig { input: [1, 32, 32], width: 0.1, classes: 3, fc_width: 8, ..Default::default() };
/// let vgg = Vgg::new(&config)?;
/// let params = Params::init(&vgg, &Init::default(), 42);
/// let input = Input::unnormalized(1, 28, 28);
/// let sgd = SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.05) };
/// let mut trainer = Trainer::new(Cpu::new(Config::default())?, &vgg, &input, &params, 8, sgd, 42)?;
/// let metrics = trainer.step(&[0; 2 * 28 * 28], &[0, 2], sgd.lr)?;
/// assert!(metrics.loss_sum.is_finite());
/// assert_eq!(trainer.steps(), 1);
/// # Ok::<(), vgg_model::Error>(())
/// ```
pub struct Trainer<B: Backend> {
    network: Network<B>,
    sgd: SgdConfig,
    seed: u64,
    steps: u64,
    /// Metrics of steps that were ordered and not asked for, oldest first.
    in_flight: VecDeque<B::Download>,
}

impl<B: Backend> Trainer<B> {
    /// A trainer for batches of up to `batch` images that starts from `params` at step 0.
    ///
    /// `seed` is dropout's. The learning rate in `sgd` is only checked: each step is given its own.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if the parts do not fit together or a setting is out of range;
    /// what the backend returns, as when memory does not suffice.
    pub fn new(
        backend: B,
        vgg: &Vgg,
        input: &Input,
        params: &Params,
        batch: usize,
        sgd: SgdConfig,
        seed: u64,
    ) -> Result<Self> {
        sgd.check()?;
        let mode = Mode::Train { momentum: sgd.has_velocity() };
        let mut network = Network::alloc(backend, vgg, input, params, batch, mode)?;
        network.upload_params(params.tensors())?;
        Ok(Self { network, sgd, seed, steps: 0, in_flight: VecDeque::new() })
    }

    /// One training step on a batch: forward, backward, update.
    ///
    /// Returns the loss and hits of the forward pass, with dropout on and before the update.
    /// `pixels` are `[n, channels, height, width]` bytes as [`Input`] describes them, with a label
    /// each.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if there are no images or more than a batch, labels do not fit,
    /// or `lr` is negative or not finite.
    pub fn step(&mut self, pixels: &[u8], labels: &[u32], lr: f32) -> Result<Metrics> {
        self.submit(pixels, labels, lr)?;
        let last = self.in_flight.pop_back();
        last.map_or(Ok(Metrics::default()), metrics)
    }

    /// Orders a training step, as [`Trainer::step`], without waiting for it:
    /// [`Trainer::next_metrics`] has its metrics. So a GPU need not wait for the host between steps.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn submit(&mut self, pixels: &[u8], labels: &[u32], lr: f32) -> Result<()> {
        check_lr(lr)?;
        let settings = self.sgd.at(lr);
        let n = self.network.load(pixels, Some(labels))?;
        let noise = Noise { seed: self.seed, step: self.steps };
        let (backend, plan, memory) = self.network.parts(n);
        backend.repeat(&mut |backend| {
            exec::forward(backend, plan, memory, Some(noise))?;
            exec::loss(backend, plan, memory, true)?;
            exec::backward(backend, plan, memory, noise, Some(&settings))?;
            exec::update(backend, plan, memory, &settings)
        })?;
        self.in_flight.push_back(backend.start_download(Plan::METRICS, &memory.metrics)?);
        self.steps += 1;
        Ok(())
    }

    /// Submitted steps whose metrics were not asked for.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The metrics of the first of them, if the device is done with it or `wait` says to wait.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn next_metrics(&mut self, wait: bool) -> Result<Option<Metrics>> {
        match self.in_flight.front() {
            Some(first) if wait || first.is_done() => {
                self.in_flight.pop_front().map(metrics).transpose()
            }
            _ => Ok(None),
        }
    }

    /// What [`Trainer::step`] would compute: the metrics and the gradients, without an update.
    ///
    /// A step applies the fully connected weights' gradients without storing them; here they are
    /// stored, in memory that the first call allocates and the trainer keeps.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn gradients(&mut self, pixels: &[u8], labels: &[u32]) -> Result<(Metrics, Params)> {
        self.network.alloc_gradients()?;
        let state = self.network.state()?;
        let n = self.network.load(pixels, Some(labels))?;
        let noise = Noise { seed: self.seed, step: self.steps };
        let (backend, plan, memory) = self.network.parts(n);
        exec::forward(backend, plan, memory, Some(noise))?;
        exec::loss(backend, plan, memory, true)?;
        exec::backward(backend, plan, memory, noise, None)?;
        let metrics = self.network.metrics()?;
        self.network.restore_state(&state)?;
        Ok((metrics, self.network.gradients()?))
    }

    /// Loss and hits over any number of labelled images, without dropout and by running statistics.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if images are not whole or labels do not fit.
    pub fn evaluate(&mut self, pixels: &[u8], labels: &[u32]) -> Result<Metrics> {
        self.network.evaluate(pixels, labels)
    }

    /// The logits of any number of images, `[n, classes]`, without dropout and by running statistics.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if images are not whole.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        self.network.logits(pixels)
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What the backend needs besides to go on to the bit ([`Backend::state`]).
    ///
    /// # Errors
    /// What the backend returns.
    pub fn backend_state(&mut self) -> Result<Vec<u32>> {
        self.network.backend.state()
    }

    /// Goes on from what [`Trainer::backend_state`] gave.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn restore_backend(&mut self, state: &[u32]) -> Result<()> {
        self.network.backend.restore_state(state)
    }

    /// Goes on as if `steps` steps had been done: they decide what dropout draws.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// The parameters, and the running statistics with them, as they are now.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn params(&mut self) -> Result<Params> {
        self.network.params()
    }

    /// The velocities as they are now; `None` without momentum.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn velocity(&mut self) -> Result<Option<Params>> {
        self.network.velocity()
    }

    /// Goes on from another state. Without `velocity` it starts as zeros.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if the tensors are another network's, or a velocity is given and
    /// there is no momentum to use it.
    pub fn restore(
        &mut self,
        params: &Params,
        velocity: Option<&Params>,
        steps: u64,
    ) -> Result<()> {
        self.network.restore(params, velocity)?;
        self.steps = steps;
        Ok(())
    }

    /// The network it trains.
    pub fn vgg(&self) -> &Vgg {
        self.network.vgg()
    }

    /// The operations and memory of a full batch.
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

/// A step's metrics, as they come from the device.
fn metrics(download: impl Download) -> Result<Metrics> {
    let numbers = download.wait()?;
    let numbers = numbers.try_into().expect("the loss has as many metrics as it has");
    Ok(Metrics::from_array(numbers))
}

#[cfg(test)]
mod tests;
