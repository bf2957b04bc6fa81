//! Training.

use std::collections::VecDeque;

use vgg_tensor::{Backend, Download, Result};

use crate::exec::{self, Noise};
use crate::network::Network;
use crate::optimizer::check_lr;
use crate::snapshot::Arriving;
use crate::{Input, Metrics, Params, Plan, Recipe, Snapshot, Vgg, invalid};

/// A network in training on a backend.
///
/// A step is a function of the parameters, the velocities, the batch, the learning rate, the seed
/// and the number of the step. So a run that is interrupted continues to the bit with
/// [`Trainer::restore`] of what [`Trainer::params`], [`Trainer::velocity`] and [`Trainer::steps`]
/// gave, and [`Trainer::restore_average`] if there is one, on the same batches.
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
/// let params = Params::init(&vgg, &Init::default(), 42)?;
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
    recipe: Recipe,
    /// Of each parameter, whether it is trained.
    trained: Vec<bool>,
    /// Images in a batch, all its parts together.
    batch: usize,
    seed: u64,
    steps: u64,
    /// Metrics of steps that were ordered and not asked for, of each of their parts, oldest first.
    in_flight: VecDeque<Vec<B::Download>>,
    /// Whether parameters and averages have changed places.
    averaged: bool,
}

impl<B: Backend> Trainer<B> {
    /// A trainer for batches of up to `batch` images that starts from `params` at step 0.
    ///
    /// `seed` is dropout's. The learning rate in the recipe is only checked: each step is given its
    /// own.
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
        recipe: impl Into<Recipe>,
        seed: u64,
    ) -> Result<Self> {
        let recipe = recipe.into();
        recipe.check(vgg)?;
        let (part, mode) = (recipe.part_of(batch), recipe.mode(vgg));
        let mut network = Network::alloc(backend, vgg, input, params, part, mode)?;
        network.upload_params(params.tensors())?;
        if recipe.average_decay.is_some() {
            network.restore_average(params)?;
        }
        let trained = recipe.trained(vgg);
        let in_flight = VecDeque::new();
        Ok(Self { network, recipe, trained, batch, seed, steps: 0, in_flight, averaged: false })
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
        self.in_flight.pop_back().map_or(Ok(Metrics::default()), metrics)
    }

    /// Orders a training step, as [`Trainer::step`], without waiting for it:
    /// [`Trainer::next_metrics`] has its metrics. So a GPU need not wait for the host between steps.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn submit(&mut self, pixels: &[u8], labels: &[u32], lr: f32) -> Result<()> {
        self.submit_mixed(pixels, labels, &[], lr)
    }

    /// As [`Trainer::submit`] on images that are mixed: each has another class, too, and its share,
    /// from 0 to 1. Without any it is [`Trainer::submit`].
    ///
    /// # Errors
    /// As [`Trainer::step`], and if the recipe does not mix.
    pub fn submit_mixed(
        &mut self,
        pixels: &[u8],
        labels: &[u32],
        mix: &[(u32, f32)],
        lr: f32,
    ) -> Result<()> {
        check_lr(lr)?;
        self.check_batch(pixels, labels, mix)?;
        self.set_averaged(false);
        let Recipe { sgd, clip_norm, average_decay, label_smoothing, .. } = self.recipe;
        let (settings, trained, n) = (sgd.at(lr), &self.trained[..], labels.len());
        let part = self.recipe.part_of(self.batch);
        let parts = n.div_ceil(part);
        let part_bytes = pixels.len() / n * part;
        let mut downloads = Vec::with_capacity(parts);
        for (i, (pixels, labels)) in pixels.chunks(part_bytes).zip(labels.chunks(part)).enumerate()
        {
            let mix = mix.chunks(part).nth(i).unwrap_or_default();
            let of_part = self.network.load_mixed(pixels, Some(labels), mix)?;
            let noise = Noise { seed: self.seed, step: self.steps, part: i as u32 };
            let (backend, plan, memory) = self.network.parts(of_part);
            let loss = plan.loss.with_smoothing(label_smoothing);
            let loss = if mix.is_empty() { loss } else { loss.mixed() };
            let accumulates = plan.training().is_some_and(|training| training.accumulates);
            backend.repeat(&mut |backend| {
                exec::forward(backend, plan, memory, Some(noise))?;
                exec::loss_backward(backend, plan, memory, &loss)?;
                exec::backward(backend, plan, memory, noise, Some(&settings), trained)?;
                if accumulates {
                    let share = of_part as f32 / n as f32;
                    exec::accumulate(backend, plan, memory, trained, share, i == 0)?;
                }
                if i + 1 < parts {
                    return Ok(());
                }
                if let Some(norm) = clip_norm {
                    exec::clip(backend, plan, memory, trained, norm)?;
                }
                exec::update(backend, plan, memory, &settings, trained)?;
                match average_decay {
                    Some(decay) => exec::average(backend, plan, memory, trained, decay),
                    None => Ok(()),
                }
            })?;
            downloads.push(backend.start_download(Plan::METRICS, &memory.metrics)?);
        }
        self.in_flight.push_back(downloads);
        self.steps += 1;
        Ok(())
    }

    fn check_batch(&self, pixels: &[u8], labels: &[u32], mix: &[(u32, f32)]) -> Result<()> {
        let (n, classes) = (self.network.count(pixels)?, self.vgg().outputs());
        if n == 0 || n > self.batch {
            return Err(invalid("images in a batch", n, &format!("1 to {}", self.batch)));
        }
        self.network.check_labels(n, labels)?;
        if !mix.is_empty() && (mix.len() != n || !self.recipe.mixes) {
            let allowed =
                if self.recipe.mixes { "one an image" } else { "none: the recipe mixes none" };
            return Err(invalid("other classes", mix.len(), allowed));
        }
        let fits = |(other, share): &(u32, f32)| {
            (*other as usize) < classes && (0.0..=1.0).contains(share)
        };
        match mix.iter().position(|other| !fits(other)) {
            Some(i) => {
                let allowed = format!("below {classes} classes with a share from 0 to 1");
                Err(invalid(&format!("other class {i}"), format!("{:?}", mix[i]), &allowed))
            }
            None => Ok(()),
        }
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
            Some(parts) if wait || parts.iter().all(Download::is_done) => {
                self.in_flight.pop_front().map(metrics).transpose()
            }
            _ => Ok(None),
        }
    }

    /// What [`Trainer::step`] would compute: the metrics and the gradients, without an update. The
    /// batch passes at once, and gradients are those of all parameters, frozen ones too, not clipped.
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
        let noise = Noise { seed: self.seed, step: self.steps, part: 0 };
        let all = vec![true; self.trained.len()];
        let (backend, plan, memory) = self.network.parts(n);
        let loss = plan.loss.with_smoothing(self.recipe.label_smoothing);
        exec::forward(backend, plan, memory, Some(noise))?;
        exec::loss_backward(backend, plan, memory, &loss)?;
        exec::backward(backend, plan, memory, noise, None, &all)?;
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

    /// Orders all that [`Trainer::restore`] and [`Trainer::restore_average`] take to be copied, as it
    /// is now, without waiting: steps may follow while it is on its way.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn start_snapshot(&mut self) -> Result<Snapshot<B::Download>> {
        self.set_averaged(false);
        Ok(Snapshot {
            params: self.network.start_params()?,
            velocity: self.network.start_velocity()?,
            average: self.network.start_average()?,
        })
    }

    /// The parameters, and the running statistics with them, as they are now.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn params(&mut self) -> Result<Params> {
        self.set_averaged(false);
        self.network.start_params()?.wait()
    }

    /// The parameters' averages as they are now; `None` if the recipe keeps none.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn average(&mut self) -> Result<Option<Params>> {
        self.set_averaged(false);
        self.network.start_average()?.map(Arriving::wait).transpose()
    }

    /// Whether [`Trainer::evaluate`] and [`Trainer::logits`] take averages instead of the parameters
    /// from now on, until the next step. Without averages it does nothing.
    pub fn set_averaged(&mut self, averaged: bool) {
        if averaged != self.averaged && self.recipe.average_decay.is_some() {
            self.network.swap_average();
            self.averaged = averaged;
        }
    }

    /// The velocities as they are now; `None` without momentum.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn velocity(&mut self) -> Result<Option<Params>> {
        self.network.start_velocity()?.map(Arriving::wait).transpose()
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
        self.set_averaged(false);
        self.network.restore(params, velocity)?;
        self.steps = steps;
        Ok(())
    }

    /// Goes on from these averages: [`Trainer::restore`] starts them as the parameters.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if the tensors are another network's, or the recipe keeps no
    /// averages.
    pub fn restore_average(&mut self, average: &Params) -> Result<()> {
        self.set_averaged(false);
        self.network.restore_average(average)
    }

    /// The network it trains.
    pub fn vgg(&self) -> &Vgg {
        self.network.vgg()
    }

    /// The operations and memory of a full batch, or of a part of one if it passes in parts.
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

/// A step's metrics, as they come from the device: sums over its parts.
fn metrics(parts: Vec<impl Download>) -> Result<Metrics> {
    let mut sums = [0.0; Metrics::LEN];
    for part in parts {
        for (sum, number) in sums.iter_mut().zip(part.wait()?) {
            *sum += number;
        }
    }
    Ok(Metrics::from_array(sums))
}

#[cfg(test)]
mod tests;
