//! `data stats DIR`: what a config may say about the pixels.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_data::image_folder::{Arrangement, OpenOptions, TRAIN};
use vgg_data::{Components, Decoding, Images, Statistics};

use crate::data::DAMAGED_OPTION_HELP;
use crate::data::folder::{Skipping, cached, explain_arranged, require_parts, tell_damaged};
use crate::failure::{Code, Failure};
use crate::terminal::numbers::count;
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// What statistics are of.
#[derive(Debug, Args)]
pub(crate) struct StatsOptions {
    /// Channels that images are decoded to: 3 (red, green, blue) or 1 (grey)
    #[arg(long, value_name = "N", default_value_t = 3)]
    channels: usize,
    /// At most so many images, as many of each class
    #[arg(long, value_name = "N", default_value_t = crate::data::STATISTICS_OF)]
    images: usize,
    /// Leave out damaged files
    #[arg(long)]
    skip_damaged: bool,
}

/// Prints the statistics of training images as TOML.
pub(crate) fn command(
    dir: &Path,
    arrangement: &Arrangement,
    options: &StatsOptions,
    ui: &Ui,
) -> Result<()> {
    let StatsOptions { channels, images: limit, skip_damaged } = *options;
    if channels != 1 && channels != 3 {
        let message = format!("--channels must be 1 or 3, not {channels}");
        return Err(Failure::new(Code::Usage, message).into());
    }
    require_parts(dir, arrangement)?;
    let options = OpenOptions { skip_damaged, ..cached(Decoding::turned(channels)) };
    let open = || -> vgg_tensor::Result<_> {
        let classes = arrangement.class_names(dir)?;
        let mut parts = arrangement.open(dir, &classes, &options)?;
        Ok(parts.swap_remove(0).1)
    };
    let folder =
        open().map_err(|error| explain_arranged(dir, arrangement, error, Skipping::Option))?;
    tell_damaged(&folder, ui);
    let images = Images::from(folder).take(limit);
    let parts = arrangement.part_folders(dir)?;
    let place = parts.as_ref().and_then(|parts| parts.get(TRAIN)).unwrap_or(dir);
    let of = format!("{} of {}", count(images.len() as u64, "image"), place.display());
    ui.status("Computing", &format!("statistics of {of}"));
    let statistics = Statistics::of(&images).with_context(|| {
        Failure::new(Code::Data, "cannot read an image").help(DAMAGED_OPTION_HELP)
    })?;
    print::lines(lines(&of, dir, arrangement, channels, skip_damaged, &statistics))
}

/// All of a config's table `data`.
fn lines(
    of: &str,
    dir: &Path,
    arrangement: &Arrangement,
    channels: usize,
    skip_damaged: bool,
    Statistics { mean, std, components }: &Statistics,
) -> Vec<String> {
    let path = |path: &Path| toml::Value::from(&*path.to_string_lossy());
    let mut lines = vec![
        format!("# Of {of}"),
        "[data]".into(),
        "dataset = \"image-folder\"".into(),
        format!("folder = {}", path(dir)),
    ];
    lines.extend(arrangement.labels.iter().map(|csv| format!("labels = {}", path(csv))));
    lines.extend(arrangement.split.iter().map(|share| format!("split = {share}")));
    lines.extend(skip_damaged.then(|| "skip_damaged = true".to_owned()));
    lines.extend([
        format!("channels = {channels}"),
        format!("mean = {}", list(mean)),
        format!("std = {}", list(std)),
    ]);
    if let Some(Components { values, vectors }) = components {
        let vectors: Vec<String> = vectors.iter().map(|vector| list(vector)).collect();
        lines.extend([
            String::new(),
            "[data.augment]".into(),
            format!("color_values = {}", list(values)),
            format!("color_vectors = [{}]", vectors.join(", ")),
        ]);
    }
    lines
}

fn list(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|x| format!("{x:.6}")).collect();
    format!("[{}]", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_toml() {
        let vectors = [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
        let components = Some(Components { values: [0.25, 0.5e-3, 0.0], vectors });
        let statistics = Statistics { mean: vec![0.5; 3], std: vec![0.25; 3], components };
        insta::assert_snapshot!(lines("9 images of a", Path::new("a"), &Arrangement::default(), 3, false, &statistics).join("\n"), @r#"
        # Of 9 images of a
        [data]
        dataset = "image-folder"
        folder = "a"
        channels = 3
        mean = [0.500000, 0.500000, 0.500000]
        std = [0.250000, 0.250000, 0.250000]

        [data.augment]
        color_values = [0.250000, 0.000500, 0.000000]
        color_vectors = [[0.600000, 0.800000, 0.000000], [-0.800000, 0.600000, 0.000000], [0.000000, 0.000000, 1.000000]]
        "#);
    }
}
