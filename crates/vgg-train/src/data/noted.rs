//! What a config notes of its images.

use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_data::{Statistics, names};

use super::boxes;
use super::folder::{
    Skipping, checked, explain_arranged, files_sha256, folder_help, named, no_folder, parts,
    require_parts, told_alike, told_repeated,
};
use super::images::unreadable;
use super::open::held_out;
use crate::config::{self, Config, DatasetName, Loaded, Normalize, Override};
use crate::failure::{Code, Failure};
use crate::terminal::numbers::count;
use crate::terminal::ui::Ui;

/// At most so many images, as many of each class, give the mean and what else is computed.
pub(crate) const STATISTICS_OF: usize = 20_000;

/// Loads a config, and [notes](note) in it what a new run keeps of its images.
pub(crate) fn load_noted(path: &Path, overrides: Vec<Override>, ui: &Ui) -> Result<Loaded> {
    note(config::load(path, overrides)?, path, ui)
}

/// Notes in the config `path` what a new run keeps of its images, so that the run is the same when it is
/// resumed: the classes of an image folder and which files it has, the mean and standard deviation if they
/// are to be those of the data, and the components of the colours.
pub(crate) fn note(mut loaded: Loaded, path: &Path, ui: &Ui) -> Result<Loaded> {
    let Loaded { config, overrides, noted, folder_places, .. } = &mut loaded;
    let Config { data, .. } = config;
    if let DatasetName::FashionMnist | DatasetName::FashionMnistSample = data.dataset {
        // What an image folder is decoded to by default is none of its business.
        let [channels, ..] = data.image_shape(config.model.image_size);
        if data.channels != channels {
            if let Some(given) = overrides.iter().find(|given| given.key == "data.channels") {
                ui.warn(&format!(
                    "{} is without effect: Fashion-MNIST's images have one channel",
                    given.origin
                ));
            }
            data.channels = channels;
            noted.push("data.channels");
        }
    }
    if data.mean.iter().any(|mean| *mean > 1.0) {
        let mean = &data.mean;
        ui.warn(&format!("data.mean = {mean:?}: pixels are on the scale 0 to 1, not 0 to 255"));
    }
    if let (true, Some(folder)) = (data.is_folder(), &data.folder) {
        if !folder.is_dir() {
            return Err(no_folder(folder, folder_places));
        }
        if data.classes.is_empty() {
            let arrangement = data.arrangement();
            require_parts(folder, &arrangement)?;
            data.classes = arrangement
                .class_names(folder)
                .map_err(|error| explain_arranged(folder, &arrangement, error, Skipping::Key))?;
            noted.push("data.classes");
            for (one, other) in names::alike(&data.classes) {
                ui.warn(&told_alike(one, other));
            }
            let repeated = arrangement.repeated_in_classes(folder);
            if let Some(told) = told_repeated(&repeated, &data.classes) {
                ui.warn(&told);
            }
            if let [class] = &data.classes[..] {
                let message = format!(
                    "the image folder {} has one class, {class}; there must be at least two",
                    folder.display()
                );
                return Err(Failure::new(Code::Data, message)
                    .help(folder_help(folder, &arrangement))
                    .into());
            }
        }
        let notes_files = data.files_sha256.is_none();
        if notes_files {
            ui.status("Scanning", &folder.display().to_string());
            if let [_, here] = &folder_places[..]
                && here == folder
            {
                ui.detail(&format!(
                    "data.folder is that of the current folder: there is none beside {}",
                    path.display()
                ));
            }
        }
        let notes_boxes = data.boxes.is_some() && data.boxes_sha256.is_none();
        if notes_files || notes_boxes {
            let parts = parts(data)?;
            if notes_files {
                data.files_sha256 = Some(files_sha256(&parts));
                noted.push("data.files_sha256");
            }
            if notes_boxes && let Some(boxes) = boxes::of(data, &parts)? {
                data.boxes_sha256 = Some(boxes.sha256());
                noted.push("data.boxes_sha256");
            }
        }
    }
    if data.dataset == DatasetName::Pack {
        super::pack::note(data, noted)?;
    }
    let augment = &data.augment;
    let wants_components = augment.color_shift > 0.0 && augment.color_values.is_none();
    if data.normalize == Normalize::Data || wants_components {
        let (_, [train, _]) = match data.dataset {
            DatasetName::ImageFolder => named(data, checked(data)?)?,
            DatasetName::Pack => super::pack::images(data)?,
            _ => super::fashion::open(data, ui)?,
        };
        let (train, _) = held_out(train, data)?;
        let of = train.take(STATISTICS_OF);
        ui.status("Computing", &format!("statistics of {}", count(of.len() as u64, "image")));
        let Statistics { mean, std, components } =
            Statistics::of(&of).with_context(|| unreadable(&of))?;
        if data.normalize == Normalize::Data {
            // Images of one colour have no deviation to divide by.
            let std = std.iter().map(|std| if *std > 0.0 { *std } else { 1.0 }).collect();
            (data.mean, data.std, data.normalize) = (mean, std, Normalize::Given);
            noted.extend(["data.mean", "data.std", "data.normalize"]);
        }
        if let (true, Some(components)) = (wants_components, components) {
            data.augment.color_values = Some(components.values);
            data.augment.color_vectors = Some(components.vectors);
            noted.extend(["data.augment.color_values", "data.augment.color_vectors"]);
        }
    }
    Ok(loaded)
}
