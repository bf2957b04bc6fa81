//! What a run's folder tells, without its images.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use toml::Value;

use crate::config::Config;
use crate::run::folder::config_of;
use crate::run::metrics::{Process, Record, StepRecord, records};
use crate::run::overview::Overview;
use crate::run::tested::Tested;

/// A run as its folder has it.
#[derive(Debug)]
pub(crate) struct RunFolder {
    /// With the epochs to the last digit.
    pub overview: Overview,
    pub config: Config,
    pub settings: Vec<Setting>,
    /// Who trained, first to last.
    pub processes: Vec<Process>,
    pub steps: Vec<StepRecord>,
}

/// A key of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub key: String,
    pub value: String,
    /// What it is where nobody says, if that is something else.
    pub default: Option<String>,
}

impl RunFolder {
    /// Reads what is there; a run may not have begun.
    ///
    /// # Errors
    /// If it is no run, or if a file cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let config = config_of(path, vec![])?.config;
        let (mut epochs, mut steps, mut processes) = (vec![], vec![], vec![]);
        for record in records(path)? {
            match record {
                Record::Epoch(epoch) => epochs.push(epoch),
                Record::Step(step) => steps.push(step),
                Record::Process(process) => processes.push(process),
                Record::Run { .. } => {}
            }
        }
        let (settings, mut overview) = (settings(&config), Overview::of(path));
        // Of a run that goes on there may be one more by now; of damaged records there are fewer.
        if epochs.len() > overview.epochs.len() {
            overview.epochs = epochs;
        }
        Ok(Self { overview, config, settings, processes, steps })
    }

    /// The test of the best network so far, as the run has it.
    ///
    /// # Errors
    /// As [`Tested::read`].
    pub(crate) fn tested(&self) -> Result<Option<Tested>> {
        Tested::read(&self.overview.path, &self.overview.epochs)
    }

    pub(crate) fn name(&self) -> String {
        self.overview.name()
    }
}

/// All keys of a config, held against the defaults.
fn settings(config: &Config) -> Vec<Setting> {
    let defaults = Config::default().settings();
    let setting = |(key, value): (String, Value)| {
        let default = defaults.iter().find(|(known, _)| *known == key).map(|(_, value)| value);
        let is_own = default != Some(&value);
        let default = is_own.then(|| default.map_or("none".into(), Value::to_string));
        Setting { key, value: value.to_string(), default }
    };
    config.settings().into_iter().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, without_file};

    #[test]
    fn settings_are_held_against_the_defaults() {
        let sets = ["train.epochs=3", "optimizer.clip_norm=1.5"];
        let sets = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
        let settings = settings(&without_file("x", sets).unwrap().config);
        let of = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!(
            (&*of("train.epochs").value, of("train.epochs").default.as_deref()),
            ("3", Some("10"))
        );
        assert_eq!(of("optimizer.clip_norm").default.as_deref(), Some("none"));
        assert_eq!(of("train.batch_size").default, None);
    }
}
