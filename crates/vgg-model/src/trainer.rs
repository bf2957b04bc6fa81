//! Training.

mod shards;

use std::collections::VecDeque;
use std::ops::Range;

use vgg_tensor::profile::Event;
use vgg_tensor::{Backend, Download, Result, Scalars};

use crate::network::{Batch, Network, Set};
use crate::optimizer::check_lr;
use crate::plan::program::{MicroBatch, Place, Weights, Work};
use crate::snapshot::Arriving;
use crate::{Input, Metrics, Mode, Moments, Params, Plan, Recipe, Snapshot, Target, Vgg, invalid};

/// A network in training on a backend.
///
/// A step is a function of the parameters, what the optimiser keeps, the batch, the learning rate, the
/// seed and the number of the step. So a run that is interrupted continues to the bit with
/// [`Trainer::restore`] of what [`Trainer::params`], [`Trainer::moments`] and [`Trainer::steps`]
/// gave, and [`Trainer::restore_ema`] if there is one, on the same batches.
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
    /// Images in a batch, all its micro-batches or shards together.
    batch: usize,
    steps: u64,
    /// Metrics of steps that were ordered and not asked for, of each of their micro-batches or shards,
    /// oldest first.
    in_flight: VecDeque<Vec<B::Download>>,
    /// Which weights are evaluated.
    evaluated: Weights,
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
        let plan =
            Plan::new(vgg, input, recipe.micro_batch_of(batch), Mode::Train(recipe.clone()))?;
        let mut network = Network::alloc(backend, vgg, input, params, plan, seed)?;
        network.upload(Set::Params, params.tensors())?;
        if recipe.ema_decay.is_some() {
            network.restore_ema(params)?;
        }
        let (in_flight, evaluated) = (VecDeque::new(), Weights::Last);
        Ok(Self { network, recipe, batch, steps: 0, in_flight, evaluated })
    }

    /// One training step on a batch: forward, backward, update.
    ///
    /// Returns the loss and the score of the forward pass, with dropout on and before the update.
    /// `pixels` are `[n, channels, height, width]` bytes as [`Input`] describes them, and the target says of
    /// each what the network is to say of it: labels, unless images are mixed or the network locates. Where
    /// several ranks share the batch's shards, pixels are those of this rank's [rows](Trainer::rows) alone,
    /// while the target is all of the batch's, and metrics, too.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if there are no images or more than a batch, the target does not fit,
    /// or `lr` is negative or not finite.
    pub fn step<'a>(
        &mut self,
        pixels: &'a [u8],
        target: impl Into<Target<'a>>,
        lr: f32,
    ) -> Result<Metrics> {
        self.submit(pixels, target, lr)?;
        let downloads = self.in_flight.pop_back().expect("a step was submitted");
        self.metrics(downloads)
    }

    /// Orders a training step, as [`Trainer::step`], without waiting for it:
    /// [`Trainer::next_metrics`] has its metrics. So a GPU need not wait for the host between steps.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn submit<'a>(
        &mut self,
        pixels: &'a [u8],
        target: impl Into<Target<'a>>,
        lr: f32,
    ) -> Result<()> {
        check_lr(lr)?;
        let batch = self.batch(pixels, target.into());
        self.check_batch(batch, self.batch, self.rows(batch.target.labels().len()).len())?;
        self.evaluated = Weights::Last;
        let scalars = Scalars { lr, step: self.steps };
        let downloads = match self.recipe.shards.count() {
            1 => self.submit_micro_batches(batch, scalars)?,
            _ => self.submit_shards(batch, scalars)?,
        };
        self.in_flight.push_back(downloads);
        self.steps += 1;
        Ok(())
    }

    /// Which images of a batch of `n` are this rank's: all of them, unless several ranks share its shards.
    pub fn rows(&self, n: usize) -> Range<usize> {
        self.recipe.shards.rows(self.batch, n)
    }

    fn submit_micro_batches(
        &mut self,
        batch: Batch<'_>,
        scalars: Scalars,
    ) -> Result<Vec<B::Download>> {
        let mut downloads = Vec::new();
        for (micro_batch, batch) in self.micro_batches(batch) {
            self.network.run(Work::Step(micro_batch), batch, scalars)?;
            downloads.push(self.network.start_metrics(Place::Metrics)?);
        }
        Ok(downloads)
    }

    /// As [`Trainer::step`], and what of it took how long: it is carried out command by command.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn profile<'a>(
        &mut self,
        pixels: &'a [u8],
        target: impl Into<Target<'a>>,
        lr: f32,
    ) -> Result<Vec<Event>> {
        check_lr(lr)?;
        let batch = self.batch(pixels, target.into());
        let images = batch.target.labels().len();
        self.check_batch(batch, self.batch, self.rows(images).len())?;
        self.evaluated = Weights::Last;
        let scalars = Scalars { lr, step: self.steps };
        let sharded = self.recipe.shards.count() > 1;
        let works: Vec<(Work, Batch<'_>)> = match sharded {
            false => {
                self.micro_batches(batch).into_iter().map(|(it, b)| (Work::Step(it), b)).collect()
            }
            true => self.shards(batch).into_iter().map(|(it, b)| (Work::Shard(it), b)).collect(),
        };
        let begins = |(work, _): &(Work, _)| matches!(work, Work::Shard(shard) if shard.begins);
        let begun = works.last().is_some_and(begins);
        let ready = |(work, batch): &(Work, Batch<'_>)| {
            self.network.profile(*work, batch.target.labels().len())
        };
        let ready = works.iter().map(ready).collect::<Result<Vec<_>>>()?;
        let mut events = Vec::new();
        for (mut ready, (_, batch)) in ready.into_iter().zip(works) {
            events.extend(self.network.run_profile(&mut ready, batch, scalars)?);
        }
        if sharded {
            events.extend(
                self.network.profile_after(Work::Update { batch: images, begun }, scalars)?,
            );
        }
        self.steps += 1;
        Ok(events)
    }

    /// A batch on its way, whose target need not fit yet.
    fn batch<'a>(&self, pixels: &'a [u8], target: Target<'a>) -> Batch<'a> {
        Batch { pixels, target, divisor: target.divisor(&self.recipe.class_weights) as f32 }
    }

    /// A batch as micro-batches.
    fn micro_batches<'a>(
        &self,
        Batch { pixels, target, divisor }: Batch<'a>,
    ) -> Vec<(MicroBatch, Batch<'a>)> {
        let (batch, size) = (target.labels().len(), self.network.plan().batch());
        let image_bytes = pixels.len() / batch;
        let count = batch.div_ceil(size);
        let one = |(index, pixels): (usize, &'a [u8])| {
            let rows = index * size..batch.min((index + 1) * size);
            let (is_last, is_mixed) = (index + 1 == count, target.is_mixed());
            let micro_batch = MicroBatch { index, batch, is_last, is_mixed };
            // Its gradients count as much as its images, and so does its part of what divides them.
            let divisor = (f64::from(divisor) * rows.len() as f64 / batch as f64) as f32;
            (micro_batch, Batch { pixels, target: target.rows(rows), divisor })
        };
        pixels.chunks(image_bytes * size).enumerate().map(one).collect()
    }

    /// Checks a batch of up to `most` images, of which `own` are this rank's.
    fn check_batch(
        &self,
        Batch { pixels, target, .. }: Batch<'_>,
        most: usize,
        own: usize,
    ) -> Result<()> {
        let given = self.network.count(pixels)?;
        let n = if self.recipe.shards.ranks() == 1 { given } else { target.labels().len() };
        if n == 0 || n > most {
            return Err(invalid("images in a batch", n, &format!("1 to {most}")));
        }
        target.check(n, self.vgg(), self.recipe.mixes)?;
        if given != own {
            let allowed = format!("{own}, this rank's of {n}");
            return Err(invalid("images of a rank", given, &allowed));
        }
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
            Some(downloads) if wait || downloads.iter().all(Download::is_done) => {
                let first = self.in_flight.pop_front();
                first.map(|downloads| self.metrics(downloads)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// What [`Trainer::step`] would compute: the metrics and the gradients, without an update. The
    /// batch passes at once, and gradients are those of all parameters, frozen ones too, not clipped.
    /// Steps that follow are the same to the bit as if it had not been asked.
    ///
    /// A step applies the fully connected weights' gradients without storing them; here they are
    /// stored. Unless [`Recipe::measures_gradients`] says that they will be, the first call allocates
    /// memory for it, which the trainer keeps.
    ///
    /// # Errors
    /// As [`Trainer::step`], and if there are more images than in a micro-batch.
    pub fn gradients<'a>(
        &mut self,
        pixels: &'a [u8],
        target: impl Into<Target<'a>>,
    ) -> Result<(Metrics, Params)> {
        let batch = self.batch(pixels, target.into());
        let images = batch.target.labels().len();
        self.check_batch(batch, self.network.plan().batch(), images)?;
        // A forward pass moves running statistics, and a loss the backend's scale.
        let (state, backend) = (self.tensors(Set::State)?, self.backend_state()?);
        let scalars = Scalars { lr: 0.0, step: self.steps };
        self.network.run(Work::Gradients { is_mixed: batch.target.is_mixed() }, batch, scalars)?;
        let download = self.network.start_metrics(Place::Metrics)?;
        let metrics = self.metrics(vec![download])?;
        if let Some(state) = state {
            self.network.upload(Set::State, state.tensors())?;
        }
        self.restore_backend(&backend)?;
        let gradients = self.tensors(Set::Gradients)?;
        Ok((metrics, gradients.expect("they were computed")))
    }

    /// A step's metrics, as they come from the device: sums over its micro-batches or shards, in their
    /// order.
    fn metrics(&self, downloads: Vec<B::Download>) -> Result<Metrics> {
        let mut sums = [0.0; Metrics::LEN];
        for download in downloads {
            for (sum, number) in sums.iter_mut().zip(download.wait()?) {
                *sum += number;
            }
        }
        Ok(Metrics::new(self.vgg().config().task, sums))
    }

    /// Copies tensors to the host; `None` for those that are not kept.
    fn tensors(&mut self, set: Set) -> Result<Option<Params>> {
        self.network.start(set)?.map(Arriving::wait).transpose()
    }

    /// The logits of any number of images, `[n, classes]`, without dropout and by running statistics.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if images are not whole.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        self.network.logits(pixels, self.evaluated)
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

    /// Orders all that [`Trainer::restore`] and [`Trainer::restore_ema`] take to be copied, as it
    /// is now, without waiting: steps may follow while it is on its way.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn start_snapshot(&mut self) -> Result<Snapshot<B::Download>> {
        let mut moment = |moment| {
            let numbers = self.network.start(Set::Moment(moment))?;
            Ok((moment, numbers.expect("it is one of its optimiser's")))
        };
        let moments = self.recipe.optimizer.moments();
        let moments = moments.into_iter().map(&mut moment).collect::<Result<_>>()?;
        Ok(Snapshot {
            params: self.network.start(Set::Params)?.expect(HAS_PARAMS),
            moments,
            ema: self.network.start(Set::Ema)?,
        })
    }

    /// The parameters, and the running statistics with them, as they are now.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn params(&mut self) -> Result<Params> {
        Ok(self.tensors(Set::Params)?.expect(HAS_PARAMS))
    }

    /// The parameters' average (EMA) as it is now; `None` if the recipe keeps none.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn ema(&mut self) -> Result<Option<Params>> {
        self.tensors(Set::Ema)
    }

    /// Whether [`Trainer::logits`] is of the EMA instead of the parameters from now on, until the
    /// next step. Without an EMA it does nothing.
    pub fn set_ema_evaluated(&mut self, evaluated: bool) {
        self.evaluated = match evaluated && self.network.has(Set::Ema) {
            true => Weights::Ema,
            false => Weights::Last,
        };
    }

    /// Measures the EMA's running statistics by images of a training step, as they are moved in one; `is_first`
    /// starts them anew, as those of the weights.
    ///
    /// Averages of the weights' own statistics do not fit the averaged weights: these are smaller than those
    /// were, or larger while the weights shrink, and each layer takes what the one before gets wrong. PyTorch has
    /// `torch.optim.swa_utils.update_bn` for it. Without an EMA, or where nothing is normalised, it does nothing.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if images are not whole.
    pub fn measure_ema(&mut self, pixels: &[u8], is_first: bool) -> Result<()> {
        match self.measures_ema() {
            true => self.network.measure(pixels, is_first),
            false => Ok(()),
        }
    }

    /// Whether there is an EMA that has running statistics.
    pub fn measures_ema(&self) -> bool {
        self.network.has(Set::Ema) && self.vgg().config().batch_norm
    }

    /// What the optimiser keeps as it is now.
    ///
    /// # Errors
    /// What the backend returns.
    pub fn moments(&mut self) -> Result<Moments> {
        let mut moments = Moments::new();
        for moment in self.recipe.optimizer.moments() {
            moments.extend(self.tensors(Set::Moment(moment))?.map(|numbers| (moment, numbers)));
        }
        Ok(moments)
    }

    /// Goes on from another state, after `steps` steps. A velocity that is not among the moments starts
    /// as zeros.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if the tensors are another network's, or the moments another
    /// optimiser's.
    pub fn restore(&mut self, params: &Params, moments: &Moments, steps: u64) -> Result<()> {
        self.recipe.optimizer.check_moments(moments, steps)?;
        self.evaluated = Weights::Last;
        self.network.restore(params, moments)?;
        self.steps = steps;
        Ok(())
    }

    /// Goes on from this EMA: [`Trainer::restore`] starts it as the parameters.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if the tensors are another network's, or the recipe keeps no
    /// EMA.
    pub fn restore_ema(&mut self, ema: &Params) -> Result<()> {
        self.network.restore_ema(ema)
    }

    /// The network it trains.
    pub fn vgg(&self) -> &Vgg {
        self.network.vgg()
    }

    /// The commands and memory of a full batch, or of a micro-batch or shard if it passes in several.
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

/// Every network has parameters.
const HAS_PARAMS: &str = "every network keeps its parameters";

#[cfg(test)]
mod tests;
