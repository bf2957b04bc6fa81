//! What was found in a folder of images, as a page with thumbnails.

use std::path::Path;

use anyhow::Result;
use maud::{Markup, html};
use serde_json::Value;
use vgg_data::Picture;

use super::boxes::BoxFindings;
use super::boxes_page;
use super::findings::{Class, Findings, Odd, Pair, Part, Place, Range};
use crate::data::folder::Parts;
use crate::drawing::thumbnail::Thumbnail;
use crate::report::page::{document, picture};
use crate::terminal::numbers::grouped;

/// Images of each class that are shown, …
const OF_A_CLASS: usize = 8;
/// … classes of which they are shown, …
const CLASSES: usize = 100;
/// … and pairs of copies, and images of odd sizes.
const SHOWN: usize = 100;

/// The page. `data` is what it tells, as JSON.
pub(super) fn page(
    dir: &Path,
    findings: &Findings,
    boxes: Option<&BoxFindings>,
    parts: &Parts,
    data: &Value,
) -> Result<String> {
    let folder = dir.display().to_string();
    let Findings { odd_sizes, .. } = findings;
    let pairs: Vec<_> = findings.copies().collect();
    let main = html! {
        header { h1 { (folder) } p.about { (summary(findings)) } }
        section { h2 { "Sizes" } (sizes(&findings.parts)) }
        section { h2 { "Classes" } (classes(findings, parts)?) }
        @if let Some(boxes) = boxes { (boxes_page::section(boxes, parts)?) }
        @if !pairs.is_empty() {
            section {
                h2 { "Copies" }
                p.about {
                    (findings.copies_told()) (more(pairs.len()))
                    ". Those in two parts are tested on though known."
                }
                ul.images { @for pair in pairs.iter().take(SHOWN) { li { (copies(pair, parts)?) } } }
            }
        }
        @if !odd_sizes.is_empty() {
            section {
                h2 { "Odd sizes" }
                p.about { (grouped(odd_sizes.len() as u64)) (more(odd_sizes.len())) }
                ul.images { @for odd in odd_sizes.iter().take(SHOWN) { li { (odd_size(odd, parts)?) } } }
            }
        }
        @if !findings.skipped.is_empty() {
            section { h2 { "Left out" } ul {
                @for skipped in &findings.skipped { li { (skipped.files) ": " (skipped.why) } }
            } }
        }
        @if !findings.damaged.is_empty() {
            section { h2 { "Damaged" } ul {
                @for damaged in &findings.damaged { li { b { (damaged.file) } ": " (damaged.why) } }
            } }
        }
    };
    Ok(document(&folder, &main, data, None))
}

fn summary(Findings { parts, classes, imbalance, turned, animated, .. }: &Findings) -> String {
    let parts: Vec<_> =
        parts.iter().map(|part| format!("{} {}", grouped(part.images as u64), part.name)).collect();
    format!(
        "{}; {} classes, the largest {imbalance:.1} times the smallest; {turned} turned as their EXIF \
         data say; {animated} animated",
        parts.join(", "),
        classes.len(),
    )
}

fn more(all: usize) -> String {
    if all > SHOWN { format!("; {SHOWN} are shown") } else { String::new() }
}

fn sizes(parts: &[Part]) -> Markup {
    let range = |range: &Option<Range>| Range::told(range.as_ref());
    html! {
        div.scroll { table {
            thead { tr { th { "part" } th { "images" } th { "height" } th { "width" } th { "short side" } } }
            tbody { @for part in parts { tr {
                td { (part.name) } td { (grouped(part.images as u64)) }
                td { (range(&part.height)) } td { (range(&part.width)) } td { (range(&part.short_side)) }
            } } }
        } }
    }
}

fn classes(findings: &Findings, parts: &Parts) -> Result<Markup> {
    let row = |(label, class): (usize, &Class)| -> Result<Markup> {
        let of_class = parts[0].1.files().iter().enumerate();
        let of_class = of_class.filter(|(_, file)| file.label as usize == label);
        let first = of_class.take(OF_A_CLASS).map(|(i, _)| thumbnail(parts, (0, i)));
        let images = first.collect::<Result<Vec<_>>>()?;
        let counts = findings.parts.iter().zip(&class.images);
        let counts: Vec<_> =
            counts.map(|(part, n)| format!("{} {}", grouped(*n as u64), part.name)).collect();
        Ok(html! { div.class-row {
            div { b { (class.name) } br; span.faint { (counts.join(", ")) } }
            div.images.few { @for image in &images { (picture(image, &class.name)) } }
        } })
    };
    let shown = findings.classes.iter().enumerate().take(CLASSES);
    let shown = shown.map(row).collect::<Result<Vec<_>>>()?;
    let rest = findings.classes.len().saturating_sub(CLASSES);
    Ok(html! {
        @for told in findings.classes_told() { p.about { (told) } }
        @for row in &shown { (row) }
        @if rest > 0 { p.faint { "and " (rest) " more classes" } }
    })
}

fn copies(Pair { file, same_as, other_class, places }: &Pair, parts: &Parts) -> Result<Markup> {
    let [image, other] = [thumbnail(parts, places[0])?, thumbnail(parts, places[1])?];
    Ok(html! { figure.explained title=(file) {
        div.pair { (picture(&image, file)) (picture(&other, same_as)) }
        figcaption { @if *other_class { b { "of two classes" } br; } (file) br; (same_as) }
    } })
}

fn odd_size(Odd { file, height, width, why, place }: &Odd, parts: &Parts) -> Result<Markup> {
    let image = thumbnail(parts, *place)?;
    Ok(html! { figure title=(file) {
        (picture(&image, file))
        figcaption { b { (height) "×" (width) } br; (why) br; (file) }
    } })
}

fn thumbnail(parts: &Parts, (part, i): Place) -> Result<Thumbnail> {
    let folder = &parts[part].1;
    let path = &folder.files()[i].path;
    Thumbnail::of_picture(Picture::read(path, &folder.decoding())?)
}
