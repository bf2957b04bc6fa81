//! A training step that was timed.

use std::time::{Duration, Instant};

use vgg_tensor::Pass;
use vgg_tensor::profile::Event;

/// What was done in a step, in order. All steps of a run do the same.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub start: Instant,
    pub duration: Duration,
    pub events: Vec<Event>,
}

/// The parts of a step, in the order in which they are told.
pub(super) const PASSES: [Pass; 5] =
    [Pass::Transfer, Pass::Forward, Pass::Loss, Pass::Backward, Pass::Update];

impl Step {
    /// From the first event to the end of the last.
    pub(super) fn of(events: Vec<Event>) -> Self {
        let start = events[0].start;
        let end = events.iter().map(|event| event.start + event.duration).max().unwrap_or(start);
        Self { start, duration: end - start, events }
    }
}

/// A part of a step in a word.
pub(super) fn word(pass: Pass) -> &'static str {
    match pass {
        Pass::Transfer => "transfer",
        Pass::Forward => "forward",
        Pass::Loss => "loss",
        Pass::Backward => "backward",
        Pass::Update => "update",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A step of a network that is one fully connected layer and a dropout, which begins 100 ms after
    /// `origin`. Event `i` takes `2^i` ms, and a millisecond passes between them.
    pub(in super::super) fn step(origin: Instant) -> Step {
        let macs = 500_000_000;
        let events = [
            (Pass::Transfer, "batch", "upload 8 bytes", 0),
            (Pass::Forward, "fc", "linear 1000→500", macs),
            (Pass::Forward, "dropout", "dropout 0.5 500", 0),
            (Pass::Loss, "logits", "softmax cross-entropy 500", 0),
            (Pass::Backward, "dropout", "dropout 0.5 500", 0),
            (Pass::Backward, "fc", "linear backward 1000→500, without dx", macs),
            (Pass::Update, "fc", "sgd 500×1000", 0),
            (Pass::Update, "fc", "sgd 500", 0),
            (Pass::Transfer, "metrics", "download 12 bytes", 0),
        ];
        let mut start = origin + Duration::from_millis(100);
        let event = |(i, (pass, layer, operation, macs)): (usize, (Pass, &str, &str, u64))| {
            let duration = Duration::from_millis(1 << i);
            let (layer, operation) = (layer.to_owned(), operation.to_owned());
            let event = Event { pass, layer, operation, macs, start, duration };
            start += duration + Duration::from_millis(1);
            event
        };
        Step::of(events.into_iter().enumerate().map(event).collect())
    }

    #[test]
    fn a_step_is_all_of_its_events_and_what_is_between_them() {
        let origin = Instant::now();
        let step = step(origin);
        assert_eq!(step.start, origin + Duration::from_millis(100));
        assert_eq!(step.duration, Duration::from_millis(511 + 8));
    }
}
