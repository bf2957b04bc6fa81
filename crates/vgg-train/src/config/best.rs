//! Which epoch is the best, and when none will be any more.

use serde::{Deserialize, Serialize};

/// By which score of its test an epoch is the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BestBy {
    #[default]
    Accuracy,
    /// The mean cross-entropy, the lowest.
    Loss,
    /// The mean recall of the classes.
    BalancedAccuracy,
    /// The mean F1 of the classes.
    MacroF1,
}

impl BestBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
            Self::BalancedAccuracy => "balanced accuracy",
            Self::MacroF1 => "macro F1",
        }
    }

    /// What is said behind the word `best`: ` by macro F1`. Of accuracy, which is what everybody
    /// expects, nothing.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Accuracy => String::new(),
            _ => format!(" by {}", self.name()),
        }
    }

    /// A score as it is shown: `81.25 %`, or of a loss `0.4312`.
    pub(crate) fn shown(self, score: f64) -> String {
        match self {
            Self::Loss => format!("{score:.4}"),
            _ => format!("{:.2} %", 100.0 * score),
        }
    }

    /// How much better a score is than the one `before`; below 0 if it is worse.
    pub(crate) fn gain(self, before: f64, score: f64) -> f64 {
        match self {
            Self::Loss => before - score,
            _ => score - before,
        }
    }
}

/// Training ends when its score has not become better by more than `delta` in `patience` epochs, one
/// after another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EarlyStop {
    pub patience: u64,
    /// In the score's own unit, a share from 0 to 1 but for the loss.
    pub delta: f64,
}

impl Default for EarlyStop {
    fn default() -> Self {
        Self { patience: 5, delta: 0.0 }
    }
}
