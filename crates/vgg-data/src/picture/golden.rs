//! Files as people have them, against Pillow with `ImageOps.exif_transpose`:
//! `tests/golden/pictures.py` wrote them, and their pixels.

use std::path::{Path, PathBuf};

use super::*;

/// Formats that say to the bit what is decoded.
const EXACT: [&str; 18] = [
    "turned.png",
    "turned_late.png",
    "turned.webp",
    "turned.tif",
    "lossy.webp",
    "lossless.webp",
    "transparent.webp",
    "animated.webp",
    "animated.gif",
    "transparent.gif",
    "bitmap.bmp",
    "palette.bmp",
    "deflated.tif",
    "grey.tif",
    "deep_grey.png",
    "palette_alpha.png",
    "transparent.png",
    "without_ending",
];

/// Pillow takes the higher byte of colours with 16 bits, which are rounded here, and the transforms of
/// JPEG are rounded in ways of one's own.
const WITHIN_1: [&str; 3] = ["cmyk.jpg", "grey.jpg", "deep.png"];

/// The colours of these have half the size, and are interpolated, too.
const WITHIN_3: [&str; 12] = [
    "orientation_1.jpg",
    "orientation_2.jpg",
    "orientation_3.jpg",
    "orientation_4.jpg",
    "orientation_5.jpg",
    "orientation_6.jpg",
    "orientation_7.jpg",
    "orientation_8.jpg",
    "turned_by_xmp.jpg",
    "progressive.jpg",
    "motion.jpg",
    "renamed.png",
];

const BACKGROUND: [u8; 3] = [250, 130, 10];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures")
}

/// The pixels that Pillow has of a file.
fn expected(name: &str) -> Picture {
    let image = image::open(folder().join("expected").join(format!("{name}.png"))).unwrap();
    let (h, w) = (image.height() as usize, image.width() as usize);
    Picture { pixels: image.into_rgb8().into_raw(), h, w, c: 3 }
}

fn difference(a: &Picture, b: &Picture) -> u8 {
    assert_eq!([a.h, a.w, a.c], [b.h, b.w, b.c]);
    a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn pixels_are_those_of_pillow() {
    let within = |names: &[&'static str], most| {
        names.iter().map(move |name| (*name, most)).collect::<Vec<_>>()
    };
    let files = [within(&EXACT, 0), within(&WITHIN_1, 1), within(&WITHIN_3, 3)].concat();
    for (name, most) in &files {
        let path = folder().join(name);
        let decoding = Decoding::turned(3);
        let check = |picture: &Picture, expected: &Picture| {
            let off = difference(picture, expected);
            assert!(off <= *most, "{name}: {off} grey levels, of {most}");
        };
        let picture = Picture::read(&path, &decoding).unwrap();
        check(&picture, &expected(name));
        assert_eq!(read_size(&path, true).unwrap(), [picture.h, picture.w], "{name}");
        if folder().join("expected").join(format!("{name}.over.png")).exists() {
            let over = Decoding { background: Some(BACKGROUND), ..decoding };
            check(&Picture::read(&path, &over).unwrap(), &expected(&format!("{name}.over")));
        }
    }
    let foreign = ["photo.heic", "photo.avif"];
    let there = std::fs::read_dir(folder()).unwrap().count();
    assert_eq!(there, files.len() + foreign.len() + 1, "each file, and the folder of pixels");
}

#[test]
fn what_is_stored_stays_where_it_is() {
    let upright = Picture::read(&folder().join("orientation_1.jpg"), &Decoding::turned(3)).unwrap();
    for orientation in 1..=8 {
        let path = folder().join(format!("orientation_{orientation}.jpg"));
        assert_eq!(Picture::read(&path, &Decoding::stored(3)).unwrap(), upright);
        assert_eq!(read_size(&path, false).unwrap(), [upright.h, upright.w]);
        let Look::Image(header) = look(&path).unwrap() else { panic!("an image") };
        assert_eq!(header.orientation, orientation);
    }
}

#[test]
fn animations_and_foreign_files_are_told() {
    for name in EXACT.into_iter().chain(WITHIN_1).chain(WITHIN_3) {
        let Look::Image(header) = look(&folder().join(name)).unwrap() else { panic!("an image") };
        assert_eq!(header.animated, name.starts_with("animated"), "{name}");
    }
    for (name, kind) in [("photo.heic", "HEIC"), ("photo.avif", "AVIF")] {
        let path = folder().join(name);
        assert!(matches!(look(&path).unwrap(), Look::Foreign(found) if found.name == kind));
        let error = Picture::read(&path, &Decoding::turned(3)).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: {kind} images are not read")), "{error}");
    }
}
