//! Descriptors of image files.

use image::RgbImage;

#[cfg(unix)]
use super::resume::signal;
use super::{Workplace, failure, image_folder, is_ignored};

/// A trained run on an image folder, and pictures of three sizes.
fn trained() -> Workplace {
    let place = image_folder::place();
    image_folder::ok(&place, "folder.toml -q --set train.epochs=1");
    for (i, [h, w]) in [[40, 60], [90, 33], [40, 60], [1, 1]].into_iter().enumerate() {
        let image = RgbImage::from_fn(w, h, |x, y| {
            image::Rgb([x * 4 + 40 * i as u32, y * 2, (x + y) % 200].map(|level| level as u8))
        });
        image.save(place.path(&format!("{i}.png"))).unwrap();
    }
    place
}

/// The rows of the file that `extract` writes.
fn rows(place: &Workplace, arguments: &str) -> Vec<Vec<f32>> {
    place.ok(&format!("extract runs/folder-1 {arguments} --output out.npy -q"));
    read_rows(place, "out.npy")
}

fn read_rows(place: &Workplace, name: &str) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(place.path(name)).unwrap();
    let header = String::from_utf8(bytes[10..128].to_vec()).unwrap();
    let (_, shape) = header.split_once("'shape': (").unwrap();
    let (n, rest) = shape.split_once(", ").unwrap();
    let d: usize = rest.split_once(')').unwrap().0.parse().unwrap();
    let numbers: Vec<f32> =
        bytes[128..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(numbers.len(), n.parse::<usize>().unwrap() * d);
    numbers.chunks(d).map(<[f32]>::to_vec).collect()
}

fn assert_near(a: &[f32], b: &[f32]) {
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} for {b:?}");
}

#[test]
fn files_of_any_sizes_have_descriptors_of_length_1() {
    let place = trained();
    let all = rows(&place, "0.png 1.png 2.png 3.png");
    assert_eq!((all.len(), all[0].len()), (4, 16));
    for (i, row) in all.iter().enumerate() {
        assert_near(&[row.iter().map(|x| x * x).sum()], &[1.0]);
        // Neither its company nor its place changes what an image is.
        assert_near(row, &rows(&place, &format!("{i}.png"))[0]);
    }
    assert_ne!(all[0], all[2]);
    assert_eq!(rows(&place, "0.png --layer conv3_1")[0].len(), 16);
}

#[test]
fn scales_and_mirror_images_are_averaged() {
    let place = trained();
    let row = |options: &str| rows(&place, &format!("1.png {options}")).remove(0);
    let image = image::open(place.path("1.png")).unwrap();
    image.fliph().save(place.path("mirror.png")).unwrap();
    let flipped = row("--flip --scales 40");
    assert_near(&rows(&place, "mirror.png --flip --scales 40")[0], &flipped);
    assert_ne!(row("--scales 40"), flipped);
    // The mean of two directions lies between them.
    let [small, large] = ["--scales 40", "--scales 70"].map(row);
    let both = row("--scales 40,70");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let apart = dot(&small, &large);
    assert!(apart < 0.9999 && dot(&both, &small) > apart && dot(&both, &large) > apart);
}

#[test]
fn a_checkpoint_alone_will_do() {
    let place = trained();
    let alone = "extract runs/folder-1/checkpoints/best.safetensors 1.png 0.png";
    let done = place.ok(&format!("{alone} --output out.safetensors --device cpu"));
    let said = "Extracted 2 descriptors of 16 numbers to out.safetensors";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    let bytes = std::fs::read(place.path("out.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("features").unwrap().shape(), [2, 16]);
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    let about = ["files", "layer", "scales", "flip"].map(|name| metadata[name].as_str());
    assert_eq!(about, [r#"["1.png","0.png"]"#, "fc7", "36", "false"]); // as its run is tested
}

#[test]
fn help() {
    insta::assert_snapshot!("extract-help", Workplace::new().ok("extract --help").stdout);
}

#[test]
fn a_file_that_cannot_be_read_has_no_numbers() {
    let place = trained();
    std::fs::write(place.path("notes.png"), "text").unwrap();
    let photo = std::fs::read(place.path("1.png")).unwrap();
    // Its header is whole.
    std::fs::write(place.path("cut.png"), &photo[..photo.len() - 30]).unwrap();
    let good = rows(&place, "0.png 1.png --scales 40,70");
    let files = "0.png notes.png cut.png 1.png no.png";
    let run = format!("extract runs/folder-1 -q {files} --scales 40,70 --output bad.npy");
    let told = failure(&place, &run);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(
        (lines[0], lines.len(), lines[4]),
        ("3", 5, "error: 3 of 5 files could not be read")
    );
    for (line, name) in lines[1..4].iter().zip(["notes.png", "no.png", "cut.png"]) {
        assert!(line.starts_with(&format!("error: {name}: ")), "{told}");
    }
    let all = read_rows(&place, "bad.npy");
    assert_eq!([&all[0], &all[3]], [&good[0], &good[1]]);
    assert!([1, 2, 4].iter().all(|i| all[*i].iter().all(|x: &f32| x.is_nan())));
}

/// An old file is worth more than nothing.
#[test]
fn where_no_file_can_be_read_none_is_written() {
    let place = trained();
    let good = rows(&place, "0.png");
    std::fs::write(place.path("notes.png"), "text").unwrap();
    let nothing = failure(&place, "extract runs/folder-1 -q no.png notes.png --output out.npy");
    let (_, last) = nothing.trim_end().rsplit_once('\n').unwrap();
    assert!(nothing.starts_with("3\n"), "{nothing}");
    assert_eq!(last, "error: no file could be read, and nothing is written to out.npy");
    assert_eq!(read_rows(&place, "out.npy"), good);
    std::fs::create_dir(place.path("empty")).unwrap();
    insta::assert_snapshot!(failure(&place, "extract runs/folder-1 -q empty --output out.npy"), @r"
    3
    error: there is no image to describe
    help: name image files, or a folder that has some
    ");
}

/// As `predict` finds them.
#[test]
fn folders_are_the_images_in_them() {
    let place = trained();
    std::fs::create_dir_all(place.path("all/b")).unwrap();
    std::fs::rename(place.path("0.png"), place.path("all/b/0.png")).unwrap();
    std::fs::rename(place.path("1.png"), place.path("all/c.png")).unwrap();
    std::fs::write(place.path("all/notes.txt"), "text").unwrap();
    let one_by_one = rows(&place, "2.png all/b/0.png all/c.png 3.png");
    assert_eq!(rows(&place, "2.png all 3.png"), one_by_one);
}

/// Scaled to the short side it is wider than any batch of images may be.
#[test]
fn an_image_that_is_too_long_has_no_numbers() {
    let place = trained();
    RgbImage::new(5000, 2).save(place.path("wide.png")).unwrap();
    let good = rows(&place, "0.png 1.png --scales 64");
    let run = "extract runs/folder-1 -q 0.png wide.png 1.png --scales 64 --output long.npy";
    insta::assert_snapshot!(failure(&place, run), @r"
    3
    error: wide.png: images: 64×160000 is too large, a side has 65535 pixels at most; images of lower --scales need less
    error: 1 of 3 files could not be read
    ");
    let all = read_rows(&place, "long.npy");
    assert_eq!([&all[0], &all[2]], [&good[0], &good[1]]);
    assert!(all[1].iter().all(|x| x.is_nan()));
}

#[test]
fn what_cannot_be_extracted_is_told_and_leaves_no_file() {
    let place = trained();
    let run = |arguments: &str| failure(&place, &format!("extract runs/folder-1 -q {arguments}"));
    insta::assert_snapshot!(run("0.png --layer fc9 --output out.npy"), @r"
    2
    error: there is no layer fc9; there are conv1_1, pool1, conv2_1, pool2, conv3_1, conv3_2, pool3, conv4_1, conv4_2, pool4, conv5_1, conv5_2, pool5, fc6, fc7, fc8
    ");
    insta::assert_snapshot!(run("0.png --output out.csv"), @r"
    2
    error: --output out.csv has no known format
    help: the name of the file ends in .npy or .safetensors
    ");
    insta::assert_snapshot!(run("0.png --scales 31 --output out.npy"), @r"
    2
    error: the scale 31 is too small: runs/folder-1/checkpoints/best.safetensors takes images of 32×32
    help: --scales can be from 32 on
    ");
    insta::assert_snapshot!(run("0.png --output no/folder/out.npy"), @r"
    2
    error: cannot write no/folder/out.npy: there is no folder no/folder
    ");
    assert!(!place.path("out.npy").exists());
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_part_of_a_file() {
    use std::os::unix::process::ExitStatusExt as _;

    let place = trained();
    let pipe = place.path("slow.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let signals = [("-INT", 2), ("-TERM", 15)];
    for (name, number) in signals.into_iter().filter(|(_, number)| !is_ignored(*number)) {
        let mut child = place.spawn("extract runs/folder-1 slow.png --output out.npy");
        // Opened when it is read from: what is to be written has begun.
        let unwritten = std::fs::File::options().write(true).open(&pipe).unwrap();
        let hidden = |name: &str| name.starts_with(".out.npy");
        assert_eq!(names(&place).iter().filter(|name| hidden(name)).count(), 1);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().signal(), Some(number as i32));
        drop(unwritten);
        assert!(!names(&place).iter().any(|name| name.contains("out.npy")), "{:?}", names(&place));
    }
}

/// What is in the folder.
#[cfg(unix)]
fn names(place: &Workplace) -> Vec<String> {
    let entries = std::fs::read_dir(place.folder.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
