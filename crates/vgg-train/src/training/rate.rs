//! Where a run that is prolonged goes on with another learning rate than it had.

use vgg_model::Progress;

use crate::config::{Config, ScheduleKind};
use crate::terminal::numbers::short;

/// A learning rate that rises because a schedule that falls until the end has got another end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rise {
    /// The rate of the last step that was done …
    from: f32,
    /// … and that of the next one.
    to: f32,
    /// Epochs of the schedule before and now.
    epochs: [u64; 2],
}

impl Rise {
    /// Whether there is one where a run goes on under `config` that was of `before`.
    pub(crate) fn of(
        before: &Config,
        config: &Config,
        progress: &Progress,
        steps_per_epoch: u64,
    ) -> Option<Self> {
        let Progress { epoch, batch, step, .. } = *progress;
        let same = before.schedule == config.schedule && before.optimizer.lr == config.optimizer.lr;
        if !same || config.schedule.kind != ScheduleKind::Cosine || step == 0 {
            return None;
        }
        let rate = |epochs, step| {
            let base = config.optimizer.lr as f32;
            config.schedule().lr(base, step, steps_per_epoch, epochs * steps_per_epoch)
        };
        let next = epoch * steps_per_epoch + batch;
        let epochs = [before.train.epochs, config.train.epochs];
        let rise = Self { from: rate(epochs[0], next - 1), to: rate(epochs[1], next), epochs };
        // In a warm-up it rises by itself.
        let warms_up = next < config.schedule().warmup(epochs[1] * steps_per_epoch);
        (epochs[1] > epochs[0] && rise.to > rise.from && !warms_up).then_some(rise)
    }

    /// What happens to the rate, in words.
    pub(crate) fn warning(&self) -> String {
        let Self { from, to, epochs: [before, now] } = *self;
        format!(
            "the learning rate rises from {} to {}: its cosine is that of {now} epochs now, not of \
             {before}",
            short(from),
            short(to),
        )
    }

    /// What avoids it.
    pub(crate) fn help(&self) -> String {
        // No rate is 0.
        if self.from <= 0.0 {
            return "a lower optimizer.lr it rises to less".into();
        }
        let lr = short(self.from);
        format!("--set schedule.kind=constant --set optimizer.lr={lr} it stays what it was")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, without_file};

    fn config(sets: &[&str]) -> Config {
        let sets = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
        without_file("x", sets).unwrap().config
    }

    #[test]
    fn a_prolonged_cosine_rises() {
        const COSINE: &str = "schedule.kind=cosine";
        let done = Progress { epoch: 4, step: 64, ..Progress::default() };
        let before = config(&[COSINE, "train.epochs=4"]);
        let rise = |sets: &[&str], progress| Rise::of(&before, &config(sets), progress, 16);
        let twice = rise(&[COSINE, "train.epochs=8"], &done).unwrap();
        // Half of the way from 0.05 to 0.
        assert!((twice.to - 0.025).abs() < 1e-6 && twice.from < 1e-4, "{twice:?}");
        insta::assert_snapshot!(twice.warning(), @"the learning rate rises from 3.011e-5 to 0.025: its cosine is that of 8 epochs now, not of 4");
        insta::assert_snapshot!(twice.help(), @"--set schedule.kind=constant --set optimizer.lr=3.011e-5 it stays what it was");

        let half = Progress { epoch: 1, batch: 8, step: 24, ..Progress::default() };
        assert!(rise(&[COSINE, "train.epochs=8"], &half).is_some());
        let none = [
            rise(&[COSINE, "train.epochs=4"], &half),
            rise(&[COSINE, "train.epochs=3"], &half),
            rise(&["schedule.kind=constant", "train.epochs=8"], &done),
            rise(&[COSINE, "train.epochs=8", "optimizer.lr=0.01"], &done),
            rise(&[COSINE, "train.epochs=8"], &Progress::default()),
        ];
        assert_eq!(none, [None; 5]);
    }
}
