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
        ("data.test_part=all", "data.test_part"),
    ] {
        let done = run(&place, &format!("folder.toml -q --set {set}"));
        assert_eq!(done.code, Some(2));
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
    let train = "--set data.folder=images/train --set data.split=0.2";
    insta::assert_snapshot!(failure(&place, &format!("folder.toml -q --set data.test_part=val {train}")), @r"
    2
    error: --set data.test_part=val: data.test_part is for image folders with val and test, data.labels with a column split, and packs alone
    ");
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

/// By any name, in any case: those of files change nothing.
#[test]
fn parts_are_called_as_people_call_them() {
    let place = noise();
    ok(&place, "folder.toml -q --set train.epochs=1");
    for (n, [train, test]) in [["Training", "Validation"], ["TRAIN", "testing"]].iter().enumerate()
    {
        for (from, to) in
            fs::read_dir(place.path("images")).unwrap().map(|it| it.unwrap().path()).map(|path| {
                let is_train = path.join("red/15.jpg").exists();
                let to = place.path("images").join(if is_train { train } else { test });
                (path, to)
            })
        {
            fs::rename(from, to).unwrap();
        }
        let done = ok(&place, "folder.toml --set train.epochs=1");
        assert!(
            done.stderr.contains("Dataset images: 32 train, 10 test, 2 classes"),
            "{}",
            done.stderr
        );
        let told = "tested on images/testing, as there is no val";
        assert_eq!(done.stderr.contains(told), *test == "testing", "{}", done.stderr);
        let last =
            |n| sha256(&place.path(&format!("runs/folder-{n}/checkpoints/last.safetensors")));
        assert_eq!(last(1), last(n + 2));
        ok(&place, "resume runs/folder-1 -q --set train.epochs=1");
        let text = ok(&place, "data stats images -q").stdout;
        assert!(text.starts_with(&format!("# Of 32 images of images/{train}\n")), "{text}");
    }
    fs::create_dir(place.path("images/train")).unwrap();
    insta::assert_snapshot!(failure(&place, "folder.toml -q"), @r"
    3
    error: cannot open the image folder images
      caused by: images: TRAIN and train would both be the part train: move one of them elsewhere
    help: it must have train/CLASS and val/CLASS, or test/CLASS, the same classes in both, and images in each
    ");
    fs::remove_dir(place.path("images/train")).unwrap();
    fs::rename(place.path("images/testing"), place.path("images/eval")).unwrap();
    insta::assert_snapshot!(failure(&place, "folder.toml -q"), @r"
    3
    error: nothing to test on in images: it has TRAIN, but neither val nor test (and besides eval)
    help: take images/TRAIN itself for the folder: data.split = 0.2 (--split 0.2) holds out a fifth of it, and `vgg-train finetune images/TRAIN` does so by itself; or call what is to be tested on val (valid, validation, dev) or test (testing), with the same classes in it
    ");
    for command in [
        "data check images",
        "finetune images --from none",
        "data stats images",
        "data pack images a",
    ] {
        let told = failure(&place, &format!("{command} -q"));
        assert!(told.contains("nothing to test on in images: it has TRAIN, but neither val nor test (and besides eval)"), "{command}: {told}");
    }
    // What are no names of parts is told at least.
    fs::rename(place.path("images/TRAIN"), place.path("images/learn")).unwrap();
    let told = "all classes have the same folders, green, red: are these the classes, and eval, learn parts to \
                train on and to test on?";
    let done = ok(&place, "folder.toml --set data.split=0.2 --set train.epochs=1");
    assert!(done.stderr.contains(told), "{}", done.stderr);
    let done = ok(&place, "data check images --page check.html");
    assert!(
        done.stdout.contains(told) && place.read("check.html").contains(told),
        "{}",
        done.stdout
    );
}

/// As a split of labels and a part of a pack.
#[test]
fn a_run_can_be_tested_on_another_part() {
    let place = noise();
    ok(&place, "folder.toml -q --set train.epochs=1");
    let test = |name: &str| place.path("images/Test").join(name);
    for class in ["green", "red"] {
        fs::create_dir_all(test(class)).unwrap();
        for i in 0..3 {
            save(&test(class).join(format!("{i}.png")), 40 + i, [90; 3]);
        }
    }
    // It is not what the run was tested on before it was there, either.
    let done = ok(&place, "resume runs/folder-1 --set train.epochs=2");
    let unused = "images/Test (data.test_part = \"test\" tests on it)";
    assert!(done.stderr.contains(unused) && done.stderr.contains("10 test"), "{}", done.stderr);
    let tested = |arguments: &str| {
        let told = ok(&place, &format!("eval {arguments} -q --json")).stdout;
        serde_json::from_str::<serde_json::Value>(&told).unwrap()["images"].clone()
    };
    assert_eq!(tested("runs/folder-1"), 10);
    assert_eq!(tested("runs/folder-1 --set data.test_part=test"), 6);
    ok(&place, "folder.toml -q --set train.epochs=1 --set data.test_part=test");
    assert_eq!(tested("runs/folder-2"), 6);
    assert_eq!(tested("runs/folder-2 --set data.test_part=val"), 10);
    let refused =
        failure(&place, "resume runs/folder-2 --set data.test_part=val --set train.epochs=2");
    assert!(refused.contains("its epochs are compared by their tests"), "{refused}");

    // All parts are checked, and packed.
    fs::copy(place.path("images/val/red/00.png"), test("green/copy.png")).unwrap();
    fs::write(test("red/text.png"), "text").unwrap();
    let done = run(&place, "data check images -q");
    assert_eq!(done.code, Some(3));
    for told in [
        "test         7 images\n",
        "class  train  val  test\n",
        "green     16    5     4\n",
        "images/Test/green/copy.png = images/val/red/00.png\n",
        "images/Test/red/text.png: this is not a JPEG",
    ] {
        assert!(done.stdout.contains(told), "{told}: {}", done.stdout);
    }
    let told = failure(&place, "data pack images all.pack -q");
    insta::assert_snapshot!(told, @r"
    3
    error: cannot open the image folder images
      caused by: images/Test/red/text.png: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image
    help: `vgg-train data check` lists all damaged images, --skip-damaged leaves them out
    ");
    let done = ok(&place, "data pack images all.pack --skip-damaged");
    assert!(done.stdout.starts_with("all.pack: 32 train, 10 val, 7 test, "), "{}", done.stdout);
    let pack = "--set data.dataset=pack --set data.pack=all.pack --set data.test_part=test";
    let folder = place.read("folder.toml").replace("folder = \"images\"\n", "");
    fs::write(place.path("packed.toml"), folder).unwrap();
    let done = ok(&place, &format!("packed.toml --set train.epochs=1 {pack}"));
    assert!(done.stderr.contains("32 train, 7 test"), "{}", done.stderr);

    // Nobody says what these are.
    for class in ["green", "red"] {
        fs::remove_dir_all(test(class)).unwrap();
    }
    save(&test("1.png"), 1, [90; 3]);
    let done = ok(&place, "data check images -q");
    let told = "left out     1: images/Test has no folders of classes, to say what they are\n";
    assert!(done.stdout.contains(told), "{}", done.stdout);
    let told = failure(&place, "eval runs/folder-1 -q --set data.test_part=test");
    let told = told.replace(&place.path("images").display().to_string(), "images");
    insta::assert_snapshot!(told, @r"
    3
    error: nothing to test on in images: it has train and val, but no test; Test has no folders of classes, so that nothing says what its images are
    help: data.test_part says what is tested on: without it val, or test if there is no val
    ");
}

#[test]
fn statistics_leave_out_damaged_files() {
    let place = noise();
    fs::write(place.path("images/train/red/text.jpg"), "text").unwrap();
    insta::assert_snapshot!(failure(&place, "data stats images -q"), @r"
    3
    error: cannot open the image folder images
      caused by: images/train/red/text.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image
    help: `vgg-train data check` lists all damaged images, --skip-damaged leaves them out
    ");
    let done = ok(&place, "data stats images --skip-damaged");
    assert!(done.stderr.contains("left out: 1 damaged image"), "{}", done.stderr);
    assert!(done.stdout.starts_with("# Of 32 images of images/train\n"), "{}", done.stdout);
    assert!(done.stdout.contains("\nskip_damaged = true\n"), "{}", done.stdout);
}

/// Of a folder of classes alone.
#[test]
fn what_is_wrong_with_a_folder_of_classes_is_told() {
    let place = place();
    fs::create_dir(place.path("images/void")).unwrap();
    insta::assert_snapshot!(failure(&place, "folder.toml -q --set data.split=0.2"), @r"
    3
    error: cannot open the image folder images
      caused by: images/void: no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)
    help: each folder in it is a class and must have images: remove those that are none; or data.labels, a CSV file, says what each image is
    ");
    fs::remove_dir(place.path("images/void")).unwrap();
    #[cfg(unix)]
    {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        fs::create_dir(place.path("images").join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
        insta::assert_snapshot!(failure(&place, "folder.toml -q --set data.split=0.2"), @r"
        3
        error: cannot open the image folder images
          caused by: images/caf�: the name of a class must be UTF-8: rename this folder
        help: `vgg-train data check` lists all such folders; names of files may be of any bytes
        ");
        let done = run(&place, "data check images -q");
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        assert!(done.stdout.starts_with("all          50 images\n"), "{}", done.stdout);
        let told = "damaged      1\n  images/caf\u{fffd}: the name of a class must be UTF-8: rename this folder\n";
        assert!(done.stdout.ends_with(told), "{}", done.stdout);
    }
}

#[test]
fn labels_of_others_are_read_or_explained() {
    let place = place();
    let told = |text: &str| {
        fs::write(place.path("labels.csv"), text).unwrap();
        let done = run(&place, "data check images/red --labels labels.csv -q");
        format!("{}\n{}{}", done.code.unwrap(), done.stdout, done.stderr)
    };
    let read = told("id,breed\n00.png,pug\n02.png,corgi\n");
    assert!(
        read.starts_with("0\nall          2 images\n") && read.contains("\ncorgi    1\n"),
        "{read}"
    );
    insta::assert_snapshot!(told("photo,race\n00.png,pug\n02.png,corgi\n"), @r"
    3
    error: cannot read the labels of labels.csv
      caused by: labels.csv: line 1: there is no file images/red/photo; if the line has the names of the columns, one must be path (or file, filename, file_name, filepath, file_path, image, image_path, image_name, img, image_id, id) and one label (or class, class_name, category, target, breed, species)
    help: data.labels has a line an image, path,label or path,label,split, whose path begins in data.folder, or beside it if there is no such key
    ");
    let endings = told("id,breed\n00,pug\n02,corgi\n");
    insta::assert_snapshot!(endings.split_once("damaged").unwrap().1, @r"
        4
    labels.csv: no images of the class corgi: its files are missing or damaged
    labels.csv: no images of the class pug: its files are missing or damaged
    images/red/00: no such file, but 00.png: a path has its ending
    images/red/02: no such file, but 02.png: a path has its ending
    ");
    insta::assert_snapshot!(told("path,label\n00.png,pug\n02,5.png,corgi\n"), @r#"
    3
    error: cannot read the labels of labels.csv
      caused by: labels.csv: line 3: 3 fields, where the first line has 2: what has a comma in it must be in quotes, as "a,b.jpg",cat
    help: data.labels has a line an image, path,label or path,label,split, whose path begins in data.folder, or beside it if there is no such key
    "#);
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
