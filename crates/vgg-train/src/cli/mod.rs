//! The command line.

mod arrange;
mod complete;
mod dispatch;
mod options;

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser, Subcommand, ValueHint, value_parser};
use clap_complete::{ArgValueCompleter, Shell};

use self::options::{
    Arranged, DataDir, DeviceSettings, Hardware, Offline, ProgressOption, Runs, Settings, Threads,
    TrainingSettings, at_least_one,
};
use crate::commands::data::check::CheckOptions;
use crate::commands::data::pack::PackOptions;
use crate::commands::data::stats::StatsOptions;
use crate::commands::eval::{Averaging, Locating, Outputs};
use crate::commands::export::ExportOptions;
use crate::commands::extract::ExtractOptions;
use crate::commands::find_lr::FindLrOptions;
use crate::commands::finetune::FinetuneOptions;
use crate::commands::import::ImportOptions;
use crate::commands::report::ReportOptions;
use crate::commands::runs::SortKey;
use crate::commands::train::TrainOptions;
use crate::commands::watch::WatchOptions;
use crate::failure::Code;
use crate::passes::shown::Views;
use crate::run::checkpoints::NetworkOptions;
use crate::terminal::print::{self, printable_lines};
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
#[command(after_long_help = exit_codes())]
#[command(arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub output: UiOptions,
}

fn exit_codes() -> String {
    let mut help =
        "`vgg-train COMMAND --help` has the options of a command, `vgg-train train --help` \
                    those of training.\n\nExit codes:"
            .to_owned();
    for (code, meaning) in Code::ALL {
        help += &format!("\n  {:>3}  {meaning}", code as u8);
    }
    help
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train the network of a config (`vgg-train CONFIG` does the same)
    Train {
        /// Config of the run: a file, or a name that `vgg-train configs` lists
        #[arg(add = ArgValueCompleter::new(complete::config))]
        config: PathBuf,
        #[command(flatten)]
        options: TrainOptions,
        #[command(flatten)]
        settings: TrainingSettings,
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Fine-tune a trained network for the classes of a folder of photographs
    ///
    /// FOLDER has a folder of images a class, or train/CLASS and val/CLASS. A config is written, which says
    /// what was chosen and why and can be changed, and trained in two runs: the new last layer alone, and
    /// then all layers at a lower rate.
    Finetune {
        /// Folder of the images
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        #[command(flatten)]
        options: FinetuneOptions,
        #[command(flatten)]
        settings: TrainingSettings,
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Look for the learning rate of a config, by a test in which the rate rises
    ///
    /// The network is trained as the config says, with its images, augmentation, batch and optimiser, but
    /// at a rate that rises from 1e-6 to 10, until the loss is three times its least. The curve is
    /// printed, and a rate for optimizer.lr with its reason. Nothing is kept: there is no run folder.
    FindLr {
        /// Config of the run: a file, or a name that `vgg-train configs` lists
        #[arg(add = ArgValueCompleter::new(complete::config))]
        config: PathBuf,
        #[command(flatten)]
        options: FindLrOptions,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Go on with a run from its last checkpoint, to the bit as if it had not been interrupted
    Resume {
        /// Folder of the run, such as runs/vgg11_small-1
        #[arg(value_hint = ValueHint::DirPath)]
        run: PathBuf,
        /// Go on with N ranks of this process, whatever it had before
        #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
        ranks: Option<u16>,
        /// Print what came out as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: TrainingSettings,
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
        #[arg(required = true, value_name = "RUN", value_hint = ValueHint::DirPath)]
        runs: Vec<PathBuf>,
        #[command(flatten)]
        network: NetworkOptions,
        #[command(flatten)]
        outputs: Outputs,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        progress: ProgressOption,
        // A heading is that of all that follows.
        #[command(flatten)]
        averaging: Averaging,
        #[command(flatten)]
        locating: Locating,
    },
    /// Write what a run came to as one HTML page, or several runs compared
    ///
    /// A run's page has curves, the confusion matrix, precision and recall of each class, calibration,
    /// the images that the network gets wrong and where it looks, what it was fed, its layers and its
    /// config. It needs nothing but a browser, and its numbers are in it as JSON. The best network is
    /// shown some test images for it, and all where the run has not kept what it said of them; what is
    /// not there is left out. Several runs are compared by their curves, results and configs.
    Report {
        /// Folder of the run, such as runs/vgg11_small-1
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        #[command(flatten)]
        options: ReportOptions,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Classify image files with a run's network
    ///
    /// Any JPEG, PNG, WebP, TIFF, BMP or GIF does, whatever its name; of an animation it is the first
    /// frame. It is turned as its EXIF data say (unless the run has data.orientation = "stored"),
    /// converted to the channels of the network's data set and shown to the network as when it is
    /// tested: of an image folder's images and of those that other programs' weights are for, the short
    /// side is scaled and the centre cut; others are stretched. Images should look like those of the
    /// data set: Fashion-MNIST shows one light piece of clothing on black.
    ///
    /// Any number of files is classified, in their order and in memory that does not depend on how many
    /// there are. One that cannot be read is told, and others go on; the exit code is 3 then.
    ///
    /// `vgg-train predict imagenet-vgg16 photo.jpg` works without any run: torchvision's weights are
    /// fetched once (550 MB), verified, and kept in $VGG_WEIGHTS_DIR, or else ~/.cache/vgg/weights; a
    /// file that is put there by hand, or that PyTorch has, will do. VGG_WEIGHTS_MIRROR may name mirrors
    /// that are asked instead of their home, and VGG_FETCH_PATIENCE the seconds that a server may send
    /// nothing (30).
    Predict {
        /// Folder of the run, such as runs/vgg11_small-1, a checkpoint file, or a network that is known
        /// by name: imagenet-vgg11, -vgg13, -vgg16, -vgg19, or each with _bn behind
        #[arg(add = ArgValueCompleter::new(complete::network))]
        run: PathBuf,
        /// Image files; folders, for the images in them and below them; - for those that standard
        /// input names, one a line
        #[arg(required = true, value_hint = ValueHint::AnyPath)]
        files: Vec<PathBuf>,
        /// Names in standard input end with a zero byte, as `find -print0` writes them
        #[arg(long, short = '0')]
        null: bool,
        #[command(flatten)]
        network: NetworkOptions,
        #[command(flatten)]
        views: Views,
        /// Print JSON, an object a file and line
        ///
        /// That of an unreadable file has an error. What is no Unicode in a name is U+FFFD; not so with --csv.
        #[arg(long)]
        json: bool,
        /// Print CSV, a row a file: its name, then classes and probabilities, most probable first
        ///
        /// The other fields of a file that cannot be read are empty.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        /// How many classes to print, most probable first
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
        top: usize,
        /// Show in FOLDER where in each image the network sees its most probable class
        ///
        /// FOLDER/STEM.png is the image as the network is shown it, and over it what speaks for the
        /// class, the brighter the more, by Grad-CAM on the last convolution's maps: each picture by
        /// its own maximum. Of several files of one name the second has STEM-2.png, and so on. The
        /// folder is made if there is none; pictures of these names are replaced.
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        explain: Option<PathBuf>,
        /// Of a run that locates objects, show in FOLDER each image with its boxes
        ///
        /// FOLDER/STEM.png is the image as it is decoded, enlarged if it is small, the most probable box on top.
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        draw: Option<PathBuf>,
        /// Of a run that locates objects, give the boxes of the classes that this run's network finds most
        /// probable; a network of one box for all classes needs none
        #[arg(long, value_name = "RUN", value_hint = ValueHint::DirPath)]
        classifier: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceSettings,
    },
    /// Write descriptors of image files: what a layer of a run's network makes of them
    ///
    /// As in the paper's appendix B: the network up to the layer runs on all of an image, its outputs
    /// are averaged over places and scales, and with --flip over the mirror image, too, and scaled to
    /// length 1. Images may have any sizes.
    Extract {
        /// Folder of the run, such as runs/vgg11_small-1, a checkpoint file, or a network that is known
        /// by name, such as imagenet-vgg16
        #[arg(add = ArgValueCompleter::new(complete::network))]
        run: PathBuf,
        /// Image files, folders of them, or - for those that standard input names; they are the rows, in order
        #[arg(required = true, value_hint = ValueHint::AnyPath)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        options: ExtractOptions,
        #[command(flatten)]
        device: DeviceSettings,
        #[command(flatten)]
        progress: ProgressOption,
    },
    /// Make a run of weights from elsewhere: PyTorch's, Keras's, safetensors, ONNX
    ///
    /// The names and orders may be torchvision's, timm's, Keras's or Caffe's; those of an ONNX model
    /// follow from its graph. A .pth file is a program; nothing in it is run, and what it has beside
    /// tensors is left aside. A checkpoint of this program, or what it exported, keeps its classes and
    /// how its images are shown.
    Import {
        /// File of the weights, or a name such as imagenet-vgg16, whose file is fetched
        #[arg(add = ArgValueCompleter::new(complete::network))]
        file: PathBuf,
        #[command(flatten)]
        options: ImportOptions,
        #[command(flatten)]
        settings: Settings,
    },
    /// Write a run's network for other programs: safetensors for PyTorch, or ONNX
    Export {
        /// Folder of the run, such as runs/vgg11_small-1, a checkpoint file, or a network that is known
        /// by name, such as imagenet-vgg16
        #[arg(add = ArgValueCompleter::new(complete::network))]
        run: PathBuf,
        #[command(flatten)]
        options: ExportOptions,
        #[command(flatten)]
        offline: Offline,
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
        #[arg(add = ArgValueCompleter::new(complete::shipped))]
        name: Option<PathBuf>,
    },
    /// Print the network's layers: shapes, parameters, multiply-adds, memory at the batch size
    ///
    /// Outputs and multiply-adds are of an image, memory is of a batch. At the end is what training
    /// needs in all on the device.
    Summary {
        /// Config of the run: a file, or a name that `vgg-train configs` lists; or a run's folder, or a
        /// network that is known by name, such as imagenet-vgg16
        #[arg(add = ArgValueCompleter::new(complete::config))]
        config: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the runs of a folder: how far they are, how good, and which are running
    ///
    /// The accuracy is the best epoch's, on the test images or on those held out, as `on` says; the
    /// loss is that of the newest epoch's training images so far; the time is that of the epochs
    /// that were not interrupted. Runs that are damaged say why. A screen that is narrow has fewer
    /// columns.
    Runs {
        /// Folder of the run folders, or a run
        #[arg(env = "VGG_RUNS_DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// What to sort by: the newest, best, lowest or longest are last
        #[arg(long, value_enum, value_name = "KEY", default_value = "changed")]
        sort: SortKey,
        /// Print JSON, an object a run and line
        #[arg(long)]
        json: bool,
    },
    /// Show runs in a browser as they train, and classify images that are dropped on the page
    ///
    /// The page is of this machine alone, 127.0.0.1, where all its users can see it; its address goes
    /// to standard output. Through `ssh -L` it is seen from elsewhere. Images are classified on the CPU.
    Watch {
        #[command(flatten)]
        options: WatchOptions,
        #[command(flatten)]
        threads: Threads,
    },
    /// Print what makes a shell complete this program's command line
    ///
    /// bash, in ~/.bashrc: `source <(vgg-train completions bash)`
    ///
    /// zsh, in ~/.zshrc after compinit: `source <(vgg-train completions zsh)`
    ///
    /// fish, in ~/.config/fish/config.fish: `vgg-train completions fish | source`
    ///
    /// PowerShell, in $PROFILE: `vgg-train completions powershell | Out-String | Invoke-Expression`
    ///
    /// elvish, in ~/.config/elvish/rc.elv: `eval (vgg-train completions elvish | slurp)`
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the program's manual, a page a command
    ///
    /// `man -l FOLDER/vgg-train.1` shows the first page; in ~/.local/share/man/man1, `man vgg-train`
    /// finds it.
    Man {
        /// Folder for the pages, such as ~/.local/share/man/man1; it is made if it is not there
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// What to look for in a folder with `train/CLASS/FILE` and `val/CLASS/FILE` or `test/CLASS/FILE`, or with
/// `CLASS/FILE`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Decode all images: damage, duplicates, odd sizes, images of each class
    ///
    /// It also counts images that are turned as their EXIF data say, animations, of which the first
    /// frame is the image, and files of kinds that are not read, such as HEIC, with what converts them.
    Check {
        /// Folder of the images
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        #[command(flatten)]
        arranged: Arranged,
        #[command(flatten)]
        options: CheckOptions,
    },
    /// Print mean, deviation and colour components of the training images, to paste into a config
    Stats {
        /// Folder of the images
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        #[command(flatten)]
        arranged: Arranged,
        #[command(flatten)]
        options: StatsOptions,
    },
    /// Write the images of a folder into one file, which training reads with dataset = "pack"
    ///
    /// A pack is read faster than many small files where a disk is slow. Training on it sees the same
    /// images in the same order, with the same pixels, but for those of --pixels that are scaled to
    /// other sizes. The file appears whole or not at all.
    Pack {
        /// Folder of the images
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The file to write
        #[arg(value_hint = ValueHint::FilePath)]
        out: PathBuf,
        #[command(flatten)]
        arranged: Arranged,
        #[command(flatten)]
        options: PackOptions,
    },
}

impl Cli {
    /// The arguments of this process. Leaves it with a usage error if they make no sense.
    pub(crate) fn of_process() -> Self {
        let args: Vec<_> = std::env::args_os().collect();
        if let Some(answer) = complete::answer(Self::command, &args) {
            // A shell has no use for what went wrong.
            let _ = print::raw(&answer);
            std::process::exit(0);
        }
        let args = arrange::command_first(&Self::command(), args);
        Self::try_parse_from(&args).unwrap_or_else(|error| {
            let error = naming_variable(error, &args);
            if vgg_comm::launched_rank().is_some_and(|rank| rank > 0) {
                // The first of several processes says it for all, and is let say it.
                std::process::exit(0);
            }
            let plain = error.render().to_string();
            let shown = printable_lines(&plain);
            if shown != plain {
                // Arguments may be names of files, which a shell put there.
                let _ = write!(std::io::stderr(), "{shown}");
                std::process::exit(error.exit_code());
            }
            // What was asked for may not have been written, as where a disk is full.
            let code = match error.print() {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => 1,
                _ => error.exit_code(),
            };
            std::process::exit(code)
        })
    }
}

/// The error, which names the variable that an option's value is from where it is not an argument.
fn naming_variable(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some(long) = shown.split([' ', '=']).next().and_then(|option| option.strip_prefix("--"))
    else {
        return error;
    };
    let is_it = |arg: &OsString| {
        let option = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
        option.is_some_and(|option| option.split('=').next() == Some(long))
    };
    let command = Cli::command();
    let variable =
        command.get_subcommands().flat_map(clap::Command::get_arguments).find_map(|arg| {
            let is_set = |name: &&OsStr| std::env::var_os(name).is_some();
            arg.get_env().filter(|_| arg.get_long() == Some(long)).filter(is_set)
        });
    if let Some(variable) = variable.filter(|_| !args.iter().any(is_it)) {
        let named = format!("{} ({shown})", variable.to_string_lossy());
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

impl Command {
    /// How its progress is to be shown.
    pub(crate) fn progress(&self) -> ProgressKind {
        match self {
            Self::Train { progress, .. }
            | Self::Finetune { progress, .. }
            | Self::FindLr { progress, .. }
            | Self::Resume { progress, .. }
            | Self::Eval { progress, .. }
            | Self::Report { progress, .. }
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
