//! Images that are no part of a data set.

use std::path::Path;

use anyhow::Result;
use vgg_data::Transform;
use vgg_model::{Checkpoint, Input};

use crate::config::{self, is_run};

/// How images to predict are scaled and cut for the network of a run or of a checkpoint alone: as
/// when it is tested, or stretched.
///
/// # Errors
/// If the run's config is none.
pub(crate) fn prediction(run: &Path, checkpoint: &Checkpoint) -> Result<(Input, Transform)> {
    let short_side = match is_run(run) {
        true => {
            let config = config::of(run, vec![])?.config;
            config.data.short_side_of_network(config.model.image_size)
        }
        false => checkpoint.input.short_side,
    };
    let [_, h, w] = checkpoint.vgg.input;
    let shape = [checkpoint.input.channels, h, w];
    let transform = match short_side {
        Some(short_side) => Transform::scaled(shape, [short_side; 2])?,
        None => Transform::resized(shape),
    };
    Ok((Input { short_side, ..checkpoint.input.clone() }, transform))
}

/// How images become a network's input of channels, height and width, in words.
pub(crate) fn describe(input: &Input, [_, h, w]: [usize; 3]) -> String {
    let Input { mean, std, .. } = input;
    let scaled = match input.short_side {
        Some(side) => format!("scaled to a short side of {side}, {h}×{w} cut from the centre"),
        None => format!("stretched to {h}×{w}"),
    };
    format!("images {scaled}, less {mean:?}, divided by {std:?}")
}
