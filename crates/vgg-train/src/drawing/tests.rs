//! What holds of every picture.

use image::RgbaImage;
use resvg::usvg::roxmltree::Document;

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::mosaic::{self, Tile};
use super::picture::{DARK, Picture};
use super::pixels::png_uri;
use super::style::Style;
use super::{matrix, reliability};
use crate::scores::calibration::{Bin, Calibration};
use crate::scores::confusion::Confusion;

/// Everything that can be drawn, with a name wherever there is one.
fn pictures(name: &str) -> Vec<Picture> {
    let axis = || Axis::new(name);
    let lines = [Style::Train, Style::Test, Style::Plain, Style::Nth(9), Style::Guide];
    let points = vec![(1.0, f64::NAN), (2.0, 3.0), (f64::INFINITY, 1.0), (4.0, -1e308), (5.0, 5.0)];
    let lines = lines.map(|style| Series::new(name, style, points.clone())).to_vec();
    let chart = Chart::new(name, axis(), axis().log(), lines).mark(2.0, name).mark(f64::NAN, name);
    let bins = [(0.0, Some(0.9)), (0.5, None)].map(|(above, accuracy)| Bin {
        above,
        up_to: above + 0.5,
        images: 7,
        confidence: accuracy.map(|_| 0.25),
        accuracy,
    });
    let calibration = Calibration { bins: bins.to_vec(), ece: None, mce: None, brier: None };
    let uri = png_uri(&RgbaImage::new(1, 1));
    let tile = Tile { uri, is_coarse: true, lines: [name, name].map(String::from) };
    let [few, many, very_many] = [2, 30, 700].map(|n| {
        let mut confusion = Confusion::new(n);
        (0..n).for_each(|class| confusion.add(class, (class * class + 1) % n));
        matrix::picture(name, &vec![name.to_owned(); n], &confusion)
    });
    let mut confusion = Confusion::new(2);
    confusion.add(0, 1);
    let link = |row, column| Some(format!("#{row}{name}{column}"));
    let linked = matrix::linked(name, &[name.to_owned(), name.to_owned()], &confusion, &link);
    vec![
        linked,
        Picture::grid(name, 2, &[chart.picture(), chart.square().picture(), few.clone()]),
        few,
        many,
        very_many,
        reliability::picture(name, &calibration),
        mosaic::picture(name, 3, &[tile.clone(), tile]),
    ]
}

const HOSTILE: &str =
    "</text></svg><script>alert(1)</script>\" onload=\"x ' & <!-- ]]> \u{0}\u{1}\u{fffe}";

#[test]
fn whatever_names_are_they_are_text() {
    let names = [HOSTILE, "", "مرحبا بالعالم \u{202e}abc", "👕👨‍👩‍👧 凉鞋", &"long ".repeat(500)];
    for (name, picture) in
        names.into_iter().flat_map(|name| pictures(name).into_iter().map(move |it| (name, it)))
    {
        let file = picture.file();
        let document = Document::parse(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let known = ["svg", "g", "path", "rect", "text", "title", "desc", "style", "image", "a"];
        for node in document.descendants().filter(|node| node.is_element()) {
            let tag = node.tag_name().name();
            assert!(known.contains(&tag), "{name}: {tag}");
            assert!(node.attributes().all(|it| !it.name().starts_with("on")), "{name}: {node:?}");
            let is_link = |it: &str| it.contains("href");
            for link in node.attributes().filter(|it| is_link(it.name())) {
                let start = if tag == "a" { "#0" } else { "data:image/png;base64," };
                assert!(link.value().starts_with(start), "{name}: {node:?}");
            }
        }
        for no_number in ["NaN", "inf"] {
            assert!(!file.contains(no_number), "{name}: {no_number}");
        }
    }
}

#[test]
fn pictures_say_what_they_show() {
    for picture in pictures("Sandal") {
        let file = picture.file();
        let document = Document::parse(&file).unwrap();
        let root = document.root_element();
        assert_eq!(
            root.attribute("role"),
            Some(if file.contains("<a ") { "group" } else { "img" })
        );
        let tags: Vec<_> = root.children().map(|node| node.tag_name().name()).take(2).collect();
        assert_eq!(tags, ["title", "desc"]);
        assert!(root.children().nth(1).and_then(|desc| desc.text()).is_some_and(|it| it.len() > 9));
    }
}

/// In a style sheet colours win over attributes only by a class.
#[test]
fn what_has_a_colour_has_another_on_dark_pages() {
    for picture in pictures("Sandal") {
        let file = picture.file();
        let document = Document::parse(&file).unwrap();
        for node in document.descendants().filter(|node| node.has_attribute("color")) {
            let classes = node.attribute("class").unwrap_or_default();
            let has_rule = |class: &str| {
                DARK.contains(&format!(".drawing .{class} {{"))
                    || DARK.contains(&format!(".{class},"))
            };
            assert!(classes.split(' ').any(has_rule), "{node:?}");
        }
    }
}

#[test]
fn pictures_become_pixels() {
    for picture in pictures("凉鞋 Sandal 👕") {
        let png = image::load_from_memory(&picture.png(2.0).unwrap()).unwrap().to_rgb8();
        assert_eq!(f64::from(png.width()), 2.0 * picture.width.ceil());
        assert_eq!(f64::from(png.height()), 2.0 * picture.height.ceil());
        let dark = png.pixels().filter(|pixel| pixel.0.iter().all(|value| *value < 128)).count();
        assert!(dark > 100, "there is text: {dark}");
        assert_eq!(png.get_pixel(0, 0).0, [255; 3]);
    }
    assert!(pictures("")[1].png(1e9).is_err());
}

#[test]
fn pixels_are_seen_as_what_they_are() {
    let image = RgbaImage::from_fn(2, 1, |x, _| image::Rgba([255 * x as u8, 0, 0, 255]));
    let tile = Tile { uri: png_uri(&image), is_coarse: true, lines: ["", ""].map(String::from) };
    let png = mosaic::picture("", 1, &[tile]).png(1.0).unwrap();
    let colours = image::load_from_memory(&png).unwrap().to_rgb8();
    let between =
        colours.pixels().filter(|pixel| pixel.0[1] == 0 && (1..255).contains(&pixel.0[0]));
    assert_eq!(between.count(), 0);
}

#[test]
fn a_page_has_room_for_a_thousand_classes() {
    let mut confusion = Confusion::new(1000);
    (0..1_000_000).for_each(|cell| confusion.add(cell / 1000, cell % 1000));
    let names: Vec<_> = (0..1000).map(|class| format!("class {class}")).collect();
    let file = matrix::picture("all", &names, &confusion).file();
    assert!(file.len() < 1_000_000, "{}", file.len());
}
