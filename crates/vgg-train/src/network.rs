//! From the words of a config to those of `vgg-model`.

use vgg_data::fashion_mnist;
use vgg_model::{BiasInit, Decay, Init, Input, SgdConfig, VggConfig, WeightInit};

use crate::config::{Biases, Config, DatasetName, ScheduleKind, Weights};

impl DatasetName {
    /// Channels, height and width of its images.
    pub(crate) fn image_shape(self) -> [usize; 3] {
        match self {
            DatasetName::FashionMnist | DatasetName::FashionMnistSample => {
                [1, fashion_mnist::SIDE, fashion_mnist::SIDE]
            }
        }
    }

    fn classes(self) -> usize {
        match self {
            DatasetName::FashionMnist | DatasetName::FashionMnistSample => {
                fashion_mnist::CLASSES.len()
            }
        }
    }
}

impl Config {
    /// The network. It follows from the config alone, before any data are there.
    pub(crate) fn vgg(&self) -> VggConfig {
        let [channels, ..] = self.data.dataset.image_shape();
        VggConfig {
            arch: self.model.arch,
            width: self.model.width,
            input: [channels, self.model.image_size, self.model.image_size],
            batch_norm: self.model.batch_norm,
            avg_pool: self.model.avg_pool,
            classes: self.data.dataset.classes(),
            fc_width: self.model.fc_width,
            dropout: self.model.dropout as f32,
        }
    }

    /// The images that arrive.
    pub(crate) fn input(&self) -> Input {
        let [channels, height, width] = self.data.dataset.image_shape();
        let numbers = |values: &[f64]| values.iter().map(|x| *x as f32).collect();
        let (mean, std) = (numbers(&self.data.mean), numbers(&self.data.std));
        Input { channels, height, width, mean, std }
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

    /// The optimiser.
    pub(crate) fn sgd(&self) -> SgdConfig {
        SgdConfig {
            lr: self.optimizer.lr as f32,
            momentum: self.optimizer.momentum as f32,
            weight_decay: self.optimizer.weight_decay as f32,
            nesterov: self.optimizer.nesterov,
        }
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
            },
            warmup_steps: schedule.warmup_steps,
        }
    }
}
