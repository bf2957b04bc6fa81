//! What is chosen for a folder and a network to start from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vgg_data::image_folder::Arrangement;
use vgg_model::{Checkpoint, Vgg, VggConfig};

use super::FinetuneOptions;
use crate::config::{self, Config, Override, of_network};
use crate::failure::{Code, Failure};
use crate::run::checkpoints;
use crate::terminal::numbers::count;

/// The share of a folder without parts that is tested on.
pub(super) const SPLIT: f64 = 0.2;

/// So many epochs without a better test end the training.
pub(super) const PATIENCE: u64 = 5;

/// Training images are cut from so much larger ones.
const MARGIN: f64 = 1.25;

/// The rate of all layers; the new layer alone learns ten times as fast.
pub(super) const LR: f64 = 0.001;
const OF_HEAD: f64 = 10.0;

/// What is written, and trained.
pub(super) struct Plan {
    /// The config's file.
    pub file: PathBuf,
    pub folder: PathBuf,
    /// What the folder, and so the run, is called.
    pub name: String,
    pub classes: usize,
    /// Whether the folder has parts to train and to test on.
    pub is_divided: bool,
    /// What `init.from` is.
    pub from: String,
    /// The config of the network to start from.
    pub start: Config,
    pub test_short_side: usize,
    pub epochs: u64,
    pub batch_size: u64,
}

impl Plan {
    /// # Errors
    /// If the folder has no classes; as [`checkpoints::config_of`].
    pub(super) fn new(folder: &Path, options: &FinetuneOptions) -> Result<Self> {
        let is_divided = Arrangement::is_divided(folder);
        let classes = Arrangement::default().class_names(folder);
        let classes = classes.with_context(|| no_classes(folder))?.len();
        if classes < 2 {
            return Err(no_classes(folder).into());
        }
        let name = fs::canonicalize(folder).ok().unwrap_or_else(|| folder.to_owned());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (from, start) = match &options.from {
            None => {
                let own = PathBuf::from(format!("imagenet-{}", options.arch));
                if config::pretrained(&own).is_none() {
                    let message = format!("torchvision has no weights of {}", options.arch);
                    let help = "--arch is vgg11, vgg13, vgg16 or vgg19; --from any trained network";
                    return Err(Failure::new(Code::Usage, message).help(help).into());
                }
                ("imagenet".into(), start_of(&own)?)
            }
            Some(from) => (from.to_string_lossy().into_owned(), start_of(from)?),
        };
        let side = start.model.image_size;
        let file = options.config.clone().unwrap_or_else(|| format!("{name}.toml").into());
        Ok(Self {
            file,
            folder: folder.to_owned(),
            name,
            classes,
            is_divided,
            from,
            test_short_side: start.data.short_side_of_network(side).unwrap_or(side),
            start,
            epochs: options.epochs,
            batch_size: options.batch_size,
        })
    }

    /// The short sides that training images are scaled to.
    pub(super) fn train_short_side(&self) -> [usize; 2] {
        let most = (self.test_short_side as f64 * MARGIN).round() as usize;
        [self.test_short_side, most]
    }

    /// What all layers but the last one are called, as `optimizer.freeze` has them.
    pub(super) fn known(&self) -> Result<Vec<String>> {
        let vgg = Vgg::new(&VggConfig { classes: self.classes, ..self.start.vgg() })?;
        let mut layers: Vec<String> = Vec::new();
        for spec in vgg.params() {
            let (layer, _) = spec.name.rsplit_once('.').unwrap_or((&spec.name, ""));
            let layer = match layer.split_once('.') {
                Some(("features", _)) => "features".to_owned(),
                _ => layer.to_owned(),
            };
            if layers.last() != Some(&layer) {
                layers.push(layer);
            }
        }
        layers.pop();
        Ok(layers)
    }

    /// What beats `config` while the new layer alone is trained.
    pub(super) fn of_head(&self, config: &Config) -> Result<Vec<Override>> {
        let of = |key, value: toml::Value| Override::new("finetune", key, value);
        Ok(vec![
            of("name", self.name_of_head(config).into()),
            of("optimizer.freeze", self.known()?.into()),
            of("optimizer.lr", lr_of_head(config.optimizer.lr).into()),
            of("train.epochs", (epochs_of_head(config.train.epochs) as i64).into()),
            of("report.page", false.into()),
        ])
    }

    fn name_of_head(&self, config: &Config) -> String {
        format!("{}-head", config.name)
    }

    /// What was chosen and why, a line each.
    pub(super) fn choices(&self, config: &Config) -> Vec<String> {
        let model = config.model.describe();
        let (classes, from) = (self.classes, &self.from);
        let mut choices = vec![
            format!("{model} from {from}, with a new last layer for {classes} classes"),
            "mean, deviation and test images are those that it was trained with; training images are \
             cut anywhere and mirrored, as there are few"
                .to_owned(),
        ];
        if let (false, Some(share)) = (self.is_divided, config.data.split) {
            choices.push(format!(
                "{:.0} % of each class are tested on, chosen by the files' contents: a copy of a file \
                 is on the same side",
                100.0 * share
            ));
        }
        let (head, lr) = (epochs_of_head(config.train.epochs), config.optimizer.lr);
        choices.push(format!(
            "part 1: the new layer alone for {} at a rate of {}, as what is random would \
             spoil the others",
            count(head, "epoch"),
            lr_of_head(lr)
        ));
        choices.push(format!(
            "part 2: all layers for {} at {lr}, from part 1's best epoch",
            count(config.train.epochs, "epoch")
        ));
        choices
    }
}

/// The rate of the new layer alone, with no more digits than that of all layers.
pub(super) fn lr_of_head(lr: f64) -> f64 {
    let lr = lr * OF_HEAD;
    format!("{lr:.6e}").parse().unwrap_or(lr)
}

/// How long the new layer trains alone.
pub(super) fn epochs_of_head(epochs: u64) -> u64 {
    epochs.div_ceil(3)
}

/// The config of the network to start from.
fn start_of(from: &Path) -> Result<Config> {
    if !from.is_file() {
        return Ok(checkpoints::config_of(from, vec![])?.config);
    }
    let Checkpoint { vgg, input, .. } = checkpoints::load(from)?;
    Ok(of_network(&vgg, &input, &[], "", vec![])?.config)
}

fn no_classes(folder: &Path) -> Failure {
    let folder = folder.display();
    let message = format!("{folder} is no folder of images in two classes or more");
    let help = format!(
        "it must have {folder}/CLASS with images of each class, or {folder}/train/CLASS and \
         {folder}/val/CLASS"
    );
    Failure::new(Code::Data, message).help(help)
}
