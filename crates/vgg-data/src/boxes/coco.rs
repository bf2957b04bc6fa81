//! Boxes in the JSON of COCO: `images`, `annotations` and `categories`, joined by their ids.
//!
//! `bbox` is `[x, y, width, height]` in pixels, from the top left corner of the image on, and counted from 0:
//! numbers are continuous, and the box is from `x` to `x + width`. Source: COCO's page "Data format"
//! (cocodataset.org).
//!
//! Annotations of crowds (`iscrowd` = 1) are boxes of many objects together, and are passed over.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::annotation::{Annotation, Annotations, Name, Stated};

#[derive(Deserialize)]
struct Coco {
    images: Vec<Image>,
    annotations: Vec<Object>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: Option<usize>,
    height: Option<usize>,
}

#[derive(Deserialize)]
struct Object {
    id: Option<u64>,
    image_id: u64,
    category_id: u64,
    /// Some programs write null for what is no number.
    bbox: Option<Vec<Option<f64>>>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// Reads the text of a file.
pub(super) fn read(file: &Path, text: &[u8], into: &mut Annotations) {
    let Coco { images, annotations, categories } = match serde_json::from_slice(text) {
        Ok(coco) => coco,
        Err(error) => return into.fault(file, "", &format!("this is no JSON of COCO: {error}")),
    };
    let classes: HashMap<u64, String> =
        categories.into_iter().map(|category| (category.id, category.name)).collect();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut of_images = Vec::with_capacity(images.len());
    for Image { id, file_name, width, height } in images {
        let place = format!("image {id}");
        if places.insert(id, of_images.len()).is_some() {
            into.fault(file, &place, "there are two images of this id");
            continue;
        }
        of_images.push(Annotation {
            file: file.into(),
            place,
            image: Name::Path(file_name),
            size: height.zip(width).map(|(h, w)| [h, w]),
            objects: Vec::new(),
        });
    }
    for (number, object) in annotations.iter().enumerate().filter(|(_, it)| it.iscrowd == 0) {
        let place = match object.id {
            Some(id) => format!("annotation {id}"),
            None => format!("the annotation at {number}"),
        };
        match stated(object, &classes, &place) {
            Ok(stated) => match places.get(&object.image_id) {
                Some(at) => of_images[*at].objects.push(stated),
                None => {
                    let reason = format!("there is no image of the id {}", object.image_id);
                    into.fault(file, &place, &reason);
                }
            },
            Err(reason) => into.fault(file, &place, &reason),
        }
    }
    into.annotations.append(&mut of_images);
}

fn stated(object: &Object, classes: &HashMap<u64, String>, place: &str) -> Result<Stated, String> {
    let class = classes.get(&object.category_id);
    let class =
        class.ok_or_else(|| format!("there is no category of the id {}", object.category_id))?;
    let numbers = object.bbox.as_ref().ok_or("it has no bbox")?;
    let Ok([x, y, w, h]) = <[Option<f64>; 4]>::try_from(&numbers[..]) else {
        return Err(format!("its bbox has {} numbers, not x, y, width and height", numbers.len()));
    };
    let [x, y, w, h] = [x, y, w, h].map(|number| number.unwrap_or(f64::NAN));
    Ok(Stated { place: place.into(), class: class.clone(), corners: [x, y, x + w, y + h] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(annotations: &str) -> Annotations {
        let text = format!(
            r#"{{"info": {{}}, "categories": [{{"id": 7, "name": "cat", "supercategory": "animal"}}],
            "images": [{{"id": 3, "file_name": "a.jpg", "height": 30, "width": 40}},
                       {{"id": 4, "file_name": "b.jpg"}}],
            "annotations": [{annotations}]}}"#
        );
        let mut found = Annotations::default();
        read(Path::new("coco.json"), text.as_bytes(), &mut found);
        found
    }

    #[test]
    fn boxes_are_a_corner_and_a_size() {
        let found = read_text(
            r#"{"id": 1, "image_id": 3, "category_id": 7, "bbox": [0, 1.5, 40, 2], "area": 80,
                "segmentation": [[1, 2]], "iscrowd": 0},
               {"id": 2, "image_id": 3, "category_id": 7, "bbox": [0, 0, 1, 1], "iscrowd": 1},
               {"id": 9, "image_id": 3, "category_id": 7, "bbox": [1, null, 1, 1]}"#,
        );
        assert!(found.faults.is_empty());
        let [a, b] = &found.annotations[..] else { panic!("two images") };
        assert_eq!((a.size, &*a.place), (Some([30, 40]), "image 3"));
        let stated = |stated: &Stated| (stated.place.clone(), stated.class.clone(), stated.corners);
        assert_eq!(
            stated(&a.objects[0]),
            ("annotation 1".into(), "cat".into(), [0.0, 1.5, 40.0, 3.5])
        );
        assert!(a.objects.len() == 2 && a.objects[1].corners[1].is_nan(), "no crowd");
        assert_eq!((&b.image, b.size, b.objects.len()), (&Name::Path("b.jpg".into()), None, 0));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_annotation() {
        let fault = |annotation: &str| read_text(annotation).faults[0].to_string();
        assert_eq!(
            fault(r#"{"id": 5, "image_id": 9, "category_id": 7, "bbox": [0, 0, 1, 1]}"#),
            "coco.json: annotation 5: there is no image of the id 9"
        );
        assert_eq!(
            fault(r#"{"image_id": 3, "category_id": 8, "bbox": [0, 0, 1, 1]}"#),
            "coco.json: the annotation at 0: there is no category of the id 8"
        );
        assert_eq!(
            fault(r#"{"id": 5, "image_id": 3, "category_id": 7, "bbox": [0, 0, 1]}"#),
            "coco.json: annotation 5: its bbox has 3 numbers, not x, y, width and height"
        );
        let missing = fault(r#"{"id": 5, "image_id": 3, "category_id": 7}"#);
        assert_eq!(missing, "coco.json: annotation 5: it has no bbox");
        let nan = fault(r#"{"id": 5, "image_id": 3, "category_id": 7, "bbox": [NaN, 0, 1, 1]}"#);
        assert!(
            nan.starts_with("coco.json: this is no JSON of COCO: expected value at line 4"),
            "{nan}"
        );
        assert!(fault("[]").contains("this is no JSON of COCO: "));
    }
}
