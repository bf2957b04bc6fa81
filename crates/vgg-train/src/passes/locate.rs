//! Where networks see objects: boxes of all windows of images, merged.
//!
//! A network is shown crops from the centre, or is applied to all of scaled images
//! ([`vgg_model::Vgg::places`]): each place of its last maps has seen a window. The boxes of an image's windows
//! become one ([`merge`](crate::scores::merge)), rated by what a network that classifies says of each window.
//! As in [`super::fusion`], memory holds one network at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vgg_data::{Crop, Images};
use vgg_model::{Softmax, Vgg};
use vgg_tensor::Backend;

use super::evaluate::tell;
use super::fusion::{Member, Portion};
use super::outputs::{Window, box_of};
use super::shown::{Shown, Views};
use crate::config;
use crate::failure::{Code, Failure};
use crate::machine::device::{self, Job};
use crate::run::checkpoints::LinearWeights;
use crate::scores::localisation::Guess;
use crate::scores::merge::{Scored, merged};
use crate::terminal::throughput::images_line;
use crate::terminal::ui::Ui;

/// Locates the objects of given classes in images.
pub(crate) struct Locate<'a> {
    pub device: &'a config::Device,
    pub locator: &'a Member,
    /// Which rates windows; without it all count the same.
    pub classifier: Option<&'a Member>,
    pub portion: Portion,
    pub views: Views,
    /// How far apart boxes of a class may be to become one.
    pub merge_below: f64,
    pub linear_weights: LinearWeights,
    pub images: &'a Images,
    /// The classes to locate in each image.
    pub classes: &'a [Vec<u32>],
    pub ui: &'a Ui,
}

/// Is given the image, where the view is from, the corner of a window in it, and what the network gives for
/// the window.
type Take<'a> = &'a mut dyn FnMut(usize, &Crop, [usize; 2], &[f32]);

impl Job for Locate<'_> {
    /// Of each image the classes with their boxes.
    type Output = Vec<Vec<Guess>>;

    fn run<B: Backend>(self, backend: B) -> Result<Self::Output> {
        let Self { locator, classes, images, merge_below, ui, .. } = self;
        device::tell(self.device, &backend, ui);
        let (start, mut backend, mut waited) = (Instant::now(), backend, Duration::ZERO);
        let mut scores = Scores::new(images.len());
        if let Some(classifier) = self.classifier {
            same_windows(locator, classifier)?;
            backend = self.pass(backend, classifier, &mut waited, &mut |image, _, _, logits| {
                scores.add(image, &classes[image], logits);
            })?;
        }
        let sizes = (0..images.len()).map(|i| images.size(i));
        let sizes = sizes.collect::<vgg_tensor::Result<Vec<_>>>()?;
        let none = |classes: &Vec<u32>| vec![Vec::new(); classes.len()];
        let mut boxes: Vec<Vec<Vec<Scored>>> = classes.iter().map(none).collect();
        let (task, [_, h, w]) = (locator.vgg.config().task, locator.vgg.config().input);
        self.pass(backend, locator, &mut waited, &mut |image, crop, corner, numbers| {
            let window = Window { crop, corner, size: [h, w] };
            for (boxes, class) in boxes[image].iter_mut().zip(&classes[image]) {
                let score = scores.next(image);
                let bounds = window.bounds(box_of(task, numbers, *class), sizes[image]);
                boxes.extend(bounds.map(|bounds| Scored { bounds, score }));
            }
        })?;
        tell(ui, images.len() as u64, start.elapsed(), waited);
        let guess = |(class, boxes): (&u32, Vec<Scored>)| Guess {
            class: *class,
            bounds: merged(boxes, merge_below).map(|merged| merged.bounds),
        };
        let of_image = |(classes, boxes): (&Vec<u32>, Vec<Vec<Scored>>)| {
            classes.iter().zip(boxes).map(guess).collect()
        };
        Ok(classes.iter().zip(boxes).map(of_image).collect())
    }
}

/// Of each image's windows, in the order in which networks see them, the score of each of the image's classes.
struct Scores {
    of_images: Vec<Vec<f64>>,
    /// Of each image, how many have been asked for.
    asked: Vec<usize>,
}

impl Scores {
    fn new(images: usize) -> Self {
        Self { of_images: vec![vec![]; images], asked: vec![0; images] }
    }

    /// Those of the next window of an image, which are probabilities.
    fn add(&mut self, image: usize, classes: &[u32], logits: &[f32]) {
        let softmax = Softmax::of(logits);
        let of = |class: &u32| softmax.probability(logits[*class as usize]);
        self.of_images[image].extend(classes.iter().map(of));
    }

    /// The next one of an image: windows come as they were added, and in each the classes. All are alike where
    /// none was added.
    fn next(&mut self, image: usize) -> f64 {
        let score = self.of_images[image].get(self.asked[image]).copied();
        self.asked[image] += 1;
        score.unwrap_or(1.0)
    }
}

impl Locate<'_> {
    /// Shows all images to a network, in the same order to each, and gives the backend back.
    fn pass<B: Backend>(
        &self,
        backend: B,
        member: &Member,
        waited: &mut Duration,
        take: Take<'_>,
    ) -> Result<B> {
        let Self { portion, views, ui, .. } = *self;
        ui.status("Locating", &member.path.display().to_string());
        let images = self.images.with_channels(member.input.channels)?;
        let mut session = member.session(backend, portion, self.linear_weights, Vgg::places)?;
        let network = |size| match portion {
            Portion::Whole => member.vgg.places(size),
            Portion::Crops(_) => Ok(member.vgg.clone()),
        };
        let (device, input) = (self.device, &member.input);
        let shown = Shown { images: &images, input, network: &network, threads: device.threads };
        let (all, mut done) = ((images.len() * member.scales.len()) as u64, 0);
        let mut place_numbers = vec![];
        for scale in &member.scales {
            for group in member.groups(&images, portion, *scale, views)? {
                let seen = network(group.size());
                let seen = seen.map_err(|error| shown.unfit(&group, error.into()))?;
                let (crops, output) = (group.crops(&images)?, seen.output());
                let (places, stride) = (output.h * output.w, member.vgg.stride());
                let groups = std::slice::from_ref(&group);
                *waited += shown.to(&mut session, groups, &mut |image, _, outputs| {
                    let of_views = outputs.chunks_exact(output.c * places);
                    for (outputs, crop) in of_views.zip(&crops[&image]) {
                        for place in 0..places {
                            let channels = outputs.iter().skip(place).step_by(places);
                            place_numbers.clear();
                            place_numbers.extend(channels.copied());
                            let corner = corner(place, output.w, stride);
                            take(image, crop, corner, &place_numbers);
                        }
                    }
                    done += 1;
                    ui.bar(done, all, &images_line(done, all));
                })?;
            }
        }
        Ok(session.into_backend())
    }
}

/// The top left corner, down and across, of the window that a place has seen, of maps with so many `columns`.
fn corner(place: usize, columns: usize, stride: usize) -> [usize; 2] {
    [place / columns, place % columns].map(|at| at * stride)
}

/// Passes if two networks see the same windows.
fn same_windows(locator: &Member, classifier: &Member) -> Result<()> {
    let of = |member: &Member| {
        let [_, h, w] = member.vgg.config().input;
        ([h, w], member.vgg.stride())
    };
    ensure!(locator.scales == classifier.scales, "both networks are shown the same scales");
    let (([h, w], stride), other) = (of(locator), of(classifier));
    if ([h, w], stride) == other {
        return Ok(());
    }
    let ([other_h, other_w], other_stride) = other;
    let message = format!(
        "{} sees windows of {h}×{w}, {stride} pixels apart, and {} windows of {other_h}×{other_w}, \
         {other_stride} apart",
        locator.path.display(),
        classifier.path.display()
    );
    let help = "--classifier is a network of the same model.image_size, as the one that the run started from";
    Err(Failure::new(Code::Usage, message).help(help).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_a_window_and_a_class() {
        let mut scores = Scores::new(2);
        let windows = [[1.0, 2.0, 4.0], [3.0, 0.0, -1.0]];
        let of = |window: &[f32; 3], class: usize| Softmax::of(window).probability(window[class]);
        for window in &windows {
            scores.add(0, &[2, 0], window);
        }
        for window in &windows {
            assert_eq!([scores.next(0), scores.next(0)], [of(window, 2), of(window, 0)]);
        }
        assert_eq!(scores.next(1), 1.0);
    }

    #[test]
    fn places_are_windows_row_by_row() {
        let corners = [0, 2, 3, 5].map(|place| corner(place, 3, 32));
        assert_eq!(corners, [[0, 0], [0, 64], [32, 0], [32, 64]]);
    }
}
