//! The command line.

mod arrange;
mod dispatch;
mod options;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::options::{DataDir, DeviceSettings, Hardware, ProgressOption, Runs, Settings};
use crate::commands::eval::Averaging;
use crate::commands::export::ExportOptions;
use crate::commands::extract::ExtractOptions;
use crate::commands::import::ImportOptions;
use crate::commands::train::TrainOptions;
use crate::run::checkpoints::NetworkOptions;
use crate::terminal::print::printable_lines;
use crate::terminal::ui::{ProgressKind, UiOptions};
use crate::version::VERSION;

/// Train, evaluate and use VGG networks.
///
/// `vgg-train CONFIG` is short for `vgg-train train CONFIG`: it trains the network that the config
/// describes and puts everything about the run into a new folder `runs/NAME-N`. Results go to
/// standard output, all else to standard error.
#[derive(Debug, Parser)]
#[command(name = "vgg-train", version = VERSION, max_term_width = 100)]
#[command(override_usage = "vgg-train [OPTIONS] CONFIG\n       vgg-train COMMAND …")]
#[command(
    after_help = "`vgg-train COMMAND --help` has the options of a command, `vgg-train train \
                        --help` those of training."
)]
#[command(after_long_help = EXIT_CODES)]
#[command(arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub output: UiOptions,
}

const EXIT_CODES: &str = "`vgg-train COMMAND --help` has the options of a command, \
`vgg-train train --help` those of training.

Exit codes:
    0  finished
    1  any failure not below
    2  bad option, config key or value
    3  data missing or damaged
    4  device not available
    5  not enough memory
    6  training diverged
    7  checkpoint unreadable or of another network
   75  stopped by SIGTERM, SIGUSR1 or SIGHUP, state saved: `vgg-train resume RUN`
  130  stopped by Ctrl-C, state saved; a second Ctrl-C leaves at once";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train the network of a config (`vgg-train CONFIG` does the same)
    Train {
        /// Config of the run: a file, or a name that `vgg-train configs` lists
        config: PathBuf,
        #[command(flatten)]
        options: TrainOptions,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Go on with a run from its last checkpoint, to the bit as if it had not been interrupted
    Resume {
        /// Folder of the run, such as runs/vgg11_small-1
        run: PathBuf,
        /// Print what came out as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        progress: ProgressOption,
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
        network: NetworkOptions,
        #[command(flatten)]
        averaging: Averaging,
        /// Write the confusion matrix to FILE, as CSV
        #[arg(long, value_name = "FILE")]
        confusion: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Classify image files with a run's network
    ///
    /// Any PNG or JPEG does; it is converted to the channels of the network's data set and shown to
    /// the network as when it is tested: of an image folder's images and of those that other programs'
    /// weights are for, the short side is scaled and the centre cut; others are stretched. Images
    /// should look like those of the data set: Fashion-MNIST shows one light piece of clothing on black.
    /// An image that asks by its EXIF data to be turned is not.
    Predict {
        /// Folder of the run, such as runs/vgg11_small-1, or a checkpoint file
        run: PathBuf,
        /// Image files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        network: NetworkOptions,
        /// Print JSON, an object a file and line
        #[arg(long)]
        json: bool,
        /// How many classes to print, most probable first
        #[arg(long, value_name = "N", default_value_t = 5)]
        top: usize,
        #[command(flatten)]
        device: DeviceSettings,
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
        #[command(flatten)]
        device: DeviceSettings,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Make a run of weights from elsewhere: PyTorch's .pth files, or safetensors
    ///
    /// The names and orders may be torchvision's, timm's, Keras's or Caffe's. A .pth file is a
    /// program; nothing in it is run, and what it has beside tensors is left aside. A checkpoint of
    /// this program, or what it exported, keeps its classes and how its images are shown.
    Import {
        /// File of the weights
        file: PathBuf,
        #[command(flatten)]
        options: ImportOptions,
        #[command(flatten)]
        settings: Settings,
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
        #[command(flatten)]
        hardware: Hardware,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        runs: Runs,
    },
    /// List the configs that are part of the program, or print one, to copy and change
    Configs {
        /// Name of the config to print, such as vgg11_small
        name: Option<PathBuf>,
    },
    /// Print the network's layers: shapes, parameters, multiply-adds, memory at the batch size
    ///
    /// Outputs and multiply-adds are of an image, memory is of a batch. At the end is what training
    /// needs in all on the device.
    Summary {
        /// Config of the run: a file, or a name that `vgg-train configs` lists; or a run's folder
        config: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
}

/// What to look for in a folder with `train/CLASS/FILE` and `val/CLASS/FILE`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Decode all images: damage, duplicates, sizes, images of each class
    ///
    /// It also counts images that ask by their EXIF data to be turned. They are not, here and in
    /// training, as torchvision does not turn them either.
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

impl Cli {
    /// The arguments of this process. Leaves it with a usage error if they make no sense.
    pub(crate) fn of_process() -> Self {
        let args = arrange::command_first(&Self::command(), std::env::args_os().collect());
        Self::try_parse_from(args).unwrap_or_else(|error| {
            let plain = error.render().to_string();
            let shown = printable_lines(&plain);
            if shown != plain {
                // Arguments may be names of files, which a shell put there.
                let _ = write!(std::io::stderr(), "{shown}");
                std::process::exit(error.exit_code());
            }
            error.exit()
        })
    }
}

impl Command {
    /// How its progress is to be shown.
    pub(crate) fn progress(&self) -> ProgressKind {
        match self {
            Self::Train { progress, .. }
            | Self::Resume { progress, .. }
            | Self::Eval { progress, .. }
            | Self::Extract { progress, .. } => progress.progress,
            _ => ProgressKind::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let args = std::iter::once("vgg-train").chain(line.split_whitespace());
        let args = args.map(std::ffi::OsString::from).collect();
        Cli::try_parse_from(arrange::command_first(&Cli::command(), args))
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_config_alone_is_trained() {
        for line in [
            "x.toml --threads 2",
            "train x.toml --threads 2",
            "--threads 2 train x.toml",
            "--threads 2 -q x.toml",
            "--threads=2 --profile x.toml",
        ] {
            match parse(line).unwrap().command {
                Command::Train { config, settings, .. } => {
                    assert!(config.ends_with("x.toml"));
                    assert_eq!(settings.overrides()[0].value, 2.into(), "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(parse("").is_err());
        assert!(matches!(
            parse("--set a=resume resume x").unwrap().command,
            Command::Resume { .. }
        ));
    }

    #[test]
    fn a_profile_has_a_file() {
        let trace = |line| match parse(line).unwrap().command {
            Command::Train { options, .. } => options.profile,
            other => panic!("{other:?}"),
        };
        assert_eq!(trace("x.toml"), None);
        for line in ["x.toml --profile", "--profile x.toml", "train x.toml --profile"] {
            assert_eq!(trace(line), Some(None), "{line}");
        }
        assert_eq!(trace("train x.toml --profile=a/b.json"), Some(Some("a/b.json".into())));
        assert!(parse("x.toml --profile --json").is_err());
        assert!(parse("resume x --profile").is_err());
    }

    #[test]
    fn options_become_overrides_and_set_is_strongest() {
        let cli =
            parse("x.toml --set device.threads=1 --threads 2 --offline --device cpu").unwrap();
        let Command::Train { settings, .. } = cli.command else { panic!("{cli:?}") };
        let given: Vec<_> =
            settings.overrides().into_iter().map(|set| (set.key, set.value)).collect();
        let expected = [
            ("device.kind", "cpu".into()),
            ("device.threads", 2.into()),
            ("data.download", false.into()),
            ("device.threads", toml::Value::from(1)),
        ];
        assert_eq!(given, expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn commands_take_the_options_that_they_use() {
        let predict = "predict run a.png --set device.autotune=true --threads 2";
        assert!(parse(predict).is_ok());
        for line in [
            "predict run a.png --set train.epochs=2",
            "predict run a.png --print-config",
            "predict run a.png --data-dir data",
            "extract run a.png --output a.npy --print-config",
            "export run --format onnx --output a --device cpu",
            "export run --format onnx --output a --set device.threads=1",
            "data check images --print-config",
            "data stats images --set data.channels=1",
            "doctor --set device.threads=1",
            "doctor --print-config",
            "doctor --progress bar",
            "resume run --out runs",
            "eval run --out runs",
        ] {
            let error = parse(line).expect_err(line).kind();
            let refused =
                [clap::error::ErrorKind::UnknownArgument, clap::error::ErrorKind::ValueValidation];
            assert!(refused.contains(&error), "{line}: {error:?}");
        }
    }
}
