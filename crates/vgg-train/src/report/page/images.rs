//! Images: those that the network gets wrong, and those that it is trained on.

use maud::{Markup, html};

use super::Section;
use crate::config::Config;
use crate::drawing::thumbnail::Thumbnail;
use crate::report::examined::{Cell, Examined, Shown};
use crate::report::seen::Seen;
use crate::terminal::numbers::grouped;

/// Nothing if there is no image to be shown.
pub(super) fn mistakes(examined: &Examined) -> Option<Section> {
    let Examined { mistakes, uncertain, cells, scored, .. } = examined;
    let classes = &*scored.names;
    if mistakes.is_empty() && uncertain.is_empty() {
        return None;
    }
    let content = html! {
        @if mistakes.iter().chain(uncertain).any(|shown| shown.explanation.is_some()) {
            p.about {
                "Beside an image is where the network looks to see its most probable class: "
                "brighter where more speaks for it (Grad-CAM on the last convolution)."
            }
        }
        @if !mistakes.is_empty() {
            h3 { "Wrong, and the most sure of it" }
            (gallery(mistakes, classes))
        }
        @if !uncertain.is_empty() {
            h3 { "Least certain" }
            (gallery(uncertain, classes))
        }
        @if !cells.is_empty() {
            h3 { "By what is taken for what" }
            @for cell in cells { (of_cell(cell, classes)) }
        }
    };
    Some(Section { id: "mistakes", title: "Mistakes", content })
}

fn of_cell(Cell { label, predicted, count, images }: &Cell, classes: &[String]) -> Markup {
    html! {
        div.cell id=(format!("cell-{label}-{predicted}")) {
            p { b { (classes[*label]) } " taken for " b { (classes[*predicted]) } ": " (count) }
            (gallery(images, classes))
        }
    }
}

fn gallery(images: &[Shown], classes: &[String]) -> Markup {
    html! {
        ul.images { @for image in images { li { (figure(image, classes)) } } }
    }
}

fn figure(shown: &Shown, classes: &[String]) -> Markup {
    let Shown { number, file, label, told, image, explanation } = shown;
    let name = file.clone().unwrap_or_else(|| format!("image {number}"));
    let is_wrong = told.first().is_some_and(|(class, _)| class != label);
    html! {
        figure.explained[explanation.is_some()] title=(name) {
            div.pair {
                (picture(image, &format!("{name}, {}", classes[*label])))
                @if let Some(explanation) = explanation {
                    (picture(explanation, &format!("where the network looks in {name}")))
                }
            }
            figcaption {
                b { (classes[*label]) }
                @for (class, probability) in told {
                    br;
                    span.wrong[is_wrong && class == &told[0].0] {
                        (format!("{:.1} % ", 100.0 * probability)) (classes[*class])
                    }
                }
            }
        }
    }
}

/// A small image.
pub(crate) fn picture(thumbnail: &Thumbnail, alt: &str) -> Markup {
    html! {
        img.coarse[thumbnail.is_coarse()] src=(thumbnail.uri) width=(thumbnail.width)
            height=(thumbnail.height) alt=(alt) decoding="async";
    }
}

/// Some images of each class.
pub(super) fn data(seen: &Seen) -> Section {
    let content = html! {
        @for class in &seen.classes {
            div.class-row {
                div { b { (class.name) } br; span.faint { (grouped(class.count as u64)) " to train on" } }
                div.images.few { @for image in &class.images { (picture(image, &class.name)) } }
            }
        }
        @if seen.more_classes > 0 { p.faint { "and " (seen.more_classes) " more classes" } }
    };
    Section { id: "dataset", title: "Data", content }
}

/// What the first step was given.
pub(super) fn batch(seen: &Seen, config: &Config) -> Option<Section> {
    let [_, height, width] = config.data.image_shape(config.model.image_size);
    let side = config.model.image_size;
    (!seen.batch.is_empty()).then(|| Section {
        id: "batch",
        title: "First batch",
        content: html! {
            p.about {
                "The first step had these images, with all that is done to them by chance"
                @if seen.batch_size > seen.batch.len() {
                    "; here are " (seen.batch.len()) " of its " (seen.batch_size)
                }
                ". They arrive as " (height) "×" (width)
                @if (height, width) != (side, side) { " and become " (side) "×" (side) " on the device" }
                "."
            }
            ul.images { @for fed in &seen.batch { li { figure {
                (picture(&fed.image, &fed.label))
                figcaption { (fed.label) }
            } } } }
        },
    })
}
