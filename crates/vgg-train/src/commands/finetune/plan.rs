//! What is chosen for a folder and a network to start from.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml::Value;
use vgg_data::Decoding;
use vgg_data::image_folder::{ALL, Arrangement, OpenOptions, TRAIN, part_called};
use vgg_model::weights::Names;
use vgg_model::{Arch, Copying, Transferred, Vgg, VggConfig, transfers};

use super::FinetuneOptions;
use crate::config::{self, Config, DatasetName, OptimizerKind, Override, of_network};
use crate::data::folder::{Skipping, cached, explain_arranged, require_parts};
use crate::failure::{Code, Failure};
use crate::run::checkpoints::{self, Starting};
use crate::terminal::numbers::count;

/// The share of a folder without parts that is tested on.
pub(super) const SPLIT: f64 = 0.2;

/// Steps that all layers train for, in no fewer and no more epochs than these.
const STEPS: u64 = 500;
const EPOCHS: [u64; 2] = [12, 60];

/// No epochs without a better test, fewer than these, end the training.
const PATIENCE: u64 = 5;

/// Classes are unequal if one has so many times the images of another.
const UNEQUAL: f64 = 1.5;

/// Training images are cut from so much larger ones.
const MARGIN: f64 = 1.25;

/// How torchvision trains its VGGs.
const TRAINED_AT: f64 = 0.01;
pub(super) const MOMENTUM: f64 = 0.9;

/// All layers learn at so much of the rate that the network was trained at.
const GENTLY: f64 = 0.1;

/// What is written, and trained.
pub(super) struct Plan {
    /// The config's file.
    pub file: PathBuf,
    pub folder: PathBuf,
    pub labels: Option<PathBuf>,
    pub classes: usize,
    /// Whether the folder has parts to train and to test on.
    pub is_divided: bool,
    /// What these are called, if they are folders.
    pub part_names: Option<[String; 2]>,
    /// Whether some classes have many more images than others.
    pub is_unequal: bool,
    /// What `init.from` is.
    pub from: String,
    /// The config of the network to start from.
    pub start: Config,
    trained: Trained,
    /// What beats the config, but for the device.
    pub given: Vec<(String, Value)>,
    pub test_short_side: usize,
    pub epochs: u64,
    pub patience: u64,
    pub batch_size: u64,
    /// The rate of all layers; that of the new layer alone is the one it was trained at.
    pub lr: f64,
}

impl Plan {
    /// # Errors
    /// If the folder has no classes; as [`checkpoints::config_of`].
    pub(super) fn new(
        folder: &Path,
        options: &FinetuneOptions,
        overrides: &[Override],
    ) -> Result<Self> {
        let value = |key: &str| overrides.iter().rev().find(|it| it.key == key).map(|it| &it.value);
        let test_part = value("data.test_part").and_then(Value::as_str).and_then(part_called);
        let arrangement = Arrangement { labels: options.labels.clone(), split: None, test_part };
        require_parts(folder, &arrangement)?;
        let names = arrangement.class_names(folder).map_err(|error| match arrangement.labels {
            Some(_) => explain_arranged(folder, &arrangement, error, Skipping::Key),
            None => anyhow::Error::new(error).context(no_classes(folder)),
        })?;
        if names.len() < 2 {
            return Err(no_classes(folder).into());
        }
        let skip_damaged = config::flag(overrides, "data.skip_damaged").unwrap_or(false);
        let counted = Counted::of(&arrangement, folder, &names, skip_damaged)?;
        let name = fs::canonicalize(folder).ok().unwrap_or_else(|| folder.to_owned());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (from, (start, trained)) = match &options.from {
            None => {
                let own = PathBuf::from(format!("imagenet-{}", options.arch));
                if config::pretrained(&own).is_none() {
                    let message = format!("torchvision has no weights of {}", options.arch);
                    let help = "--arch is vgg11, vgg13, vgg16 or vgg19; --from any trained network";
                    return Err(Failure::new(Code::Usage, message).help(help).into());
                }
                ("imagenet".into(), start_of(&own, &options.arch)?)
            }
            Some(from) => (from.to_string_lossy().into_owned(), start_of(from, &options.arch)?),
        };
        let side = start.model.image_size;
        let file = options.config.clone().unwrap_or_else(|| format!("{name}.toml").into());
        let steps_an_epoch = counted.train.div_ceil(options.batch_size).max(1);
        let [least, most] = EPOCHS;
        let enough = STEPS.div_ceil(steps_an_epoch).clamp(least, most);
        let given_epochs = value("train.epochs").and_then(Value::as_integer);
        let given_epochs = given_epochs.and_then(|epochs| u64::try_from(epochs).ok());
        let given_lr =
            value("optimizer.lr").and_then(|lr| lr.as_float().or(Some(lr.as_integer()? as f64)));
        let epochs = given_epochs.or(options.epochs).unwrap_or(enough);
        let of_all = overrides.iter().filter(|it| !it.key.starts_with("device."));
        Ok(Self {
            given: of_all.map(|it| (it.key.clone(), it.value.clone())).collect(),
            file,
            folder: folder.to_owned(),
            labels: options.labels.clone(),
            classes: names.len(),
            is_divided: counted.is_divided,
            part_names: part_names(&arrangement, folder)?,
            is_unequal: counted.is_unequal,
            from,
            test_short_side: start.data.short_side_of_network(side).unwrap_or(side),
            lr: given_lr.unwrap_or_else(|| rounded(GENTLY * trained_at(&start))),
            start,
            trained,
            epochs,
            patience: PATIENCE.max(epochs / 4),
            batch_size: options.batch_size,
        })
    }

    /// The short sides that training images are scaled to.
    pub(super) fn train_short_side(&self) -> [usize; 2] {
        let most = (self.test_short_side as f64 * MARGIN).round() as usize;
        [self.test_short_side, most]
    }

    /// Which layers are known, and which are new, of `network` with the folder's classes.
    ///
    /// # Errors
    /// If none is known.
    pub(super) fn layers(&self, network: VggConfig) -> Result<Layers> {
        let network = VggConfig { classes: self.classes, ..network };
        let Trained { vgg, dims, .. } = &self.trained;
        let dims = |name: &str| dims.get(name).map(Vec::as_slice);
        let transferred = transfers(&Vgg::new(&network)?, vgg, dims, Copying::Body);
        let (known, new): (Vec<_>, Vec<_>) =
            transferred.into_iter().partition(|layer| layer.from.is_ok());
        if known.is_empty() {
            let message =
                format!("nothing of {} fits the network that would be trained", self.from);
            let help = "its arch, width and normalisation must be those of the trained one";
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
        let is_conv = |layer: &Transferred| layer.layer.starts_with("features.");
        let new_conv = new.iter().any(is_conv);
        let mut names: Vec<String> = Vec::new();
        for layer in known {
            let name = match is_conv(&layer) && !new_conv {
                true => "features".to_owned(),
                false => layer.layer,
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        let new = new.into_iter().map(|layer| (layer.layer, layer.from.err().unwrap_or_default()));
        Ok(Layers { known: names, new: new.collect() })
    }

    /// What beats `config` while the new layer alone is trained.
    pub(super) fn of_head(&self, config: &Config, layers: &Layers) -> Vec<Override> {
        let of = |key, value: toml::Value| Override::new("finetune", key, value);
        vec![
            of("name", name_of_head(&config.name).into()),
            of("init.copying", "body".into()),
            of("optimizer.freeze", layers.known.clone().into()),
            // Of what is frozen there is no rate.
            of("optimizer.groups", toml::Value::Array(vec![])),
            of("optimizer.lr", lr_of_head(config.optimizer.lr).into()),
            of("train.epochs", (epochs_of_head(config.train.epochs) as i64).into()),
            of("report.page", false.into()),
        ]
    }

    /// What was chosen and why, a line each.
    pub(super) fn choices(&self, config: &Config, layers: &Layers) -> Vec<String> {
        let model = config.vgg();
        let (classes, from) = (self.classes, &self.from);
        let mut choices =
            vec![format!("{model} from {from}, with a new last layer for {classes} classes")];
        // The last one's reason is that.
        if let [others @ .., _] = &layers.new[..] {
            let told =
                others.iter().map(|(layer, reason)| format!("{layer} is new, too: {reason}"));
            choices.extend(told);
        }
        let shown = match self.trained.as_usual {
            None => "those that it was trained with".to_owned(),
            Some(names) => format!(
                "as with weights of {names:?}, as these do not say theirs: --set data.mean=…, data.std=… and \
                 data.test_short_side=… do"
            ),
        };
        choices.push(format!(
            "mean, deviation and test images are {shown}; training images are cut anywhere and mirrored, as \
             there are few"
        ));
        if let (false, Some(share)) = (self.is_divided, config.data.split) {
            choices.push(format!(
                "{:.0} % of each class are tested on, chosen by the files' contents: a copy of a file \
                 is on the same side",
                100.0 * share
            ));
        }
        if self.is_unequal {
            choices.push(
                "classes are unequal: each counts the same in the loss, and in the score that chooses \
                 the best epoch"
                    .to_owned(),
            );
        }
        let (head, lr) = (epochs_of_head(config.train.epochs), config.optimizer.lr);
        choices.push(format!(
            "part 1: {} alone for {} at a rate of {}{}, as what is random would spoil the others",
            if layers.new.len() > 1 { "the new layers" } else { "the new layer" },
            count(head, "epoch"),
            lr_of_head(lr),
            if lr == rounded(GENTLY * trained_at(&self.start)) {
                ", the one it was trained at"
            } else {
                ""
            },
        ));
        choices.push(format!(
            "part 2: all layers for {} at {lr}, so that they change little, from part 1's best epoch",
            count(config.train.epochs, "epoch")
        ));
        choices
    }
}

/// The rate that a network was trained at, as it is with [`MOMENTUM`]: momentum μ carries an update
/// 1/(1−μ) times as far. Of weights from elsewhere nothing is known, and torchvision's were trained as
/// the paper has it.
fn trained_at(start: &Config) -> f64 {
    let optimizer = &start.optimizer;
    match start.data.dataset {
        DatasetName::None => TRAINED_AT,
        // Whose rates are of another kind.
        _ if optimizer.kind == OptimizerKind::Adamw => TRAINED_AT,
        _ => optimizer.lr * (1.0 - MOMENTUM) / (1.0 - optimizer.momentum),
    }
}

/// The rate of the new layer alone.
pub(super) fn lr_of_head(lr: f64) -> f64 {
    rounded(lr / GENTLY)
}

/// A rate with no more digits than anybody wrote.
fn rounded(lr: f64) -> f64 {
    format!("{lr:.6e}").parse().unwrap_or(lr)
}

/// What the run is called in which the new layers are trained alone.
pub(super) fn name_of_head(name: &str) -> String {
    format!("{name}-head")
}

/// How long the new layer trains alone.
pub(super) fn epochs_of_head(epochs: u64) -> u64 {
    epochs.div_ceil(3)
}

/// The network to start from.
struct Trained {
    vgg: Vgg,
    /// Of its parameters, by their names. Of a file of weights they need not be all.
    dims: HashMap<String, Vec<usize>>,
    /// Whose images are taken for those that it was trained with.
    as_usual: Option<Names>,
}

/// Layers of the network that is trained.
pub(super) struct Layers {
    /// Those that the trained network has, as `optimizer.freeze` calls them.
    pub known: Vec<String>,
    /// The others, of which one is always the last layer, and why.
    pub new: Vec<(String, String)>,
}

/// What is in a folder.
struct Counted {
    is_divided: bool,
    is_unequal: bool,
    /// Images to train on.
    train: u64,
}

impl Counted {
    /// Looks at all images, as training will.
    fn of(
        arrangement: &Arrangement,
        folder: &Path,
        classes: &[String],
        skip_damaged: bool,
    ) -> Result<Self> {
        let options = OpenOptions { skip_damaged, ..cached(Decoding::turned(3)) };
        let parts = arrangement.open(folder, classes, &options);
        let parts =
            parts.map_err(|error| explain_arranged(folder, arrangement, error, Skipping::Key))?;
        let is_divided = parts.iter().all(|(part, _)| *part != ALL);
        let trained_on = parts.iter().filter(|(part, _)| *part == ALL || *part == TRAIN);
        let mut of_class = vec![0_u64; classes.len()];
        for file in trained_on.flat_map(|(_, images)| images.files()) {
            of_class[file.label as usize] += 1;
        }
        let images = of_class.iter().sum::<u64>() as f64;
        let share = if is_divided { 1.0 } else { 1.0 - SPLIT };
        let [least, most] = [of_class.iter().min(), of_class.iter().max()];
        let [least, most] = [least, most].map(|count| count.copied().unwrap_or_default() as f64);
        Ok(Self {
            is_divided,
            is_unequal: most >= UNEQUAL * least,
            train: (share * images).round() as u64,
        })
    }
}

/// What the folders are called that are trained on and tested on.
fn part_names(arrangement: &Arrangement, folder: &Path) -> Result<Option<[String; 2]>> {
    let Some(parts) = arrangement.part_folders(folder)? else { return Ok(None) };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some([parts.train()?, parts.tested_on(arrangement.test_part)?.1].map(name)))
}

/// The config of the network to start from: a file of weights says which it is as far as it can, or else
/// it is one of `arch`.
fn start_of(from: &Path, arch: &Arch) -> Result<(Config, Trained)> {
    if !from.is_file() {
        let config = checkpoints::config_of(from, vec![])?.config;
        let vgg = Vgg::new(&config.vgg())?;
        let specs = vgg.params().iter().chain(vgg.state());
        let dims = specs.map(|spec| (spec.name.clone(), spec.dims.clone())).collect();
        return Ok((config, Trained { vgg, dims, as_usual: None }));
    }
    let Starting { vgg, input, params, as_usual, .. } = checkpoints::starting(from, arch)?;
    let dims = params.iter().map(|(name, tensor)| (name.to_owned(), tensor.dims().to_vec()));
    let trained = Trained { vgg: Vgg::new(&vgg)?, dims: dims.collect(), as_usual };
    Ok((of_network(&vgg, &input, &[], "start", vec![])?.config, trained))
}

fn no_classes(folder: &Path) -> Failure {
    let message = format!("{} is no folder of images in two classes or more", folder.display());
    Failure::new(Code::Data, message).help(help(folder))
}

fn help(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "it must have {folder}/CLASS with images of each class, or {folder}/train/CLASS and \
         {folder}/val/CLASS; or --labels says what is on each image"
    )
}
