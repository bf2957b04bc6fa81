//! What networks give for test images, and what comes of it.

use anyhow::Result;
use vgg_data::Crop;
use vgg_data::boxes::{Affine, BoundingBox};
use vgg_model::{Regression, Task};
use vgg_tensor::spec::EuclideanLoss;

use crate::data::Part;
use crate::scores::localisation::{Guess, Localisation, Located};
use crate::scores::predictions::Predictions;
use crate::scores::tested::Tested;

const BOX: usize = EuclideanLoss::BOX;

/// What a network gives for test images: all logits of each, or the box of its true class.
pub(crate) struct Outputs {
    task: Task,
    classes: usize,
    numbers: Vec<f32>,
}

impl Outputs {
    /// Of no image so far.
    pub(crate) fn new(task: Task, classes: usize) -> Self {
        Self { task, classes, numbers: vec![] }
    }

    /// Those of images that were brought together, as [`Self::into_numbers`] has them.
    pub(crate) fn with(self, numbers: Vec<f32>) -> Self {
        Self { numbers, ..self }
    }

    /// Takes in what the network gives for a batch, whose images have these `labels`.
    pub(crate) fn add(&mut self, outputs: &[f32], labels: &[u32]) {
        if self.task.is_classification() {
            return self.numbers.extend_from_slice(outputs);
        }
        let of_one = outputs.len() / labels.len().max(1);
        for (outputs, label) in outputs.chunks_exact(of_one.max(1)).zip(labels) {
            self.numbers.extend_from_slice(box_of(self.task, outputs, *label));
        }
    }

    /// `[images, self.of_one()]`
    pub(crate) fn into_numbers(self) -> Vec<f32> {
        self.numbers
    }

    /// Numbers of an image.
    pub(crate) fn of_one(&self) -> usize {
        if self.task.is_classification() { self.classes } else { BOX }
    }

    /// Images so far.
    pub(crate) fn images(&self) -> usize {
        self.numbers.len() / self.of_one()
    }

    /// What came of a test on all images of `test`, in their order.
    ///
    /// # Errors
    /// When the size of an image cannot be read.
    pub(crate) fn tested(self, test: &Part) -> Result<Tested> {
        if self.task.is_classification() {
            let mut predictions = Predictions::new(self.classes);
            predictions.add(&self.numbers, test.labels());
            return Ok(Tested::classes(predictions));
        }
        let boxes = self.numbers.as_chunks::<BOX>().0.iter().enumerate();
        let located = boxes.map(|(i, numbers)| located(test, i, *numbers));
        Ok(Tested::Boxes(Localisation::new(located.collect::<Result<_>>()?)))
    }
}

/// Of the numbers that a network gives for an image those of a class's box.
pub(crate) fn box_of(task: Task, outputs: &[f32], class: u32) -> &[f32] {
    let at = match task {
        Task::Localisation { boxes: Regression::PerClass } => class as usize * BOX,
        _ => 0,
    };
    &outputs[at..at + BOX]
}

/// A part of a view that a network has seen.
pub(crate) struct Window<'a> {
    /// Where the view is from.
    pub crop: &'a Crop,
    /// The top left corner in the view.
    pub corner: [usize; 2],
    /// Height and width.
    pub size: [usize; 2],
}

impl Window<'_> {
    /// Where a box of the window is in its image of `image` pixels' height and width, in these, and as far as
    /// it is in it; nothing if the numbers are no box, or none that is in the image.
    pub(crate) fn bounds(&self, numbers: &[f32], image: [usize; 2]) -> Option<BoundingBox> {
        let bounds = BoundingBox::of_relative(numbers.try_into().ok()?, self.size).ok()?;
        let in_view = bounds.mapped(Affine::new([1.0; 2], self.corner.map(|at| at as f64)));
        let in_image = in_view.mapped(self.crop.map().inverse());
        in_image.intersection(&BoundingBox::whole(image))
    }
}

/// Image `i` of a test, whose true class's box in its view has these numbers.
fn located(test: &Part, i: usize, numbers: [f32; BOX]) -> Result<Located> {
    let (images, label) = (&test.images, test.labels()[i]);
    let crop = test.crop(i)?;
    let objects = images.own_objects(i).copied().collect();
    let loss = crop.target(images.own_objects(i), 0.0).map(|target| {
        let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        0.5 * numbers.iter().zip(&target).map(difference).sum::<f64>()
    });
    let window = Window { crop: &crop, corner: [0, 0], size: crop.size() };
    let bounds = window.bounds(&numbers, images.size(i)?);
    Ok(Located { label, objects, guesses: vec![Guess { class: label, bounds }], loss })
}

#[cfg(test)]
mod tests {
    use vgg_data::{Dataset, Images, Moment, Transform};

    use super::*;

    /// An image of 16 rows and 32 columns, half as large, of which columns 4 to 12 are the view.
    #[test]
    fn a_window_says_where_its_boxes_are_in_the_image() {
        let image = Dataset::new([1, 16, 32], vec![0; 16 * 32], vec![0], vec!["a".into()]);
        let images = Images::from(image.unwrap());
        let transform = Transform::scaled([1, 8, 8], [8; 2]).unwrap();
        let crops = |transform: &Transform| {
            transform.crops(&images, 0, Moment { seed: 0, epoch: 0 }).unwrap()
        };
        let bounds = |crop: &Crop, numbers: &[f32]| {
            let window = Window { crop, corner: [1, 3], size: [4, 5] };
            window.bounds(numbers, [16, 32]).map(|bounds| bounds.corners())
        };
        let crop = crops(&transform)[0];
        let whole = [0.5, 0.5, 1.0, 1.0];
        assert_eq!(bounds(&crop, &whole), Some([14.0, 2.0, 24.0, 10.0]));
        assert_eq!(bounds(&crop, &[0.5, 0.5, 1.0, 0.5]), Some([14.0, 4.0, 24.0, 8.0]));
        let mirrored = crops(&transform.mirrored())[1];
        assert_eq!(bounds(&mirrored, &whole), Some([8.0, 2.0, 18.0, 10.0]));
        // It ends at the image's edges, and beyond them is nothing.
        assert_eq!(bounds(&crop, &[0.5, 0.0, 1.0, 1.0]), Some([14.0, 0.0, 24.0, 6.0]));
        assert_eq!(bounds(&crop, &[0.5, -1.0, 1.0, 1.0]), None);
        assert_eq!(bounds(&crop, &[0.5, 0.5, -1.0, 1.0]), None);
    }
}
