//! The keys of a config file, and their defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use vgg_model::{Arch, Copying, Regression};

use super::best::{BestBy, EarlyStop};
use super::class_weights::ClassWeights;
use super::data::Data;
use super::device::Device;

/// A run's settings. The tables are those of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Names the run folder; the config file's name if left out.
    pub name: String,
    /// A config that is done sooner, named where this run will take long.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub quicker: String,
    pub model: Model,
    pub init: Init,
    pub data: Data,
    pub train: Train,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub checkpoint: Checkpoint,
    pub guard: Guard,
    pub report: Report,
    pub device: Device,
}

impl Config {
    /// All keys that have a value, with their tables, as `train.epochs`.
    pub(crate) fn settings(&self) -> Vec<(String, Value)> {
        let table = Table::try_from(self).expect("a config is a table of plain values");
        let mut settings = vec![];
        flatten("", table, &mut settings);
        settings
    }
}

fn flatten(path: &str, table: Table, settings: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let key = format!("{path}{key}");
        match value {
            Value::Table(table) => flatten(&format!("{key}."), table, settings),
            value => settings.push((key, value)),
        }
    }
}

/// The network. Its input channels and classes are the data set's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Model {
    pub arch: Arch,
    /// What it says of an image.
    #[serde(skip_serializing_if = "TaskName::is_default")]
    pub task: TaskName,
    /// For `task = "localisation"`: whether there is a box a class, or one for all; a box a class if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<Regression>,
    /// Multiplies the channels of the convolutions.
    pub width: f64,
    /// Side of the square that images are resized to.
    pub image_size: usize,
    /// Whether a batch normalisation follows each convolution of a VGG.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch_norm: bool,
    /// Side of the maps that the last ones are averaged to; they stay as they are if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_pool: Option<usize>,
    /// Width of the hidden fully connected layers.
    pub fc_width: usize,
    /// How many there are.
    pub fc_hidden: usize,
    /// Share of the hidden fully connected outputs dropped in training.
    pub dropout: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            arch: Arch::Vgg11,
            task: TaskName::Classification,
            boxes: None,
            width: 1.0,
            image_size: 224,
            batch_norm: false,
            avg_pool: None,
            fc_width: 4096,
            fc_hidden: 2,
            dropout: 0.5,
        }
    }
}

/// What a network says of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskName {
    /// Which class it is of.
    #[default]
    Classification,
    /// Where the object of its class is.
    Localisation,
}

impl TaskName {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The weights before the first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Init {
    pub weights: Weights,
    /// Standard deviation, for `weights = "normal"`.
    pub std: f64,
    pub biases: Biases,
    /// A run, a checkpoint, or weights that are known by name, whose network's weights replace them
    /// where they fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// The SHA-256 of the file of weights that are known by name. The program notes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_sha256: Option<String>,
    /// Which layers they replace.
    pub copying: Copying,
}

impl Default for Init {
    fn default() -> Self {
        Self {
            weights: Weights::XavierUniform,
            std: 0.01,
            biases: Biases::Torch,
            from: None,
            from_sha256: None,
            copying: Copying::All,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Weights {
    XavierUniform,
    KaimingNormal,
    KaimingUniform,
    Normal,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Biases {
    /// Uniform within ±1/√fan_in, PyTorch's default.
    Torch,
    Zeros,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Train {
    pub epochs: u64,
    pub batch_size: usize,
    /// Micro-batches of a batch: they pass through the network one after another, in memory for one.
    pub accumulate: usize,
    /// Shards of a batch, which ranks may share: they pass through the network by themselves.
    pub shards: usize,
    /// What all classes together have of an image's target.
    pub label_smoothing: f64,
    /// How much each class counts in the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// By which score of its test the best epoch is chosen.
    pub best_by: BestBy,
    /// Ends training that does not get better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// Minutes of epochs after which training ends, though fewer are done.
    pub max_minutes: Option<f64>,
    /// Decides the initial weights, the order of the images and the dropout.
    pub seed: u64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            accumulate: 1,
            shards: 1,
            label_smoothing: 0.0,
            class_weights: None,
            best_by: BestBy::Accuracy,
            early_stop: None,
            max_minutes: None,
            seed: 0,
        }
    }
}

/// From gradients to weights, as `torch.optim.SGD` or `torch.optim.AdamW`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Optimizer {
    pub kind: OptimizerKind,
    pub lr: f64,
    /// For `kind = "sgd"`, with `nesterov`.
    pub momentum: f64,
    pub weight_decay: f64,
    /// What decays.
    pub decay: Decaying,
    pub nesterov: bool,
    /// For `kind = "adamw"`: what a step leaves of the mean of gradients and of that of their squares;
    /// PyTorch's if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 2]>,
    /// For `kind = "adamw"`: what is added to the root of the mean of squares; PyTorch's if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Limits the norm of all gradients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What a step leaves of the weights' average (EMA), which is evaluated instead of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_decay: Option<f64>,
    /// How the names of parameters begin that stay as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Layers with settings of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// The parameters that decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decaying {
    All,
    /// Not biases, nor what batch normalisations learn.
    Weights,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OptimizerKind {
    Sgd,
    Adamw,
}

impl OptimizerKind {
    /// As in configs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Adamw => "adamw",
        }
    }
}

/// Layers, and what the optimiser does otherwise with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// How the names of their parameters begin, or from one such name to another, as in
    /// `features.0..features.10`.
    pub layers: String,
    /// Multiplies the learning rate.
    #[serde(default = "one")]
    pub lr: f64,
    /// Instead of the optimiser's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            lr: 0.05,
            momentum: 0.0,
            weight_decay: 0.0,
            decay: Decaying::All,
            nesterov: false,
            betas: None,
            eps: None,
            clip_norm: None,
            average_decay: None,
            freeze: Vec::new(),
            groups: Vec::new(),
        }
    }
}

/// The learning rate over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Schedule {
    pub kind: ScheduleKind,
    /// Steps over which the rate rises from zero.
    pub warmup_steps: u64,
    /// The same as a share of the run's steps.
    pub warmup_share: f64,
    /// For `kind = "step"`: the rate changes after each so many epochs …
    pub every_epochs: u64,
    /// For `kind = "plateau"`: after so many epochs without a score better than the best before …
    pub patience: u64,
    /// … by this factor.
    pub factor: f64,
    /// For `kind = "cosine"`: the rate at the end.
    pub min_lr: f64,
    /// For `kind = "one-cycle"`: the share of the steps in which it rises.
    pub rise: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Constant,
            warmup_steps: 0,
            warmup_share: 0.0,
            every_epochs: 30,
            patience: 3,
            factor: 0.1,
            min_lr: 0.0,
            rise: 0.3,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScheduleKind {
    Constant,
    Step,
    Cosine,
    OneCycle,
    Plateau,
}

/// When the state of the run is saved, besides at the end of each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Checkpoint {
    pub every_minutes: f64,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every_minutes: 10.0 }
    }
}

/// What to do when training does not learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Guard {
    pub flat_loss: FlatLoss,
}

impl Default for Guard {
    fn default() -> Self {
        Self { flat_loss: FlatLoss::Warn }
    }
}

/// What to do about a loss that stays at that of guessing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FlatLoss {
    Off,
    Warn,
    Stop,
}

/// What is written of a run besides its own files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Report {
    /// Whether a run that is finished leaves `report.html` and `mistakes.png`.
    pub page: bool,
    /// Whether there are event files for TensorBoard.
    pub tensorboard: bool,
    /// Whether records of epochs have the norm of all gradients together.
    pub gradient_norm: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self { page: true, tensorboard: false, gradient_norm: false }
    }
}

impl Report {
    /// Whether the norms of weights and gradients are shown, which take memory and time.
    pub(crate) fn shows_norms(&self) -> bool {
        self.tensorboard || self.gradient_norm
    }
}
