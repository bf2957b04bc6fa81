//! Mirror images and shifts, over which `eval` and `predict` average.

use std::collections::BTreeMap;

use image::{GrayImage, Luma, imageops};
use serde_json::Value;

use super::{Workplace, failure, image_folder};

/// What `predict` tells of each file.
fn told(place: &Workplace, arguments: &str) -> Vec<Value> {
    let done = image_folder::ok(place, &format!("predict {arguments} --json -q --top 10"));
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The probability of each class.
fn probabilities(told: &Value) -> BTreeMap<String, f64> {
    let classes = told["predictions"].as_array().unwrap().iter();
    let of = |class: &Value| class["probability"].as_f64().unwrap();
    classes.map(|class| (class["class"].as_str().unwrap().to_owned(), of(class))).collect()
}

fn assert_near(a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) {
    assert!(a.keys().eq(b.keys()));
    assert!(a.iter().all(|(class, p)| (p - b[class]).abs() < 1e-6), "{a:?} for {b:?}");
}

/// An image of 32×32 and another one, moved by hand, and their mirror images.
fn moved() -> (Workplace, Vec<String>, Vec<String>) {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let image = GrayImage::from_fn(32, 32, |x, y| Luma([(5 * x + 3 * y * y % 91) as u8]));
    image.save(place.path("whole.png")).unwrap();
    image.save(place.path("again.png")).unwrap();
    let (mut moved, mut mirrored) = (vec![], vec![]);
    for (name, [down, right]) in (0..9).map(|i| (i, [i / 3 * 3 - 3, i % 3 * 3 - 3])) {
        let mut black = GrayImage::new(32, 32);
        // The view moves over the image, so the image the other way.
        imageops::replace(&mut black, &image, -right, -down);
        moved.push(format!("moved-{name}.png"));
        black.save(place.path(&moved[name as usize])).unwrap();
        mirrored.push(format!("mirrored-{name}.png"));
        imageops::flip_horizontal(&black).save(place.path(&mirrored[name as usize])).unwrap();
    }
    (place, moved, mirrored)
}

#[test]
fn views_are_the_image_moved_and_mirrored() {
    let (place, moved, mirrored) = moved();
    let averaged =
        |options: &str| told(&place, &format!("runs/tiny-1 whole.png {options}")).remove(0);
    let mean = |files: &[String]| {
        let each = told(&place, &format!("runs/tiny-1 {}", files.join(" ")));
        let mut mean = BTreeMap::new();
        for (class, p) in each.iter().flat_map(probabilities) {
            *mean.entry(class).or_default() += p / files.len() as f64;
        }
        mean
    };
    let plain = averaged("");
    assert!(plain.get("flip").is_none() && plain.get("shift").is_none(), "{plain}");
    let [shifted, flipped, both] = ["--shift 3", "--flip", "--shift 3 --flip"].map(averaged);
    assert_eq!([&shifted["flip"], &shifted["shift"]], [&Value::from(false), &3.into()]);
    assert_eq!([&flipped["flip"], &flipped["shift"]], [&Value::from(true), &0.into()]);
    assert_near(&probabilities(&shifted), &mean(&moved));
    assert_near(&probabilities(&flipped), &mean(&[moved[4].clone(), mirrored[4].clone()]));
    assert_near(&probabilities(&both), &mean(&[moved, mirrored].concat()));
    assert_ne!(probabilities(&shifted), probabilities(&plain));

    // More files than pass at once, of which one is no image.
    std::fs::write(place.path("text.png"), "no image").unwrap();
    let files = ["whole.png again.png "; 20].concat();
    let done = place.run(&format!("predict runs/tiny-1 {files} text.png --shift 3 --flip --csv"));
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let rows: Vec<_> = done.stdout.lines().map(|row| row.split_once(',').unwrap().1).collect();
    assert!(rows[0].ends_with(",flip,shift") && rows[1].ends_with(",true,3"), "{rows:?}");
    let (last, images) = rows[1..].split_last().unwrap();
    assert!(images.len() == 40 && images.iter().all(|row| *row == images[0]), "{rows:?}");
    assert!(last.bytes().all(|byte| byte == b','), "{last}");
    let said = "divided by [1.0], with mirror images and shifts by 3 pixels";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

#[test]
fn the_image_as_it_is_is_explained() {
    let (place, ..) = moved();
    let explained = |options: &str| {
        let files = "whole.png again.png";
        let told = told(&place, &format!("runs/tiny-1 {files} --explain explained {options}"));
        let class = told[1]["predictions"][0]["class"].clone();
        (class, std::fs::read(place.path("explained/again.png")).unwrap())
    };
    assert!(explained("") == explained("--shift 1 --flip"));
}

/// Of photographs, the crop moves over what is around it.
#[test]
fn eval_and_predict_average_alike() {
    let place = image_folder::place();
    image_folder::ok(&place, "folder.toml -q");
    for options in ["--flip", "--shift 2", "--shift 5 --flip"] {
        let eval = format!("eval runs/folder-1 --predictions all.csv --json {options}");
        let report = image_folder::ok(&place, &eval).stdout;
        let report: Value = serde_json::from_str(&report).unwrap();
        let csv = place.read("all.csv");
        let rows: Vec<Vec<_>> = csv.lines().map(|row| row.split(',').collect()).collect();
        let files: Vec<_> = rows[1..].iter().map(|row| format!("images/{}", row[1])).collect();
        let told = told(&place, &format!("runs/folder-1 {} {options}", files.join(" ")));
        assert_eq!(told.len(), 10);
        for (told, row) in told.iter().zip(&rows[1..]) {
            let classes = [5, 6].map(|i| (rows[0][i].to_owned(), row[i].parse::<f64>().unwrap()));
            assert_near(&probabilities(told), &classes.into());
            assert_eq!([&told["flip"], &told["shift"]], [&report["flip"], &report["shift"]]);
        }
    }
}

#[test]
fn a_shift_that_leaves_nothing_is_refused() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    for command in ["eval runs/tiny-1 --mode dense", "predict runs/tiny-1 none.png"] {
        assert_eq!(
            failure(&place, &format!("{command} --shift 32 -q")),
            "2\nerror: --shift 32 is too far\n  \
             caused by: a shift by 32 pixels leaves nothing of 32×32\nhelp: --shift can be up to 31 here\n"
        );
    }
    // Each testing has shifts.
    let loss = |options: &str| {
        let done = place.ok(&format!("eval runs/tiny-1 --json -q {options}"));
        serde_json::from_str::<Value>(&done.stdout).unwrap()["loss"].as_f64().unwrap()
    };
    // At the network's own size each sees the same of an image.
    let center = loss("--shift 2");
    for mode in ["dense", "multicrop", "both"] {
        let other = loss(&format!("--mode {mode} --scales 32 --shift 2"));
        assert!((other - center).abs() < 1e-5 * center, "{mode}: {other} for {center}");
        assert_ne!(loss(&format!("--mode {mode}")), other);
    }
}
