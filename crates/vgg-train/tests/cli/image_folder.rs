//! Training on image files, from a folder to predictions.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use super::{Workplace, metrics_without_times, sha256};

pub(super) const FOLDER: &str = r#"
[model]
width = 0.0625
image_size = 32
fc_width = 16
dropout = 0.0
[data]
dataset = "image-folder"
folder = "images"
normalize = "data"
[data.augment]
short_side = [32, 40]
random_crop = true
flip = true
pad_crop = 2
color_shift = 0.1
random_erasing = 0.25
mixup = 0.2
[train]
epochs = 2
batch_size = 8
[optimizer]
lr = 0.01
momentum = 0.9
[device]
kind = "cpu"
"#;

/// Reddish and greenish noise of different sizes.
pub(super) fn place() -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("folder.toml"), FOLDER).unwrap();
    for (part, n, shift) in [("train", 16, 0), ("val", 5, 40)] {
        for (class, tint) in [("green", [40, 140, 40]), ("red", [140, 40, 40])] {
            let dir = place.path("images").join(part).join(class);
            fs::create_dir_all(&dir).unwrap();
            for i in 0..n {
                let noise = |x: u32, y: u32| (x * 31 + y * 17 + i * 7 + shift) % 60;
                let image = RgbImage::from_fn(30 + i, 50 - i, |x, y| {
                    Rgb(tint.map(|level: u8| level + noise(x, y) as u8))
                });
                image.save(dir.join(format!("{i:02}.{}", ["png", "jpg"][i as usize % 2]))).unwrap();
            }
        }
    }
    place
}

/// The program must not look into the cache of whoever runs the tests.
pub(super) fn run(place: &Workplace, arguments: &str) -> super::Done {
    let mut command = place.command(arguments);
    super::Done::of(command.env("XDG_CACHE_HOME", place.path("cache")).output().unwrap())
}

pub(super) fn ok(place: &Workplace, arguments: &str) -> super::Done {
    let done = run(place, arguments);
    assert_eq!(done.code, Some(0), "{arguments}\n{}", done.stderr);
    done
}

#[test]
fn a_folder_is_trained_on_evaluated_and_predicted() {
    let place = place();
    let done = ok(&place, "folder.toml");
    assert!(done.stderr.contains("Scanning images"), "{}", done.stderr);
    let dataset = "Dataset images: 32 train, 10 test, 2 classes, 3×32×32";
    assert!(done.stderr.contains(dataset), "{}", done.stderr);
    let config = place.read("runs/folder-1/config.toml");
    assert!(config.contains("classes = [\"green\", \"red\"]"), "{config}");
    assert!(config.contains("[data.augment]\nshort_side = [32, 40]"), "{config}");
    let origin = |key: &str| {
        let line = config.lines().find(|line| line.starts_with(key)).unwrap();
        line.rsplit("# ").next().unwrap().to_owned()
    };
    assert_eq!([origin("mean"), origin("color_values"), origin("flip")], ["data", "data", "file"]);

    let evaluated = ok(&place, "eval runs/folder-1 -q");
    assert!(evaluated.stdout.starts_with("test images     10\n"), "{}", evaluated.stdout);
    let predicted = ok(&place, "predict runs/folder-1 images/val/red/01.jpg -q");
    assert!(predicted.stdout.contains("%  green"), "{}", predicted.stdout);
    assert!(ok(&place, "summary folder.toml").stdout.contains("  3×32×32 "));
    ok(&place, "folder.toml --profile=profile.json");
}

/// What is tested on is called `test` by many.
#[test]
fn a_folder_of_train_and_test_is_divided() {
    let place = place();
    ok(&place, "folder.toml -q --set train.epochs=1");
    fs::rename(place.path("images/val"), place.path("images/test")).unwrap();
    ok(&place, "folder.toml -q --set train.epochs=1");
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_eq!(last("runs/folder-1"), last("runs/folder-2"));
    let checked = ok(&place, "data check images");
    assert!(checked.stdout.contains("test         10 images\n"), "{}", checked.stdout);
}

#[test]
fn threads_and_interruptions_do_not_change_the_result() {
    let place = place();
    ok(&place, "folder.toml -q --threads 1");
    ok(&place, "folder.toml -q --threads 4");
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_eq!(last("runs/folder-1"), last("runs/folder-2"));
    let metrics = |run: &str| metrics_without_times(&place.read(&format!("{run}/metrics.jsonl")));
    assert_eq!(metrics("runs/folder-1")[1..], metrics("runs/folder-2")[1..]);

    // The config that a run keeps says all: another start of it and a resumed one are the same.
    ok(&place, "runs/folder-1/config.toml -q --set name=again --set train.epochs=1");
    ok(&place, "resume runs/again-1 -q --set train.epochs=2");
    let weights = |run: &str| last(run);
    assert_eq!(weights("runs/again-1"), weights("runs/folder-1"));
}

#[test]
fn a_changed_folder_is_noticed() {
    let place = place();
    ok(&place, "folder.toml -q --set train.epochs=1");
    fs::copy(place.path("images/val/red/00.png"), place.path("images/train/red/99.png")).unwrap();
    let done = run(&place, "resume runs/folder-1 --set train.epochs=2");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("the run began with other image files"), "{}", done.stderr);
    let (_, accept) = done.stderr.split_once("accept them with ").unwrap();
    ok(&place, &format!("resume runs/folder-1 -q --set train.epochs=2 {}", accept.trim()));
}

#[test]
fn damaged_files_end_a_run_or_are_skipped() {
    let place = place();
    fs::write(place.path("images/train/red/text.jpg"), "not an image").unwrap();
    let done = run(&place, "folder.toml");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let reason = "images/train/red/text.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image";
    assert!(done.stderr.contains(reason), "{}", done.stderr);
    assert!(!Path::new(&place.path("runs")).exists());
    let done = ok(&place, "folder.toml --set data.skip_damaged=true --set train.epochs=1");
    assert!(done.stderr.contains("left out: 1 damaged image"), "{}", done.stderr);
    assert!(done.stderr.contains(reason), "{}", done.stderr);
}

#[test]
fn other_folders_are_refused() {
    let place = place();
    fs::rename(place.path("images/val/red"), place.path("images/val/blue")).unwrap();
    let done = run(&place, "folder.toml");
    assert_eq!(done.code, Some(3));
    assert!(
        done.stderr.contains("other classes: missing red; not expected blue"),
        "{}",
        done.stderr
    );
    let done = run(&place, "folder.toml --set data.folder=nowhere");
    assert_eq!(done.code, Some(3));
    assert!(done.stderr.contains("there is no image folder nowhere"), "{}", done.stderr);
    let done = run(&place, "tiny.toml --set data.augment.random_crop=true");
    assert_eq!(done.code, Some(2));
    assert!(
        done.stderr.contains("is for dataset = \"image-folder\" and \"pack\" alone"),
        "{}",
        done.stderr
    );
}

/// Exit code and standard error of training on a folder that something was done to.
fn failure(change: impl FnOnce(&dyn Fn(&str) -> PathBuf)) -> String {
    let place = place();
    change(&|name| place.path("images").join(name));
    let done = run(&place, "folder.toml -q --set data.normalize='given' --set data.mean=[0.4]");
    format!("{}\n{}", done.code.unwrap(), done.stderr)
}

#[test]
fn what_is_wrong_with_a_folder_is_told() {
    let missing = |path: &dyn Fn(&str) -> PathBuf| fs::remove_dir_all(path("val/red")).unwrap();
    insta::assert_snapshot!(failure(missing), @r"
    3
    error: cannot open the image folder images
      caused by: images/val: other classes: missing red
    help: it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each
    ");
    let extra = |path: &dyn Fn(&str) -> PathBuf| {
        fs::create_dir(path("val/blue")).unwrap();
        fs::copy(path("val/red/00.png"), path("val/blue/00.png")).unwrap();
    };
    insta::assert_snapshot!(failure(extra), @r"
    3
    error: cannot open the image folder images
      caused by: images/val: other classes: not expected blue
    help: it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each
    ");
    let empty_class = |path: &dyn Fn(&str) -> PathBuf| {
        ["train/blue", "val/blue"].iter().for_each(|class| fs::create_dir(path(class)).unwrap());
    };
    insta::assert_snapshot!(failure(empty_class), @r"
    3
    error: cannot open the image folder images
      caused by: images/train/blue: no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)
    help: it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each
    ");
    let empty = |path: &dyn Fn(&str) -> PathBuf| {
        fs::remove_dir_all(path("train")).unwrap();
        fs::create_dir(path("train")).unwrap();
    };
    insta::assert_snapshot!(failure(empty), @r"
    3
    error: cannot open the image folder images
      caused by: images/train: no classes: a folder is expected for each, with its images
    help: it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each
    ");
    let text = |path: &dyn Fn(&str) -> PathBuf| {
        fs::write(path("train/red/text.jpg"), "not an image").unwrap();
    };
    insta::assert_snapshot!(failure(text), @r"
    3
    error: cannot open the image folder images
      caused by: images/train/red/text.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image
    help: `vgg-train data check` lists all damaged images, data.skip_damaged = true leaves them out
    ");
    // Its header is whole, so that it is found when it is decoded.
    let cut = |part: &'static str| {
        move |path: &dyn Fn(&str) -> PathBuf| {
            let path = path(&format!("{part}/red/01.jpg"));
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() - 99]).unwrap();
        }
    };
    insta::assert_snapshot!(failure(cut("train")), @r"
    3
    error: cannot read an image
      caused by: images/train/red/01.jpg: the image is damaged: the file is cut short
    help: `vgg-train data check` lists all damaged images, data.skip_damaged = true leaves them out
    ");
    insta::assert_snapshot!(failure(cut("val")), @r"
    3
    error: cannot read an image
      caused by: images/val/red/01.jpg: the image is damaged: the file is cut short
    help: `vgg-train data check` lists all damaged images, data.skip_damaged = true leaves them out
    ");
}

#[test]
fn unusual_images_are_images() {
    let place = place();
    for part in ["train", "val"] {
        let file = |name: &str| place.path("images").join(part).join("red").join(name);
        RgbImage::from_pixel(1, 1, Rgb([9, 200, 3])).save(file("pixel.png")).unwrap();
        fs::write(file("cmyk.jpg"), include_bytes!("../../../vgg-data/fixtures/cmyk.jpg")).unwrap();
        let deep = image::ImageBuffer::from_pixel(40, 50, image::Luma([54_321_u16]));
        deep.save(file("deep.png")).unwrap();
    }
    let done = ok(&place, "folder.toml");
    assert!(done.stderr.contains("Dataset images: 35 train, 13 test"), "{}", done.stderr);
    assert!(!done.stderr.contains("damaged"), "{}", done.stderr);
    ok(&place, "eval runs/folder-1 --mode both --scales 32,64 --flip");
    let files = ["pixel.png", "cmyk.jpg", "deep.png"].map(|name| format!("images/val/red/{name}"));
    ok(&place, &format!("predict runs/folder-1 {}", files.join(" ")));
}

#[test]
fn images_in_memory_are_augmented_and_held_out() {
    let place = place();
    let set = "--set data.augment.flip=true --set data.augment.pad_crop=4 \
               --set data.augment.random_erasing=0.5 --set data.augment.mixup=1.0 \
               --set data.hold_out=100";
    let done = ok(&place, &format!("tiny.toml {set}"));
    assert!(done.stderr.contains("60 train, 30 held out"), "{}", done.stderr);
    ok(&place, "tiny.toml -q --out plain");
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_ne!(last("runs/tiny-1"), last("plain/tiny-1"));
}

#[test]
fn a_folder_is_checked() {
    let place = place();
    fs::copy(place.path("images/train/red/03.jpg"), place.path("images/val/red/99.jpg")).unwrap();
    fs::write(place.path("images/train/green/note.txt"), "").unwrap();
    insta::assert_snapshot!(ok(&place, "data check images -q").stdout, @r"
    train        32 images, 1 file of other kinds
      height     35 to 50, median 43
      width      30 to 45, median 38
      short side 30 to 40, median 36
    val          11 images
      height     46 to 50, median 48
      width      30 to 34, median 32
      short side 30 to 34, median 32
    class  train  val
    ─────────────────
    green     16    5
    red       16    6
    imbalance    the largest class is 1.0 times the smallest
    duplicates   1 in two parts, 0 within a part
      images/val/red/99.jpg = images/train/red/03.jpg
    odd sizes    8
      images/train/green/00.png: 50×30, tiny: a short side below 32
      images/train/green/01.jpg: 49×31, tiny: a short side below 32
      images/train/red/00.png: 50×30, tiny: a short side below 32
      images/train/red/01.jpg: 49×31, tiny: a short side below 32
      images/val/green/00.png: 50×30, tiny: a short side below 32
      images/val/green/01.jpg: 49×31, tiny: a short side below 32
      images/val/red/00.png: 50×30, tiny: a short side below 32
      images/val/red/01.jpg: 49×31, tiny: a short side below 32
    orientation  0 are turned as their EXIF data say
    animated     0: the first frame is the image
    left out     1: they are no images
    damaged      0
    ");
    let whole = fs::read(place.path("images/train/red/01.jpg")).unwrap();
    fs::write(place.path("images/train/red/01.jpg"), &whole[..whole.len() - 99]).unwrap();
    let done = run(&place, "data check images -q");
    assert_eq!(done.code, Some(3));
    let last = done.stdout.lines().last().unwrap();
    assert!(last.starts_with("  images/train/red/01.jpg: the image is damaged: "), "{last}");
}

/// Whatever is wrong with folders, all that is in others is checked.
#[cfg(unix)]
#[test]
fn all_that_is_wrong_with_a_folder_is_listed() {
    let place = place();
    for empty in ["train/blue", "val/blue", "val/grey", "val/red/deep"] {
        fs::create_dir_all(place.path("images").join(empty)).unwrap();
    }
    let image = place.path("images/val/red/00.png");
    fs::copy(image, place.path("images/val/grey/00.png")).unwrap();
    fs::write(place.path("images/val/red/01.jpg"), "text").unwrap();
    std::os::unix::fs::symlink("..", place.path("images/val/green/loop")).unwrap();
    let done = run(&place, "data check images --page page.html -q");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let (_, damaged) = done.stdout.split_once("damaged ").unwrap();
    insta::assert_snapshot!(damaged, @r"
       5
    images/train/grey: there is no such folder, and another part has this class
    images/train/blue: no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)
    images/val/red/01.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image
    images/val/green/loop: a link to a folder that it is in
    images/val/blue: no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)
    ");
    let balance = "blue       0    0\ngreen     16    5\ngrey       0    1\nred       16    4\n";
    assert!(done.stdout.contains(balance), "{}", done.stdout);
    assert!(place.read("page.html").contains("no such folder"));
    let json = run(&place, "data check images --json -q").stdout;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["damaged"].as_array().unwrap().len(), 5);

    // The same of what is not divided.
    let done = run(&place, "data check images/train --split 0.3 -q");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let last = "damaged      1\n  images/train/blue: no images in this class";
    assert!(done.stdout.contains(last), "{}", done.stdout);
}

/// Boxes are counted and shown, and what is wrong with them is told as damage is.
#[test]
fn boxes_of_a_folder_are_checked() {
    let place = place();
    let mut lines = vec!["path,label,x0,y0,x1,y1".to_owned()];
    for class in ["green", "red"] {
        for i in 0..16 {
            let ending = ["png", "jpg"][i % 2];
            lines.push(format!("train/{class}/{i:02}.{ending},{class},1,2,{},{}", 11 + i, 22 - i));
        }
        lines.push(format!("val/{class}/00.png,{class},0,0,30,50"));
    }
    lines.push("train/red/00.png,green,0,0,5,7.5".into());
    fs::write(place.path("boxes.csv"), lines.join("\n")).unwrap();
    let done = ok(&place, "data check images --boxes boxes.csv --page check.html -q");
    let told = done.stdout.split_once("boxes        ").unwrap().1;
    insta::assert_snapshot!(told, @r"
    33 boxes in 32 images of train, 2 boxes in 2 images of val
      width      5 to 30, median 18
      height     5 to 50, median 13
    without box  8
      images/val/green/01.jpg
      images/val/green/02.png
      images/val/green/03.jpg
      images/val/green/04.png
      images/val/red/01.jpg
      images/val/red/02.png
      images/val/red/03.jpg
      images/val/red/04.png
    damaged      0
    ");
    let page = place.read("check.html");
    assert!(page.contains("<h2>Boxes</h2>") && page.contains("viewBox=\"0 0 30 50\""));
    let first = "<rect x=\"1\" y=\"2\" width=\"10\" height=\"20\"";
    assert!(page.contains(first), "as they are in the file");
    // Of each class two images and three augmented ones, with eight views of each.
    assert_eq!(page.matches("<div class=\"boxed\">").count(), 2 * 2 + 3 * 9);

    lines[1] = "train/green/00.png,green,11,2,1,22".into();
    lines[2] = "train/green/01.jpg,green,1,2,99,22".into();
    fs::write(place.path("boxes.csv"), lines.join("\n")).unwrap();
    let done = run(&place, "data check images --boxes boxes.csv -q");
    assert_eq!(done.code, Some(3));
    insta::assert_snapshot!(done.stdout.split_once("damaged      ").unwrap().1, @r"
    2
      boxes.csv: line 2: corners are swapped: its left is 11 and its right is 1
      boxes.csv: line 3: the box from (1, 2) to (99, 22) goes beyond the image train/green/01.jpg, which is 31 wide and 49 high, from (0, 0) on
    ");
    let json = run(&place, "data check images --boxes boxes.csv --json -q").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["boxes"]["parts"][0]["boxes"], 31);
    assert_eq!(json["boxes"]["without"].as_array().unwrap().len(), 10);

    let done = run(&place, "data check images --boxes nowhere -q");
    assert_eq!(done.code, Some(3));
    assert!(done.stderr.contains("cannot read the boxes of nowhere"), "{}", done.stderr);
    assert!(done.stderr.contains("help: boxes are in a .csv file"), "{}", done.stderr);
}

#[test]
fn statistics_are_those_that_a_run_notes() {
    let place = place();
    let printed = ok(&place, "data stats images -q").stdout;
    ok(&place, "folder.toml -q --set train.epochs=1");
    let config: toml::Table = toml::from_str(&place.read("runs/folder-1/config.toml")).unwrap();
    let printed: toml::Table = toml::from_str(&printed).unwrap();
    for key in ["mean", "std"] {
        let numbers = |table: &toml::Table| -> Vec<f64> {
            let list = table["data"][key].as_array().unwrap();
            list.iter().map(|x| x.as_float().unwrap()).collect()
        };
        for (printed, noted) in numbers(&printed).iter().zip(numbers(&config)) {
            assert!((printed - noted).abs() < 1e-6, "{key}");
        }
    }
}

#[test]
fn statistics_are_pasted_as_they_are_printed() {
    let place = place();
    for channels in [3, 1] {
        let stats = ok(&place, &format!("data stats images -q --channels {channels}")).stdout;
        fs::write(place.path("pasted.toml"), format!("{stats}[model]\nimage_size = 32\n")).unwrap();
        let config = place.ok("pasted.toml --print-config").stdout;
        let mean = stats.lines().find(|line| line.starts_with("mean = ")).unwrap();
        let first = mean.split(['[', ',', ']']).nth(1).unwrap().trim_end_matches('0');
        assert!(config.contains(&format!("mean = [{first}")), "{config}");
    }
}

#[test]
fn one_class_is_none_to_tell_apart() {
    let place = place();
    for part in ["train", "val"] {
        fs::remove_dir_all(place.path("images").join(part).join("red")).unwrap();
    }
    insta::assert_snapshot!(failure_here(&place, "folder.toml"), @r"
    3
    error: the image folder images has one class, green; there must be at least two
    help: it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each
    ");
}

/// As [`super::failure`], without looking into other people's cache.
fn failure_here(place: &Workplace, arguments: &str) -> String {
    let done = run(place, arguments);
    assert_eq!(done.stdout, "", "{arguments}");
    format!("{}\n{}", done.code.unwrap(), done.stderr)
}

/// Makes an image ask to be turned, as a phone does, and puts a film behind it.
fn turn(path: &Path) {
    let mut jpeg = fs::read(path).unwrap();
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [&[0xff, 0xe1, 0, exif.len() as u8 + 2], &exif[..]].concat();
    jpeg.splice(2..2, segment);
    jpeg.extend(b"\0\0\0\x18ftypmp42\xff\xda\x03\x04");
    fs::write(path, jpeg).unwrap();
}

#[test]
fn photographs_are_taken_as_phones_leave_them() {
    let place = place();
    turn(&place.path("images/train/red/01.jpg"));
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    for name in ["photo.heic", "named.jpg"] {
        fs::write(place.path("images/train/red").join(name), heic).unwrap();
    }
    fs::write(place.path("images/train/red/notes.txt"), "BM and other notes").unwrap();
    let png = fs::read(place.path("images/train/red/00.png")).unwrap();
    fs::write(place.path("images/train/red/without_ending"), png).unwrap();
    let done = ok(&place, "data check images");
    for line in [
        "train        33 images, 1 file of other kinds\n",
        "orientation  1 are turned as their EXIF data say\n",
        "left out     2: HEIC images are not read: heif-convert or magick makes JPEG or PNG of them\n",
        "damaged      0\n",
    ] {
        assert!(done.stdout.contains(line), "{}", done.stdout);
    }
    let done = ok(&place, "folder.toml --set train.epochs=1");
    for line in ["warning: left out: 2 HEIC images", "turned as their EXIF data say: 1 image"] {
        assert!(done.stderr.contains(line), "{}", done.stderr);
    }
}

/// Its config has no `data.orientation`, and its files are those with the names that were known.
#[test]
fn a_run_of_before_keeps_its_pixels_and_its_files() {
    let place = place();
    for image in ["images/train/red/01.jpg", "images/val/red/01.jpg"] {
        turn(&place.path(image));
    }
    ok(&place, "folder.toml -q --set train.epochs=1 --set data.orientation=stored");
    let scores = || ok(&place, "eval runs/folder-1 --json -q").stdout;
    let stored = scores();
    let config = place.path("runs/folder-1/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let before: String =
        text.split_inclusive('\n').filter(|line| !line.starts_with("orientation")).collect();
    assert_ne!(before, text);
    fs::write(&config, before).unwrap();
    RgbImage::new(40, 40).save(place.path("images/val/red/new.webp")).unwrap();
    assert_eq!(scores(), stored);
    ok(&place, "resume runs/folder-1 -q --set train.epochs=2");
    let turned = run(&place, "resume runs/folder-1 -q --set data.orientation=exif");
    assert_eq!(turned.code, Some(2));
    let told = "error: data.orientation was \"stored\" and cannot become \"exif\" in this run: ";
    assert!(turned.stderr.starts_with(told), "{}", turned.stderr);
    fs::remove_file(place.path("images/val/red/new.webp")).unwrap();
    let exif = ok(&place, "eval runs/folder-1 --json -q --set data.orientation=exif").stdout;
    assert_ne!(exif, scores());
}

#[test]
fn files_are_known_by_what_older_configs_have_of_them() {
    use vgg_data::image_folder::{self, OpenOptions, TRAIN, VAL};
    let place = place();
    ok(&place, "folder.toml -q --set train.epochs=1");
    let classes = ["green", "red"].map(String::from);
    let options = OpenOptions::of(vgg_data::Decoding::stored(3));
    let parts = [TRAIN, VAL].map(|part| {
        vgg_data::ImageFolder::open(&place.path("images").join(part), &classes, &options).unwrap()
    });
    let [now, former] =
        [image_folder::fingerprint(&parts), image_folder::former_fingerprint(&parts)];
    let path = place.path("runs/folder-1/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains(&now), "{config}");
    fs::write(&path, config.replace(&now, &former)).unwrap();
    ok(&place, "eval runs/folder-1 -q");
    fs::write(&path, config.replace(&now, &former.replace(&former[..1], "x"))).unwrap();
    assert_eq!(run(&place, "eval runs/folder-1 -q").code, Some(3));
}
