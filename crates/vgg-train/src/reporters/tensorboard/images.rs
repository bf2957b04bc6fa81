//! A test in pictures: what is taken for what, and the worst mistakes.

use anyhow::Result;

use super::summary::Summary;
use crate::data::Part;
use crate::drawing::matrix;
use crate::drawing::mosaic::{self, Tile};
use crate::drawing::picture::Picture;
use crate::drawing::thumbnail::Thumbnail;
use crate::scores::evaluation::Evaluation;
use crate::scores::mistakes::Mistake;

/// Pixels a px: screens have more pixels than pictures tell them to.
const SCALE: f32 = 1.5;
/// Mistakes in a row.
const COLUMNS: usize = 6;

/// The pictures of a test on the images of `test`; without mistakes there is no picture of them.
///
/// # Errors
/// If an image cannot be read.
pub(super) fn of_test(
    title: &str,
    test: &Part,
    evaluation: &Evaluation,
    mistakes: &[Mistake],
) -> Result<Summary> {
    let confusion = matrix::picture(title, test.classes(), &evaluation.confusion);
    let summary = Summary::default().png("confusion", &confusion.png(SCALE)?);
    match mistakes {
        [] => Ok(summary),
        _ => Ok(summary.png("mistakes", &of_mistakes(title, test, mistakes)?.png(SCALE)?)),
    }
}

fn of_mistakes(title: &str, test: &Part, mistakes: &[Mistake]) -> Result<Picture> {
    let (names, mut images) = (test.classes(), Vec::new());
    let numbers: Vec<usize> = mistakes.iter().map(|mistake| mistake.image).collect();
    test.look(&numbers, |_, pixels| {
        images.push(Thumbnail::of_pixels(pixels, test.shape())?);
        Ok(())
    })?;
    let tile = |(mistake, image): (&Mistake, &Thumbnail)| {
        let Mistake { label, predicted, confidence, .. } = *mistake;
        Tile::mistake(image, &names[label], &names[predicted], confidence)
    };
    let tiles: Vec<Tile> = mistakes.iter().zip(&images).map(tile).collect();
    Ok(mosaic::picture(&format!("{title}, the most confident mistakes"), COLUMNS, &tiles))
}
