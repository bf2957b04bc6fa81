//! The best epoch of a run, and whether a better one is still waited for. Both follow from the records
//! alone, so that all who look at a run agree, and one that is resumed ends where it would have.

use std::time::Duration;

use super::metrics::EpochRecord;
use crate::config::{BestBy, EarlyStop, Train};
use crate::terminal::numbers::{clock, count};

impl EpochRecord {
    /// The score by which epochs are compared; older records lack some.
    pub(crate) fn score(&self, by: BestBy) -> Option<f64> {
        match by {
            BestBy::Accuracy => Some(self.test_accuracy),
            BestBy::Loss => Some(self.test_loss),
            BestBy::BalancedAccuracy => self.test_balanced_accuracy,
            BestBy::MacroF1 => self.test_macro_f1,
        }
    }

    /// The best of the epochs, the first of equals, as training has it.
    pub(crate) fn best(epochs: &[Self], by: BestBy) -> Option<&Self> {
        let scored = epochs.iter().filter_map(|epoch| Some((epoch, epoch.score(by)?)));
        let best = scored.reduce(|best, epoch| match by.gain(best.1, epoch.1) > 0.0 {
            true => epoch,
            false => best,
        });
        best.map(|(epoch, _)| epoch)
    }
}

/// That training ends although its config asks for more epochs.
#[derive(Debug)]
pub(crate) struct Early {
    /// In words.
    pub(crate) why: String,
    /// The setting with which it goes on.
    pub(crate) goes_on: String,
}

/// Whether, and why, training ends after these epochs although its config asks for more.
pub(crate) fn ends_early(train: &Train, epochs: &[EpochRecord]) -> Option<Early> {
    if epochs.last().is_some_and(|last| last.epoch >= train.epochs) {
        return None;
    }
    is_no_better(train, epochs).or_else(|| takes_too_long(train, epochs))
}

/// If the score has stood still for too long.
fn is_no_better(train: &Train, epochs: &[EpochRecord]) -> Option<Early> {
    let EarlyStop { patience, delta } = train.early_stop?;
    let (by, mut best, mut waited) = (train.best_by, None, 0);
    for score in epochs.iter().filter_map(|epoch| epoch.score(by)) {
        match best {
            Some(best) if by.gain(best, score) <= delta => waited += 1,
            _ => (best, waited) = (Some(score), 0),
        }
    }
    let change = match by {
        BestBy::Loss => "fallen",
        _ => "risen",
    };
    let more = match delta {
        0.0 => String::new(),
        _ => format!(" by more than {delta}"),
    };
    (waited >= patience).then(|| Early {
        why: format!("the {} has not {change}{more} in {}", by.name(), count(waited, "epoch")),
        goes_on: format!("train.early_stop.patience={}", train.epochs),
    })
}

/// If one more epoch as the others would end too late. Of an epoch that was interrupted nobody knows
/// the time; it counts as the others.
fn takes_too_long(train: &Train, epochs: &[EpochRecord]) -> Option<Early> {
    let minutes = train.max_minutes?;
    let known: Vec<f64> = epochs.iter().filter_map(|epoch| epoch.seconds).collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let (of, done) = (|epochs: u64| mean * epochs as f64, epochs.len() as u64);
    (done > 0 && of(done + 1) > 60.0 * minutes).then(|| {
        let [one_more, all] =
            [done + 1, train.epochs].map(|epochs| clock(Duration::from_secs_f64(of(epochs))));
        let why = format!(
            "train.max_minutes is {minutes}, one more epoch would make it {one_more}, and all {} {all}",
            train.epochs
        );
        // Epochs do not all take the same time.
        let enough = (1.2 * of(train.epochs) / 60.0).ceil();
        Early { why, goes_on: format!("train.max_minutes={enough}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(losses: &[f64]) -> Vec<EpochRecord> {
        let of = |(epoch, loss): (u64, &f64)| EpochRecord {
            epoch,
            test_loss: *loss,
            test_accuracy: 1.0 - loss / 4.0,
            test_balanced_accuracy: None,
            test_macro_f1: (epoch > 2).then_some(loss / 4.0),
            ..EpochRecord::sample()
        };
        (1..).zip(losses).map(of).collect()
    }

    #[test]
    fn the_best_epoch_is_the_first_of_equals_by_any_score() {
        let epochs = epochs(&[2.0, 1.0, 3.0, 1.0, 3.0]);
        let best = |by| EpochRecord::best(&epochs, by).map(|best| best.epoch);
        assert_eq!(best(BestBy::Accuracy), Some(2));
        assert_eq!(best(BestBy::Loss), Some(2));
        assert_eq!(best(BestBy::MacroF1), Some(3), "records without it are passed over");
        assert_eq!(best(BestBy::BalancedAccuracy), None);
    }

    #[test]
    fn training_ends_once_enough_epochs_are_no_better() {
        let ends = |losses: &[f64], best_by, patience, delta| {
            let early_stop = Some(EarlyStop { patience, delta });
            let train = Train { epochs: 6, best_by, early_stop, ..Train::default() };
            ends_early(&train, &epochs(losses)).map(|early| early.why)
        };
        let (loss, accuracy) = (BestBy::Loss, BestBy::Accuracy);
        assert_eq!(ends(&[], loss, 1, 0.0), None);
        assert_eq!(ends(&[2.0], loss, 1, 0.0), None);
        assert_eq!(ends(&[2.0, 1.5, 1.0], loss, 1, 0.0), None);
        let said = "the loss has not fallen in 1 epoch";
        assert_eq!(ends(&[2.0, 2.0], loss, 1, 0.0).unwrap(), said, "equal is no better");
        assert_eq!(ends(&[2.0, 1.0, 1.5], loss, 2, 0.0), None);
        assert_eq!(ends(&[2.0, 1.0, 1.5, 0.5], loss, 2, 0.0), None, "a better one begins anew");
        // What is better by too little does not move what is compared with.
        let said = "the loss has not fallen by more than 0.25 in 2 epochs";
        assert_eq!(ends(&[2.0, 1.875, 1.75], loss, 2, 0.25).unwrap(), said);
        assert_eq!(ends(&[2.0, 1.875, 1.625], loss, 2, 0.25), None);
        let said = "the accuracy has not risen in 3 epochs";
        assert_eq!(ends(&[1.0, 2.0, 1.0, 3.0], accuracy, 3, 0.0).unwrap(), said);
        // The last epoch is the last one anyway.
        assert_eq!(ends(&[1.0; 6], loss, 1, 0.0), None);
    }

    #[test]
    fn training_ends_before_an_epoch_that_would_end_too_late() {
        let ends = |seconds: &[Option<f64>], minutes| {
            let epochs = epochs(&vec![1.0; seconds.len()]).into_iter().zip(seconds);
            let epochs: Vec<_> = epochs.map(|(e, s)| EpochRecord { seconds: *s, ..e }).collect();
            let train = Train { epochs: 4, max_minutes: Some(minutes), ..Train::default() };
            ends_early(&train, &epochs).map(|early| early.why)
        };
        assert_eq!(ends(&[], 1.0), None, "one epoch is always done");
        assert_eq!(ends(&[None], 1.0), None);
        assert_eq!(ends(&[Some(20.0); 2], 1.0), None, "three of them are a minute");
        let said = "train.max_minutes is 1, one more epoch would make it 1:20, and all 4 1:20";
        assert_eq!(ends(&[Some(20.0), None, Some(20.0)], 1.0).unwrap(), said);
        assert_eq!(ends(&[Some(90.0); 4], 1.0), None, "the last one is the last one anyway");
    }

    #[test]
    fn training_without_early_stop_goes_on() {
        assert!(ends_early(&Train::default(), &epochs(&[1.0; 9])).is_none());
    }

    #[test]
    fn training_that_ended_early_goes_on_with_the_setting_that_is_told() {
        let epochs = epochs(&[1.0; 3]);
        let of = |train: &Train| ends_early(train, &epochs).unwrap().goes_on;
        let early_stop = Some(EarlyStop { patience: 1, delta: 0.0 });
        let patience = Train { epochs: 9, early_stop, ..Train::default() };
        assert_eq!(of(&patience), "train.early_stop.patience=9");
        let mut timed: Vec<_> = epochs.clone();
        timed.iter_mut().for_each(|epoch| epoch.seconds = Some(50.0));
        let minutes = Train { epochs: 9, max_minutes: Some(1.0), ..Train::default() };
        assert_eq!(ends_early(&minutes, &timed).unwrap().goes_on, "train.max_minutes=9");
        let enough = Train { max_minutes: Some(9.0), ..minutes };
        assert!(ends_early(&enough, &timed).is_none());
    }
}
