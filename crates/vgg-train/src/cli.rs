//! The command line.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use vgg_model::WeightType;

use crate::config::{DeviceKind, Override, Precision};
use crate::eval::Views;
use crate::export::ExportOptions;
use crate::extract::ExtractOptions;
use crate::import::ImportOptions;

/// Train, evaluate and use VGG networks.
///
/// `vgg-train CONFIG` trains the network that the config file describes and puts everything about
/// the run into a new folder `runs/NAME-N`. Results go to standard output, all else to standard
/// error.
#[derive(Debug, Parser)]
#[command(name = "vgg-train", version, max_term_width = 100)]
#[command(subcommand_negates_reqs = true)]
#[command(override_usage = "vgg-train [OPTIONS] CONFIG\n       vgg-train [OPTIONS] COMMAND …")]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Config file of the run, such as configs/vgg11_small.toml
    #[arg(required = true)]
    config: Option<PathBuf>,

    #[command(flatten)]
    profile: Profile,

    #[command(flatten)]
    pub settings: Settings,

    #[command(flatten)]
    pub output: Output,
}

const EXIT_CODES: &str = "Exit codes:
    0  finished
    1  any failure not below
    2  bad option, config key or value
    3  data missing or damaged
    4  device not available
    5  not enough memory
    6  training diverged
    7  checkpoint unreadable or of another network
   75  stopped by SIGTERM or SIGUSR1, state saved: run `vgg-train resume RUN`
  130  stopped by Ctrl-C, state saved; a second Ctrl-C leaves at once";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train the network of a config (`vgg-train CONFIG` does the same)
    Train {
        /// Config file of the run
        config: PathBuf,
        #[command(flatten)]
        profile: Profile,
    },
    /// Go on with a run from its last checkpoint, to the bit as if it had not been interrupted
    Resume {
        /// Folder of the run, such as runs/vgg11_small-1
        run: PathBuf,
    },
    /// Evaluate a run's network, or several together, on its data set's test images
    ///
    /// Without the options of the paper's testing, a run's network sees images as in the tests after
    /// each epoch of training. With any of them, or several runs, posteriors are averaged: over scales,
    /// views and networks. Networks keep their own input size, channels and normalisation, but all must
    /// tell the same classes apart.
    Eval {
        /// Folder of the run, such as runs/vgg11_small-1; of several, the first one's images are used
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        #[command(flatten)]
        network: Network,
        #[command(flatten)]
        views: Views,
        /// Write the confusion matrix to FILE, as CSV
        #[arg(long, value_name = "FILE")]
        confusion: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Classify image files with a run's network
    ///
    /// Any PNG or JPEG does; it is converted to the channels of the network's data set and resized
    /// to the network's input, which stretches images that are not square; a run on an image folder
    /// cuts the centre instead, as when it is tested. Images should look like
    /// those of the data set: Fashion-MNIST shows one light piece of clothing on black.
    Predict {
        /// Folder of the run, such as runs/vgg11_small-1, or a checkpoint file
        run: PathBuf,
        /// Image files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        network: Network,
        /// Print JSON, an object a file and line
        #[arg(long)]
        json: bool,
        /// How many classes to print, most probable first
        #[arg(long, value_name = "N", default_value_t = 5)]
        top: usize,
    },
    /// Write descriptors of image files: what a layer of a run's network makes of them
    ///
    /// As in the paper's appendix B: the network up to the layer runs on all of an image, its outputs
    /// are averaged over places and scales, and with --flip over the mirror image, too, and scaled to
    /// length 1. Images may have any sizes.
    Extract {
        /// Folder of the run, such as runs/vgg11_small-1, or a checkpoint file
        run: PathBuf,
        /// Image files; a file's row is its place among them
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        options: ExtractOptions,
    },
    /// Make a run of weights from elsewhere: PyTorch's .pth files, or safetensors
    ///
    /// The names and orders may be torchvision's, timm's, Keras's or Caffe's. A .pth file is a
    /// program; what it asks for beyond tensors is refused, and nothing in it is run.
    Import {
        /// File of the weights
        file: PathBuf,
        #[command(flatten)]
        options: ImportOptions,
    },
    /// Write a run's network for other programs: safetensors for PyTorch, or ONNX
    Export {
        /// Folder of the run, such as runs/vgg11_small-1, or a checkpoint file
        run: PathBuf,
        #[command(flatten)]
        options: ExportOptions,
    },
    /// Look at a folder of images before training on it
    #[command(subcommand)]
    Data(DataCommand),
    /// Tell what this machine has: CPU, CUDA's driver and libraries, GPUs, data, space
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the network's layers: shapes, parameters, multiply-adds, memory at the batch size
    Summary {
        /// Config file of the run
        config: PathBuf,
    },
}

/// What to look for in a folder with `train/CLASS/FILE` and `val/CLASS/FILE`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Decode all images: damage, duplicates, sizes, images of each class
    Check {
        /// Folder of the images
        dir: PathBuf,
    },
    /// Print mean, deviation and colour components of the training images, to paste into a config
    Stats {
        /// Folder of the images
        dir: PathBuf,
        /// Channels that images are decoded to: 3 (red, green, blue) or 1 (grey)
        #[arg(long, value_name = "N", default_value_t = 3)]
        channels: usize,
        /// At most so many images, as many of each class
        #[arg(long, value_name = "N", default_value_t = crate::data::STATISTICS_OF)]
        images: usize,
    },
}

/// Profiling in place of training.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// Do not train, but time each operation of a few training steps
    ///
    /// Prints a table and writes the times to FILE (without one: profile.json) as a trace that
    /// ui.perfetto.dev and chrome://tracing open. There is no run folder.
    #[arg(id = "profile", long = "profile", value_name = "FILE", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "profile.json")]
    pub trace: Option<PathBuf>,
}

/// Which of a run's networks, and how it is kept in memory.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Network {
    /// Which checkpoint of the run: that with the best test accuracy or the last one
    #[arg(long, value_enum, default_value = "best")]
    pub checkpoint: Which,

    /// How the fully connected layers' weights are stored in memory
    ///
    /// They are nearly all of a VGG's weights, and reading them is most of the time that an image
    /// or a few take: f16 halves both. It rounds weights to 11 bits and refuses those above 65504;
    /// the arithmetic stays in f32.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub linear_weights: LinearWeights,
}

/// A checkpoint that every run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    Best,
    Last,
}

/// A [`WeightType`] as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LinearWeights {
    F32,
    F16,
}

impl From<LinearWeights> for WeightType {
    fn from(weights: LinearWeights) -> Self {
        match weights {
            LinearWeights::F32 => WeightType::F32,
            LinearWeights::F16 => WeightType::F16,
        }
    }
}

/// What beats the config.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Set a key of the config, such as train.epochs=2 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    #[arg(value_parser = Override::parse)]
    set: Vec<Override>,

    /// Print the effective config, with where each value is from, and do nothing else
    #[arg(long, global = true)]
    pub print_config: bool,

    /// Device to compute on: auto (a GPU if there is one), cpu, cuda or cuda:N
    #[arg(long, global = true, env = "VGG_DEVICE", hide_possible_values = true)]
    device: Option<DeviceKind>,

    /// What numbers are stored as and computed with on a GPU
    #[arg(long, value_enum, global = true, env = "VGG_PRECISION")]
    precision: Option<Precision>,

    /// CPU threads (0: all); results do not depend on them
    #[arg(long, value_name = "N", global = true, env = "VGG_THREADS")]
    threads: Option<u16>,

    /// Never use the network: fail where data are missing
    #[arg(long, global = true, env = "VGG_OFFLINE", value_parser = FalseyValueParser::new())]
    offline: bool,

    /// Folder of the data sets
    #[arg(long, value_name = "DIR", global = true, env = "VGG_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Folder of the run folders
    #[arg(long, value_name = "DIR", global = true, env = "VGG_RUNS_DIR", default_value = "runs")]
    pub out: PathBuf,
}

impl Settings {
    /// All that beats the file, the stronger later.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let kind = self.device.map(|device| {
            Override::new("--device or VGG_DEVICE", "device.kind", device.to_string())
        });
        let precision = self.precision.and_then(|precision| {
            let name = precision.to_possible_value()?.get_name().to_owned();
            Some(Override::new("--precision or VGG_PRECISION", "device.precision", name))
        });
        let threads = self.threads.map(|threads| {
            Override::new("--threads or VGG_THREADS", "device.threads", i64::from(threads))
        });
        let offline =
            self.offline.then(|| Override::new("--offline or VGG_OFFLINE", "data.download", false));
        let dir = self.data_dir.as_ref().map(|dir| {
            let dir = dir.to_string_lossy().into_owned();
            Override::new("--data-dir or VGG_DATA_DIR", "data.dir", dir)
        });
        let options = [kind, precision, threads, offline, dir].into_iter().flatten();
        options.chain(self.set.iter().cloned()).collect()
    }
}

/// How much is said, and how.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Say nothing but warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more; VGG_LOG has finer control, such as VGG_LOG=vgg_cpu=trace
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// How progress is shown; auto is a bar on a terminal and dated lines elsewhere
    #[arg(long, value_enum, global = true, default_value = "auto", value_name = "HOW")]
    pub progress: ProgressKind,

    /// Whether to colour messages; NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, value_enum, global = true, default_value = "auto", value_name = "WHEN")]
    pub color: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    Auto,
    Bar,
    Plain,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

impl Cli {
    /// What to do: the command, or training the config given alone.
    ///
    /// Leaves the program with a usage error if both are given.
    pub(crate) fn take_command(&mut self) -> Command {
        let profile = Profile { trace: self.profile.trace.take() };
        let message = match (self.command.take(), self.config.take()) {
            (None, Some(config)) => return Command::Train { config, profile },
            (Some(command), None) if profile.trace.is_none() => return command,
            (Some(_), None) => "unexpected `--profile` before the command".into(),
            (Some(_), Some(config)) => {
                format!("unexpected `{}` before the command", config.display())
            }
            (None, None) => "a config file or a command is needed".into(),
        };
        Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("vgg-train").chain(line.split_whitespace()))
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_config_alone_is_trained() {
        for line in ["x.toml --threads 2", "train x.toml --threads 2", "--threads 2 train x.toml"] {
            let mut cli = parse(line).unwrap();
            assert!(
                matches!(cli.take_command(), Command::Train { config, .. } if config.ends_with("x.toml"))
            );
            assert_eq!(cli.settings.threads, Some(2), "{line}");
        }
        assert!(parse("").is_err());
    }

    #[test]
    fn a_profile_has_a_file() {
        let trace = |line| match parse(line).unwrap().take_command() {
            Command::Train { profile, .. } => profile.trace,
            other => panic!("{other:?}"),
        };
        assert_eq!(trace("x.toml"), None);
        for line in ["x.toml --profile", "--profile x.toml", "train x.toml --profile"] {
            assert_eq!(trace(line), Some("profile.json".into()), "{line}");
        }
        assert_eq!(trace("train x.toml --profile=a/b.json"), Some("a/b.json".into()));
        assert!(parse("resume x --profile").is_err());
    }

    #[test]
    fn options_become_overrides_and_set_is_strongest() {
        let cli =
            parse("x.toml --set device.threads=1 --threads 2 --offline --device cpu").unwrap();
        let given: Vec<_> =
            cli.settings.overrides().into_iter().map(|set| (set.key, set.value)).collect();
        let expected = [
            ("device.kind", "cpu".into()),
            ("device.threads", 2.into()),
            ("data.download", false.into()),
            ("device.threads", toml::Value::from(1)),
        ];
        assert_eq!(given, expected.map(|(key, value)| (key.to_owned(), value)));
    }
}
