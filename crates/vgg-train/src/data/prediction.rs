//! Images that are no part of a data set.

use std::path::Path;

use anyhow::Result;
use vgg_data::{Decoding, Transform};
use vgg_model::{Checkpoint, Input};

use crate::config::{self, is_run};

/// How images to predict are decoded, scaled and cut for the network of a run or of a checkpoint alone:
/// as when it is tested, or stretched.
///
/// # Errors
/// If the run's config is none.
pub(crate) fn prediction(run: &Path, checkpoint: &Checkpoint) -> Result<(Input, Transform)> {
    let input = input(run, &checkpoint.input)?;
    let transform = transform(&input, checkpoint.vgg.input)?;
    Ok((input, transform))
}

/// How images become a network's input of channels, height and width.
///
/// # Errors
/// If they are scaled to less than that, or to more than any image.
pub(crate) fn transform(input: &Input, [_, h, w]: [usize; 3]) -> Result<Transform> {
    let shape = [input.channels, h, w];
    Ok(match input.short_side {
        Some(short_side) => Transform::scaled(shape, [short_side; 2])?,
        None => Transform::resized(shape),
    })
}

/// What a network takes, whose checkpoint says `own`: how image files become that, its run's config
/// knows, if there is one.
///
/// # Errors
/// If that is none.
pub(crate) fn input(run: &Path, own: &Input) -> Result<Input> {
    if !is_run(run) {
        return Ok(own.clone());
    }
    let config = config::of(run, vec![])?.config;
    let short_side = config.data.short_side_of_network(config.model.image_size);
    let Input { turned, background, scaled, .. } = config.input();
    Ok(Input { short_side, turned, background, scaled, ..own.clone() })
}

/// How image files are decoded for a network.
pub(crate) fn decoding(input: &Input) -> Decoding {
    let Input { channels, turned, background, scaled, .. } = *input;
    Decoding { channels, turned, background, scaled }
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
