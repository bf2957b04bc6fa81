//! What `import` is told: where the weights go, and how the file has them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use vgg_model::weights::{ChannelOrder, Convention, FlattenOrder, KernelLayout, Names, WeightFile};
use vgg_model::{Arch, Input};

use crate::config::{Override, in_config, read_text};
use crate::failure::{Code, Failure};
use crate::terminal::numbers::count;

/// Where the weights go, and how the file has them.
#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// Folder of the run to make
    #[arg(long, value_name = "RUN")]
    pub(super) to: PathBuf,

    /// Config of the network and its data set: the run can be evaluated and trained on
    #[arg(long, value_name = "CONFIG", conflicts_with = "arch")]
    pub config: Option<PathBuf>,

    /// Configuration of the network, such as vgg11, where there is no data set: the run can predict
    ///
    /// Left out, it is found by the names and shapes of the weights, as width, classes and input size
    /// are. A checkpoint of this program says it. VGGs of other blocks have to be told by their
    /// channels, as `[[64], [128], [256, 256]]`.
    #[arg(long)]
    pub(super) arch: Option<Arch>,

    /// Whose conventions the weights have; the options below change one each [default: keras of Keras's
    /// files, else torchvision]
    #[arg(long, value_enum, value_name = "WHOSE")]
    from: Option<From>,

    /// How the names of the network's weights begin in FILE, such as model_ema
    ///
    /// Only where it has several networks: else, whatever is before their names is left out.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,

    /// Order of the images' channels
    #[arg(long, value_enum)]
    channels: Option<Channels>,

    /// Order of a kernel's dimensions; with hwio, fully connected weights are inputs by outputs
    #[arg(long, value_enum)]
    kernels: Option<Kernels>,

    /// Order in which the last maps become the first fully connected layer's inputs
    #[arg(long, value_enum)]
    flatten: Option<Flatten>,

    /// Mean of each channel (red, green, blue) on the scale 0 to 1; as CONFIG says if there is one
    #[arg(long, value_name = "MEAN", value_delimiter = ',')]
    mean: Option<Vec<f32>>,

    /// Standard deviation of each channel, likewise
    #[arg(long, value_name = "STD", value_delimiter = ',')]
    std: Option<Vec<f32>>,

    /// Short side that images are scaled to, before the network's input is cut from their centre, or
    /// `stretch` for whole images [default: as the weights' authors have it]
    #[arg(long, value_name = "SIDE", value_parser = parse_short_side, conflicts_with = "config")]
    short_side: Option<ShortSide>,

    /// File with a class's name a line, in the order of the outputs
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    classes: Option<PathBuf>,
}

/// How images of any size become a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShortSide {
    Of(usize),
    Stretch,
}

fn parse_short_side(side: &str) -> Result<ShortSide, String> {
    match side {
        "stretch" => Ok(ShortSide::Stretch),
        _ => match side.parse() {
            Ok(side) if side > 0 => Ok(ShortSide::Of(side)),
            _ => Err("expected a number of pixels, or stretch".into()),
        },
    }
}

/// A [`Convention`] as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    /// rgb, oihw, chw, ImageNet's mean and deviation
    Torchvision,
    /// As torchvision, with timm's names for the head
    Timm,
    /// bgr, hwio, hwc, the mean colour
    Keras,
    /// bgr, oihw, chw, the mean colour: the authors' own
    Caffe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Channels {
    Rgb,
    Bgr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kernels {
    Oihw,
    Hwio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Flatten {
    Chw,
    Hwc,
}

impl ImportOptions {
    pub(super) fn open(&self, file: &Path) -> vgg_tensor::Result<WeightFile> {
        let weights = WeightFile::open(file)?;
        Ok(match &self.prefix {
            Some(prefix) => weights.under(prefix),
            None => weights,
        })
    }

    /// How the weights of a network of one of `archs` are written in the file.
    pub(super) fn convention(&self, weights: &WeightFile, archs: &[Arch]) -> Convention {
        let mut convention = match self.from {
            None => weights.usual(),
            Some(From::Torchvision) => Convention::TORCHVISION,
            Some(From::Timm) => Convention::TIMM,
            Some(From::Keras) => Convention::KERAS,
            Some(From::Caffe) => Convention::CAFFE,
        };
        // Caffe's weights go around with PyTorch's names, too.
        let has = |names| {
            let there = weights.prefixes(archs, &Convention { names, ..convention });
            there.is_ok_and(|there| !there.is_empty())
        };
        if self.from == Some(From::Caffe) && !has(Names::Caffe) && has(Names::Torchvision) {
            convention.names = Names::Torchvision;
        }
        if let Some(channels) = self.channels {
            convention.channels = match channels {
                Channels::Rgb => ChannelOrder::Rgb,
                Channels::Bgr => ChannelOrder::Bgr,
            };
        }
        if let Some(kernels) = self.kernels {
            convention.kernels = match kernels {
                Kernels::Oihw => KernelLayout::Oihw,
                Kernels::Hwio => KernelLayout::Hwio,
            };
        }
        if let Some(flatten) = self.flatten {
            convention.flatten = match flatten {
                Flatten::Chw => FlattenOrder::Chw,
                Flatten::Hwc => FlattenOrder::Hwc,
            };
        }
        convention
    }

    /// What is taken of a network's images that neither the file nor the user says.
    pub(super) fn assumed(&self, weights: &WeightFile) -> Option<&'static str> {
        let said = self.from.is_some()
            || self.channels.is_some()
            || self.mean.is_some()
            || self.config.is_some();
        (weights.usual() == Convention::KERAS_OWN && !said).then_some(
            "what images it was trained on is not in the file: they are taken red first, with pixels from 0 to \
             1; --mean, --std and --channels bgr say otherwise, and --from keras is for Keras's preprocess_input",
        )
    }

    /// The config that `--print-config` is about.
    pub(crate) fn config_to_print(&self) -> Result<&Path> {
        self.config.as_deref().ok_or_else(|| {
            let failure = Failure::new(Code::Usage, "--print-config needs --config CONFIG");
            failure.help("without it, the run's config is made of the weights").into()
        })
    }

    /// Refuses what says how other programs write weights, of a checkpoint that says all itself.
    pub(super) fn check_own(&self, file: &Path) -> Result<()> {
        let given = [
            ("--from", self.from.is_some()),
            ("--prefix", self.prefix.is_some()),
            ("--channels", self.channels.is_some()),
            ("--kernels", self.kernels.is_some()),
            ("--flatten", self.flatten.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                let message = format!("{option} is for other programs' weights");
                let help = format!("{} is a checkpoint of this program", file.display());
                Err(Failure::new(Code::Usage, message).help(help).into())
            }
            None => Ok(()),
        }
    }

    /// Changes what is told of the images.
    pub(super) fn change(&self, input: Input) -> Result<Input> {
        let Input { channels, .. } = input;
        let given = [("--mean", &self.mean), ("--std", &self.std)];
        let text = |values: &[f32]| {
            values
                .iter()
                .map(|x| ((x * 1e4).round() / 1e4).to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        // Pixels' means are below 1, and their deviations below that.
        if given.iter().any(|(_, values)| values.iter().flatten().any(|x| *x > 1.0)) {
            let options =
                given.iter().filter_map(|(option, values)| Some((option, values.as_ref()?)));
            let said = options.clone().map(|(option, values)| format!("{option} {}", text(values)));
            let on_scale = options.map(|(option, values)| {
                let divided: Vec<f32> = values.iter().map(|x| x / 255.0).collect();
                format!("{option} {}", text(&divided))
            });
            let said = said.collect::<Vec<_>>().join(" ");
            let message = format!("{said}: pixels are on the scale 0 to 1, not 0 to 255");
            let help = format!("divided by 255: {}", on_scale.collect::<Vec<_>>().join(" "));
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
        let of_channels = |option: &str, values: &Option<Vec<f32>>, own: Vec<f32>| match values {
            None => Ok(own),
            Some(values) if values.len() == 1 => Ok(vec![values[0]; channels]),
            Some(values) if values.len() == channels => Ok(values.clone()),
            Some(values) => {
                let numbers = values.len();
                let message =
                    format!("{option} must have a number a channel, {channels}, not {numbers}");
                Err(Failure::new(Code::Usage, message))
            }
        };
        Ok(Input {
            mean: of_channels("--mean", &self.mean, input.mean)?,
            std: of_channels("--std", &self.std, input.std)?,
            short_side: match self.short_side {
                None => input.short_side,
                Some(ShortSide::Of(side)) => Some(side),
                Some(ShortSide::Stretch) => None,
            },
            ..input
        })
    }

    /// What is told of the images, for a config.
    pub(super) fn overrides(&self) -> impl Iterator<Item = Override> {
        let given = [("--mean", "data.mean", &self.mean), ("--std", "data.std", &self.std)];
        given.into_iter().filter_map(|(option, key, values)| {
            Some(Override::new(option, key, in_config(values.as_ref()?)))
        })
    }

    /// The names of a network's classes, which are so many, if they are told.
    pub(super) fn class_names(&self, classes: usize) -> Result<Option<Vec<String>>> {
        let Some(path) = &self.classes else { return Ok(None) };
        let text = read_text(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
        let names: Vec<(&str, usize)> = lines.filter(|(name, _)| !name.is_empty()).collect();
        let file = path.display();
        if names.len() != classes {
            let count = count(names.len() as u64, "name");
            let message =
                format!("{file} has {count}, and the network tells {classes} classes apart");
            let help = "it must have a class's name a line, in the order of the outputs";
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
        let mut seen = HashMap::new();
        for (name, line) in &names {
            if let Some(first) = seen.insert(*name, *line) {
                let message = format!("{file} has the class {name:?} in lines {first} and {line}");
                let help = "add what tells its classes apart, as in: crane, a bird";
                return Err(Failure::new(Code::Usage, message).help(help).into());
            }
        }
        Ok(Some(names.into_iter().map(|(name, _)| name.to_owned()).collect()))
    }

    /// The failure of a file that is fine, but taken for something else than it is.
    pub(super) fn other_network(&self, weights: &WeightFile, archs: &[Arch]) -> Failure {
        let convention = self.convention(weights, archs);
        let prefixes = weights.prefixes(archs, &convention).unwrap_or_default();
        let help = match &prefixes[..] {
            [first, _, ..] if self.prefix.is_none() => {
                format!("--prefix takes the one that is meant, as in --prefix {first:?}")
            }
            _ => "--config or --arch must be their network, and --from whose they are".into(),
        };
        cannot_import().help(help)
    }
}

pub(super) fn cannot_import() -> Failure {
    Failure::new(Code::Checkpoint, "cannot import the weights")
}
