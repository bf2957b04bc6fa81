use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use tempfile::TempDir;

use super::*;
use crate::image_folder::{Arrangement, OpenOptions};
use crate::{Decoding, ImageFolder};

/// `train` and `val` with a cat and a dog each, 40 wide and 30 high, but for `val/dog/2.tif`, which is
/// stored so and is to be turned by a quarter.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["train/cat/1.png", "train/dog/2.png", "val/cat/1.png"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::new(40, 30).save(path).unwrap();
    }
    let path = dir.path().join("val/dog/2.png");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, turned_png(&GrayImage::new(40, 30), 6)).unwrap();
    dir
}

/// A PNG whose EXIF data ask to be turned.
fn turned_png(image: &GrayImage, orientation: u8) -> Vec<u8> {
    use image::ImageEncoder as _;
    // Big endian, one tag: 0x0112, a short.
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    let (w, h) = image.dimensions();
    encoder.write_image(image, w, h, image::ExtendedColorType::L8).unwrap();
    bytes
}

fn parts(dir: &Path, turned: bool) -> Vec<(&'static str, ImageFolder)> {
    let arrangement = Arrangement::default();
    let decoding = if turned { Decoding::turned(1) } else { Decoding::stored(1) };
    let classes = arrangement.class_names(dir).unwrap();
    arrangement.open(dir, &classes, &OpenOptions::of(decoding)).unwrap()
}

fn read(dir: &TempDir, source: &str, options: &ReadOptions) -> Result<Boxes, String> {
    let found = Boxes::read(&dir.path().join(source), &parts(dir.path(), true), options);
    let told = |error: vgg_tensor::Error| {
        error.to_string().replace(&format!("{}/", dir.path().display()), "")
    };
    found.map_err(told)
}

/// All objects: the part, the image, the class and the corners.
fn objects(boxes: &Boxes) -> Vec<(usize, usize, u32, [f64; 4])> {
    let mut all = Vec::new();
    for part in 0..2 {
        for (i, objects) in boxes.of_part(part).iter().enumerate() {
            all.extend(objects.iter().map(|it| (part, i, it.label, it.bounds.corners())));
        }
    }
    all
}

const CSV: &str = "path,label,x0,y0,x1,y1
train/cat/1.png,cat,1,2,11,22
train/dog/2.png,dog,0,0,40,30
train/dog/2.png,cat,5,5,6.5,7
val/cat/1.png,cat,30,20,40.005,30
val/dog/2.png,dog,0,10,20,30
";

/// The last is turned clockwise: its left becomes its top, and its bottom its left.
const EXPECTED: [(usize, usize, u32, [f64; 4]); 5] = [
    (0, 0, 0, [1.0, 2.0, 11.0, 22.0]),
    (0, 1, 1, [0.0, 0.0, 40.0, 30.0]),
    (0, 1, 0, [5.0, 5.0, 6.5, 7.0]),
    (1, 0, 0, [30.0, 20.0, 40.0, 30.0]),
    (1, 1, 1, [0.0, 0.0, 20.0, 20.0]),
];

#[test]
fn lines_of_a_csv_file_are_boxes() {
    let dir = tree();
    fs::write(dir.path().join("boxes.csv"), CSV).unwrap();
    let boxes = read(&dir, "boxes.csv", &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes), EXPECTED);
    // As stored, nothing is turned.
    let stored = parts(dir.path(), false);
    let boxes =
        Boxes::read(&dir.path().join("boxes.csv"), &stored, &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes)[4], (1, 1, 1, [0.0, 10.0, 20.0, 30.0]));
    // A part of a path will do if it is of one image.
    let short = CSV.replace("train/dog/", "").replace("val/dog/2", "./val/dog/2");
    fs::write(dir.path().join("boxes.csv"), short).unwrap();
    let error = read(&dir, "boxes.csv", &ReadOptions::default()).unwrap_err();
    let expected = "boxes.csv: line 3: 2.png may be train/dog/2.png or val/dog/2.png: more of its path must \
                    be there (and 1 more are damaged)";
    assert_eq!(error, expected);
    fs::write(dir.path().join("boxes.csv"), CSV.replace("train/dog/2", "/far/train/dog/2"))
        .unwrap();
    let boxes = read(&dir, "boxes.csv", &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes), EXPECTED);
}

#[test]
fn paths_of_other_machines_lead_to_images() {
    let dir = tree();
    // Of the folders of this one no image is in `images`.
    let lines = [
        "C:\\photos\\train\\cat\\1.png,cat,1,2,11,22",
        "train\\dog\\2.png,dog,0,0,40,30",
        "images/train/dog/2.png,cat,5,5,6.5,7",
        "images/val/1.png,cat,30,20,40.005,30",
        "/data/upload/val/dog/2.png,dog,0,10,20,30",
    ];
    fs::write(dir.path().join("boxes.csv"), lines.join("\r\n")).unwrap();
    let refused = read(&dir, "boxes.csv", &ReadOptions::default()).unwrap_err();
    let expected = "boxes.csv: line 4: there is no image images/val/1.png, but train/cat/1.png and \
                    val/cat/1.png: paths begin in the folder of the images, or are as much of a path's end as \
                    tells it from others";
    assert_eq!(refused, expected);
    fs::write(dir.path().join("boxes.csv"), lines.join("\n").replace("val/1.png", "val/cat/1.png"))
        .unwrap();
    let boxes = read(&dir, "boxes.csv", &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes), EXPECTED);
    // Label Studio's name of a file that is there once.
    fs::rename(dir.path().join("val/cat/1.png"), dir.path().join("val/cat/3.png")).unwrap();
    let lines = lines.join("\n").replace("images/val/1.png", "images\\3.png");
    fs::write(dir.path().join("boxes.csv"), lines.replace("C:\\photos\\train\\cat", "images"))
        .unwrap();
    assert_eq!(objects(&read(&dir, "boxes.csv", &ReadOptions::default()).unwrap()), EXPECTED);
}

/// The same boxes, in two files of the two parts, in which the last image is 30 wide and 40 high, as it is
/// meant.
#[test]
fn json_of_coco_is_boxes() {
    let dir = tree();
    let categories = r#""categories": [{"id": 9, "name": "cat"}, {"id": 4, "name": "dog"}]"#;
    let file = |name: &str, images: [[&str; 3]; 2], objects: &[(u32, u32, [f64; 4])]| {
        let images = images.iter().enumerate().map(|(id, [name, w, h])| {
            format!(r#"{{"id": {id}, "file_name": "{name}", "width": {w}, "height": {h}}}"#)
        });
        let objects = objects.iter().enumerate().map(|(id, (image, category, bbox))| {
            format!(r#"{{"id": {id}, "image_id": {image}, "category_id": {category}, "bbox": {bbox:?}}}"#)
        });
        let [images, objects] =
            [images.collect::<Vec<_>>(), objects.collect()].map(|it| it.join(","));
        let text = format!(r#"{{{categories}, "images": [{images}], "annotations": [{objects}]}}"#);
        fs::create_dir_all(dir.path().join("boxes")).unwrap();
        fs::write(dir.path().join("boxes").join(name), text).unwrap();
    };
    let train = [["cat/1.png", "40", "30"], ["train/dog/2.png", "40", "30"]];
    let val = [["val/cat/1.png", "40", "30"], ["val/dog/2.png", "30", "40"]];
    let train = train
        .map(|[name, w, h]| [if name == "cat/1.png" { "train/cat/1.png" } else { name }, w, h]);
    let first = [
        (0, 9, [1.0, 2.0, 10.0, 20.0]),
        (1, 4, [0.0, 0.0, 40.0, 30.0]),
        (1, 9, [5.0, 5.0, 1.5, 2.0]),
    ];
    file("train.json", train, &first);
    file("val.json", val, &[(1, 4, [0.0, 0.0, 20.0, 20.0]), (0, 9, [30.0, 20.0, 10.004, 10.0])]);
    let boxes = read(&dir, "boxes", &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes), EXPECTED);
    // In the pixels that are stored.
    let val = [["val/cat/1.png", "40", "30"], ["val/dog/2.png", "40", "30"]];
    file("val.json", val, &[(1, 4, [0.0, 10.0, 20.0, 20.0]), (0, 9, [30.0, 20.0, 10.0, 10.0])]);
    let boxes = read(&dir, "boxes", &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes), EXPECTED);
    let val = [["val/cat/1.png", "40", "30"], ["val/dog/2.png", "80", "60"]];
    file("val.json", val, &[(1, 4, [0.0, 10.0, 20.0, 20.0]), (0, 9, [30.0, 20.0, 10.0, 10.0])]);
    assert_eq!(
        read(&dir, "boxes", &ReadOptions::default()).unwrap_err(),
        "boxes/val.json: image 1: the image val/dog/2.png is 40 wide and 30 high, not 80 and 60 as is said \
         here: the boxes are of another image, or of another size of it"
    );
}

/// The same boxes, in folders like those of the images.
#[test]
fn xml_of_pascal_voc_is_boxes() {
    let dir = tree();
    let file = |name: &str, objects: &[(&str, [f64; 4])]| {
        let objects = objects.iter().map(|(class, [xmin, ymin, xmax, ymax])| {
            format!(
                "<object><name>{class}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>\
                 <xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
            )
        });
        let text = format!("<annotation>{}</annotation>", objects.collect::<String>());
        let path = dir.path().join("Annotations").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file("train/cat/1.xml", &[("cat", [2.0, 3.0, 11.0, 22.0])]);
    file("train/dog/2.xml", &[("dog", [1.0, 1.0, 40.0, 30.0]), ("cat", [6.0, 6.0, 6.5, 7.0])]);
    file("val/cat/1.xml", &[("cat", [31.0, 21.0, 40.0, 30.0])]);
    file("val/dog/2.xml", &[("dog", [1.0, 11.0, 20.0, 30.0])]);
    let boxes = read(&dir, "Annotations", &ReadOptions::default()).unwrap();
    assert_eq!(objects(&boxes), EXPECTED);
    // All are one pixel further on if the first is 0.
    let from_0 = ReadOptions { first_pixel: 0, ..ReadOptions::default() };
    assert_eq!(
        read(&dir, "Annotations", &from_0).unwrap_err(),
        "Annotations/train/dog/2.xml: object 1 (line 1): the box from (1, 1) to (41, 31) goes beyond the image \
         train/dog/2.png, which is 40 wide and 30 high, from (0, 0) on; the file is read as one that counts \
         pixels from 0, which first_pixel changes (and 2 more are damaged)"
    );
    file("val/dog/3.xml", &[]);
    assert_eq!(
        read(&dir, "Annotations", &ReadOptions::default()).unwrap_err(),
        "Annotations/val/dog/3.xml: there is no image of this name, 3, with an image's ending"
    );
    fs::remove_file(dir.path().join("Annotations/val/dog/3.xml")).unwrap();
    fs::write(dir.path().join("Annotations/more.csv"), "val/cat/1.png,cat,0,0,2,2").unwrap();
    assert_eq!(
        read(&dir, "Annotations", &ReadOptions::default()).unwrap_err(),
        "Annotations/val/cat/1.xml: boxes of val/cat/1.png are in Annotations/more.csv, too"
    );
}

#[test]
fn what_is_wrong_is_told_or_left_out() {
    let dir = tree();
    let error = |text: &str, options: &ReadOptions| {
        fs::write(dir.path().join("boxes.csv"), text).unwrap();
        read(&dir, "boxes.csv", options)
    };
    let of_a_line = |line: &str| {
        let message = error(line, &ReadOptions::default()).unwrap_err();
        message.strip_prefix("boxes.csv: line 1: ").unwrap().to_owned()
    };
    let image = "train/cat/1.png";
    assert_eq!(
        of_a_line(&format!("{image},cat,0,0,40.02,30")),
        "the box from (0, 0) to (40.02, 30) goes beyond the image train/cat/1.png, which is 40 wide and 30 \
         high, from (0, 0) on"
    );
    let outside = of_a_line(&format!("{image},cat,41,0,42,30"));
    assert!(outside.starts_with("the box from (41, 0) to (42, 30) goes beyond"), "{outside}");
    let swapped = "corners are swapped: its left is 9 and its right is 1";
    assert_eq!(of_a_line(&format!("{image},cat,9,0,1,30")), swapped);
    let empty = "the box is empty: it has no height, from 5 to 5";
    assert_eq!(of_a_line(&format!("{image},cat,0,5,1,5")), empty);
    assert_eq!(
        of_a_line(&format!("{image},cat,0.25,0.5,0.75,1")),
        "the box from (0.25, 0.5) to (0.75, 1) is within the first pixel of train/cat/1.png: coordinates are \
         pixels, and these seem to be shares of the image"
    );
    assert_eq!(of_a_line(&format!("{image},cat,NaN,0,1,30")), "NaN is no coordinate");
    let class = "there is no class bird; the classes are cat, dog";
    assert_eq!(of_a_line(&format!("{image},bird,0,0,1,30")), class);
    assert_eq!(
        of_a_line("train/cat/7.png,cat,0,0,1,30"),
        "there is no image train/cat/7.png: paths begin in the folder of the images, or are as much of a \
         path's end as tells it from others"
    );
    let missing =
        error(&CSV.replace("train/cat/1.png,cat,1,2,11,22\n", ""), &ReadOptions::default());
    assert_eq!(
        missing.unwrap_err(),
        "boxes.csv: 1 of 4 images have no box: train/cat/1.png; give them one, or skip what is damaged"
    );
    // All but one line is damaged.
    let skip = ReadOptions { skip_damaged: true, ..ReadOptions::default() };
    let text =
        format!("{image},cat,9,0,1,30\n{image},cat,1,1,2,2\n{image},bird,1,1,2,2\nx,cat,1,1,2,2\n");
    let boxes = error(&text, &skip).unwrap();
    assert_eq!(objects(&boxes), [(0, 0, 0, [1.0, 1.0, 2.0, 2.0])]);
    assert_eq!(boxes.damaged().len(), 3);
    assert!(error("", &skip).unwrap().damaged().is_empty());
    fs::create_dir(dir.path().join("none")).unwrap();
    let none = "none: no boxes: boxes are in .csv, .json or .xml files";
    assert_eq!(read(&dir, "none", &skip).unwrap_err(), none);
    let kind = "val/cat/1.png: boxes are in .csv, .json or .xml files";
    assert_eq!(read(&dir, "val/cat/1.png", &skip).unwrap_err(), kind);
    assert!(read(&dir, "nowhere.csv", &skip).unwrap_err().starts_with("nowhere.csv: "));
}

/// An image and a box around its only bright pixels.
#[test]
fn a_box_is_turned_with_its_pixels() {
    for orientation in 1..=8 {
        let dir = tempfile::tempdir().unwrap();
        let mut stored = GrayImage::new(40, 30);
        for (x, y) in (4..10).flat_map(|x| (20..27).map(move |y| (x, y))) {
            stored.put_pixel(x, y, Luma([255]));
        }
        for part in ["train", "val"] {
            fs::create_dir_all(dir.path().join(part).join("a")).unwrap();
            fs::write(dir.path().join(part).join("a/1.png"), turned_png(&stored, orientation))
                .unwrap();
        }
        let csv = "train/a/1.png,a,4,20,10,27\nval/a/1.png,a,4,20,10,27\n";
        fs::write(dir.path().join("boxes.csv"), csv).unwrap();
        let boxes = read(&dir, "boxes.csv", &ReadOptions::default()).unwrap();
        let parts = parts(dir.path(), true);
        let [_, w] = parts[0].1.sizes()[0];
        assert_eq!(w == 30, orientation > 4, "it is turned");
        let picture = crate::Images::from(parts.into_iter().next().unwrap().1).picture(0).unwrap();
        let bright = picture.pixels.iter().enumerate().filter(|(_, level)| **level == 255);
        let [mut x0, mut y0, mut x1, mut y1] = [f64::INFINITY, f64::INFINITY, 0.0, 0.0];
        for (p, _) in bright {
            let [x, y] = [p % w, p / w].map(|at| at as f64);
            [x0, y0, x1, y1] =
                [f64::min(x0, x), f64::min(y0, y), f64::max(x1, x + 1.0), f64::max(y1, y + 1.0)];
        }
        assert_eq!(objects(&boxes)[0].3, [x0, y0, x1, y1], "orientation {orientation}");
    }
}
