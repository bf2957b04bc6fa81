//! A training step as the operations it was made of, each with the layer it belongs to.

use std::fmt;
use std::time::Duration;

use vgg_model::Trainer;
use vgg_tensor::profile::{Event, Operation};
use vgg_tensor::{Backend, Content};

/// A step that was timed. All steps of a run have the same calls.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// By the clock of the calls.
    pub start: Duration,
    pub duration: Duration,
    pub calls: Vec<Call>,
}

/// An operation of a step.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub pass: Pass,
    /// torchvision's name, or `images` for what prepares them, `logits` for the loss, `gradients` and
    /// `averages` for what is done to all of them, and `batch` and `metrics` for what is copied to and
    /// from the device.
    pub layer: String,
    pub event: Event,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Transfer,
    Forward,
    Loss,
    Backward,
    Update,
}

impl Pass {
    pub(super) const ALL: [Self; 5] =
        [Self::Transfer, Self::Forward, Self::Loss, Self::Backward, Self::Update];
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Transfer => "transfer",
            Self::Forward => "forward",
            Self::Loss => "loss",
            Self::Backward => "backward",
            Self::Update => "update",
        })
    }
}

/// The names that a step's operations have, in the order of the forward pass and of the update.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The images, then the layers.
    forward: Vec<String>,
    /// The parameters, each with its layer.
    params: Vec<(Content, String)>,
}

impl Names {
    pub(super) fn of<B: Backend>(trainer: &Trainer<B>) -> Self {
        let operations = trainer.plan().rows().iter().filter(|row| row.output.is_some());
        let params = trainer.vgg().params().iter();
        let layer = |param: &str| param.rsplit_once('.').map_or(param, |(layer, _)| layer).into();
        Self {
            forward: operations.map(|row| row.name.clone()).collect(),
            params: params.map(|param| (param.content, layer(&param.name))).collect(),
        }
    }

    /// Names what a step did. Its specs do not tell layers of one shape apart; its order does: the
    /// plan's, the loss, the plan's reversed, for each part of the batch, and the parameters'.
    pub(super) fn give(&self, events: &[Event]) -> Vec<Call> {
        let (mut forward, mut params) = (self.forward.iter(), self.params.iter());
        let mut backward = self.forward.iter().rev();
        let (mut seen_loss, mut seen_update) = (false, false);
        let mut call = |event: &Event| {
            if matches!(event.operation, Operation::PrepareImages(_)) {
                (forward, backward) = (self.forward.iter(), self.forward.iter().rev());
                seen_loss = false;
            }
            let next = |names: &mut dyn Iterator<Item = &String>| {
                names.next().cloned().unwrap_or_else(|| "?".into())
            };
            let (pass, layer) = match event.operation {
                Operation::Upload { .. } => (Pass::Transfer, "batch".into()),
                Operation::Download { .. } => (Pass::Transfer, "metrics".into()),
                Operation::SoftmaxCrossEntropy(_) => {
                    seen_loss = true;
                    (Pass::Loss, "logits".into())
                }
                // Not all of them: some were updated in the backward pass.
                Operation::Blend(_) if seen_update => (Pass::Update, "averages".into()),
                Operation::Blend(_) | Operation::ClipGradients { .. } => {
                    (Pass::Update, "gradients".into())
                }
                Operation::Sgd(content) => {
                    seen_update = true;
                    let same = params.by_ref().filter(|(param, _)| *param == content);
                    (Pass::Update, next(&mut same.map(|(_, layer)| layer)))
                }
                _ if seen_loss => (Pass::Backward, next(&mut backward)),
                _ => (Pass::Forward, next(&mut forward)),
            };
            Call { pass, layer, event: *event }
        };
        events.iter().map(&mut call).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use vgg_tensor::spec::{Linear, LinearEpilogue, PrepareImages, SoftmaxCrossEntropy};
    use vgg_tensor::{Result, Shape};

    /// A step of a network that is one fully connected layer and a dropout. Operation `i` takes
    /// `2^i` ms, and a millisecond passes between them.
    pub(in super::super) fn step() -> Result<Step> {
        let op = Linear::new(Shape::flat(1000, 1000), 500, LinearEpilogue::Bias)?;
        let bias = Content::Vector(500);
        let names = Names {
            forward: ["fc", "dropout"].map(String::from).into(),
            params: [op.weight(), bias].map(|param| (param, "fc".into())).into(),
        };
        let dropout = Operation::Dropout { shape: op.y(), p: 0.5 };
        let operations = [
            Operation::Upload { bytes: 8 },
            Operation::Linear(op),
            dropout,
            Operation::SoftmaxCrossEntropy(SoftmaxCrossEntropy::new(1000, 500)?),
            dropout,
            Operation::LinearBackward { op, applied: false, dx: false },
            Operation::Sgd(op.weight()),
            Operation::Sgd(bias),
            Operation::Download { bytes: 12 },
        ];
        let mut now = Duration::from_millis(100);
        let mut events = Vec::new();
        for (i, operation) in operations.into_iter().enumerate() {
            let duration = Duration::from_millis(1 << i);
            events.push(Event { operation, start: now, duration });
            now += duration + Duration::from_millis(1);
        }
        let start = Duration::from_millis(100);
        Ok(Step { start, duration: now - start, calls: names.give(&events) })
    }

    #[test]
    fn the_backward_pass_has_the_layers_reversed() {
        let calls = step().unwrap().calls;
        let named: Vec<_> =
            calls.iter().map(|call| format!("{} {}", call.layer, call.pass)).collect();
        let expected = [
            "batch transfer",
            "fc forward",
            "dropout forward",
            "logits loss",
            "dropout backward",
            "fc backward",
            "fc update",
            "fc update",
            "metrics transfer",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_batch_in_parts_has_its_layers_again() -> Result<()> {
        let names = Names {
            forward: ["images", "fc"].map(String::from).into(),
            params: vec![(Content::Vector(5), "fc".into())],
        };
        let shape = Shape::new(1, 1, 2, 2);
        let op = Linear::new(shape, 5, LinearEpilogue::Bias)?;
        let part = [
            Operation::PrepareImages(PrepareImages::new(shape, 2, 2)?),
            Operation::Linear(op),
            Operation::SoftmaxCrossEntropy(SoftmaxCrossEntropy::new(1, 5)?),
            Operation::LinearBackward { op, applied: false, dx: false },
            Operation::Blend(Content::Vector(5)),
        ];
        let update = [
            Operation::ClipGradients { len: 5 },
            Operation::Sgd(Content::Vector(5)),
            Operation::Blend(Content::Vector(5)),
        ];
        let event =
            |operation| Event { operation, start: Duration::ZERO, duration: Duration::ZERO };
        let events: Vec<_> = part.into_iter().chain(part).chain(update).map(event).collect();
        let layers: Vec<_> = names.give(&events).into_iter().map(|call| call.layer).collect();
        let expected = ["images", "fc", "logits", "fc", "gradients"];
        assert_eq!(layers[..5], expected);
        assert_eq!(layers[5..10], expected);
        assert_eq!(layers[10..], ["gradients", "fc", "averages"]);
        Ok(())
    }

    #[test]
    fn an_update_is_of_the_next_parameter_like_it() {
        let op = |inputs| Linear::new(Shape::flat(1, inputs), 5, LinearEpilogue::Bias).unwrap();
        let (first, second, bias) = (op(7).weight(), op(8).weight(), Content::Vector(5));
        let params = [(first, "first"), (bias, "first"), (second, "second"), (bias, "second")];
        let names = Names {
            forward: Vec::new(),
            params: params.map(|(content, layer)| (content, layer.to_owned())).into(),
        };
        let event = |content| Event {
            operation: Operation::Sgd(content),
            start: Duration::ZERO,
            duration: Duration::ZERO,
        };
        let layers = |contents: &[Content]| -> Vec<String> {
            let events: Vec<Event> = contents.iter().map(|content| event(*content)).collect();
            names.give(&events).into_iter().map(|call| call.layer).collect()
        };
        assert_eq!(layers(&[first, bias, second, bias]), ["first", "first", "second", "second"]);
        assert_eq!(layers(&[bias, bias]), ["first", "second"]);
    }
}
