use super::tests::collect;
use super::*;
use crate::boxes::{BoundingBox, Object};
use crate::{Augment, Dataset, Decoding};

/// Images of 9 × 12 pixels, each with a bright rectangle of its class and one of the other class, which is
/// half as bright; of the first class, every fifth has a second one.
fn rectangles() -> Images {
    let (mut pixels, mut objects) = (vec![], vec![]);
    for i in 0..40 {
        let at = |x: usize, y: usize, w: usize, h: usize| [x, y, x + w, y + h];
        let own = at(i % 5, i % 4, 3 + i % 3, 4);
        let other = at(8 + i % 2, i % 3, 2, 2);
        let is_in = |[x0, y0, x1, y1]: [usize; 4], p: usize| {
            (x0..x1).contains(&(p % 12)) && (y0..y1).contains(&(p / 12))
        };
        let level = |p| {
            if is_in(own, p) {
                200
            } else if is_in(other, p) {
                100
            } else {
                1
            }
        };
        pixels.extend((0..9 * 12).map(level));
        let bounds = |corners: [usize; 4]| BoundingBox::new(corners.map(|at| at as f64)).unwrap();
        let label = i as u32 % 2;
        let mut of_image = vec![
            Object { label: 1 - label, bounds: bounds(other) },
            Object { label, bounds: bounds(own) },
        ];
        if i % 5 == 0 {
            // A part of the larger one.
            of_image.insert(0, Object { label, bounds: bounds(at(i % 5, i % 4, 2, 2)) });
        }
        objects.push(of_image);
    }
    let classes = ["a", "b"].map(String::from).to_vec();
    let labels = (0..40).map(|i| i % 2).collect();
    let images = Images::from(Dataset::new([1, 9, 12], pixels, labels, classes).unwrap());
    images.with_objects(objects).unwrap()
}

/// The box around the pixels that are bright, relative to the view.
fn bright(view: &[u8], [h, w]: [usize; 2]) -> Option<[f32; 4]> {
    let mut corners = [usize::MAX, usize::MAX, 0, 0];
    for p in (0..h * w).filter(|p| view[*p] == 200) {
        let [x0, y0, x1, y1] = corners;
        corners = [x0.min(p % w), y0.min(p / w), x1.max(p % w + 1), y1.max(p / w + 1)];
    }
    let bounds = BoundingBox::new(corners.map(|at| at as f64)).ok()?;
    Some(bounds.relative_to([h, w]))
}

#[test]
fn batches_say_where_the_objects_are() {
    let augment = Augment { random_crop: true, flip: true, pad_crop: 3, ..Augment::default() };
    let transform = Transform::scaled([1, 7, 7], [9, 9]).unwrap().mirrored().with(augment).unwrap();
    let plain = Loader::new(rectangles(), transform, 16, 3).unwrap().shuffled(7);
    for plain in [plain.clone(), plain.balanced()] {
        let located = plain.clone().locating(0.0).unwrap();
        assert!(located.bytes() > plain.bytes());
        let (batches, without) = (collect(located.epoch(1, 0)), collect(plain.epoch(1, 0)));
        let mut seen = 0;
        for (batch, without) in batches.iter().zip(&without) {
            assert!(batch.pixels == without.pixels && batch.labels == without.labels);
            assert!(without.boxes.is_empty());
            assert_eq!(batch.boxes.len(), 2 * batch.labels.len(), "a box a view");
            for (view, found) in batch.pixels.chunks(7 * 7).zip(&batch.boxes) {
                assert_eq!(*found, bright(view, [7, 7]));
                seen += usize::from(found.is_some());
            }
        }
        assert!((40..80).contains(&seen), "{seen}: some are cut off");
        assert_eq!(collect(located.epoch(1, 1)), batches[1..]);
    }
}

#[test]
fn objects_that_are_hardly_seen_are_dropped() {
    let copies = || Loader::new(rectangles(), Transform::same_size([1, 9, 12]), 40, 3).unwrap();
    let batch = &collect(copies().locating(1.0).unwrap().epoch(0, 0))[0];
    assert!(
        batch
            .pixels
            .chunks(9 * 12)
            .zip(&batch.boxes)
            .all(|(image, found)| { *found == bright(image, [9, 12]) && found.is_some() })
    );
    let crop = Transform::scaled([1, 3, 9], [9, 9]).unwrap();
    let count = |least| {
        let loader =
            Loader::new(rectangles(), crop.clone(), 40, 3).unwrap().locating(least).unwrap();
        collect(loader.epoch(0, 0))[0].boxes.iter().flatten().count()
    };
    assert!(count(0.0) > count(0.4) && count(0.4) > count(0.7) && count(0.7) > 0);
}

#[test]
fn what_cannot_be_located_is_refused() {
    let loader = |transform| Loader::new(rectangles(), transform, 4, 1).unwrap();
    let crop = Transform::scaled([1, 7, 7], [9, 9]).unwrap();
    let error = |loader: Loader, least| loader.locating(least).unwrap_err().to_string();
    let auto = Augment { auto: Some(crate::AutoAugment::TrivialWide), ..Augment::default() };
    assert_eq!(
        error(loader(crop.clone().with(auto).unwrap()), 0.5),
        "boxes cannot be sheared and rotated as RandAugment and TrivialAugment do"
    );
    let mixed = loader(crop.clone()).mixed(Mixup::new(1.0).unwrap());
    assert_eq!(error(mixed, 0.5), MIXED);
    assert_eq!(error(loader(crop.clone()), 1.5), "a least share of 1.5, not from 0 to 1");
    let unknown: Images =
        Dataset::new([1, 1, 1], vec![0], vec![0], vec!["a".into()]).unwrap().into();
    let loader = Loader::new(unknown, Transform::resized([1, 7, 7]), 4, 1).unwrap();
    assert_eq!(error(loader, 0.5), "no boxes of the objects in the images");
}

#[test]
fn unreadable_images_have_no_boxes() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a.png", "b.png"].map(|name| dir.path().join(name));
    paths.iter().for_each(|path| image::GrayImage::new(6, 5).save(path).unwrap());
    let object = Object { label: 0, bounds: BoundingBox::whole([5, 6]) };
    let images = Images::from_files(&paths, Decoding::stored(1));
    let images = images.with_objects(vec![vec![object]; 2]).unwrap();
    // Its header is whole.
    let whole = std::fs::read(&paths[0]).unwrap();
    std::fs::write(&paths[0], &whole[..whole.len() - 20]).unwrap();
    let loader = Loader::new(images, Transform::resized([1, 2, 2]), 2, 2).unwrap();
    let batch = &collect(loader.locating(0.0).unwrap().passing_over().epoch(0, 0))[0];
    assert_eq!(batch.unreadable.len(), 1);
    assert_eq!(batch.boxes, [None, Some([0.5, 0.5, 1.0, 1.0])]);
}
