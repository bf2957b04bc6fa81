//! Packs: the images of a folder in one file.

use std::fs;
#[cfg(unix)]
use std::process::Stdio;

use super::image_folder::{self, ok, run};
use super::{Workplace, metrics_without_times};

/// A folder that is packed, and configs for both, of which `tiny.toml` is the pack's.
fn place(options: &str) -> Workplace {
    let place = image_folder::place();
    let told = ok(&place, &format!("data pack images images.pack -q {options}")).stdout;
    assert!(told.starts_with("images.pack: 32 train, 10 val, "), "{told}");
    let folder = place.read("folder.toml");
    let pack = folder
        .replace("image-folder", "pack")
        .replace("folder = \"images\"", "pack = \"images.pack\"");
    fs::write(place.path("tiny.toml"), pack).unwrap();
    place
}

/// With all augmentation that there is: nothing tells that the images are elsewhere.
#[test]
fn training_on_a_pack_is_training_on_its_folder() {
    let place = place("");
    ok(&place, "folder.toml -q");
    let done = ok(&place, "tiny.toml --threads 3");
    assert!(done.stderr.contains("Dataset images.pack: 32 train, 10 test, 2 classes, 3×32×32"));
    let metrics = |run: &str| metrics_without_times(&place.read(&format!("{run}/metrics.jsonl")));
    assert_eq!(metrics("runs/tiny-1")[1..], metrics("runs/folder-1")[1..]);
    ok(&place, "eval runs/tiny-1 -q --mode both --scales 32,64 --flip");
    let evaluated = ok(&place, "eval runs/tiny-1 --json -q").stdout;
    assert!(evaluated.contains("\"images\":10"), "{evaluated}");
}

/// Pixels of a short side that training scales to, and those that need no scaling.
#[test]
fn pixels_that_training_scales_to_are_the_folders() {
    for side in [40, 1000] {
        let place = place(&format!("--pixels {side}"));
        let fixed = "-q --set data.augment.short_side=[40] --set data.test_short_side=40";
        ok(&place, &format!("folder.toml {fixed}"));
        ok(&place, &format!("tiny.toml {fixed}"));
        let metrics =
            |run: &str| metrics_without_times(&place.read(&format!("{run}/metrics.jsonl")));
        assert_eq!(metrics("runs/tiny-1")[1..], metrics("runs/folder-1")[1..], "{side}");
    }
}

#[cfg(unix)]
#[test]
fn a_run_on_a_pack_that_is_killed_goes_on() {
    use super::resume::{ENDLESS, finish_and_compare, wait_for_step};
    let place = place("");
    let mut child =
        place.spawn(&format!("tiny.toml -q --set checkpoint.every_minutes=1e-9 {ENDLESS}"));
    for step in [2, 5] {
        wait_for_step(&place, &mut child, step);
        child.kill().unwrap();
        child.wait().unwrap();
        child = place.spawn("resume runs/tiny-1 -q");
    }
    wait_for_step(&place, &mut child, 6);
    child.kill().unwrap();
    child.wait().unwrap();
    finish_and_compare(&place, "");
}

/// Nothing can be read any more where it was, and the run is not lost.
#[cfg(unix)]
#[test]
fn a_pack_that_is_cut_while_it_is_read_ends_the_run_with_a_word() {
    use super::resume::{ENDLESS, finish_and_compare, wait_for_step};
    let place = place("");
    let pack = place.path("images.pack");
    let whole = fs::read(&pack).unwrap();
    let often = format!("tiny.toml -q --set checkpoint.every_minutes=1e-9 {ENDLESS}");
    let mut child = place.command(&often).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_step(&place, &mut child, 2);
    fs::File::options().write(true).open(&pack).unwrap().set_len(0).unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.starts_with("error: images.pack was cut while it was read"), "{told}");
    assert_eq!(done.status.code(), Some(3));
    fs::write(&pack, whole).unwrap();
    finish_and_compare(&place, "");
}

#[test]
fn what_is_wrong_with_a_pack_is_told() {
    let place = place("");
    ok(&place, "tiny.toml -q --set train.epochs=1");
    let whole = fs::read(place.path("images.pack")).unwrap();
    let failure = |arguments: &str| {
        let done = run(&place, arguments);
        format!("{}\n{}", done.code.unwrap(), done.stderr)
    };
    fs::write(place.path("images.pack"), &whole[..whole.len() / 2]).unwrap();
    insta::assert_snapshot!(failure("resume runs/tiny-1 --set train.epochs=2 -q").replace(&place.folder.path().display().to_string(), "FOLDER"), @r"
    3
    error: cannot open the pack FOLDER/images.pack
      caused by: FOLDER/images.pack: the pack is cut short, or was never finished: pack the images again
    help: `vgg-train data pack FOLDER OUT` makes one
    ");
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(place.path("images.pack"), &damaged).unwrap();
    insta::assert_snapshot!(failure("tiny.toml -q"), @r"
    3
    error: cannot read an image
      caused by: images.pack: the pack is damaged: train/green/00.png has another checksum
    ");
    // Another pack is not the run's.
    ok(&place, "data pack images images.pack -q --pixels 40");
    let other = failure("resume runs/tiny-1 --set train.epochs=2 -q");
    assert!(other.starts_with("3\nerror: the run began with another pack"), "{other}");
    let scaled = failure("tiny.toml -q --set data.decode=scaled");
    assert!(scaled.contains("data.decode = \"scaled\" has no effect"), "{scaled}");
    let turned = failure("tiny.toml -q --set data.orientation=stored");
    assert!(turned.contains("turned otherwise than data.orientation says"), "{turned}");
    let split = failure("tiny.toml -q --set data.split=0.2");
    assert!(split.contains("data.split is for dataset = \"image-folder\" alone"), "{split}");
    let part = failure("tiny.toml -q --set data.test_part=test");
    assert!(part.contains("images.pack has no part test"), "{part}");
    let pack = failure("folder.toml -q --set data.pack=images.pack");
    assert!(pack.contains("data.pack is for dataset = \"pack\" alone"), "{pack}");
}

#[test]
fn a_pack_is_written_whole_or_not_at_all() {
    let place = image_folder::place();
    let path = place.path("images/val/red/01.jpg");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 99]).unwrap();
    let done = run(&place, "data pack images images.pack -q --pixels 32");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let told = "images/val/red/01.jpg: the image is damaged: the file is cut short";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    let names = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("pack")));
    let told = ok(&place, "data pack images images.pack -q --pixels 32 --skip-damaged").stdout;
    assert!(told.starts_with("images.pack: 32 train, 9 val, "), "{told}");

    let train = "images/train";
    let undivided = run(&place, &format!("data pack {train} other.pack -q"));
    assert_eq!(undivided.code, Some(2));
    assert!(undivided.stderr.contains("help: --split 0.2 holds out"), "{}", undivided.stderr);
    let told = ok(&place, &format!("data pack {train} other.pack -q --split 0.2")).stdout;
    assert!(told.starts_with("other.pack: "), "{told}");
}
