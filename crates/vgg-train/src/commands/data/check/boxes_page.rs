//! Boxes drawn on the images that they are of, and on what augmentation makes of these.

use anyhow::Result;
use maud::{Markup, html};
use vgg_data::boxes::BoundingBox;
use vgg_data::{Augment, Images, Moment, Picture, ResizedCrop, Transform};

use super::boxes::BoxFindings;
use super::findings::{Place, path};
use crate::data::folder::Parts;
use crate::drawing::thumbnail::Thumbnail;
use crate::report::page::boxes::{Outline, boxed};
use crate::terminal::numbers::grouped;

/// Images of each class that are shown with their boxes …
const OF_A_CLASS: usize = 2;
/// … and images in all.
const SHOWN: usize = 48;

/// Images that are augmented, and views of each for each way to cut it.
const AUGMENTED: usize = 3;
const VIEWS: u64 = 4;

/// The side of the views, in pixels.
const SIDE: usize = 112;

/// A box, and the class of what is in it.
type Named<'a> = (BoundingBox, &'a str);

/// The section of the page.
pub(super) fn section(found: &BoxFindings, parts: &Parts) -> Result<Markup> {
    let mut of_class = vec![0; parts[0].1.classes().len()];
    let places = parts.iter().enumerate().flat_map(|(part, (_, folder))| {
        folder.files().iter().enumerate().map(move |(i, file)| ((part, i), file.label as usize))
    });
    let mut is_shown = |label: usize| {
        of_class[label] += 1;
        of_class[label] <= OF_A_CLASS
    };
    let located =
        places.filter(|(place, label)| !found.of_image(*place).is_empty() && is_shown(*label));
    let shown: Vec<Place> = located.map(|(place, _)| place).take(SHOWN).collect();
    let figures =
        shown.iter().map(|place| whole(found, parts, *place)).collect::<Result<Vec<_>>>()?;
    let first = shown.iter().take(AUGMENTED).zip(0..);
    let augmented = first.map(|(place, seed)| augmented(found, parts, *place, seed));
    let augmented = augmented.collect::<Result<Vec<_>>>()?;
    Ok(html! { section {
        h2 { "Boxes" }
        p.about { (summary(found)) }
        ul.images { @for figure in &figures { li { (figure) } } }
        @if !augmented.is_empty() {
            h3 { "Boxes go with their pixels" }
            p.about {
                "An image, four crops of it at random scales that are mirrored and moved by chance, and four of "
                "its parts that are cut at random proportions and scaled. A box is clipped where it leaves the view."
            }
            @for row in &augmented { ul.images { @for view in row { li { (view) } } } }
        }
    } })
}

fn summary(found: &BoxFindings) -> String {
    let parts = found.parts.iter().map(|part| {
        let [boxes, images] = [part.boxes, part.images].map(|n| grouped(n as u64));
        format!("{boxes} in {images} images of {}", part.name)
    });
    format!("{}; {} images have none", parts.collect::<Vec<_>>().join(", "), found.without.len())
}

/// An image with its boxes.
fn whole(found: &BoxFindings, parts: &Parts, place: Place) -> Result<Markup> {
    let folder = &parts[place.0].1;
    let image = Picture::read(&folder.files()[place.1].path, &folder.decoding())?;
    let boxes = named(found, parts, place);
    let name = path(parts, place);
    let size = [image.h, image.w];
    Ok(figure(&Thumbnail::of_picture(image)?, size, &boxes, &name))
}

/// The same, and views of it, by chance.
fn augmented(found: &BoxFindings, parts: &Parts, place: Place, seed: u64) -> Result<Vec<Markup>> {
    let folder = &parts[place.0].1;
    let file = folder.files()[place.1].path.clone();
    let image = Images::from_files(&[file], folder.decoding());
    let (boxes, name) = (named(found, parts, place), path(parts, place));
    let shape = [3, SIDE, SIDE];
    let crop = Augment { random_crop: true, flip: true, pad_crop: SIDE / 14, ..Augment::default() };
    let flip = Augment { flip: true, ..Augment::default() };
    let mut views = vec![whole(found, parts, place)?];
    for (first, transform) in [
        (0, Transform::scaled(shape, [SIDE, 2 * SIDE])?.with(crop)?),
        (VIEWS, Transform::resized_crop(shape, ResizedCrop::default())?.with(flip)?),
    ] {
        for epoch in first..first + VIEWS {
            let moment = Moment { seed, epoch };
            let mut pixels = vec![0; shape.iter().product()];
            transform.apply(&image, 0, moment, &mut pixels)?;
            let crop = transform.crops(&image, 0, moment)?[0];
            let seen =
                boxes.iter().filter_map(|(bounds, class)| Some((crop.place(bounds, 0.0)?, *class)));
            let thumbnail = Thumbnail::of_pixels(&pixels, shape)?;
            views.push(figure(&thumbnail, [SIDE; 2], &seen.collect::<Vec<_>>(), &name));
        }
    }
    Ok(views)
}

fn named<'a>(found: &BoxFindings, parts: &'a Parts, place: Place) -> Vec<Named<'a>> {
    let classes = parts[place.0].1.classes();
    let objects = found.of_image(place).iter();
    objects.map(|object| (object.bounds, &*classes[object.label as usize])).collect()
}

/// An image of `h` × `w` pixels, with boxes in these pixels.
fn figure(image: &Thumbnail, [h, w]: [usize; 2], boxes: &[Named<'_>], name: &str) -> Markup {
    let classes: Vec<_> = boxes.iter().map(|(_, class)| *class).collect();
    let outlines = boxes.iter();
    let outlines: Vec<_> = outlines
        .map(|(bounds, title)| Outline { bounds: *bounds, title, is_true: false })
        .collect();
    html! { figure title=(name) {
        (boxed(image, [h, w], &outlines, name))
        figcaption { @if boxes.is_empty() { "nothing is seen" } @else { (classes.join(", ")) } }
    } }
}
