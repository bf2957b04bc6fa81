//! The config that is written, to be read and changed.

use std::path::Path;

use anyhow::Result;
use toml::Value;
use vgg_data::image_folder::{TRAIN, VAL};

use super::plan::{Layers, MOMENTUM, Plan, SPLIT, epochs_of_head, lr_of_head, name_of_head};
use crate::config::Model;
use crate::run::folder::RUNS;
use crate::terminal::shell;

impl Plan {
    /// The config, where `out` is the folder of the runs.
    ///
    /// # Errors
    /// As [`Plan::layers`].
    pub(super) fn text(&self, out: &Path) -> Result<String> {
        let Self { file, folder, classes, start, epochs, patience, batch_size, lr, .. } = self;
        let Layers { known, new } = self.layers(start.vgg())?;
        let alone = match &new[..] {
            [others @ .., (last, _)] if !others.is_empty() => {
                let others = others.iter().map(|(layer, _)| &**layer).collect::<Vec<_>>().join(", ");
                format!(
                    "the new layers alone, {others} and {last}. They begin at random, and what they \
                     would ask of the other layers would"
                )
            }
            _ => "the new last layer alone. It begins at random, and what it would ask of the other layers would"
                .to_owned(),
        };
        let [least, most] = self.train_short_side();
        let head = epochs_of_head(*epochs);
        // A config that has no name is called as its file.
        let head_name = name_of_head(&file.file_stem().unwrap_or_default().to_string_lossy());
        let head_run = shell::word(out.join(format!("{head_name}-1")));
        let (head_name, file, data) = (shell::word(head_name), shell::word(file), &start.data);
        let mut given = match out == Path::new(RUNS) {
            true => String::new(),
            false => format!(" --out {}", shell::word(out)),
        };
        for (key, value) in &self.given {
            given += &format!(" --set {}", shell::word(format!("{key}={value}")));
        }
        let (shown, from, folder_text) = (folder.display(), text(&self.from), path(folder));
        let model = self.model();
        let labels = self.labels.as_deref().map(|csv| format!("labels = {}\n", path(csv)));
        let split = match (self.is_divided, &labels) {
            (true, None) => {
                let usual = || [TRAIN, VAL].map(str::to_owned);
                let [train, test] = self.part_names.clone().unwrap_or_else(usual);
                format!("# Trained on what is in {train}/, tested on what is in {test}/.\n")
            }
            (true, Some(_)) => "# The labels say what is trained on and tested on.\n".to_owned(),
            (false, _) => format!(
                "# So much of each class is tested on and not trained on. A file's contents decide on \
                 which side it is, so\n# that copies are on one side, and a new file moves no other.\n\
                 split = {SPLIT}\n"
            ),
        };
        let labels = labels.unwrap_or_default();
        let unequal = match self.is_unequal {
            true => {
                "# Some classes have many more images than others: each counts the same in the loss, and in the\n\
                 # score that chooses the best epoch.\n\
                 class_weights = \"balanced\"\nbest_by = \"balanced_accuracy\"\n"
            }
            false => "",
        };
        let (mean, std) = (Value::from(data.mean.clone()), Value::from(data.std.clone()));
        Ok(format!(
            "# {what} for the {classes} classes of {shown}.
#
# `vgg-train finetune` wrote it, and trains it in two parts, of which each is a run of its own:
# 1. {alone}
#    spoil what they know:
#    vgg-train {file}{given} --set name={head_name} --set init.copying=body --set optimizer.lr={lr_of_head} --set train.epochs={head} \
             --set optimizer.freeze='{known}'
# 2. all layers, from part 1's best epoch on, here that of its first run:
#    vgg-train {file}{given} --set init.from={head_run}
# `vgg-train configs vgg11_small` explains all keys.

{model}
[init]
# The trained network.
from = {from}

[data]
dataset = \"image-folder\"
folder = {folder_text}
channels = {channels}
{labels}{split}# As the trained network knows images: normalised, scaled, and cut from the centre to be tested.
mean = {mean}
std = {std}
test_short_side = {test}

[data.augment]
# There are few images: no epoch shows one as another did.
short_side = [{least}, {most}]
random_crop = true
flip = true

[train]
epochs = {epochs}
batch_size = {batch_size}
{unequal}# Ends where so many epochs bring nothing.
early_stop.patience = {patience}

[optimizer]
# A tenth of the rate it was trained at: what is known is to change little.
lr = {lr:?}
momentum = {MOMENTUM:?}
weight_decay = 0.0005
# The convolutions may be asked to change less still than the fully connected layers:
# groups = [{{ layers = \"features\", lr = 0.1 }}]

[schedule]
# The rate falls to 0, so that the last epochs settle.
kind = \"cosine\"
",
            what = self.what(),
            lr_of_head = lr_of_head(*lr),
            known = Value::from(known),
            channels = data.image_shape(start.model.image_size)[0],
            test = self.test_short_side,
        ))
    }

    /// The network, in words that begin a sentence.
    fn what(&self) -> String {
        let model = self.start.vgg();
        match &*self.from {
            "imagenet" => format!("{model}, trained on ImageNet,"),
            from => format!("{model}, trained as {from},"),
        }
    }

    /// The table of the network: keys that are not the defaults, and those that are often looked for.
    fn model(&self) -> String {
        let model = &self.start.model;
        let mut table = "[model]\n# As the trained network is.\n".to_owned();
        let mut key = |name: &str, value: Value| table += &format!("{name} = {value}\n");
        key("arch", Value::try_from(&model.arch).expect("a name or numbers"));
        key("image_size", (model.image_size as i64).into());
        let usual = Model::default();
        if model.width != usual.width {
            key("width", model.width.into());
        }
        if model.batch_norm {
            key("batch_norm", true.into());
        }
        if let Some(side) = model.avg_pool {
            key("avg_pool", (side as i64).into());
        }
        if model.fc_width != usual.fc_width {
            key("fc_width", (model.fc_width as i64).into());
        }
        if model.fc_hidden != usual.fc_hidden {
            key("fc_hidden", (model.fc_hidden as i64).into());
        }
        if model.dropout != usual.dropout {
            key("dropout", model.dropout.into());
        }
        table
    }
}

fn text(text: &str) -> Value {
    text.into()
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}
