//! Names that other people gave: of files and of classes.

use std::fs;
use std::path::Path;

use super::{Workplace, image_folder, sample};

/// A class's name that would hide what follows it, turn letters round and forge a line.
const CLASS: &str = "b\u{1b}[8m\u{9b}2K\u{202e}\nerror: all is lost";
const SHOWN: &str = r"b\u{1b}[8m\u{9b}2K\u{202e}\nerror: all is lost";

/// A small network's config and a folder of images whose classes have these names.
fn place(classes: [&str; 2]) -> Workplace {
    let place = image_folder::place();
    for part in ["train", "val"] {
        for (old, new) in ["green", "red"].into_iter().zip(classes) {
            let part = place.path("images").join(part);
            fs::rename(part.join(old), part.join(new)).unwrap();
        }
    }
    place
}

#[track_caller]
fn assert_printable(text: &str) {
    let control = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(control, None, "{text:?}");
}

#[test]
fn control_characters_never_reach_a_screen() {
    let place = place(["a", CLASS]);
    let bad = "\u{1b}[2K\rnothing damaged.jpg";
    fs::write(place.path("images/train/a").join(bad), "text").unwrap();
    let check = image_folder::run(&place, "data check images");
    assert_eq!(check.code, Some(3));
    let train = image_folder::ok(&place, "folder.toml --set data.skip_damaged=true");
    fs::copy(sample(), place.path("\u{1b}[1mx.png")).unwrap();
    let predict = image_folder::ok(&place, "predict runs/folder-1 \u{1b}[1mx.png");
    let export = "export runs/folder-1 --format onnx --output \u{1b}[1mx.onnx";
    let unknown = image_folder::run(&place, "predict runs/folder-1 \u{1b}[1my.png");
    let export = image_folder::ok(&place, export);
    let option = image_folder::run(&place, "predict runs/folder-1 --\u{9b}2Kx.png");
    assert_eq!((option.code, option.stderr.contains(r"--\u{9b}2Kx.png")), (Some(2), true));
    for done in [&check, &train, &predict, &unknown, &export, &option] {
        assert_printable(&done.stdout);
        assert_printable(&done.stderr);
    }
    for (text, part) in [
        (&check.stdout, r"\u{1b}[2K\rnothing damaged.jpg: this is not a JPEG"),
        (&check.stdout, SHOWN),
        (&train.stderr, r"nothing damaged.jpg"),
        (&predict.stdout, r"\u{1b}[1mx.png"),
        (&unknown.stderr, r"\u{1b}[1my.png"),
        (&export.stderr, r"\u{1b}[1mx.onnx"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_printable(&place.read("runs/folder-1/log.txt"));

    // What programs read has the names as they are.
    let json =
        image_folder::ok(&place, "predict runs/folder-1 \u{1b}[1mx.png --json --top 2").stdout;
    assert_printable(&json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["file"], "\u{1b}[1mx.png");
    let named = |i: usize| json["predictions"][i]["class"].as_str().unwrap();
    assert!([named(0), named(1)].contains(&CLASS), "{json}");
    assert!(place.read("runs/folder-1/confusion.csv").contains(&format!("\"{CLASS}\"")));
}

#[test]
fn one_class_may_be_written_in_two_unicode_forms() {
    let place = place(["th\u{e9}", "caf\u{e9}"]);
    let val = place.path("images/val");
    // As an archive of a Mac has it.
    fs::rename(val.join("caf\u{e9}"), val.join("cafe\u{301}")).unwrap();
    image_folder::ok(&place, "folder.toml -q");
    let config = place.read("runs/folder-1/config.toml");
    assert!(config.contains("classes = [\"caf\u{e9}\", \"th\u{e9}\"]"), "{config}");
    // The images come to another machine, which writes their classes in its way.
    let train = place.path("images/train");
    fs::rename(train.join("th\u{e9}"), train.join("the\u{301}")).unwrap();
    image_folder::ok(&place, "resume runs/folder-1 -q --set train.epochs=3");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let place = Workplace::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights/zip.pth");
    fs::write(place.path("names"), "\u{feff}a\r\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    place.ok(&format!("import {} --arch vgg11 --to run --classes names", golden.display()));
    let predicted = place.ok(&format!("predict run {} --top 10 -q", sample().display())).stdout;
    assert!(predicted.lines().any(|line| line.ends_with("%  a")), "{predicted}");
    let config = format!("\u{feff}{}", place.read("tiny.toml"));
    fs::write(place.path("marked.toml"), config).unwrap();
    place.ok("marked.toml -q --set train.epochs=1");
}

/// A folder's name may be any bytes; a config is UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn a_run_in_a_folder_whose_name_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = image_folder::place();
    let here = place.path("").join(std::ffi::OsStr::from_bytes(b"x\xff"));
    fs::create_dir(&here).unwrap();
    for entry in ["images", "folder.toml"] {
        fs::rename(place.path(entry), here.join(entry)).unwrap();
    }
    for arguments in
        ["folder.toml -q --set train.epochs=1", "resume runs/folder-1 -q --set train.epochs=2"]
    {
        let done = place.command(arguments).current_dir(&here).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn classes_that_differ_in_spelling_alone_are_told() {
    let place = place(["Ankle Boot", "ankle_boot"]);
    let told = "Ankle Boot and ankle_boot differ in spelling alone: are they one class?";
    let check = image_folder::ok(&place, "data check images --page check.html");
    assert!(check.stdout.contains(&format!("classes      {told}")), "{}", check.stdout);
    assert!(place.read("check.html").contains(told));
    let json = image_folder::ok(&place, "data check images --json").stdout;
    assert!(json.contains(r#""alike":[["Ankle Boot","ankle_boot"]]"#), "{json}");
    let train = image_folder::ok(&place, "folder.toml");
    assert!(train.stderr.contains(&format!("warning: {told}")), "{}", train.stderr);
}
