//! What a network is trained by.

use vgg_tensor::spec::{BoxMetrics, EuclideanLoss, Metrics as ClassMetrics, SoftmaxCrossEntropy};
use vgg_tensor::{Command, In, Out, Result, Shape};

use crate::{Task, VggConfig};

/// The loss of a network's task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    SoftmaxCrossEntropy(SoftmaxCrossEntropy),
    Euclidean(EuclideanLoss),
}

impl Loss {
    /// That of `n` images.
    pub(crate) fn new(config: &VggConfig, n: usize) -> Result<Self> {
        match config.task.boxes(config.classes) {
            None => SoftmaxCrossEntropy::new(n, config.classes).map(Self::SoftmaxCrossEntropy),
            Some(boxes) => EuclideanLoss::new(n, boxes).map(Self::Euclidean),
        }
    }

    /// The shape of what the network gives.
    pub(crate) fn outputs(&self) -> Shape {
        match self {
            Self::SoftmaxCrossEntropy(spec) => spec.logits(),
            Self::Euclidean(spec) => spec.predicted(),
        }
    }

    /// Bytes of what the images' targets are on the device.
    pub(crate) fn target_bytes(&self) -> usize {
        match self {
            Self::SoftmaxCrossEntropy(spec) => spec.label_bytes(),
            Self::Euclidean(spec) => spec.target_bytes(),
        }
    }

    /// The command that computes it, what it reports, and the gradient of the outputs.
    pub(crate) fn command(self, outputs: In, targets: In, metrics: Out, doutputs: Out) -> Command {
        match self {
            Self::SoftmaxCrossEntropy(spec) => Command::SoftmaxCrossEntropy {
                spec,
                logits: outputs,
                labels: targets,
                metrics,
                dlogits: doutputs,
            },
            Self::Euclidean(spec) => Command::EuclideanLoss {
                spec,
                predicted: outputs,
                targets,
                metrics,
                dpredicted: doutputs,
            },
        }
    }
}

/// What a training step reports of its batch: sums over the images that count ([`crate::Target::counted`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Of the losses.
    pub loss_sum: f32,
    /// How good the network is at its task.
    pub score: Score,
}

/// How good a network is at its task: sums over the images of a batch that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// Of [`Task::Classification`].
    Classes {
        /// Images whose true class has the highest logit.
        top1: f32,
        /// Images whose true class is among the five highest logits.
        top5: f32,
    },
    /// Of [`Task::Localisation`].
    Boxes {
        /// Images whose box has an intersection over union with the true one above ½.
        right: f32,
        /// Of the intersection over union, from 0 to 1.
        iou_sum: f32,
    },
}

impl Metrics {
    /// Numbers that a loss reports, whatever the task.
    pub(crate) const LEN: usize = ClassMetrics::LEN;

    /// From what the loss of a task reports.
    pub(crate) fn new(task: Task, numbers: [f32; Self::LEN]) -> Self {
        match task {
            Task::Classification => {
                let ClassMetrics { loss_sum, top1, top5 } = ClassMetrics::from_array(numbers);
                Self { loss_sum, score: Score::Classes { top1, top5 } }
            }
            Task::Localisation { .. } => {
                let BoxMetrics { loss_sum, right, iou_sum } = BoxMetrics::from_array(numbers);
                Self { loss_sum, score: Score::Boxes { right, iou_sum } }
            }
        }
    }

    /// Images that the network is right about.
    pub fn right(&self) -> f32 {
        match self.score {
            Score::Classes { top1, .. } => top1,
            Score::Boxes { right, .. } => right,
        }
    }
}

const _: () = assert!(ClassMetrics::LEN == BoxMetrics::LEN);
