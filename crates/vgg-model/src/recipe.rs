//! How a trainer goes from gradients to new weights.

use vgg_tensor::ranks::Shards;
use vgg_tensor::{Optimizer, Result};

use crate::group::is_within;
use crate::loss::Loss;
use crate::optimizer::Moment;
use crate::{AdamWConfig, Group, OptimizerConfig, ParamSpec, SgdConfig, Vgg, invalid};

/// How a [`crate::Trainer`] trains, besides what each step is given.
///
/// An [`OptimizerConfig`] becomes a recipe with nothing else to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Micro-batches of a batch: they pass through the network one after another. Their gradients
    /// add up to those of the batch, in memory for a micro-batch. At least one.
    pub micro_batches: usize,
    /// Shards of a batch, and which of them this rank computes. They pass through the network one after
    /// another, by themselves: each has its own statistics in batch normalisations. Their gradients are
    /// added in the order of a tree, so that results depend on how many shards there are, and not
    /// on how many ranks share them. With one, the whole batch, all is as without.
    pub shards: Shards,
    /// Limits the norm of all gradients together (`torch.nn.utils.clip_grad_norm_`).
    pub clip_norm: Option<f32>,
    /// What each step leaves of the average (EMA) of the weights, as 0.999, to be evaluated instead
    /// of the weights: after each step `ema = decay · ema + (1 − decay) · weight`.
    pub ema_decay: Option<f32>,
    /// The share of a target that all classes have ([`vgg_tensor::spec::SoftmaxCrossEntropy`]).
    pub label_smoothing: f32,
    /// How much each class counts in the loss, as `torch.nn.CrossEntropyLoss(weight)`; all the same if
    /// it is empty. A batch's loss is divided by the weights of its images' classes; if it is mixed, by
    /// its images, as PyTorch's is where targets are probabilities.
    pub class_weights: Vec<f32>,
    /// Whether labels may come with another class each ([`crate::Target::Mixed`]).
    pub mixes: bool,
    /// Whether parameters of one dimension, biases and what batch normalisations learn, decay like weights.
    pub decays_vectors: bool,
    /// Parameters with a rate or a weight decay of their own; each is in one group at most.
    pub groups: Vec<Group>,
    /// Parameters that stay as they are: those whose names begin with one of these, as `features`
    /// or `classifier.0`.
    pub freeze: Vec<String>,
    /// Whether [`crate::Trainer::gradients`] is asked between steps: its memory then is part of the
    /// plan, and there from the start.
    pub measures_gradients: bool,
}

impl From<SgdConfig> for Recipe {
    fn from(sgd: SgdConfig) -> Self {
        OptimizerConfig::from(sgd).into()
    }
}

impl From<AdamWConfig> for Recipe {
    fn from(adamw: AdamWConfig) -> Self {
        OptimizerConfig::from(adamw).into()
    }
}

impl From<OptimizerConfig> for Recipe {
    fn from(optimizer: OptimizerConfig) -> Self {
        Self {
            optimizer,
            micro_batches: 1,
            shards: Shards::ONE,
            clip_norm: None,
            ema_decay: None,
            label_smoothing: 0.0,
            class_weights: Vec::new(),
            mixes: false,
            decays_vectors: true,
            groups: Vec::new(),
            freeze: Vec::new(),
            measures_gradients: false,
        }
    }
}

impl Recipe {
    /// Checks the ranges, and that what is frozen is there.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Shape`] with the key, its value and what is allowed.
    ///
    /// ```
    /// use vgg_model::{Recipe, SgdConfig, Vgg, VggConfig};
    /// let vgg = Vgg::new(&VggConfig::default())?;
    /// let recipe = Recipe::from(SgdConfig::plain(0.05));
    /// assert!(recipe.check(&vgg).is_ok());
    /// let error = Recipe { freeze: vec!["feature.0".into()], ..recipe }.check(&vgg).unwrap_err();
    /// assert!(error.to_string().starts_with("freeze = feature.0, but it must be"));
    /// # Ok::<(), vgg_model::Error>(())
    /// ```
    pub fn check(&self, vgg: &Vgg) -> Result<()> {
        self.optimizer.check()?;
        if self.micro_batches == 0 {
            return Err(invalid("micro_batches", 0, "at least 1"));
        }
        if self.micro_batches > 1 && self.shards.count() > 1 {
            let allowed = "1 where there are shards, each of which passes by itself";
            return Err(invalid("micro_batches", self.micro_batches, allowed));
        }
        if let Some(norm) = self.clip_norm.filter(|norm| !(norm.is_finite() && *norm > 0.0)) {
            return Err(invalid("clip_norm", norm, "finite and above 0"));
        }
        if let Some(decay) = self.ema_decay.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(invalid("ema_decay", decay, "at least 0 and below 1"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(invalid("label_smoothing", self.label_smoothing, "at least 0 and below 1"));
        }
        if !vgg.config().task.is_classification() {
            self.check_boxes()?;
        }
        let (weights, classes) = (&self.class_weights, vgg.config().classes);
        if !weights.is_empty() && weights.len() != classes {
            let allowed = format!("{classes}, one a class");
            return Err(invalid("class_weights", weights.len(), &allowed));
        }
        if let Some(weight) = weights.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            return Err(invalid("class_weights", weight, "finite and above 0"));
        }
        let params = vgg.params();
        let is_of = |name: &str, prefix: &str| is_within(name, prefix);
        let missing = |prefix: &&String| !params.iter().any(|param| is_of(&param.name, prefix));
        if let Some(prefix) = self.freeze.iter().find(missing) {
            let first = params.first().map_or("", |param| param.name.as_str());
            let allowed = format!("how parameters' names begin, as in features or {first}");
            return Err(invalid("freeze", prefix, &allowed));
        }
        let trained = self.trained(vgg);
        if trained.iter().all(|trained| !trained) {
            return Err(invalid("freeze", self.freeze.join(", "), "less than all parameters"));
        }
        let mut free = vec![true; trained.len()];
        for group in &self.groups {
            group.check(vgg)?;
            let members = group.members(params);
            let any = |of: &[bool]| members.iter().zip(of).any(|(member, of)| *member && *of);
            let taken: Vec<bool> = free.iter().map(|free| !free).collect();
            if any(&taken) {
                return Err(invalid("groups.layers", &group.layers, "layers of no other group"));
            }
            if !any(&trained) {
                return Err(invalid("groups.layers", &group.layers, "layers that are not frozen"));
            }
            free.iter_mut().zip(&members).for_each(|(free, member)| *free &= !member);
        }
        Ok(())
    }

    /// Checks that there is nothing which boxes have no use for.
    fn check_boxes(&self) -> Result<()> {
        const REGRESSED: &str = "where boxes are regressed";
        if self.label_smoothing != 0.0 {
            return Err(invalid(
                "label_smoothing",
                self.label_smoothing,
                &format!("0 {REGRESSED}"),
            ));
        }
        if !self.class_weights.is_empty() {
            let allowed = format!("none {REGRESSED}");
            return Err(invalid("class_weights", self.class_weights.len(), &allowed));
        }
        if self.mixes {
            return Err(invalid("mixes", true, &format!("false {REGRESSED}")));
        }
        Ok(())
    }

    /// Of each parameter, what the optimiser is told and keeps.
    pub(crate) fn settings(&self, vgg: &Vgg) -> Vec<Optimizer<Moment>> {
        let mut own = vec![(1.0, None); vgg.params().len()];
        for group in &self.groups {
            let members = group.members(vgg.params());
            for (own, _) in own.iter_mut().zip(members).filter(|(_, member)| *member) {
                *own = (group.lr, group.weight_decay);
            }
        }
        let settings = |(param, (rate, decay)): (&ParamSpec, (f32, Option<f32>))| {
            let decays = self.decays_vectors || param.dims.len() > 1;
            self.optimizer.settings(rate, if decays { decay } else { Some(0.0) })
        };
        vgg.params().iter().zip(own).map(settings).collect()
    }

    /// Of each parameter, whether it is trained.
    pub(crate) fn trained(&self, vgg: &Vgg) -> Vec<bool> {
        let frozen = |name: &str| self.freeze.iter().any(|prefix| is_within(name, prefix));
        vgg.params().iter().map(|param| !frozen(&param.name)).collect()
    }

    /// Whether the gradients of fully connected weights, by far the largest, are applied as they are
    /// computed: nobody needs them as a whole.
    pub(crate) fn applies_at_once(&self) -> bool {
        self.micro_batches <= 1 && self.shards.count() == 1 && self.clip_norm.is_none()
    }

    /// The loss of a batch.
    pub(crate) fn loss(&self, plain: Loss, is_mixed: bool) -> Loss {
        let Loss::SoftmaxCrossEntropy(plain) = plain else { return plain };
        let loss = plain.with_smoothing(self.label_smoothing);
        let loss = if is_mixed { loss.mixed() } else { loss };
        let weighs = !self.class_weights.is_empty();
        Loss::SoftmaxCrossEntropy(if weighs { loss.weighted() } else { loss })
    }

    /// Images of a micro-batch, or of a shard, of a batch of so many images.
    pub fn micro_batch_of(&self, batch: usize) -> usize {
        batch.div_ceil(self.micro_batches.max(1) * self.shards.count())
    }
}
