//! The arithmetic of running a network on batches of some size.

mod factors;
pub(crate) mod program;
mod rows;

use vgg_tensor::ranks::Tree;
use vgg_tensor::spec::{Linear, Normalize, PrepareImages, WeightType};
use vgg_tensor::{Backend, Command, Content, Program, Result, Shape};

use crate::loss::Loss;
use crate::placement::Placement;
use crate::{Input, Metrics, Recipe, Target, Vgg, invalid};
use program::{MicroBatch, NetworkProgram, Place, Shard, Weights, Work, sums};

pub use rows::Row;

/// What a plan is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// The forward pass alone.
    Infer {
        /// How the fully connected layers' weights are stored.
        linear_weights: WeightType,
    },
    /// Forward, backward and the optimiser.
    Train(Recipe),
}

impl Mode {
    /// How it stores fully connected weights. In training they are what is updated: `f32`.
    pub(crate) fn linear_weights(&self) -> WeightType {
        match self {
            Mode::Infer { linear_weights } => *linear_weights,
            Mode::Train(_) => WeightType::F32,
        }
    }

    /// A parameter as it stores it.
    fn stored(&self, param: Content) -> Content {
        match param {
            Content::LinearWeight { out_features, c, h, w, .. } => {
                let weight_type = self.linear_weights();
                Content::LinearWeight { out_features, c, h, w, weight_type }
            }
            other => other,
        }
    }
}

/// Every command and every buffer of running a network on batches of one size.
///
/// A 2×2 max-pool that follows a convolution with ReLU is fused into it, and sigmoids and dropout
/// work in place, so none of these has a buffer. What does nothing is no command: dropout of nothing,
/// and an average pool of maps that have its output's size. In inference a batch normalisation is
/// part of the convolution before it, whose parameters have to be those of both.
///
/// Buffers that are never needed at the same time share memory. Plans of the same network, input and
/// mode share it alike whatever their batch, so a short last batch runs in the memory of the full one.
///
/// ```
/// use vgg_model::{Input, Mode, Plan, SgdConfig, Vgg, VggConfig, WeightType};
/// let vgg = Vgg::new(&VggConfig::default())?;
/// let input = Input::unnormalized(3, 256, 256);
/// let bytes = |mode| Plan::new(&vgg, &input, 1, mode).map(|plan| plan.bytes());
/// let halves = bytes(Mode::Infer { linear_weights: WeightType::F16 })?;
/// let infer = bytes(Mode::Infer { linear_weights: WeightType::F32 })?;
/// assert!(halves < infer && infer < bytes(Mode::Train(SgdConfig::plain(0.05).into()))?);
/// # Ok::<(), vgg_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In inference without batch normalisations.
    pub(crate) vgg: Vgg,
    pub(crate) batch: usize,
    /// Images in a full batch, of which a plan is that has fewer.
    pub(crate) full: usize,
    pub(crate) mode: Mode,
    pub(crate) prepare: PrepareImages,
    pub(crate) normalize: Normalize,
    /// The loss of a batch whose images are not mixed; none in inference.
    loss: Option<Loss>,
    /// Weights and biases in the order of [`Vgg::params`], as the mode stores them.
    pub(crate) params: Vec<Content>,
    /// Running statistics in the order of [`Vgg::state`]; none in inference.
    pub(crate) state: Vec<Content>,
    /// Of each parameter, the product that is its gradient over all shards' images, if it is computed so.
    factors: Vec<Option<Linear>>,
    /// What a full batch runs; what takes most memory comes first.
    programs: Vec<(Work, NetworkProgram)>,
}

impl Plan {
    /// A plan for batches of `batch` images: of micro-batches, if the recipe has several.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] if `batch` is zero, if the images have other channels than the
    /// network, or if something would be too large.
    pub fn new(vgg: &Vgg, input: &Input, batch: usize, mode: Mode) -> Result<Self> {
        Self::of_fewer(vgg, input, [batch; 2], mode)
    }

    /// A plan for `batch` images in the memory of a `full` batch.
    pub(crate) fn of_fewer(
        vgg: &Vgg,
        input: &Input,
        [batch, full]: [usize; 2],
        mode: Mode,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(invalid("batch size", batch, "at least 1"));
        }
        let vgg = match mode {
            Mode::Infer { .. } => vgg.folded(),
            Mode::Train(_) => vgg.clone(),
        };
        let [channels, h, w] = vgg.config().input;
        let normalize = input.normalize(channels)?;
        let source = Shape::new(batch, channels, input.height, input.width);
        let prepare = PrepareImages::new(source, h, w).map_err(|e| e.in_layer("images"))?;
        let loss = match mode {
            Mode::Infer { .. } => None,
            Mode::Train(_) => Some(Loss::new(vgg.config(), batch)?),
        };
        let params: Vec<Content> = vgg.params().iter().map(|p| mode.stored(p.content)).collect();
        let factors = match &mode {
            Mode::Infer { .. } => vec![None; params.len()],
            Mode::Train(recipe) => {
                let all = full.saturating_mul(recipe.shards.count());
                factors::factors(recipe, &params, &recipe.trained(&vgg), all)?
            }
        };
        let mut plan = Self {
            batch,
            full,
            prepare,
            normalize,
            loss,
            params,
            factors,
            state: vgg.state().iter().map(|p| p.content).collect(),
            programs: Vec::new(),
            vgg,
            mode,
        };
        let programs = plan.works().into_iter().map(|work| Ok((work, plan.program_of(work, 0)?)));
        plan.programs = programs.collect::<Result<_>>()?;
        Ok(plan)
    }

    /// Images in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// What it is for.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// What is computed for a batch: a training step, with the update, if it is a plan for training,
    /// or else the forward pass.
    ///
    /// ```
    /// use vgg_model::{Input, Mode, Plan, Vgg, VggConfig, WeightType};
    /// let vgg = Vgg::new(&VggConfig::default())?;
    /// let mode = Mode::Infer { linear_weights: WeightType::F32 };
    /// let plan = Plan::new(&vgg, &Input::unnormalized(3, 256, 256), 32, mode)?;
    /// let macs: u64 = plan.program().commands().map(|command| command.macs()).sum();
    /// assert_eq!(macs, 32 * vgg.macs());
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn program(&self) -> &Program {
        &self.programs[0].1.program
    }

    /// Bytes of all buffers together. What a backend needs beside them (packed weights, workspace)
    /// is not counted, nor what [`crate::Trainer::gradients`] adds to a trainer's where its recipe
    /// does not say that it is asked.
    pub fn bytes(&self) -> u64 {
        self.sum(|content| content.bytes() as u64)
    }

    /// Bytes of device memory that a backend takes: all buffers, and what the commands take besides
    /// as far as it is known.
    pub fn bytes_on(&self, backend: &impl Backend) -> u64 {
        // Tests are forward passes, too; those of the EMA are of parameters of their own. Gradients
        // that are measured are stored, which a step's need not be.
        let has_own =
            |work: &Work| matches!(work, Work::Logits(Weights::Ema) | Work::Gradients { .. });
        let (first, others) = (&self.programs[..1], &self.programs[1..]);
        let programs = first.iter().chain(others.iter().filter(|(work, _)| has_own(work)));
        let programs: Vec<&Program> = programs.map(|(_, program)| &program.program).collect();
        self.sum(|content| backend.bytes(content)) + backend.workspace(&programs)
    }

    /// What a full batch runs, what takes most memory first.
    #[cfg(test)]
    pub(crate) fn programs(&self) -> &[(Work, NetworkProgram)] {
        &self.programs
    }

    /// Passes if no command is too large for a backend, however much memory there is.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Unavailable`], saying what is too large.
    pub fn check_on(&self, backend: &impl Backend) -> Result<()> {
        let mut commands = self.programs.iter().flat_map(|(_, program)| program.program.commands());
        commands.try_for_each(|command: &Command| backend.check_size(command))
    }

    fn sum(&self, bytes: impl Fn(Content) -> u64) -> u64 {
        let kept = self.kept().into_iter().map(|place| bytes(self.content(place)));
        kept.sum::<u64>() + self.shared(&bytes).iter().sum::<u64>()
    }

    /// Bytes of each memory that buffers share, the largest first, with room for each of its programs.
    pub(crate) fn shared(&self, bytes: &impl Fn(Content) -> u64) -> Vec<u64> {
        let mut shared = Vec::new();
        for (_, program) in &self.programs {
            let sizes = Placement::new(&program.program, bytes).sizes;
            shared.resize(sizes.len().max(shared.len()), 0);
            for (room, size) in shared.iter_mut().zip(sizes) {
                *room = size.max(*room);
            }
        }
        shared
    }

    /// The lines of a summary: input, layers, and what the layers share.
    pub fn rows(&self) -> Vec<Row> {
        rows::rows(self)
    }

    /// What a full batch is run for. What takes most memory comes first.
    fn works(&self) -> Vec<Work> {
        let Mode::Train(recipe) = &self.mode else {
            return vec![Work::Logits(Weights::Last)];
        };
        let batch = self.batch * recipe.micro_batches;
        let step = |index, is_last| {
            Work::Step(MicroBatch { index, batch, is_last, is_mixed: recipe.mixes })
        };
        let mut works = vec![step(recipe.micro_batches - 1, true)];
        if recipe.micro_batches > 1 {
            works.push(step(0, false));
        }
        if recipe.shards.count() > 1 {
            works = self.shards(recipe);
        }
        works.push(Work::Logits(Weights::Last));
        if recipe.ema_decay.is_some() {
            works.push(Work::Logits(Weights::Ema));
            works.extend((!self.state.is_empty()).then_some(Work::Measurement { is_first: true }));
        }
        let gradients = Work::Gradients { is_mixed: recipe.mixes };
        works.extend(recipe.measures_gradients.then_some(gradients));
        works
    }

    /// What a step is whose batch is cut into shards: one that is added to others at once, if there is
    /// one, and one that is not, and what follows them.
    fn shards(&self, recipe: &Recipe) -> Vec<Work> {
        let (shards, is_mixed) = (recipe.shards, recipe.mixes);
        let (present, batch) = (shards.count(), self.full * shards.count());
        let additions = Tree::new(present, present).additions(shards.own());
        let first = |adds: bool| additions.iter().find(|(_, count)| (*count > 0) == adds);
        let kinds = [first(true), first(false)].into_iter().flatten();
        let shard = |(index, _): &(usize, usize)| {
            Work::Shard(Shard { index: *index, batch, present, is_mixed, begins: false })
        };
        kinds.map(shard).chain([Work::Update { batch, begun: false }]).collect()
    }

    /// The same work of a batch in which all shards are full.
    pub(crate) fn in_whole_batch(&self, work: Work) -> Work {
        match (work, &self.mode) {
            (Work::Shard(shard), Mode::Train(recipe)) => {
                Work::Shard(Shard { batch: self.full * recipe.shards.count(), ..shard })
            }
            _ => work,
        }
    }

    /// What is computed for some work. `seed` is dropout's.
    pub(crate) fn program_of(&self, work: Work, seed: u64) -> Result<NetworkProgram> {
        NetworkProgram::new(self, work, seed)
    }

    /// What each place holds that programs share by name.
    pub(crate) fn content(&self, place: Place) -> Content {
        match place {
            Place::Pixels => Content::Bytes(self.prepare.source().len()),
            Place::Targets => Content::Bytes(self.loss(self.mixes()).target_bytes()),
            Place::Metrics | Place::ShardMetrics(_) => Content::Vector(Metrics::LEN),
            Place::Logits | Place::LogitsGradient | Place::Maps | Place::MapsGradient => {
                Content::Maps(self.maps(place, self.batch))
            }
            Place::Param(i)
            | Place::Moment(_, i)
            | Place::Gradient(i)
            | Place::Sum(_, i)
            | Place::Ema(i) => self.params[i],
            Place::FactorInputs(i) => Content::Maps(self.of_factors(i).x()),
            Place::FactorSums(i) => Content::Maps(self.of_factors(i).y()),
            Place::NoAux => Content::Bytes(0),
            Place::State(i) | Place::EmaState(i) | Place::ShardState(_, i) => self.state[i],
            Place::Own => panic!("nobody else knows it"),
        }
    }

    /// The product that is a parameter's gradient, which is computed so.
    fn of_factors(&self, i: usize) -> Linear {
        self.factors[i].expect("a place of a product's factors")
    }

    /// The loss of a batch, of a plan that trains.
    pub(crate) fn loss(&self, is_mixed: bool) -> Loss {
        match (&self.mode, self.loss) {
            (Mode::Train(recipe), Some(loss)) => recipe.loss(loss, is_mixed),
            _ => panic!("the plan is one for training"),
        }
    }

    /// Whether images may be mixed.
    fn mixes(&self) -> bool {
        matches!(&self.mode, Mode::Train(recipe) if recipe.mixes)
    }

    /// What is in a place that holds maps, of `n` images.
    pub(crate) fn maps(&self, place: Place, n: usize) -> Shape {
        let of_one = match place {
            Place::Maps | Place::MapsGradient => {
                let after_maps = self.vgg.after_last_maps().expect("a program has them");
                self.vgg.layer_inputs()[after_maps]
            }
            _ => self.vgg.output(),
        };
        Shape { n, ..of_one }
    }

    /// The places that have memory of their own from run to run.
    pub(crate) fn kept(&self) -> Vec<Place> {
        let mut kept = vec![Place::Metrics, Place::Logits];
        let params = || 0..self.params.len();
        let state = || 0..self.state.len();
        kept.extend(params().map(Place::Param));
        kept.extend(state().map(Place::State));
        if let Mode::Train(recipe) = &self.mode {
            for moment in recipe.optimizer.moments() {
                kept.extend(params().map(|i| Place::Moment(moment, i)));
            }
            if recipe.micro_batches > 1 || recipe.shards.count() > 1 {
                let trained = self.trained();
                for sum in 0..sums(recipe.shards) {
                    let added = |i: &usize| trained[*i] && !self.is_of_factors(*i);
                    kept.extend(params().filter(added).map(|i| Place::Sum(sum, i)));
                }
            }
            let of_factors = || params().filter(|i| self.factors[*i].is_some());
            kept.extend(of_factors().map(Place::FactorInputs));
            kept.extend(of_factors().map(Place::FactorSums));
            kept.extend(of_factors().next().map(|_| Place::NoAux));
            if recipe.shards.count() > 1 {
                for shard in 0..recipe.shards.count() {
                    kept.push(Place::ShardMetrics(shard));
                    kept.extend(state().map(|i| Place::ShardState(shard, i)));
                }
            }
            if recipe.ema_decay.is_some() {
                kept.extend(params().map(Place::Ema));
                kept.extend(state().map(Place::EmaState));
            }
            if recipe.measures_gradients {
                kept.extend(params().map(Place::Gradient));
            }
        }
        kept
    }

    /// Writes what goes up for the targets of images, whose losses are divided by `divisor` where not by
    /// their number.
    pub(crate) fn write_targets(&self, target: Target<'_>, divisor: f32, bytes: &mut Vec<u8>) {
        let class_weights = match &self.mode {
            Mode::Train(recipe) => &recipe.class_weights[..],
            Mode::Infer { .. } => &[],
        };
        target.write(self.vgg.config().task, class_weights, divisor, bytes);
    }

    /// Of each parameter, whether it is trained.
    pub fn trained(&self) -> Vec<bool> {
        match &self.mode {
            Mode::Train(recipe) => recipe.trained(&self.vgg),
            Mode::Infer { .. } => vec![false; self.params.len()],
        }
    }

    /// Whether a parameter is a fully connected layer's.
    pub(crate) fn is_linear(&self, i: usize) -> bool {
        // Each has a weight and a bias.
        matches!(self.params[i / 2 * 2], Content::LinearWeight { .. })
    }

    /// The layer that a parameter belongs to.
    pub(crate) fn layer_of_param(&self, i: usize) -> &str {
        layer(&self.vgg.params()[i].name)
    }

    /// The layer that a running statistic belongs to.
    fn layer_of_state(&self, i: usize) -> &str {
        layer(&self.vgg.state()[i].name)
    }
}

/// A tensor's name without its last word.
fn layer(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _)| layer)
}

#[cfg(test)]
mod tests;
