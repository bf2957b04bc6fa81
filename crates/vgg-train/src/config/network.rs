//! From the words of a config to those of `vgg-model`.

use vgg_data::Decoding;
use vgg_model::{
    AdamWConfig, BiasInit, Decay, Init, Input, OptimizerConfig, Recipe, SgdConfig, Task, VggConfig,
    WeightInit,
};

use vgg_tensor::ranks::Shards;

use super::keys::{
    Biases, Config, Decaying, Group, Model, Optimizer, OptimizerKind, ScheduleKind, TaskName,
    Weights,
};

impl Model {
    /// What the network says of an image.
    pub(crate) fn task(&self) -> Task {
        match self.task {
            TaskName::Classification => Task::Classification,
            TaskName::Localisation => Task::Localisation { boxes: self.boxes.unwrap_or_default() },
        }
    }
}

impl Config {
    /// The network. It follows from the config alone, in which the classes of an image folder are
    /// noted.
    pub(crate) fn vgg(&self) -> VggConfig {
        let side = self.model.image_size;
        let [channels, ..] = self.data.image_shape(side);
        VggConfig {
            arch: self.model.arch.clone(),
            width: self.model.width,
            input: [channels, side, side],
            batch_norm: self.model.batch_norm,
            avg_pool: self.model.avg_pool,
            classes: self.data.class_names().len(),
            task: self.model.task(),
            fc_width: self.model.fc_width,
            fc_hidden: self.model.fc_hidden,
            dropout: self.model.dropout as f32,
        }
    }

    /// The images that arrive.
    pub(crate) fn input(&self) -> Input {
        let [channels, height, width] = self.data.image_shape(self.model.image_size);
        let numbers = |values: &[f64]| match values {
            [one] => vec![*one as f32; channels],
            _ => values.iter().map(|x| *x as f32).collect(),
        };
        let (mean, std) = (numbers(&self.data.mean), numbers(&self.data.std));
        let short_side = self.data.short_side_of_network(self.model.image_size);
        let Decoding { turned, background, scaled, .. } = self.data.decoding();
        Input { channels, height, width, mean, std, short_side, turned, background, scaled }
    }

    /// The weights before the first step.
    pub(crate) fn init(&self) -> Init {
        Init {
            weights: match self.init.weights {
                Weights::XavierUniform => WeightInit::XavierUniform,
                Weights::KaimingNormal => WeightInit::KaimingNormal,
                Weights::KaimingUniform => WeightInit::KaimingUniform,
                Weights::Normal => WeightInit::Normal { std: self.init.std as f32 },
            },
            biases: match self.init.biases {
                Biases::Torch => BiasInit::Torch,
                Biases::Zeros => BiasInit::Zeros,
            },
        }
    }

    /// From gradients to weights, where the training images have these `labels`: none where they are
    /// not read, and all balanced weights of classes are then 1.
    pub(crate) fn recipe(&self, labels: &[u32]) -> Recipe {
        let (train, optimizer) = (&self.train, &self.optimizer);
        let classes = self.data.class_names().len();
        let class_weights = train.class_weights.as_ref();
        let class_weights = class_weights.map(|weights| weights.of(classes, labels));
        Recipe {
            optimizer: optimizer.config(),
            micro_batches: train.accumulate,
            shards: self.shards(),
            clip_norm: optimizer.clip_norm.map(|norm| norm as f32),
            ema_decay: optimizer.average_decay.map(|decay| decay as f32),
            label_smoothing: train.label_smoothing as f32,
            class_weights: class_weights.unwrap_or_default(),
            mixes: self.data.augment.mixup > 0.0 || self.data.augment.cutmix > 0.0,
            decays_vectors: optimizer.decay == Decaying::All,
            groups: optimizer.groups.iter().map(group).collect(),
            freeze: optimizer.freeze.clone(),
            measures_gradients: self.report.shows_norms(),
        }
    }

    /// The shards of a batch, in the hands of one rank.
    pub(crate) fn shards(&self) -> Shards {
        Shards::new(self.train.shards, 0, 1).expect("train.shards has been checked")
    }

    /// The learning rate over time.
    pub(crate) fn schedule(&self) -> vgg_model::Schedule {
        let schedule = &self.schedule;
        vgg_model::Schedule {
            decay: match schedule.kind {
                ScheduleKind::Constant => Decay::Constant,
                ScheduleKind::Step => Decay::Step {
                    every_epochs: schedule.every_epochs,
                    factor: schedule.factor as f32,
                },
                ScheduleKind::Cosine => Decay::Cosine { min_lr: schedule.min_lr as f32 },
                ScheduleKind::OneCycle => Decay::OneCycle { rise: schedule.rise as f32 },
                ScheduleKind::Plateau => {
                    Decay::Plateau { patience: schedule.patience, factor: schedule.factor as f32 }
                }
            },
            warmup_steps: schedule.warmup_steps,
            warmup_share: schedule.warmup_share as f32,
        }
    }
}

impl Optimizer {
    fn config(&self) -> OptimizerConfig {
        let (lr, weight_decay) = (self.lr as f32, self.weight_decay as f32);
        match self.kind {
            OptimizerKind::Sgd => {
                let (momentum, nesterov) = (self.momentum as f32, self.nesterov);
                SgdConfig { lr, momentum, weight_decay, nesterov }.into()
            }
            OptimizerKind::Adamw => {
                let usual = AdamWConfig::usual(lr);
                let betas = self.betas.unwrap_or(usual.betas);
                let eps = self.eps.map_or(usual.eps, |eps| eps as f32);
                AdamWConfig { lr, betas, eps, weight_decay }.into()
            }
        }
    }
}

fn group(Group { layers, lr, weight_decay }: &Group) -> vgg_model::Group {
    let weight_decay = weight_decay.map(|decay| decay as f32);
    vgg_model::Group { layers: layers.clone(), lr: *lr as f32, weight_decay }
}
