//! Networks that say where objects are: training, resuming, testing.
#![cfg(unix)]

use std::fs;

use super::resume::{ENDLESS, finish_and_compare, wait_for_step};
use super::{Workplace, failure, image_folder};

/// A network that locates, named as the runs that others resume.
const LOCATING: &str = r#"
name = "tiny"
[model]
task = "localisation"
width = 0.0625
image_size = 32
fc_width = 16
dropout = 0.0
[data]
dataset = "image-folder"
folder = "images"
boxes = "boxes.csv"
[data.augment]
short_side = [40, 48]
random_crop = true
flip = true
[train]
epochs = 2
batch_size = 7
[optimizer]
lr = 0.01
momentum = 0.9
[device]
kind = "cpu"
"#;

/// Images of two classes with a box each, of which some are not in every crop.
pub(super) fn place() -> Workplace {
    let place = image_folder::place();
    fs::write(place.path("tiny.toml"), LOCATING).unwrap();
    let mut lines = vec!["path,label,x0,y0,x1,y1".to_owned()];
    for (part, n) in [("train", 16), ("val", 5)] {
        for class in ["green", "red"] {
            for i in 0..n {
                let (w, h) = (30 + i, 50 - i);
                let ending = ["png", "jpg"][i % 2];
                let [x, y] = [i % 5, (3 * i) % 11];
                let (x1, y1) = (w.min(x + 12 + i), h.min(y + 20));
                lines.push(format!("{part}/{class}/{i:02}.{ending},{class},{x},{y},{x1},{y1}"));
            }
        }
    }
    fs::write(place.path("boxes.csv"), lines.join("\n")).unwrap();
    place
}

#[test]
fn objects_that_no_test_image_shows_are_told() {
    let place = place();
    let boxes = place.read("boxes.csv");
    // In the corners, of which the network sees nothing.
    let moved = |all: bool| {
        let line = |line: &str| match line.split_once(',') {
            Some((path, rest)) if path.starts_with("val/") && (all || path.contains("/00")) => {
                let class = rest.split(',').next().unwrap();
                format!("{path},{class},0,0,2,1")
            }
            _ => line.to_owned(),
        };
        fs::write(place.path("boxes.csv"), boxes.lines().map(line).collect::<Vec<_>>().join("\n"))
    };
    moved(false).unwrap();
    let told = image_folder::ok(&place, "tiny.toml --set train.epochs=1").stderr;
    let part = "test images show nothing of their object in what is cut from their centre";
    assert!(told.contains(&format!("warning: 2 of 10 {part}")), "{told}");
    moved(true).unwrap();
    let done = image_folder::run(&place, "tiny.toml");
    assert_eq!(done.code, Some(3));
    let told = "error: the test images, 10, show nothing of their object in what is cut";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}

/// A network by itself says what it is for.
#[test]
fn a_network_that_was_imported_still_locates() {
    let place = place();
    image_folder::ok(&place, "tiny.toml -q");
    image_folder::ok(&place, "import runs/tiny-1/checkpoints/best.safetensors --to runs/imported");
    let config = place.read("runs/imported/config.toml");
    assert!(config.contains("task = \"localisation\""), "{config}");
    let data =
        "--set data.dataset=image-folder --set data.folder=images --set data.boxes=boxes.csv";
    let own = image_folder::ok(&place, "eval runs/tiny-1").stdout;
    assert_eq!(image_folder::ok(&place, &format!("eval runs/imported {data}")).stdout, own);
}

fn last_epoch(place: &Workplace, run: &str) -> serde_json::Value {
    let text = place.read(&format!("runs/{run}/metrics.jsonl"));
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn json(place: &Workplace, arguments: &str) -> serde_json::Value {
    serde_json::from_str(&image_folder::ok(place, arguments).stdout).unwrap()
}

#[test]
fn a_network_of_a_box_a_class_or_of_one_is_trained_and_tested() {
    let place = place();
    for (i, boxes) in [(1, "per-class"), (2, "shared")] {
        let done = image_folder::ok(&place, &format!("tiny.toml --set model.boxes={boxes}"));
        assert!(done.stdout.starts_with(&format!("runs/tiny-{i}: test accuracy ")));
        let epoch = last_epoch(&place, &format!("tiny-{i}"));
        let number = |key: &str| epoch[key].as_f64().unwrap();
        assert!(number("train_loss") > 0.0 && number("train_mean_iou") <= 1.0, "{epoch}");
        assert!(epoch.get("test_top5").is_none(), "{epoch}");

        let page = place.read(&format!("runs/tiny-{i}/report.html"));
        assert!(
            page.contains("<h3>The worst</h3>")
                && page.contains("class=\"true\"><title>true</title>")
        );

        // The same test, by another command.
        let report = json(&place, &format!("eval runs/tiny-{i} --checkpoint last --json"));
        assert_eq!(report["loss"].as_f64(), Some(number("test_loss")));
        assert_eq!(report["top1"]["mean_iou"].as_f64(), Some(number("test_mean_iou")));
        assert_eq!(report["top1"]["error"].as_f64(), Some(1.0 - number("test_accuracy")));
        // And as boxes of windows, of which there is one.
        let windows =
            json(&place, &format!("eval runs/tiny-{i} --checkpoint last --mode center --json"));
        for score in ["error", "mean_iou"] {
            assert_eq!(windows["top1"][score], report["top1"][score], "{score}");
        }
    }
}

#[test]
fn a_classifier_says_the_classes_of_boxes() {
    let place = place();
    classifier_and_locator(&place);
    for mode in ["center", "dense --scales 48,64 --flip"] {
        let options = format!("--classifier runs/classes-1 --mode {mode} --json");
        let report = json(&place, &format!("eval runs/tiny-1 {options}"));
        let of = |value: &serde_json::Value| value.as_f64().unwrap();
        // Two classes are among five.
        assert_eq!(of(&report["classifier"]["top5_error"]), 0.0);
        let (top1, top5) = (of(&report["top1"]["error"]), of(&report["top5"]["error"]));
        assert!(top1 >= top5 && top1 >= of(&report["classifier"]["top1_error"]), "{report}");
    }
    let merged = |below| {
        let options = format!("--mode dense --scales 48,64 --merge-below {below} --json");
        let report = json(&place, &format!("eval runs/tiny-1 {options}"));
        assert_eq!(report["merge_below"].as_f64(), Some(below));
        report["top1"]["mean_iou"].as_f64().unwrap()
    };
    assert_ne!(merged(0.0), merged(10.0));
    let text = image_folder::ok(&place, "eval runs/tiny-1 --classifier runs/classes-1").stdout;
    assert!(text.contains("top-1 localisation error"), "{text}");
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_bit() {
    let place = place();
    let recipe = "--set train.accumulate=2 --set optimizer.average_decay=0.9 \
                  --set optimizer.freeze=['features.0'] --set report.gradient_norm=true";
    let often = "--set checkpoint.every_minutes=1e-9";
    let mut child = place.spawn(&format!("tiny.toml -q {often} {recipe} {ENDLESS}"));
    for step in [2, 6, 13] {
        wait_for_step(&place, &mut child, step);
        child.kill().unwrap();
        child.wait().unwrap();
        child = place.spawn("resume runs/tiny-1 -q");
    }
    wait_for_step(&place, &mut child, 14);
    child.kill().unwrap();
    child.wait().unwrap();
    finish_and_compare(&place, recipe);
}

#[test]
fn ranks_share_boxes() {
    let place = place();
    let settings = "tiny.toml -q --set train.shards=3 --set device.threads=1";
    image_folder::ok(&place, settings);
    image_folder::ok(&place, &format!("{settings} --ranks 3"));
    assert_eq!(
        super::sha256(&place.path("runs/tiny-1/checkpoints/last.safetensors")),
        super::sha256(&place.path("runs/tiny-2/checkpoints/last.safetensors"))
    );
    let metrics =
        |run| super::metrics_without_times(&place.read(&format!("runs/{run}/metrics.jsonl")));
    assert_eq!(metrics("tiny-1"), metrics("tiny-2"));
}

#[test]
fn what_boxes_cannot_have_is_refused() {
    let place = place();
    let refused = |settings: &str| {
        let told = failure(&place, &format!("tiny.toml {settings}"));
        assert!(!place.path("runs").exists(), "{settings}");
        let error = told.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(&told);
        error.replace("FOLDER/", "")
    };
    let settings = [
        "model.task=classification",
        "train.label_smoothing=0.1",
        "train.class_weights=balanced",
        "train.best_by=macro_f1",
        "data.augment.mixup=0.2",
        "data.augment.rand_augment={}",
        "data.first_pixel=2",
        "data.dataset=fashion-mnist-sample",
    ];
    let told = settings.map(|it| format!("{it}: {}", refused(&format!("--set {it}"))));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn damaged_boxes_are_told_with_what_to_do() {
    let place = place();
    let lines = place.read("boxes.csv");
    let told = |text: &str| {
        fs::write(place.path("boxes.csv"), text).unwrap();
        let told = failure(&place, "tiny.toml -q");
        assert!(!place.path("runs").exists());
        told
    };
    let beyond =
        lines.replacen("train/green/00.png,green,0,0,", "train/green/00.png,green,0,0,3", 1);
    let none = lines.lines().filter(|line| !line.starts_with("val/red/00")).collect::<Vec<_>>();
    let messages = [told(&beyond), told(&none.join("\n"))];
    insta::assert_snapshot!(messages.join("\n"));
    // It can be done without them.
    image_folder::ok(&place, "tiny.toml -q --set data.skip_damaged=true");
}

#[test]
fn boxes_of_files_are_told_in_their_pixels_and_drawn() {
    let place = place();
    image_folder::ok(&place, "tiny.toml -q --set model.boxes=shared");
    let files = "images/val/green/00.png images/val/red/01.jpg";
    let lines = image_folder::ok(&place, &format!("predict runs/tiny-1 {files} --json -q")).stdout;
    let told: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 2);
    assert_eq!((&told[1]["width"], &told[1]["height"]), (&31.into(), &49.into()));
    for told in &told {
        assert!(told["boxes"][0].get("class").is_none(), "{told}");
        if let Some(corners) = told["boxes"][0]["box"].as_array() {
            let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|i| corners[i].as_f64().unwrap());
            assert!(0.0 <= x0 && x0 < x1 && x1 <= told["width"].as_f64().unwrap(), "{told}");
            assert!(0.0 <= y0 && y0 < y1 && y1 <= told["height"].as_f64().unwrap(), "{told}");
        }
    }
    let done = image_folder::ok(&place, &format!("predict runs/tiny-1 {files} --draw drawn"));
    assert!(done.stdout.contains("drawn in drawn/00.png"), "{}", done.stdout);
    // 30×50 pixels, five times as large.
    let drawn = image::open(place.path("drawn/00.png")).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (150, 250));
    let csv = image_folder::ok(&place, &format!("predict runs/tiny-1 {files} --csv")).stdout;
    assert!(csv.starts_with("file,class,probability,x0,y0,x1,y1\n"), "{csv}");

    // One file that is no image leaves the others.
    fs::write(place.path("broken.png"), "no image").unwrap();
    let done = image_folder::run(&place, "predict runs/tiny-1 broken.png images/val/red/01.jpg");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stdout.starts_with("images/val/red/01.jpg\n"), "{}", done.stdout);
}

/// A run that classifies, `classes-1`, and one that locates and started from it, `tiny-1`.
fn classifier_and_locator(place: &Workplace) {
    // Keys of a file cannot be unset.
    fs::write(place.path("tiny.toml"), LOCATING.replace("boxes = \"boxes.csv\"\n", "")).unwrap();
    image_folder::ok(place, "tiny.toml -q --set name=classes --set model.task=classification");
    fs::write(place.path("tiny.toml"), LOCATING).unwrap();
    let done = image_folder::ok(place, "tiny.toml --set init.from=runs/classes-1");
    let told = "classifier.6: initialised, what it gives is for another task";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}

#[test]
fn a_classifier_says_the_classes_of_files_of_which_one_is_damaged() {
    let place = place();
    classifier_and_locator(&place);
    fs::write(place.path("broken.png"), "no image").unwrap();
    let files = "images/val/green/00.png broken.png images/val/red/01.jpg";
    let command = format!("predict runs/tiny-1 {files} --json -q");
    let done = image_folder::run(&place, &format!("{command} --classifier runs/classes-1"));
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let told: Vec<serde_json::Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let classes = image_folder::run(&place, &command.replace("tiny", "classes")).stdout;
    for (told, line) in told.iter().zip(classes.lines()) {
        let of_classes: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(told["file"], of_classes["file"]);
        if told["file"] == "broken.png" {
            assert_eq!(*told, of_classes);
            continue;
        }
        let boxes = told["boxes"].as_array().unwrap();
        assert_eq!(boxes.len(), 2);
        for (one, class) in boxes.iter().zip(of_classes["predictions"].as_array().unwrap()) {
            assert_eq!(
                (&one["class"], &one["probability"]),
                (&class["class"], &class["probability"])
            );
        }
    }
    assert_eq!(told.len(), 3);
}

#[test]
fn a_classifier_and_a_locator_are_one_onnx_file() {
    let place = place();
    classifier_and_locator(&place);
    let export = "export runs/tiny-1 --classifier runs/classes-1";
    let done = image_folder::ok(&place, &format!("{export} --format onnx --output both.onnx"));
    let told = "runs/tiny-1/checkpoints/best.safetensors and runs/classes-1/checkpoints/best.safetensors to both.onnx";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    let bytes = fs::read(place.path("both.onnx")).unwrap();
    // `tests/golden/round_trip.py` compares what it gives with what `predict` tells.
    for name in ["logits", "boxes", "locator.features.0.weight", "classifier.6.bias"] {
        assert!(bytes.windows(name.len()).any(|it| it == name.as_bytes()), "{name}");
    }

    // Of such models classifiers alone are read.
    let done = image_folder::run(&place, "import both.onnx --arch vgg11 --to new");
    assert!(done.stderr.contains("an ONNX model that locates"), "{}", done.stderr);

    let other = "tiny.toml -q --set name=other --set train.epochs=1";
    image_folder::ok(
        &place,
        &format!("{other} --set data.mean=[0.25] --set data.augment.short_side=[40]"),
    );
    let refused = [
        format!("{export} --format safetensors"),
        "export runs/classes-1 --classifier runs/classes-1 --format onnx".into(),
        "export runs/tiny-1 --classifier runs/tiny-1 --format onnx".into(),
        "export runs/other-1 --classifier runs/classes-1 --format onnx".into(),
        // It would replace one of the two.
        format!("{export} --format onnx --output runs/classes-1/checkpoints/best.safetensors"),
    ];
    let told = refused.map(|arguments| {
        let output = if arguments.contains("--output") { "" } else { "--output refused" };
        let done = image_folder::run(&place, &format!("{arguments} {output} -q"));
        assert!(!place.path("refused").exists(), "{arguments}");
        format!("{arguments}\n{:?}\n{}", done.code, done.stderr)
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_of_classes_is_refused() {
    let place = place();
    image_folder::ok(&place, "tiny.toml -q");
    let refused = [
        "predict runs/tiny-1 images/val",
        "predict runs/tiny-1 images/val --explain x",
        "predict runs/tiny-1 images/val --flip",
        "eval runs/tiny-1 runs/tiny-1",
        "eval runs/tiny-1 --mode multicrop",
        "eval runs/tiny-1 --confusion x.csv",
        "eval runs/tiny-1 --classifier runs/tiny-1",
        "find-lr tiny.toml",
    ];
    let told = refused.map(|arguments| {
        let done = image_folder::run(&place, &format!("{arguments} -q"));
        assert_eq!(done.code, Some(2), "{arguments}: {}", done.stderr);
        format!("{arguments}\n{}", done.stderr)
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_run_goes_on_with_the_boxes_that_it_began_with() {
    let place = place();
    image_folder::ok(&place, "tiny.toml -q --set train.epochs=1");
    let before = place.read("boxes.csv");
    let wider = before.replacen("green,0,0,12,20", "green,0,0,13,20", 1);
    assert_ne!(wider, before);
    fs::write(place.path("boxes.csv"), wider).unwrap();
    let done = place.run("resume runs/tiny-1 --set train.epochs=2");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("the run began with other boxes"), "{}", done.stderr);
    assert!(done.stderr.contains("--set data.boxes_sha256="), "{}", done.stderr);
    // The same boxes may be written otherwise.
    fs::write(place.path("boxes.csv"), before.replace(",12,20", ",12.0,20.0")).unwrap();
    image_folder::ok(&place, "resume runs/tiny-1 --set train.epochs=2 -q");
}
