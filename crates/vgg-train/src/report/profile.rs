//! How long each layer takes, from what `--profile` left beside a run.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use serde::Deserialize;

use super::folder::RunFolder;

/// Times of a network's layers.
#[derive(Debug)]
pub(super) struct Profile {
    /// The file's name.
    pub name: String,
    /// Of a step, forward and backward.
    milliseconds: BTreeMap<String, f64>,
}

/// A trace, as far as it is needed.
#[derive(Deserialize)]
struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    name: String,
    /// What it is of; events that only name something have none.
    cat: Option<String>,
    /// Microseconds.
    dur: Option<f64>,
}

impl Profile {
    /// The newest profile beside a run, of the config of the same name.
    pub(super) fn newest(run: &RunFolder) -> Option<Self> {
        let beginning = format!("{}-profile-", run.config.name);
        let folder = run.overview.path.canonicalize().ok()?.parent()?.to_owned();
        let files = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_one = name.starts_with(&beginning) && name.ends_with(".json");
            let time = || entry.metadata().and_then(|it| it.modified());
            is_one.then(|| (time().unwrap_or(SystemTime::UNIX_EPOCH), entry.path(), name))
        });
        let (_, path, name) = files.max()?;
        Self::read(name, &fs::read_to_string(path).ok()?)
    }

    fn read(name: String, text: &str) -> Option<Self> {
        let trace: Trace = serde_json::from_str(text).ok()?;
        let (mut steps, mut milliseconds) = (0, BTreeMap::new());
        for Event { name, cat, dur } in trace.events {
            match (cat.as_deref(), dur, name.rsplit_once(' ')) {
                (Some("step"), ..) => steps += 1,
                (Some(_), Some(dur), Some((layer, _))) => {
                    *milliseconds.entry(layer.to_owned()).or_default() += dur / 1e3;
                }
                _ => {}
            }
        }
        milliseconds.values_mut().for_each(|sum: &mut f64| *sum /= f64::from(steps.max(1)));
        Some(Self { name, milliseconds })
    }

    pub(super) fn milliseconds(&self, layer: &str) -> Option<f64> {
        self.milliseconds.get(layer).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_a_step() {
        let text = r#"{"traceEvents": [
            {"name": "process_name", "ph": "M", "args": {}},
            {"name": "step 1", "cat": "step", "dur": 9000.0},
            {"name": "features.0 forward", "cat": "forward", "dur": 1000.0},
            {"name": "features.0 backward", "cat": "backward", "dur": 2000.0},
            {"name": "step 2", "cat": "step", "dur": 9000.0},
            {"name": "features.0 forward", "cat": "forward", "dur": 3000.0}
        ]}"#;
        let profile = Profile::read("x-profile-1.json".into(), text).unwrap();
        assert_eq!(profile.milliseconds("features.0"), Some(3.0));
        assert_eq!(profile.milliseconds("features.3"), None);
        assert!(Profile::read("x".into(), "{").is_none());
    }
}
