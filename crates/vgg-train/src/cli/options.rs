//! Options that several commands take. A command has those that it uses, and no others.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;
use clap::{ValueEnum as _, ValueHint};
use clap_complete::ArgValueCompleter;
use vgg_data::image_folder::Arrangement;

use super::complete;
use crate::config::{DeviceKind, Override, Precision};
use crate::run::folder::RUNS;
use crate::terminal::ui::ProgressKind;

/// What beats a config.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Set a key of the config, such as train.epochs=2 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Override::parse)]
    #[arg(add = ArgValueCompleter::new(complete::key))]
    set: Vec<Override>,

    /// Print the effective config, with where each value is from, and do nothing else
    #[arg(long)]
    print_config: bool,

    #[command(flatten)]
    compute: Compute,

    #[command(flatten)]
    data: DataPlace,
}

/// What beats a config that is trained.
#[derive(Debug, Args)]
pub(crate) struct TrainingSettings {
    /// Write event files for TensorBoard into the run's folder
    ///
    /// `tensorboard --logdir runs` shows all runs that have them.
    #[arg(long)]
    tensorboard: bool,

    #[command(flatten)]
    settings: Settings,
}

/// The device and the network, for what has no config of its own.
#[derive(Debug, Args)]
pub(crate) struct DeviceSettings {
    /// Set a key of the config's table `device`, such as device.autotune=true (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = of_device)]
    #[arg(add = ArgValueCompleter::new(complete::key_of_device))]
    set: Vec<Override>,

    #[command(flatten)]
    compute: Compute,

    #[command(flatten)]
    offline: Offline,
}

/// How a folder of images is labelled and divided.
#[derive(Debug, Args)]
pub(crate) struct Arranged {
    /// CSV file of labels, with lines path,label or path,label,split, as data.labels
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    labels: Option<PathBuf>,
    /// Share of the images that is held out, as data.split: the folder has CLASS/FILE
    #[arg(long, value_name = "SHARE", value_parser = share)]
    split: Option<f64>,
}

impl Arranged {
    pub(super) fn arrangement(&self) -> Arrangement {
        Arrangement { labels: self.labels.clone(), split: self.split, test_part: None }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "must be a number above 0 and below 1".to_owned())
}

/// What is computed on.
#[derive(Debug, Args)]
pub(crate) struct Compute {
    /// Device to compute on: auto (a GPU if there is one), cpu, cuda or cuda:N
    #[arg(long, env = "VGG_DEVICE", hide_possible_values = true)]
    device: Option<DeviceKind>,

    #[command(flatten)]
    hardware: Hardware,
}

/// How a device is used.
#[derive(Debug, Args)]
pub(crate) struct Hardware {
    /// What numbers are stored as and computed with
    #[arg(long, value_enum, env = "VGG_PRECISION")]
    precision: Option<Precision>,

    #[command(flatten)]
    threads: Threads,
}

/// How the CPU is used.
#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// CPU threads (0: all); results do not depend on them
    #[arg(long, value_name = "N", env = "VGG_THREADS")]
    threads: Option<u16>,
}

/// Where data sets are.
#[derive(Debug, Args)]
pub(crate) struct DataPlace {
    #[command(flatten)]
    offline: Offline,

    #[command(flatten)]
    dir: DataDir,
}

/// Whether what is missing may be fetched.
#[derive(Debug, Args)]
pub(crate) struct Offline {
    /// Never use the network: fail where data or weights are missing
    #[arg(long, env = "VGG_OFFLINE", value_parser = FalseyValueParser::new())]
    offline: bool,
}

/// The folder of the data sets.
#[derive(Debug, Args)]
pub(crate) struct DataDir {
    /// Folder of the data sets
    #[arg(long, value_name = "DIR", env = "VGG_DATA_DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
}

/// The folder of the runs.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Folder of the run folders
    #[arg(long, value_name = "DIR", env = "VGG_RUNS_DIR", default_value = RUNS)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ProgressOption {
    /// How progress is shown; auto is a bar on a terminal and dated lines elsewhere
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW")]
    pub progress: ProgressKind,
}

impl Settings {
    /// All that beats the file, the stronger later.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let options = self.compute.overrides().chain(self.data.overrides());
        options.chain(self.set.iter().cloned()).collect()
    }

    /// The same, if the config that it makes is all that is asked for.
    pub(super) fn to_print(&self) -> Option<Vec<Override>> {
        self.print_config.then(|| self.overrides())
    }
}

impl TrainingSettings {
    /// All that beats the file, the stronger later.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let tensorboard = || Override::new("--tensorboard", "report.tensorboard", true);
        let tensorboard = self.tensorboard.then(tensorboard);
        tensorboard.into_iter().chain(self.settings.overrides()).collect()
    }

    /// The same, if the config that it makes is all that is asked for.
    pub(super) fn to_print(&self) -> Option<Vec<Override>> {
        self.settings.print_config.then(|| self.overrides())
    }
}

impl DeviceSettings {
    /// All that beats the defaults, the stronger later.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let options = self.compute.overrides().chain(self.offline.overrides());
        options.chain(self.set.iter().cloned()).collect()
    }
}

impl Compute {
    fn overrides(&self) -> impl Iterator<Item = Override> {
        let kind = self.device.map(|device| {
            Override::new("--device or VGG_DEVICE", "device.kind", device.to_string())
        });
        kind.into_iter().chain(self.hardware.overrides())
    }
}

impl Hardware {
    pub(crate) fn overrides(&self) -> impl Iterator<Item = Override> + use<> {
        let precision = self.precision.and_then(|precision| {
            let name = precision.to_possible_value()?.get_name().to_owned();
            Some(Override::new("--precision or VGG_PRECISION", "device.precision", name))
        });
        [precision, self.threads.overrides()].into_iter().flatten()
    }
}

impl Threads {
    pub(crate) fn overrides(&self) -> Option<Override> {
        self.threads.map(|threads| {
            Override::new("--threads or VGG_THREADS", "device.threads", i64::from(threads))
        })
    }
}

impl DataPlace {
    fn overrides(&self) -> impl Iterator<Item = Override> {
        self.offline.overrides().into_iter().chain(self.dir.overrides())
    }
}

impl Offline {
    /// Whether what is missing may be fetched.
    pub(super) fn may_download(&self) -> bool {
        !self.offline
    }

    fn overrides(&self) -> Option<Override> {
        self.offline.then(|| Override::new("--offline or VGG_OFFLINE", "data.download", false))
    }
}

impl DataDir {
    pub(crate) fn overrides(&self) -> Option<Override> {
        self.data_dir.as_ref().map(|dir| {
            let dir = dir.to_string_lossy().into_owned();
            Override::new("--data-dir or VGG_DATA_DIR", "data.dir", dir)
        })
    }
}

/// A number of things, of which there must be one.
pub(super) fn at_least_one(argument: &str) -> Result<usize, String> {
    match argument.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// [`Override::parse`], of the device alone.
fn of_device(argument: &str) -> Result<Override, String> {
    let set = Override::parse(argument)?;
    match set.key == "device" || set.key.starts_with("device.") {
        true => Ok(set),
        false => Err(format!("only keys of `device` mean something here, not {}", set.key)),
    }
}
