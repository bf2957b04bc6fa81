//! Folders of images that are not divided, and labels in files.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

use super::image_folder::{FOLDER, ok, place as noise, run};
use super::{Workplace, sha256};

/// Reddish and greenish noise, 25 images each, some of them in a folder of their own.
fn place() -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("folder.toml"), FOLDER).unwrap();
    for (class, tint) in [("green", [40, 140, 40]), ("red", [140, 40, 40])] {
        for i in 0..25 {
            let folder = place.path("images").join(class).join(["", "more"][i as usize % 2]);
            fs::create_dir_all(&folder).unwrap();
            save(&folder.join(format!("{i:02}.png")), i, tint);
        }
    }
    place
}

fn save(path: &Path, i: u32, tint: [u8; 3]) {
    let noise = |x: u32, y: u32| ((x * 31 + y * 17 + i * 7) % 60) as u8;
    RgbImage::from_fn(32 + i, 40, |x, y| Rgb(tint.map(|level| level + noise(x, y))))
        .save(path)
        .unwrap();
}

fn failure(place: &Workplace, arguments: &str) -> String {
    let done = run(place, arguments);
    format!("{}\n{}", done.code.unwrap(), done.stderr)
}

#[test]
fn a_folder_that_is_not_divided_is_divided() {
    let place = place();
    insta::assert_snapshot!(failure(&place, "folder.toml -q"), @r"
    3
    error: the image folder images has no train and val
    help: data.split = 0.2 holds out a fifth of each class, by the contents of the files; or make train/CLASS and val/CLASS of it
    ");
    let split = "folder.toml --set data.split=0.2 --set train.epochs=1";
    let done = ok(&place, split);
    let dataset = "Dataset images: 40 train, 10 test, 2 classes, 3×32×32";
    assert!(done.stderr.contains(dataset), "{}", done.stderr);
    let tested = |run: &str| {
        let told = ok(&place, &format!("eval {run} -q --json")).stdout;
        serde_json::from_str::<serde_json::Value>(&told).unwrap()["images"].clone()
    };
    assert_eq!(tested("runs/folder-1"), 10);

    // More images.
    for i in 25..30 {
        save(&place.path(&format!("images/red/{i}.png")), i, [140, 40, 40]);
    }
    let done = run(&place, "resume runs/folder-1 --set train.epochs=2");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("the run began with other image files"), "{}", done.stderr);
    let (_, accept) = done.stderr.split_once("accept them with ").unwrap();
    ok(&place, &format!("resume runs/folder-1 -q --set train.epochs=2 {}", accept.trim()));
    let refused = run(&place, "resume runs/folder-1 --set train.epochs=3 --set data.split=0.3");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("tested on images that it was trained on"));
}

#[test]
fn a_share_of_a_folder_that_is_divided_is_refused() {
    let place = super::image_folder::place();
    insta::assert_snapshot!(failure(&place, "folder.toml -q --set data.split=0.2"), @r"
    2
    error: data.split divides a folder of classes, and images is divided
    help: leave it out, or divide what is in images/train
    ");
    for (set, reason) in [
        ("data.split=0.0", "data.split must be above 0 and below 1, not 0"),
        ("data.split=1.0", "data.split must be above 0 and below 1, not 1"),
        ("data.test_part=val", "data.test_part is for data.labels with a column split"),
    ] {
        let done = run(&place, &format!("folder.toml -q --set {set}"));
        assert_eq!(done.code, Some(2));
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
    let done = run(&place, "tiny.toml -q --set data.split=0.2");
    assert!(done.stderr.contains("is for dataset = \"image-folder\" alone"), "{}", done.stderr);
}

/// Nothing can be said of such a class, and its score is in no mean.
#[test]
fn a_class_without_test_images_is_told() {
    let place = noise();
    let of = |part: &str, n: usize, class: &str| -> String {
        let line =
            |i: usize| format!("{part}/red/{:02}.{},{class},{part}\n", i, ["png", "jpg"][i % 2]);
        (0..n).map(line).collect()
    };
    let lines = of("train", 4, "red") + &of("val", 4, "red").replace("val/red", "val/green");
    let lines = lines + &of("train", 4, "green").replace("train/red", "train/green");
    fs::write(place.path("images/labels.csv"), lines).unwrap();
    let config = place.read("folder.toml");
    let config = config.replace("folder = ", "labels = \"labels.csv\"\nfolder = ");
    fs::write(place.path("folder.toml"), config).unwrap();
    let warning = "no test images of green: means over classes leave out what has none\n";
    for command in
        ["folder.toml --set train.epochs=1 --set report.page=false", "eval runs/folder-1"]
    {
        let told = ok(&place, command).stderr;
        assert_eq!(told.matches(warning).count(), 1, "{told}");
    }
}

/// Whoever reads labels says what is wrong with their file.
#[test]
fn labels_with_other_signs_between_them_are_told() {
    let place = noise();
    let semicolons = "path;label\ngreen/00.png;green\nred/00.png;red\n";
    fs::write(place.path("labels.csv"), semicolons).unwrap();
    fs::write(place.path("images/labels.csv"), semicolons).unwrap();
    let config = place.read("folder.toml");
    let config = config.replace("folder = ", "labels = \"labels.csv\"\nfolder = ");
    fs::write(place.path("labelled.toml"), config).unwrap();
    for command in [
        "finetune images/train --labels labels.csv --from none",
        "data check images/train --labels labels.csv",
        "data stats images/train --labels labels.csv",
        "data pack images/train all.pack --labels labels.csv",
        "labelled.toml",
    ] {
        let told = failure(&place, &format!("{command} -q")).replace("images/labels", "labels");
        let expected = "3\nerror: cannot read the labels of labels.csv\n  caused by: labels.csv: \
                        line 1: ; is between its fields, where , is expected\nhelp: data.labels has";
        assert!(told.starts_with(expected), "{command}: {told}");
    }
}

#[test]
fn labels_are_read_from_a_file() {
    let place = place();
    let lines = |split: &dyn Fn(usize) -> &'static str| {
        let line = |i: usize| {
            let folder = ["", "more/"][i % 2];
            let split = split(i);
            format!("green/{folder}{i:02}.png,grass{split}\nred/{folder}{i:02}.png,rose{split}\n")
        };
        (0..25).map(line).collect::<String>()
    };
    let write = |text: &str| fs::write(place.path("images/labels.csv"), text).unwrap();
    write(&lines(&|_| ""));
    let config =
        place.read("folder.toml").replace("folder = ", "labels = \"labels.csv\"\nfolder = ");
    fs::write(place.path("folder.toml"), config).unwrap();
    insta::assert_snapshot!(failure(&place, "folder.toml -q"), @r"
    3
    error: images/labels.csv does not say which images are tested on
    help: data.split = 0.2 holds out a fifth of each class, by the contents of the files; or a column split says train, val or test
    ");
    let done = ok(&place, "folder.toml --set data.split=0.2 --set train.epochs=1");
    assert!(done.stderr.contains("40 train, 10 test, 2 classes"), "{}", done.stderr);
    let config = place.read("runs/folder-1/config.toml");
    assert!(config.contains("classes = [\"grass\", \"rose\"]"), "{config}");

    write(&lines(&|i| [",train", ",train", ",val", ",test", ",test"][i % 5]));
    let done = ok(&place, "folder.toml --set train.epochs=1");
    assert!(done.stderr.contains("20 train, 10 test, 2 classes"), "{}", done.stderr);
    assert!(done.stderr.contains("not used: 20 images of the split test"), "{}", done.stderr);
    let done = ok(&place, "eval runs/folder-2 --set data.test_part=test");
    assert!(done.stdout.starts_with("test images     20\n"), "{}", done.stdout);

    // Without a folder, paths begin beside the file.
    let config = place.read("folder.toml");
    let config =
        config.replace("folder = \"images\"\n", "").replace("labels.csv", "images/labels.csv");
    fs::write(place.path("beside.toml"), config).unwrap();
    let done = ok(&place, "beside.toml --set train.epochs=1");
    assert!(done.stderr.contains("20 train, 10 test, 2 classes"), "{}", done.stderr);
    let line = |text: &str| {
        write(text);
        failure(&place, "folder.toml -q")
    };
    insta::assert_snapshot!(line("green/00.png,a,train\ngreen/01.png,b,val\n"), @r"
    3
    error: cannot read the labels of images/labels.csv
      caused by: images/labels.csv: line 2: images/green/01.png: No such file or directory (os error 2)
    help: data.labels has a line an image, path,label or path,label,split, whose path begins in data.folder, or beside it if there is no such key
    ");
}

/// As a table, as JSON and as a page, whatever the names of files are.
#[test]
fn what_is_found_in_a_folder_is_told() {
    let place = place();
    let file = |name: &str| place.path("images").join(name);
    fs::copy(file("red/00.png"), file("green/<b>copy.png")).unwrap();
    RgbImage::from_pixel(300, 40, Rgb([9; 3])).save(file("red/long.png")).unwrap();
    fs::write(file("red/notes.txt"), "text").unwrap();
    fs::write(file("red/cut.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let done = run(&place, "data check images --split 0.2 --json --page check.html -q");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let found: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!([&found["parts"][0]["name"], &found["parts"][1]["name"]], ["train", "val"]);
    assert_eq!(found["duplicates_across"].as_array().unwrap().len(), 0);
    let pair = &found["duplicates_within"][0];
    assert_eq!(
        [&pair["file"], &pair["same_as"]],
        ["images/red/00.png", "images/green/<b>copy.png"]
    );
    let odd = &found["odd_sizes"][0];
    assert_eq!((&odd["file"], &odd["width"]), (&"images/red/long.png".into(), &300.into()));
    assert_eq!(found["skipped"][0]["files"], 1);
    assert_eq!(found["damaged"][0]["file"], "images/red/cut.png");
    let images = |part: usize| found["parts"][part]["images"].as_u64().unwrap();
    assert_eq!(images(0) + images(1), 52);
    let of_green = found["classes"][0]["images"].as_array().unwrap();
    assert_eq!(of_green.iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 26);

    let page = place.read("check.html");
    assert!(page.contains("<h2>Copies</h2>") && page.contains("<h2>Odd sizes</h2>"));
    assert!(page.contains("data:image/png;base64,") && !page.contains("<b>copy"));
    assert!(page.contains("images/green/&lt;b&gt;copy.png"));

    // Undivided, in a table of one column.
    let table = run(&place, "data check images -q").stdout;
    assert!(table.starts_with("all          52 images, 1 file of other kinds\n"), "{table}");
    assert!(table.contains("class  all\n"), "{table}");
    assert!(table.contains("duplicates   0 in two parts, 1 within a part; 1 of two classes, one of which is wrong\n"), "{table}");
    assert!(table.contains("images/red/long.png: 40×300, extreme"), "{table}");
}

#[test]
fn a_balanced_epoch_is_the_same_on_any_number_of_threads_and_resumed() {
    let place = place();
    for i in 3..25 {
        fs::remove_file(
            place.path("images/red").join(["", "more"][i % 2]).join(format!("{i:02}.png")),
        )
        .unwrap();
    }
    let balanced = "folder.toml -q --set data.split=0.2 --set data.sampler=balanced";
    ok(&place, &format!("{balanced} --threads 1"));
    ok(&place, &format!("{balanced} --threads 3 --set train.epochs=1"));
    ok(&place, "resume runs/folder-2 -q --set train.epochs=2");
    ok(&place, "folder.toml -q --set data.split=0.2");
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_eq!(last("runs/folder-1"), last("runs/folder-2"));
    assert_ne!(last("runs/folder-1"), last("runs/folder-3"));
}
