//! Boxes: how near they are to the true ones, and the images with the worst and the best.

use maud::{Markup, html};
use vgg_data::boxes::BoundingBox;

use super::images::picture;
use super::{Section, percent};
use crate::drawing::axis::Axis;
use crate::drawing::chart::{Chart, Series};
use crate::drawing::style::Style;
use crate::drawing::thumbnail::Thumbnail;
use crate::report::located::{LocatedImages, Shown};
use crate::scores::localisation::RIGHT;
use crate::terminal::numbers::grouped;

/// A box to be drawn on an image.
pub(crate) struct Outline<'a> {
    pub bounds: BoundingBox,
    /// What a pointer is told.
    pub title: &'a str,
    /// Whether it is the true one where there are others.
    pub is_true: bool,
}

/// An image of `h` × `w` pixels with boxes in these.
pub(crate) fn boxed(
    image: &Thumbnail,
    [h, w]: [usize; 2],
    boxes: &[Outline<'_>],
    name: &str,
) -> Markup {
    html! { div.boxed {
        (picture(image, name))
        svg viewBox=(format!("0 0 {w} {h}")) preserveAspectRatio="none" {
            @for Outline { bounds, title, is_true } in boxes {
                @let [x0, y0, ..] = bounds.corners();
                rect x=(x0) y=(y0) width=(bounds.width()) height=(bounds.height())
                    vector-effect="non-scaling-stroke" class=[is_true.then_some("true")] { title { (title) } }
            }
        }
    } }
}

/// How good they are, and where they are worst and best.
pub(super) fn section(located: &LocatedImages) -> Section {
    let LocatedImages { names, localisation, worst, best, .. } = located;
    let axis = |label: &str| Axis::new(label).within(0.0, 1.0);
    let points = Series::new("", Style::Test, localisation.curve(1));
    let title = "boxes by how near they must be";
    let curve = Chart::new(title, axis("IoU above"), axis("share of images"), vec![points]);
    let content = html! {
        p.about {
            "Of " (grouped(localisation.images().len() as u64)) " images, each shown as a crop from the centre and its class given, "
            (percent(localisation.error(1))) " have a box whose intersection over union (IoU) with the true one is not above "
            (RIGHT) ", which is ILSVRC's localisation error; the mean IoU is "
            (format!("{:.3}", localisation.mean_iou(1))) "."
        }
        div.charts { (curve.square().mark(RIGHT, "right").picture()) }
        p.about { "Below, the true box is green and the network's yellow." }
        h3 { "The worst" }
        (gallery(worst, names))
        h3 { "The best" }
        (gallery(best, names))
    };
    Section { id: "boxes", title: "Boxes", content }
}

fn gallery(images: &[Shown], names: &[String]) -> Markup {
    html! { ul.images { @for image in images { li { (figure(image, names)) } } } }
}

fn figure(shown: &Shown, names: &[String]) -> Markup {
    let Shown { number, file, label, image, size, objects, predicted, iou } = shown;
    let name = file.clone().unwrap_or_else(|| format!("image {number}"));
    let true_ones =
        objects.iter().map(|bounds| Outline { bounds: *bounds, title: "true", is_true: true });
    let own = predicted.map(|bounds| Outline { bounds, title: "the network's", is_true: false });
    let boxes: Vec<_> = true_ones.chain(own).collect();
    html! {
        figure title=(name) {
            (boxed(image, *size, &boxes, &format!("{name}, {}", names[*label])))
            figcaption {
                b { (names[*label]) } br;
                span.wrong[*iou <= RIGHT] {
                    @if predicted.is_some() { "IoU " (format!("{iou:.3}")) } @else { "no box" }
                }
            }
        }
    }
}
