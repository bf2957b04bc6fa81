//! `data stats DIR`: what a config may say about the pixels.

use std::path::Path;

use anyhow::{Context as _, Result};
use vgg_data::image_folder::{TRAIN, class_names};
use vgg_data::{Components, Decoding, ImageFolder, Images, Statistics};

use crate::data::folder::{cached, explain};
use crate::failure::{Code, Failure};
use crate::terminal::numbers::count;
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// Prints the statistics of up to `limit` training images as TOML.
pub(crate) fn command(dir: &Path, channels: usize, limit: usize, ui: &Ui) -> Result<()> {
    if channels != 1 && channels != 3 {
        let message = format!("--channels must be 1 or 3, not {channels}");
        return Err(Failure::new(Code::Usage, message).into());
    }
    let train = dir.join(TRAIN);
    let folder = class_names(&train)
        .and_then(|classes| {
            ImageFolder::open(&train, &classes, &cached(Decoding::turned(channels)))
        })
        .map_err(|error| explain(dir, error))?;
    let images = Images::from(folder).take(limit);
    let of = format!("{} of {}", count(images.len() as u64, "image"), train.display());
    ui.status("Computing", &format!("statistics of {of}"));
    let statistics = Statistics::of(&images).with_context(|| crate::data::unreadable(&images))?;
    print::lines(lines(&of, dir, channels, &statistics))
}

/// All of a config's table `data`.
fn lines(
    of: &str,
    dir: &Path,
    channels: usize,
    Statistics { mean, std, components }: &Statistics,
) -> Vec<String> {
    let mut lines = vec![
        format!("# Of {of}"),
        "[data]".into(),
        "dataset = \"image-folder\"".into(),
        format!("folder = {}", toml::Value::from(&*dir.to_string_lossy())),
        format!("channels = {channels}"),
        format!("mean = {}", list(mean)),
        format!("std = {}", list(std)),
    ];
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
        insta::assert_snapshot!(lines("9 images of a", Path::new("a"), 3, &statistics).join("\n"), @r#"
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
