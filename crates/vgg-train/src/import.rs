//! `import FILE --to RUN`: a run of weights from elsewhere.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use vgg_model::weights::{
    ChannelOrder, Convention, FlattenOrder, KernelLayout, Matched, Names, WeightFile,
};
use vgg_model::{Arch, Checkpoint, Input, Progress, Vgg};

use crate::cli::Which;
use crate::config::{self, Config, Loaded, Override};
use crate::data;
use crate::exit::{Code, Failure};
use crate::file::read_text;
use crate::run_dir::{CONFIG, RunDir};
use crate::train::State;
use crate::ui::{Ui, millions};

/// Where the weights go, and how the file has them.
#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// Folder of the run to make
    #[arg(long, value_name = "RUN")]
    to: PathBuf,

    /// Config of the network and its data set: the run can be evaluated and trained on
    #[arg(long, value_name = "CONFIG", required_unless_present = "arch", conflicts_with = "arch")]
    config: Option<PathBuf>,

    /// Configuration of the network, such as vgg11, where there is no data set: the run can predict
    ///
    /// Width, classes and input size follow from the weights.
    #[arg(long, value_parser = parse_arch)]
    arch: Option<Arch>,

    /// Whose conventions the weights have; the options below change one each
    #[arg(long, value_enum, value_name = "WHOSE", default_value = "torchvision")]
    from: From,

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

    /// File with a class's name a line, in the order of the outputs
    #[arg(long, value_name = "FILE", requires = "arch")]
    classes: Option<PathBuf>,
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

fn parse_arch(name: &str) -> Result<Arch, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

impl ImportOptions {
    fn open(&self, file: &Path) -> vgg_tensor::Result<WeightFile> {
        let weights = WeightFile::open(file)?;
        Ok(match &self.prefix {
            Some(prefix) => weights.under(prefix),
            None => weights,
        })
    }

    /// How the weights of a network of `arch` are written in the file.
    fn convention(&self, weights: &WeightFile, arch: Arch) -> Convention {
        let mut convention = match self.from {
            From::Torchvision => Convention::TORCHVISION,
            From::Timm => Convention::TIMM,
            From::Keras => Convention::KERAS,
            From::Caffe => Convention::CAFFE,
        };
        // Caffe's weights go around with PyTorch's names, too.
        let has = |names| {
            let there = weights.prefixes(arch, &Convention { names, ..convention });
            there.is_ok_and(|there| !there.is_empty())
        };
        if self.from == From::Caffe && !has(Names::Caffe) && has(Names::Torchvision) {
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

    /// The config that `--print-config` is about.
    pub(crate) fn config_to_print(&self) -> Result<&Path> {
        self.config.as_deref().ok_or_else(|| {
            let failure = Failure::new(Code::Usage, "--print-config needs --config CONFIG");
            failure.help("without it, the run's config is made of the weights").into()
        })
    }

    /// The run's config file: that of `--config`, or one of the network alone.
    fn load_config(
        &self,
        weights: &WeightFile,
        overrides: Vec<Override>,
        ui: &Ui,
    ) -> Result<(Loaded, Option<Network>)> {
        match (&self.config, self.arch) {
            (Some(path), _) => {
                let normalization =
                    [("--mean", "data.mean", &self.mean), ("--std", "data.std", &self.std)];
                let given = normalization.into_iter().filter_map(|(option, key, values)| {
                    let values = values.as_ref()?.iter().map(|x| f64::from(*x));
                    Some(Override::new(option, key, values.collect::<Vec<_>>()))
                });
                Ok((data::load_noted(path, given.chain(overrides).collect(), ui)?, None))
            }
            (None, arch) => {
                let network = self.network(weights, arch.unwrap_or(Arch::Vgg11))?;
                let vgg = &network.vgg;
                let arch = serde_json::to_value(vgg.arch)?;
                let of_weights = [
                    Override::new("--arch", "model.arch", arch.as_str().unwrap_or_default()),
                    Override::new("the weights", "model.width", vgg.width),
                    Override::new("the weights", "model.batch_norm", vgg.batch_norm),
                    Override::new("the weights", "model.image_size", vgg.input[1] as i64),
                    Override::new("the weights", "model.fc_width", vgg.fc_width as i64),
                ];
                let overrides = of_weights.into_iter().chain(overrides).collect();
                let name = self.to.file_name().unwrap_or_default().to_string_lossy();
                Ok((config::without_file(&name, overrides)?, Some(network)))
            }
        }
    }

    /// The file is fine, but it is taken for something else than it is.
    fn other_network(&self, weights: &WeightFile, arch: Arch, convention: &Convention) -> Failure {
        let prefixes = weights.prefixes(arch, convention).unwrap_or_default();
        let help = match &prefixes[..] {
            [first, _, ..] if self.prefix.is_none() => {
                format!("--prefix takes the one that is meant, as in --prefix {first:?}")
            }
            _ => "--config or --arch must be their network, and --from whose they are".into(),
        };
        cannot_import().help(help)
    }

    /// The network whose weights the file has.
    fn network(&self, weights: &WeightFile, arch: Arch) -> Result<Network> {
        let convention = self.convention(weights, arch);
        let other = || self.other_network(weights, arch, &convention);
        let vgg = weights.config(arch, &convention).with_context(other)?;
        let [channels, height, width] = vgg.input;
        let plain = Input::unnormalized(channels, height, width);
        let (mean, std) = match channels {
            3 => (convention.mean.to_vec(), convention.std.to_vec()),
            _ => (plain.mean, plain.std),
        };
        let input = Input {
            mean: self.mean.clone().unwrap_or(mean),
            std: self.std.clone().unwrap_or(std),
            ..plain
        };
        let classes = match &self.classes {
            Some(path) => read_text(path)
                .with_context(|| format!("cannot read {}", path.display()))?
                .lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect(),
            None => vec![],
        };
        Ok(Network { vgg, input, classes })
    }
}

/// What the weights are of, and are fed with.
struct Network {
    vgg: vgg_model::VggConfig,
    input: Input,
    classes: Vec<String>,
}

impl Network {
    fn of_config(config: &Config) -> Self {
        let classes = config.data.class_names();
        Self { vgg: config.vgg(), input: config.input(), classes }
    }
}

/// `import FILE --to RUN`.
pub(crate) fn command(
    file: &Path,
    options: &ImportOptions,
    overrides: Vec<Override>,
    ui: &Ui,
) -> Result<()> {
    let weights = options.open(file).context(cannot_import())?;
    let (loaded, network) = options.load_config(&weights, overrides, ui)?;
    let Network { vgg: config, input, classes } =
        network.unwrap_or_else(|| Network::of_config(&loaded.config));
    let vgg = Vgg::new(&config)?;
    let convention = options.convention(&weights, config.arch);
    let other = || options.other_network(&weights, config.arch, &convention);
    let matched = weights.check(&vgg, &convention).with_context(other)?;
    let params = weights.params(&vgg, &convention).context(cannot_import())?;
    let checkpoint = Checkpoint {
        vgg: config,
        input,
        classes,
        params,
        velocity: None,
        unaveraged: None,
        progress: Progress { seed: loaded.config.train.seed, ..Progress::default() },
        run: serde_json::to_value(State::default())?,
    };
    let run = RunDir::create_at(&options.to)?;
    checkpoint.save(&run.checkpoint(Which::Last))?;
    // A folder without a config is no run: if anything failed before, none was made.
    run.write(CONFIG, &loaded.effective())?;
    let count = millions(vgg.param_count() as u64);
    ui.status("Imported", &format!("{count} parameters into {}", options.to.display()));
    tell(&matched, ui);
    Ok(())
}

/// Says what was not as a file of weights alone has it.
fn tell(Matched { prefix, by_order }: &Matched, ui: &Ui) {
    if !prefix.is_empty() {
        ui.detail(&format!("their names begin with {prefix} in the file"));
    }
    for (own, in_file) in by_order {
        ui.detail(&format!("{own} is {in_file} of the file, by order and sizes"));
    }
}

fn cannot_import() -> Failure {
    Failure::new(Code::Checkpoint, "cannot import the weights")
}
