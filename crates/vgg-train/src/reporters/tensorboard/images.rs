//! A test in pictures: what is taken for what, and the worst mistakes.

use anyhow::Result;

use super::summary::Summary;
use crate::data::Part;
use crate::drawing::matrix;
use crate::drawing::mosaic::{self, Tile};
use crate::drawing::picture::Picture;
use crate::drawing::thumbnail::Thumbnail;
use crate::scores::evaluation::Evaluation;
use crate::scores::mistakes::most_confident;
use crate::scores::predictions::Predictions;

/// Pixels a px: screens have more pixels than pictures tell them to.
const SCALE: f32 = 1.5;
/// Mistakes that are shown …
const MISTAKES: usize = 24;
/// … and in a row.
const COLUMNS: usize = 6;

/// The pictures of a test on the images of `test`; without mistakes there is no picture of them.
///
/// # Errors
/// If an image cannot be read.
pub(super) fn of_test(
    title: &str,
    test: &Part,
    evaluation: &Evaluation,
    predictions: &Predictions,
) -> Result<Summary> {
    let confusion = matrix::picture(title, test.classes(), &evaluation.confusion);
    let summary = Summary::default().png("confusion", &confusion.png(SCALE)?);
    match &*most_confident(predictions, MISTAKES) {
        [] => Ok(summary),
        mistakes => {
            let picture = of_mistakes(title, test, predictions, mistakes)?;
            Ok(summary.png("mistakes", &picture.png(SCALE)?))
        }
    }
}

fn of_mistakes(
    title: &str,
    test: &Part,
    predictions: &Predictions,
    mistakes: &[usize],
) -> Result<Picture> {
    let (names, mut tiles) = (test.classes(), Vec::new());
    test.look(mistakes, |image, pixels| {
        let prediction = predictions.get(image);
        if let Some((class, confidence)) = prediction.class().zip(prediction.confidence()) {
            let image = Thumbnail::of_pixels(pixels, test.shape())?;
            tiles.push(Tile::mistake(&image, &names[prediction.label], &names[class], confidence));
        }
        Ok(())
    })?;
    Ok(mosaic::picture(&format!("{title}, the most confident mistakes"), COLUMNS, &tiles))
}
