//! From a file and overrides to a checked [`Config`], and back to text.

use std::path::{Path, PathBuf, absolute};

use anyhow::Result;
use serde::Deserialize;
use toml::{Table, Value};

use super::data::Orientation;
use super::device::Device;
use super::error::{deserialize_problem, in_file, in_override, locate};
use super::keys::Config;
use super::overrides::Override;
use super::source::Source;
use crate::failure::{Code, Failure};
use crate::terminal::print::printable;

/// Keys that few would write and every run's config has, those of the first version, too.
const KEYS_OF_ALL_RUNS: [&str; 8] = [
    "init.std",
    "data.download",
    "data.skip_damaged",
    "data.augment.pad_crop",
    "schedule.min_lr",
    "checkpoint.every_minutes",
    "guard.flat_loss",
    "device.threads",
];

/// A config, and what the user gave for it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub config: Config,
    /// The file's own keys.
    file: Table,
    pub overrides: Vec<Override>,
    /// Keys whose values are from the data, or from the device.
    pub noted: Vec<&'static str>,
    /// Where `data.folder` was looked for.
    pub folder_places: Vec<PathBuf>,
}

/// Reads the config `path`, a file or a name of the program's own, and applies `overrides`, later ones over earlier ones.
///
/// # Errors
/// A [`Failure`] with [`crate::failure::Code::Usage`] that names the file, line and key, or the override.
pub(crate) fn load(path: &Path, overrides: Vec<Override>) -> Result<Loaded> {
    of_source(&Source::read(path)?, overrides)
}

/// As [`load`], of a text that is to be the file `path`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(path: &Path, text: &str, overrides: Vec<Override>) -> Result<Loaded> {
    of_source(&Source::to_be(path, text), overrides)
}

fn of_source(source: &Source, overrides: Vec<Override>) -> Result<Loaded> {
    let mut loaded = parse(&source.label, &source.text, &source.name, overrides)?;
    let lacks = KEYS_OF_ALL_RUNS.iter().find(|key| !loaded.is_in_file(key));
    if let (Some(key), true) = (lacks, source.is_of_run) {
        let message = format!("{} is damaged: it lacks {key}", source.label);
        let help = "a run's config has all keys; the weights in its folder checkpoints may be whole, of \
                    which `vgg-train import` makes another run";
        return Err(Failure::new(Code::Checkpoint, message).help(help).into());
    }
    loaded.place_images(source);
    loaded.keep_orientation();
    Ok(loaded)
}

/// The text of a config: of a file or of the program's own.
///
/// # Errors
/// As [`load`].
pub(crate) fn text(path: &Path) -> Result<String> {
    Ok(Source::read(path)?.text)
}

/// What `overrides` say about the device, where there need not be a file.
///
/// # Errors
/// As [`load`].
pub(crate) fn device(overrides: &[Override]) -> Result<Device> {
    let of_device = |set: &&Override| set.key == "device" || set.key.starts_with("device.");
    let overrides = overrides.iter().filter(of_device).cloned().collect();
    Ok(parse("", "", "device", overrides)?.config.device)
}

/// The config that `overrides` and the defaults make.
///
/// # Errors
/// As [`load`].
pub(crate) fn without_file(name: &str, overrides: Vec<Override>) -> Result<Loaded> {
    Ok(parse("", "", name, overrides)?)
}

fn parse(
    path: &str,
    text: &str,
    default_name: &str,
    overrides: Vec<Override>,
) -> Result<Loaded, Failure> {
    let fail = |span, problem: (String, Option<String>)| in_file(path, text, span, problem);
    // The file by itself first: only there do errors have a place in the text.
    let mut config: Config = toml::from_str(text)
        .map_err(|error| fail(error.span(), deserialize_problem(error.message())))?;
    let file: Table = toml::from_str(text)
        .map_err(|error| fail(error.span(), deserialize_problem(error.message())))?;

    // One at a time, so that an error is the last one's.
    let mut table = file.clone();
    for set in &overrides {
        set.apply(&mut table)
            .map_err(|key| in_override(set, (format!("`{key}` is not a table"), None)))?;
        config = Config::deserialize(table.clone())
            .map_err(|error| in_override(set, deserialize_problem(error.message())))?;
    }
    if config.name.is_empty() {
        config.name = default_name.into();
    }

    if let Some((key, problem)) = config.out_of_limits() {
        let problem = (format!("{key} {problem}"), None);
        return Err(match overrides.iter().rev().find(|set| set.key == key) {
            Some(set) => in_override(set, problem),
            None => fail(locate(text, key), problem),
        });
    }
    Ok(Loaded { config, file, overrides, noted: Vec::new(), folder_places: Vec::new() })
}

impl Loaded {
    /// Makes `data.folder` the first of the places where it is, and so `data.pack`, and `data.boxes` and
    /// `data.labels`, which may be in that folder, too.
    fn place_images(&mut self, source: &Source) {
        if let Some(folder) = &self.config.data.folder {
            let places = self.places(source, "data.folder", folder);
            let there = places.iter().find(|place| place.is_dir()).or(places.first());
            self.config.data.folder = there.cloned();
            self.folder_places = places;
        }
        if let Some(pack) = &self.config.data.pack {
            let places = self.places(source, "data.pack", pack);
            let there = places.iter().find(|place| place.is_file()).or(places.first());
            self.config.data.pack = there.cloned();
        }
        if let Some(boxes) = &self.config.data.boxes {
            let within = self.config.data.folder.as_ref().map(|folder| folder.join(boxes));
            let places = within.into_iter().chain(self.places(source, "data.boxes", boxes));
            let places: Vec<_> = places.collect();
            let there = places.iter().find(|place| place.exists()).or(places.first());
            self.config.data.boxes = there.cloned();
        }
        let Some(labels) = &self.config.data.labels else { return };
        let within = self.config.data.folder.as_ref().map(|folder| folder.join(labels));
        let places = within.into_iter().chain(self.places(source, "data.labels", labels));
        let places: Vec<_> = places.collect();
        let there = places.iter().find(|place| place.is_file()).or(places.first());
        self.config.data.labels = there.cloned();
        if self.config.data.folder.is_none() {
            let folder = there.and_then(|labels| labels.parent()).map(Path::to_owned);
            // The folder of a name alone is the current one.
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            self.config.data.folder = folder.or(Some(".".into()));
            self.noted.push("data.folder");
        }
    }

    /// Where what the key names may be.
    fn places(&self, source: &Source, key: &str, path: &Path) -> Vec<PathBuf> {
        let mut places = source.places(path);
        if self.overrides.iter().any(|set| set.key == key) {
            // As all paths of a command line.
            places.drain(..places.len() - 1);
        }
        places
    }

    /// Leaves images as they are stored where the file is of before there was `data.orientation`: the
    /// config of a run, or a copy, which has all keys of its time.
    fn keep_orientation(&mut self) {
        const KEY: &str = "data.orientation";
        let is_given = self.is_in_file(KEY) || self.overrides.iter().any(|set| set.key == KEY);
        if !is_given && KEYS_OF_ALL_RUNS.iter().all(|key| self.is_in_file(key)) {
            self.config.data.orientation = Orientation::Stored;
        }
    }

    /// Whether the file has a key, as `train.epochs`.
    fn is_in_file(&self, key: &str) -> bool {
        let mut path = key.split('.');
        let first = path.next().and_then(|key| self.file.get(key));
        path.try_fold(first, |value, key| Some(value?.get(key))).flatten().is_some()
    }

    /// The whole config as TOML that [`load`] reads, with a comment a line where its value is from.
    pub(crate) fn effective(&self) -> String {
        let origin = |key: &str| {
            match self.overrides.iter().rev().find(|set| set.key == key) {
                _ if self.noted.contains(&key) && key.starts_with("device.") => "device".into(),
                _ if self.noted.contains(&key) => "data".into(),
                // A comment ends with its line.
                Some(set) => printable(&set.origin).into_owned(),
                None if self.is_in_file(key) => "file".into(),
                None => "default".into(),
            }
        };
        let line = |key: &str, path: &str, value: &Value| {
            let pair = format!("{key} = {value}");
            format!("{pair:<32} # {}\n", origin(path))
        };
        let mut config = self.config.clone();
        // So that a run can be resumed from anywhere; but from here alone where the folder that we are in has
        // a name that is not UTF-8, as all of TOML is.
        let absolute = |path: PathBuf| match absolute(&path) {
            Ok(whole) if whole.to_str().is_some() => whole,
            _ => path,
        };
        let whole = |path: Option<PathBuf>| path.map(absolute);
        config.data.dir = whole(config.data.dir);
        config.data.folder = whole(config.data.folder);
        config.data.labels = whole(config.data.labels);
        config.data.boxes = whole(config.data.boxes);
        config.data.pack = whole(config.data.pack);
        // It may also be a name of weights.
        config.init.from = config.init.from.map(|from| match from.exists() {
            true => absolute(from),
            false => from,
        });
        let table = Table::try_from(&config).expect("a config is a table of plain values");
        let mut text = String::new();
        write_table(&mut text, "", &table, &line);
        text
    }
}

/// Writes the values of `table`, whose keys begin with `path`, then its tables.
fn write_table(
    text: &mut String,
    path: &str,
    table: &Table,
    line: &dyn Fn(&str, &str, &Value) -> String,
) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        *text += &line(key, &format!("{path}{key}"), value);
    }
    for (key, inner) in table.iter().filter_map(|(key, value)| Some((key, value.as_table()?))) {
        *text += &format!("\n[{path}{key}]\n");
        write_table(text, &format!("{path}{key}."), inner, line);
    }
}

#[cfg(test)]
mod tests;
