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
use crate::failure::Failure;
use crate::terminal::print::printable;

/// Keys that few would write and every run's config has, those of the first version, too.
const KEYS_OF_ALL_RUNS: [&str; 6] = [
    "init.std",
    "data.download",
    "data.skip_damaged",
    "data.augment.pad_crop",
    "schedule.min_lr",
    "checkpoint.every_minutes",
];

/// A config, and what the user gave for it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub config: Config,
    /// The file's own keys.
    file: Table,
    overrides: Vec<Override>,
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
    /// Makes `data.folder` the first of the places where it is, and so `data.pack`, and `data.labels`,
    /// which may be in that folder, too.
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
        // So that a run can be resumed from anywhere.
        let whole = |path: Option<PathBuf>| path.map(|path| absolute(&path).unwrap_or(path));
        config.data.folder = whole(config.data.folder);
        config.data.labels = whole(config.data.labels);
        config.data.pack = whole(config.data.pack);
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
mod tests {
    use super::super::{SHIPPED, Shipped, keys};
    use super::*;

    fn error(text: &str, sets: &[&str]) -> String {
        let sets = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
        crate::terminal::error::render(&parse("x.toml", text, "x", sets).unwrap_err().into(), false)
    }

    #[test]
    fn unknown_keys_name_the_nearest_and_the_line() {
        insta::assert_snapshot!(error("[train]\nepochs = 1\nbatchsize = 4\n", &[]), @r#"
        error: x.toml:3: unknown key `batchsize`
          |
        3 | batchsize = 4
          | ^^^^^^^^^
        help: did you mean `batch_size`?
        "#);
        insta::assert_snapshot!(error("[trian]\nepochs = 1\n", &[]), @r#"
        error: x.toml:1: unknown key `trian`
          |
        1 | [trian]
          |  ^^^^^
        help: did you mean `train`?
        "#);
        insta::assert_snapshot!(error("[optimizer]\nzzz = 1\n", &[]), @r#"
        error: x.toml:2: unknown key `zzz`
          |
        2 | zzz = 1
          | ^^^
        help: it can be lr, momentum, weight_decay, nesterov, clip_norm, average_decay, freeze, groups
        "#);
    }

    #[test]
    fn wrong_types_say_what_was_found_and_what_is_expected() {
        insta::assert_snapshot!(error("[optimizer]\nlr = \"0.1\"\n", &[]), @r#"
        error: x.toml:2: expected a number, found the string "0.1"
          |
        2 | lr = "0.1"
          |      ^^^^^
        "#);
        insta::assert_snapshot!(error("[train]\nbatch_size = -1\n", &[]), @r#"
        error: x.toml:2: expected a whole number from 0 on, found the number -1
          |
        2 | batch_size = -1
          |              ^^
        "#);
        insta::assert_snapshot!(error("[train]\nepochs = 1.5\n", &[]), @r#"
        error: x.toml:2: expected a whole number from 0 on, found the number 1.5
          |
        2 | epochs = 1.5
          |          ^^^
        "#);
        for seed in ["9223372036854775808", "99999999999999999999999999"] {
            let text = error(&format!("[train]\nseed = {seed}\n"), &[]);
            let said = "error: x.toml:2: whole numbers go up to 9223372036854775807\n";
            assert!(text.starts_with(said), "{text}");
        }
        insta::assert_snapshot!(error("train = 3\n", &[]), @r#"
        error: x.toml:1: expected a table, found the number 3
          |
        1 | train = 3
          |         ^
        "#);
        insta::assert_snapshot!(error("[init]\nweights = \"xavier\"\n", &[]), @r#"
        error: x.toml:2: unknown value "xavier"
          |
        2 | weights = "xavier"
          |           ^^^^^^^^
        help: it can be xavier_uniform, kaiming_normal, kaiming_uniform, normal
        "#);
        insta::assert_snapshot!(error("[model]\narch = \"vgg12\"\n", &[]), @r#"
        error: x.toml:2: unknown value "vgg12"
          |
        2 | arch = "vgg12"
          |        ^^^^^^^
        help: did you mean `vgg11`?
        "#);
        insta::assert_snapshot!(error("[data]\nmean = true\n", &[]), @r#"
        error: x.toml:2: expected a number or a list of numbers, found true
          |
        2 | mean = true
          |        ^^^^
        "#);
        insta::assert_snapshot!(error("[data.augment]\nshort_side = 256.5\n", &[]), @r#"
        error: x.toml:2: expected a whole number from 0 on, found the number 256.5
          |
        2 | short_side = 256.5
          |              ^^^^^
        "#);
    }

    #[test]
    fn a_number_alone_is_a_list_of_one() {
        let text = "[data]\ndataset = \"image-folder\"\nfolder = \"a\"\nmean = 0.5\nstd = 1\n\
                    [data.augment]\nshort_side = 256\n";
        let data = parse("x.toml", text, "x", vec![]).unwrap().config.data;
        assert_eq!(
            (data.mean, data.std, data.augment.short_side),
            (vec![0.5], vec![1.0], vec![256])
        );
    }

    #[test]
    fn broken_toml_shows_the_place() {
        insta::assert_snapshot!(error("[train]\nepochs = \n", &[]), @r#"
        error: x.toml:2: string values must be quoted, expected literal string
          |
        2 | epochs = 
          |          ^
        "#);
        insta::assert_snapshot!(error("[train]\nepochs = 1\nepochs = 2\n", &[]), @r#"
        error: x.toml:3: duplicate key
          |
        3 | epochs = 2
          | ^^^^^^
        "#);
    }

    #[test]
    fn values_out_of_limits_are_found_in_the_file() {
        insta::assert_snapshot!(error("[train]\n\nbatch_size = 0\n", &[]), @r#"
        error: x.toml:3: train.batch_size must be at least 1, not 0
          |
        3 | batch_size = 0
          |              ^
        "#);
        insta::assert_snapshot!(error("[optimizer]\nnesterov = true\n", &[]), @r#"
        error: x.toml:2: optimizer.nesterov needs a momentum above 0
          |
        2 | nesterov = true
          |            ^^^^
        "#);
        insta::assert_snapshot!(error("name = \"../x\"\n", &[]), @r#"
        error: x.toml:1: name must be a folder name, not "../x"
          |
        1 | name = "../x"
          |        ^^^^^^
        "#);
    }

    #[test]
    fn a_part_that_is_cut_and_scaled_has_limits() {
        let of = |sets: &[&str]| error("", &[&["data.augment.resized_crop={}"], sets].concat());
        let folder = ["data.dataset=image-folder", "data.folder=a"];
        for beside in ["data.augment.random_crop=true", "data.augment.short_side=256"] {
            let text = of(&[&folder[..], &[beside]].concat());
            let told = "data.augment.resized_crop takes the place of short_side and random_crop";
            assert!(text.contains(told), "{text}");
        }
        for set in ["scale=[0.0, 1.0]", "scale=[0.5, 1.5]", "ratio=[2.0, 1.0]"] {
            let set = format!("data.augment.resized_crop.{set}");
            assert!(of(&[&set]).contains("must be two "), "{}", of(&[&set]));
        }
    }

    #[test]
    fn operations_that_are_drawn_have_limits() {
        let rand = "data.augment.rand_augment={}";
        let text = error("", &["data.augment.trivial_augment_wide=true", rand]);
        assert!(text.contains("takes the place of trivial_augment_wide"), "{text}");
        for set in ["operations=0", "operations=17", "magnitude=31"] {
            let text = error("", &[rand, &format!("data.augment.rand_augment.{set}")]);
            assert!(text.contains(" must be from "), "{text}");
        }
    }

    #[test]
    fn colour_jitter_has_limits() {
        for set in ["brightness=-0.1", "contrast=11.0", "saturation=nan", "hue=0.6"] {
            let text = error("", &[&format!("data.augment.color_jitter.{set}")]);
            assert!(text.contains(" must be from 0 to "), "{text}");
        }
    }

    #[test]
    fn values_are_checked_as_they_are_computed_with() {
        for set in [
            "optimizer.lr=1e-50",
            "optimizer.lr=1e39",
            "optimizer.momentum=0.9999999999",
            "optimizer.weight_decay=1e39",
            "optimizer.clip_norm=1e-60",
            "optimizer.average_decay=0.9999999999",
            "schedule.factor=1e-60",
            "schedule.min_lr=1e-60",
            "train.label_smoothing=0.99999999999",
            "model.dropout=0.9999999999",
            "init.std=1e-60",
            "data.mean=[1e39]",
            "data.std=[1e-30]",
        ] {
            let (key, _) = set.split_once('=').unwrap();
            let text = error("", &[set]);
            assert!(text.contains(&format!(": {key} must be ")), "{text}");
        }
    }

    #[test]
    fn errors_of_overrides_name_the_override() {
        insta::assert_snapshot!(error("", &["train.epochs=2", "train.epoch=3"]), @r#"
        error: --set train.epoch=3: unknown key `epoch`
        help: did you mean `epochs`?
        "#);
        insta::assert_snapshot!(error("", &["optimizer.lr=fast"]), @r#"error: --set optimizer.lr=fast: expected a number, found the string "fast""#);
        insta::assert_snapshot!(error("", &["train.batch_size=0"]), @"error: --set train.batch_size=0: train.batch_size must be at least 1, not 0");
        insta::assert_snapshot!(error("", &["name.x=1"]), @"error: --set name.x=1: expected a string, found a table");
    }

    #[test]
    fn a_device_needs_no_file() {
        let of = |sets: &[&str]| {
            device(&sets.iter().map(|set| Override::parse(set).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["train.epochs=2", "device.threads=3"]).unwrap().threads, 3);
        let error = |set| crate::terminal::error::render(&of(&[set]).unwrap_err(), false);
        insta::assert_snapshot!(error("device.kind=gpu"), @r#"
        error: --set device.kind=gpu: unknown value "gpu"
        help: did you mean `cpu`?
        "#);
        insta::assert_snapshot!(error("device.threads=9999"), @"error: --set device.threads=9999: device.threads must be at most 1024, not 9999");
        insta::assert_snapshot!(error("device=cpu"), @r#"error: --set device=cpu: expected a table, found the string "cpu""#);
    }

    #[test]
    fn overrides_beat_the_file_beats_the_defaults() {
        let sets = ["train.epochs=3", "device.threads=2", "optimizer.lr=1"];
        let sets: Vec<_> = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
        let text = "[train]\nepochs = 2\nbatch_size = 7\n[device]\nthreads = 1\n";
        let loaded = parse("x.toml", text, "x", sets).unwrap();
        assert_eq!((loaded.config.train.epochs, loaded.config.train.batch_size), (3, 7));
        assert_eq!((loaded.config.device.threads, loaded.config.optimizer.lr), (2, 1.0));
        assert_eq!(loaded.config.model, crate::config::keys::Model::default());
    }

    #[test]
    fn shipped_configs_load_and_name_quicker_ones_that_exist() {
        for shipped in SHIPPED {
            let config = load(Path::new(shipped.name), vec![]).unwrap().config;
            let quicker = Shipped::find(Path::new(&config.quicker));
            assert!(config.quicker.is_empty() || quicker.is_some(), "{}", shipped.name);
        }
    }

    #[test]
    fn the_reference_config_documents_every_key() {
        assert!(keys().iter().any(|key| key == "data.pack"));
        let sets = [
            "model.avg_pool=7",
            "data.dir=a",
            "data.train_limit=1",
            "data.test_limit=1",
            "data.hold_out=1",
            "data.dataset=image-folder",
            "data.folder=a",
            "data.labels=a.csv",
            "data.test_part=test",
            "data.test_short_side=256",
            "data.background=[255, 255, 255]",
            "train.class_weights=balanced",
            "train.early_stop.patience=3",
            "train.max_minutes=30",
            "optimizer.groups=[{ layers = 'features', lr = 0.1 }]",
            "data.augment.color_values=[0.2, 0.1, 0.05]",
            "data.augment.color_vectors=[[1, 0, 0], [0, 1, 0], [0, 0, 1]]",
        ];
        let sets = sets.map(|set| Override::parse(set).unwrap()).to_vec();
        let all = parse("x.toml", "", "x", sets).unwrap().effective();
        let (mut table, documented) = (String::new(), keys());
        for line in all.lines().filter(|line| !line.is_empty()) {
            match line.split_once(" = ") {
                None => table = format!("{}.", line.trim_matches(['[', ']'])),
                Some((key, _)) => {
                    let key = format!("{table}{key}");
                    assert!(documented.contains(&key), "{key}");
                }
            }
        }
    }

    /// What a run has seen it sees when it is resumed, and what a new run does is what viewers show.
    #[test]
    fn images_of_runs_from_before_there_was_an_orientation_stay_as_they_are_stored() {
        let dir = tempfile::tempdir().unwrap();
        let orientation = |name: &str, text: &str, sets: &[&str]| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let sets = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
            load(&path, sets).unwrap().config.data.orientation
        };
        let of_a_run = parse("", "", "x", vec![]).unwrap().effective();
        let (before, after) = of_a_run.split_once("orientation = \"exif\"").unwrap();
        let before = format!("{before}{after}");
        assert_eq!(orientation("config.toml", &of_a_run, &[]), Orientation::Exif);
        assert_eq!(orientation("config.toml", &before, &[]), Orientation::Stored);
        assert_eq!(orientation("copy.toml", &before, &["train.epochs=2"]), Orientation::Stored);
        let given = ["data.orientation=exif"];
        assert_eq!(orientation("config.toml", &before, &given), Orientation::Exif);
        let new = "[data]\nskip_damaged = true\ndataset = \"image-folder\"\nfolder = \"a\"\n";
        assert_eq!(orientation("config.toml", new, &[]), Orientation::Exif);
    }

    #[test]
    fn a_value_of_several_lines_reads_back() {
        let sets = vec![Override::parse("data.mean=[\n0.25,\r\n]").unwrap()];
        let loaded = parse("x.toml", "", "tiny", sets).unwrap();
        let again = parse("config.toml", &loaded.effective(), "config", vec![]).unwrap();
        assert_eq!(again.config.data.mean, loaded.config.data.mean);
    }

    #[test]
    fn the_effective_config_reads_back_as_itself() {
        let sets = vec![Override::parse("data.dir=/some/where").unwrap()];
        let loaded = parse("x.toml", "[optimizer]\nlr = 0.1\n", "tiny", sets).unwrap();
        let text = loaded.effective();
        let again = parse("config.toml", &text, "config", vec![]).unwrap();
        assert_eq!(again.config, loaded.config);
        insta::assert_snapshot!(text, @r#"
        name = "tiny"                    # default

        [model]
        arch = "vgg11"                   # default
        width = 1.0                      # default
        image_size = 224                 # default
        fc_width = 4096                  # default
        dropout = 0.5                    # default

        [init]
        weights = "xavier_uniform"       # default
        std = 0.01                       # default
        biases = "torch"                 # default
        copying = "all"                  # default

        [data]
        dataset = "fashion-mnist"        # default
        dir = "/some/where"              # --set data.dir=/some/where
        download = true                  # default
        sampler = "shuffled"             # default
        channels = 3                     # default
        skip_damaged = false             # default
        orientation = "exif"             # default
        decode = "full"                  # default
        normalize = "given"              # default
        mean = [0.0]                     # default
        std = [1.0]                      # default

        [data.augment]
        short_side = []                  # default
        random_crop = false              # default
        flip = false                     # default
        pad_crop = 0                     # default
        color_shift = 0.0                # default
        random_erasing = 0.0             # default
        mixup = 0.0                      # default
        cutmix = 0.0                     # default

        [train]
        epochs = 10                      # default
        batch_size = 128                 # default
        accumulate = 1                   # default
        label_smoothing = 0.0            # default
        best_by = "accuracy"             # default
        seed = 0                         # default

        [optimizer]
        lr = 0.1                         # file
        momentum = 0.0                   # default
        weight_decay = 0.0               # default
        nesterov = false                 # default

        [schedule]
        kind = "constant"                # default
        warmup_steps = 0                 # default
        every_epochs = 30                # default
        patience = 3                     # default
        factor = 0.1                     # default
        min_lr = 0.0                     # default
        rise = 0.3                       # default

        [checkpoint]
        every_minutes = 10.0             # default

        [guard]
        flat_loss = "warn"               # default

        [report]
        page = true                      # default
        tensorboard = false              # default

        [device]
        kind = "auto"                    # default
        threads = 0                      # default
        precision = "tf32"               # default
        deterministic = false            # default
        autotune = false                 # default
        "#);
    }
}
