//! `import FILE --to RUN`: a run of weights from elsewhere.

mod options;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context as _, Result, anyhow};
use vgg_data::imagenet::{self, Pretrained};
use vgg_data::names;
use vgg_model::weights::{Matched, Start, WeightFile};
use vgg_model::{Arch, Checkpoint, Input, Moments, Params, Progress, Vgg, VggConfig};

pub(crate) use self::options::ImportOptions;
use self::options::cannot_import;
use crate::config::{self, Config, Loaded, Override, decode, in_config, is_run, orientation};
use crate::data;
use crate::failure::{Code, Failure};
use crate::run::checkpoints::{difference, left_out};
use crate::run::folder::{RunDir, Which};
use crate::run::weights;
use crate::signals::Unfinished;
use crate::terminal::numbers::millions;
use crate::terminal::ui::Ui;
use crate::training::state::State;

/// How the names of a VGG's convolutions begin.
const CONVOLUTIONS: &str = "features.";

/// A network with its weights, as it came.
struct Imported {
    vgg: VggConfig,
    input: Input,
    classes: Vec<String>,
    params: Params,
    /// How the weights were found, if they are of another program.
    matched: Option<Matched>,
    /// What else the file asks for.
    asks: Vec<String>,
}

/// `import FILE --to RUN`.
pub(crate) fn command(
    file: &Path,
    options: &ImportOptions,
    overrides: Vec<Override>,
    ui: &Ui,
) -> Result<()> {
    if file.is_dir() {
        let message =
            format!("{} is a folder, where a file of weights is asked for", file.display());
        let failure = Failure::new(Code::Usage, message);
        return Err(match is_run(file) {
            true => failure.help("it is a run already, and need not be imported"),
            false => failure,
        }
        .into());
    }
    let is_missing = fs::metadata(file).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if is_missing && config::pretrained(file).is_none() {
        let name = file.display().to_string();
        let known: Vec<String> = config::pretrained_names().collect();
        let near = config::nearest(&name, known.iter().map(|name| &**name));
        let failure = Failure::new(Code::Usage, format!("there is no file {name}"));
        return Err(match near {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure,
        }
        .into());
    }
    let file = &file_of(file, &overrides, ui)?;
    let own = own(file)?;
    let mut assumed = None;
    let (network, loaded) = match (own, &options.config) {
        (Some(checkpoint), _) => {
            options.check_own(file)?;
            of_checkpoint(file, checkpoint, options, overrides, ui)?
        }
        (None, Some(path)) => {
            let weights = options.open(file).context(cannot_import())?;
            let given = with_options(None, options, overrides);
            let loaded = data::load_noted(path, given, ui)?;
            assumed = options.assumed(&weights);
            (with_config(&weights, &loaded.config, options)?, loaded)
        }
        (None, None) => {
            let weights = options.open(file).context(cannot_import())?;
            let network = alone(file, &weights, options)?;
            assumed = options.assumed(&weights);
            let loaded = config_of(&network, options, overrides)?;
            (network, loaded)
        }
    };
    let Imported { vgg, input, classes, params, matched, asks } = network;
    let count = millions(Vgg::new(&vgg)?.param_count() as u64);
    let images = data::describe(&input, vgg.input);
    let checkpoint = Checkpoint {
        vgg,
        input,
        classes,
        params,
        moments: Moments::new(),
        unaveraged: None,
        progress: Progress { seed: loaded.config.train.seed, ..Progress::default() },
        run: serde_json::to_value(State::default())?,
    };
    checkpoint.check()?;
    let run = RunDir::create_at(&options.to)?;
    let unfinished = Unfinished::new(&options.to);
    let saved = checkpoint
        .save(&run.checkpoint(Which::Last))
        .map_err(anyhow::Error::from)
        // A folder without a config is no run.
        .and_then(|()| run.write(config::CONFIG, loaded.effective()));
    if saved.is_err() {
        // All in it was made here.
        let _ = fs::remove_dir_all(&options.to);
    }
    drop(unfinished);
    saved?;
    ui.status("Imported", &format!("{count} parameters into {}", options.to.display()));
    tell(matched.as_ref(), ui);
    if let Some(assumed) = &assumed {
        ui.detail(assumed);
    }
    if !asks.is_empty() {
        ui.detail(&format!("the file also asks for {}: nothing was run", asks.join(", ")));
    }
    if !loaded.config.data.is_fashion() {
        ui.detail(&images);
    }
    if checkpoint.classes.is_empty() {
        ui.detail("its classes have no names: `--classes FILE` gives them, as evaluating it on a folder needs");
    }
    Ok(())
}

/// The config that `import FILE --config CONFIG` makes a run of.
pub(crate) fn config(
    file: &Path,
    options: &ImportOptions,
    overrides: Vec<Override>,
) -> Result<Loaded> {
    let path = options.config_to_print()?;
    let own = match config::pretrained(file) {
        Some(_) => None,
        None => own(file)?,
    };
    if own.is_some() {
        options.check_own(file)?;
    }
    let input = own.as_ref().map(|checkpoint| &checkpoint.input);
    config::load(path, with_options(input, options, overrides))
}

/// The file: itself, or that of weights that are known by name.
fn file_of(file: &Path, overrides: &[Override], ui: &Ui) -> Result<PathBuf> {
    match config::pretrained(file) {
        Some(pretrained) => {
            Ok(weights::verified(pretrained, config::may_download(overrides), ui)?.path)
        }
        None => Ok(file.into()),
    }
}

/// The checkpoint that the file is, if it is of this program.
fn own(file: &Path) -> Result<Option<Checkpoint>> {
    Checkpoint::load_if_one(file).context(cannot_import())
}

/// What beats the config: what a checkpoint of ours was trained with, then what the user says.
fn with_options(
    own: Option<&Input>,
    options: &ImportOptions,
    overrides: Vec<Override>,
) -> Vec<Override> {
    // What it was trained with is no choice of another config.
    let own = own.into_iter().flat_map(|input| {
        let numbers = |key, values: &[f32]| Override::new("the checkpoint", key, in_config(values));
        [
            numbers("data.mean", &input.mean),
            numbers("data.std", &input.std),
            Override::new("the checkpoint", "data.normalize", "given"),
            Override::new("the checkpoint", "data.orientation", orientation(input)),
            Override::new("the checkpoint", "data.decode", decode(input)),
        ]
    });
    own.chain(options.overrides()).chain(overrides).collect()
}

/// Says what was not as a file of weights alone has it.
fn tell(matched: Option<&Matched>, ui: &Ui) {
    let Some(Matched { prefix, by_order, beside }) = matched else { return };
    if !prefix.is_empty() {
        ui.detail(&format!("their names begin with {prefix} in the file"));
    }
    let (convs, others): (Vec<_>, Vec<_>) =
        by_order.iter().partition(|(own, _)| own.starts_with(CONVOLUTIONS));
    // There are many of them.
    if let [(first, first_in_file), .., (last, last_in_file)] = convs[..] {
        ui.detail(&format!(
            "{first} to {last} are {first_in_file} to {last_in_file} of the file, in their order"
        ));
    }
    for (own, in_file) in others {
        ui.detail(&format!("{own} is {in_file} of the file, by order and sizes"));
    }
    left_out(beside).iter().for_each(|told| ui.detail(told));
}

/// The network of a checkpoint of ours, with all that it says of itself.
fn of_checkpoint(
    file: &Path,
    checkpoint: Checkpoint,
    options: &ImportOptions,
    overrides: Vec<Override>,
    ui: &Ui,
) -> Result<(Imported, Loaded)> {
    let Checkpoint { vgg, input, classes, params, .. } = checkpoint;
    if let Some(arch) = options.arch.as_ref().filter(|arch| **arch != vgg.arch) {
        let message = format!("{} is a checkpoint of {}, not of {arch}", file.display(), vgg.arch);
        return Err(anyhow!(message).context(cannot_import().help("--arch can be left out")));
    }
    let network = Imported { vgg, input, classes, params, matched: None, asks: vec![] };
    let Some(path) = &options.config else {
        let input = options.change(network.input.clone())?;
        let classes = options.class_names(network.vgg.classes)?.unwrap_or(network.classes.clone());
        let network = Imported { input, classes, ..network };
        let loaded = config_of(&network, options, overrides)?;
        return Ok((network, loaded));
    };
    let given = with_options(Some(&network.input), options, overrides);
    let loaded = data::load_noted(path, given, ui)?;
    let config = &loaded.config;
    let wanted = config.vgg();
    let (file, path) = (file.display(), path.display());
    if (VggConfig { dropout: wanted.dropout, ..network.vgg.clone() }) != wanted {
        let message = format!("{file} is of another network than {path}");
        let help = difference(&network.vgg, &wanted)?;
        return Err(anyhow!(message).context(cannot_import().help(help)));
    }
    let classes = config.data.class_names();
    if !network.classes.is_empty() && !names::same(&network.classes, &classes) {
        let message = format!("{file} tells other classes apart than the data set of {path}");
        return Err(anyhow!(message).context(cannot_import()));
    }
    Ok((Imported { vgg: wanted, input: config.input(), classes, ..network }, loaded))
}

/// The weights of a config's network.
fn with_config(weights: &WeightFile, config: &Config, options: &ImportOptions) -> Result<Imported> {
    let (config, input, classes) = (config.vgg(), config.input(), config.data.class_names());
    let vgg = Vgg::new(&config)?;
    let archs = slice::from_ref(&config.arch);
    let convention = options.convention(weights, archs);
    let other = || options.other_network(weights, archs);
    let matched = Some(weights.check(&vgg, &convention).with_context(other)?);
    let params = weights.params(&vgg, &convention).context(cannot_import())?;
    let asks = weights.asks().to_vec();
    Ok(Imported { vgg: config, input, classes, params, matched, asks })
}

/// The network that the weights are of.
fn alone(file: &Path, weights: &WeightFile, options: &ImportOptions) -> Result<Imported> {
    let archs = options.arch.clone().map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    let convention = options.convention(weights, &archs);
    let fits = |arch: &Arch| {
        let config = weights.config(arch, &convention)?;
        let matched = weights.check(&Vgg::new(&config)?, &convention)?;
        Ok((config, matched))
    };
    let found = weights.candidates(&archs, &convention).and_then(|candidates| {
        let mut tried = candidates.iter().map(fits);
        let first = tried.next().unwrap_or_else(|| fits(&archs[0]));
        first.or_else(|error| tried.find_map(Result::ok).ok_or(error))
    });
    let (vgg, matched) = found.map_err(|error: vgg_tensor::Error| {
        let start = weights.start(&archs[0]).ok();
        let is_of_use = |start: Start| start.lacking.is_some() || !start.beside.is_empty();
        let failure = match start.is_some_and(is_of_use) {
            true => cannot_import().help(
                "a network of other classes can start from it: init.from = FILE in its config",
            ),
            false => options.other_network(weights, &archs),
        };
        anyhow::Error::from(error).context(failure)
    })?;
    let said = weights.input(vgg.input);
    let input = options.change(said.unwrap_or_else(|| convention.input(vgg.input)))?;
    let known = || match Pretrained::of_file(file) {
        Some(_) => Some(imagenet::classes()),
        None => Some(weights.classes().to_vec()).filter(|names| names.len() == vgg.classes),
    };
    let classes = options.class_names(vgg.classes)?.or_else(known).unwrap_or_default();
    let params = weights.params(&Vgg::new(&vgg)?, &convention).context(cannot_import())?;
    let (matched, asks) = (Some(matched), weights.asks().to_vec());
    Ok(Imported { vgg, input, classes, params, matched, asks })
}

/// The config of a network without a data set.
fn config_of(
    network: &Imported,
    options: &ImportOptions,
    overrides: Vec<Override>,
) -> Result<Loaded> {
    let Imported { vgg, input, classes, .. } = network;
    // Fails where images cannot become its input.
    data::transform(input, vgg.input)?;
    let name = options.to.file_name().unwrap_or_default().to_string_lossy();
    let of = |overrides| config::of_network(vgg, input, classes, &name, overrides);
    let decided = |config: &Config| (config.vgg(), config.input(), config.data.class_names());
    let (own, loaded) = (of(vec![])?, of(overrides)?);
    if decided(&own.config) != decided(&loaded.config) {
        let message = "--set changes what the weights decide: the network, or what it takes";
        let help = "--mean, --std, --short-side and --classes say more of images; --config has a \
                    network of its own";
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    Ok(loaded)
}
