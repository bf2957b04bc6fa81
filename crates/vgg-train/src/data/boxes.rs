//! The boxes of the objects in the images of a folder.

use std::path::Path;

use anyhow::Result;
use vgg_data::boxes::{Boxes, ReadOptions};
use vgg_data::{ImageFolder, Images};

use crate::config;
use crate::failure::{Code, Failure};

/// What to do about boxes that cannot be read.
const BOXES_HELP: &str = "boxes are in a .csv file with lines path,label,x0,y0,x1,y1 in pixels, in the .json of \
                          COCO, in .xml of Pascal VOC, or in a folder of such files";

/// A part of a folder and its name.
type Part = (&'static str, ImageFolder);

/// Reads the boxes of a folder's images.
///
/// # Errors
/// With [`Code::Data`] and what to do.
pub(crate) fn read(source: &Path, parts: &[Part], options: &ReadOptions) -> Result<Boxes> {
    Boxes::read(source, parts, options).map_err(|error| {
        let message = format!("cannot read the boxes of {}", source.display());
        anyhow::Error::new(error).context(Failure::new(Code::Data, message).help(BOXES_HELP))
    })
}

/// The boxes of a config, if it has any: those that the run began with, or an error.
pub(super) fn of(data: &config::Data, parts: &[Part]) -> Result<Option<Boxes>> {
    let Some(source) = &data.boxes else { return Ok(None) };
    let first_pixel = data.first_pixel.unwrap_or(ReadOptions::default().first_pixel);
    let options = ReadOptions { first_pixel, skip_damaged: data.skip_damaged };
    let boxes = Boxes::read(source, parts, &options).map_err(|error| {
        let message = format!("cannot use the boxes of {}", source.display());
        let help = "mend what it says, or data.skip_damaged = true leaves out damaged boxes and images without \
                    one; `vgg-train data check FOLDER --boxes PATH` lists all that is wrong";
        anyhow::Error::new(error).context(Failure::new(Code::Data, message).help(help))
    });
    let boxes = boxes?;
    let found = boxes.sha256();
    if let Some(expected) = data.boxes_sha256.as_ref().filter(|expected| **expected != found) {
        let message =
            format!("the run began with other boxes: they have SHA-256 {expected}, not {found}");
        let help = format!("restore them, or accept them with --set data.boxes_sha256={found}");
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    Ok(Some(boxes))
}

/// The images of a part that have an object of their class, and how many others there are.
///
/// # Errors
/// If there is none.
pub(super) fn located(images: &Images, boxes: &Boxes, part: usize) -> Result<(Images, usize)> {
    let located = images.with_objects(boxes.of_part(part).to_vec())?.located();
    if located.is_empty() {
        let message = "no image has a box of its own class";
        let help =
            "the class of a box is the name of its image's folder, or its label in data.labels";
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    let others = images.len() - located.len();
    Ok((located, others))
}
