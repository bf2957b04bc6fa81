//! Using what was trained.

use serde_json::Value;
use vgg_data::fashion_mnist::Split;
use vgg_model::{Checkpoint, Params, Vgg};

use super::Workplace;

/// A trained tiny run, and the first test images as files.
fn trained() -> Workplace {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let data = vgg_data::sample::load(Split::Test).unwrap();
    for i in 0..3 {
        let image = image::GrayImage::from_raw(28, 28, data.image(i).to_vec()).unwrap();
        image.save(place.path(&format!("{i}.png"))).unwrap();
    }
    // A photo of another size, in colour.
    let photo = image::RgbImage::from_fn(90, 60, |x, y| image::Rgb([x as u8, y as u8, 200]));
    photo.save(place.path("photo.jpg")).unwrap();
    place
}

fn json(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn image_files_of_any_size_are_classified() {
    let place = trained();
    let done = place.ok("predict runs/tiny-1 0.png photo.jpg 1.png --top 10 --json");
    assert!(done.stderr.trim_start().starts_with("Device "), "{}", done.stderr);
    assert_eq!(place.ok("predict runs/tiny-1 0.png -q").stderr, "");
    let predictions = json(&done.stdout);
    let files: Vec<_> = predictions.iter().map(|p| p["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["0.png", "photo.jpg", "1.png"]);
    for prediction in &predictions {
        let classes = prediction["predictions"].as_array().unwrap();
        let probabilities: Vec<f64> =
            classes.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
        assert_eq!(probabilities.len(), 10);
        assert!(probabilities.is_sorted_by(|a, b| a >= b));
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    }
    // Neither its company nor its order changes what an image is.
    let alone = json(&place.ok("predict runs/tiny-1 1.png --top 10 --json").stdout);
    assert_eq!(alone[0], predictions[2]);

    let text = place.ok("predict runs/tiny-1/checkpoints/best.safetensors 0.png").stdout;
    assert_eq!(text.lines().count(), 1 + 5, "{text}");
    assert!(text.starts_with("0.png\n") && text.contains(" %  "), "{text}");
}

#[test]
fn files_that_are_not_images_are_passed_over() {
    let place = trained();
    std::fs::write(place.path("notes.txt"), "shirts, shoes\n").unwrap();
    let good = place.ok("predict runs/tiny-1 0.png 1.png -q").stdout;
    for file in ["notes.txt", "tiny.toml", "nowhere.png"] {
        let done = place.run(&format!("predict runs/tiny-1 -q 0.png {file} 1.png"));
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        let lines: Vec<_> = done.stderr.lines().collect();
        assert!(lines[0].starts_with(&format!("error: {file}: ")), "{}", done.stderr);
        assert_eq!(lines[1..], ["error: 1 of 3 files could not be read"]);
        assert_eq!(done.stdout, good);
    }
    let done = place.run("predict runs/tiny-1 -q notes.txt --json");
    let reason = "this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image";
    let object = format!("{{\"error\":\"{reason}\",\"file\":\"notes.txt\"}}\n");
    assert_eq!((done.code, done.stdout), (Some(3), object));
    let done = place.run("predict runs/tiny-1 -q notes.txt --csv --top 1 --flip");
    let rows = "file,class_1,probability_1,flip,shift\nnotes.txt,,,,\n";
    assert_eq!((done.code, &*done.stdout), (Some(3), rows));
    assert!(done.stderr.ends_with("error: the file could not be read\n"), "{}", done.stderr);
}

#[test]
fn results_are_in_the_order_of_the_files_however_many() {
    let place = trained();
    let files: Vec<String> = (0..75)
        .map(|i| ["0.png", "photo.jpg", "no.png", "1.png", "2.png"][i * i * i % 5].to_owned())
        .collect();
    let done = place.run(&format!("predict runs/tiny-1 -q --json --top 1 {}", files.join(" ")));
    assert_eq!(done.code, Some(3));
    let told = json(&done.stdout);
    let names: Vec<_> = told.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(names, files);
    let unreadable = told.iter().filter(|line| line.get("predictions").is_none());
    assert!(unreadable.clone().all(|line| line["file"] == "no.png" && line["error"].is_string()));
    assert_eq!(done.stderr.matches("error: no.png: ").count(), unreadable.count());
}

/// Runs the program with names in standard input.
fn with_input(place: &Workplace, arguments: &str, names: &[u8]) -> super::Done {
    std::fs::write(place.path("names"), names).unwrap();
    let mut command = place.command(arguments);
    command.stdin(std::fs::File::open(place.path("names")).unwrap());
    super::Done::of(command.output().unwrap())
}

#[test]
fn folders_and_standard_input_name_files() {
    let place = trained();
    for folder in ["in/b/c", "in/.hidden"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    for (from, to) in [
        ("0.png", "in/b/c/2.JPG"),
        ("1.png", "in/b/named_nothing"),
        ("photo.jpg", "in/photo.png"),
        ("2.png", "in/.hidden/x.png"),
    ] {
        std::fs::copy(place.path(from), place.path(to)).unwrap();
    }
    std::fs::write(place.path("in/b/notes.txt"), "no image").unwrap();
    let files = |done: &super::Done| -> Vec<String> {
        let all = json(&done.stdout);
        let read = all.iter().filter(|told| told.get("error").is_none());
        read.map(|told| told["file"].as_str().unwrap().to_owned()).collect()
    };
    let done = place.ok("predict runs/tiny-1 1.png in 0.png --json -q");
    let within = ["in/b/c/2.JPG", "in/b/named_nothing", "in/photo.png"];
    assert_eq!(files(&done), [&["1.png"], &within[..], &["0.png"]].concat());

    // What is no image is passed over where nobody named it, and what is damaged is told.
    std::fs::write(place.path("in/b/damaged.jpg"), "no image").unwrap();
    std::fs::write(place.path("in/photo.heic"), b"\0\0\0\x14ftypheic\0\0\0\0mif1").unwrap();
    let done = place.run("predict runs/tiny-1 in --json -q");
    assert_eq!((done.code, files(&done)), (Some(3), within.map(String::from).to_vec()));
    let told: Vec<_> = done.stderr.lines().collect();
    assert!(told[0].starts_with("error: in/b/damaged.jpg: this is not a "), "{told:?}");
    assert!(told[1].starts_with("error: in/photo.heic: HEIC images are not read: "), "{told:?}");
    assert_eq!(told[2..], ["error: 2 of 5 files could not be read"]);

    let names = b"0.png\n\nin/b/c\nnowhere.png\n1.png";
    let done = with_input(&place, "predict runs/tiny-1 2.png - photo.jpg --json -q", names);
    assert_eq!(files(&done), ["2.png", "0.png", "in/b/c/2.JPG", "1.png", "photo.jpg"]);
    assert!(done.stderr.ends_with("error: 1 of 6 files could not be read\n"), "{}", done.stderr);
    #[cfg(unix)]
    {
        std::fs::copy(place.path("0.png"), place.path("two\nlines.png")).unwrap();
        let names = b"two\nlines.png\x001.png\0";
        let done = with_input(&place, "predict runs/tiny-1 - -0 --json -q", names);
        assert_eq!(
            (done.code, files(&done)),
            (Some(0), vec!["two\nlines.png".into(), "1.png".into()])
        );
    }

    let done = with_input(&place, "predict runs/tiny-1 - --json -q", b"0.png\r\n1.png\r\n");
    assert_eq!(files(&done), ["0.png", "1.png"]);
    let image = std::fs::read(place.path("0.png")).unwrap();
    let done = with_input(&place, "predict runs/tiny-1 - --json -q", &image);
    let told = "error: -: names of files are expected, one a line, and not their contents\n";
    assert_eq!(done.code, Some(3));
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);

    // A pipe would be waited for.
    #[cfg(unix)]
    {
        let pipe = place.path("in/pipe.png");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let done = place.run("predict runs/tiny-1 in --json -q");
        assert_eq!(files(&done), within);
    }

    std::fs::create_dir(place.path("empty")).unwrap();
    let done = place.run("predict runs/tiny-1 empty -q --csv");
    assert_eq!((done.code, &*done.stdout), (Some(3), ""));
    let said =
        "error: there is no image to classify\nhelp: name image files, or a folder that has some\n";
    assert_eq!(done.stderr, said);
    let done = place.run("predict runs/tiny-1 0.png --null -q");
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.starts_with("error: --null is for names in standard input"));
}

#[test]
fn a_table_has_a_row_a_file_however_many() {
    let place = trained();
    let names: Vec<&str> = (0..2500).map(|i| ["0.png", "no.png", "1.png"][i % 3]).collect();
    let names = names.join("\n");
    let done = with_input(&place, "predict runs/tiny-1 - --top 2 --csv -q", names.as_bytes());
    assert_eq!(done.code, Some(3));
    let mut rows = done.stdout.lines();
    assert_eq!(rows.next(), Some("file,class_1,probability_1,class_2,probability_2"));
    let row = |file: &str| {
        let told = json(&place.ok(&format!("predict runs/tiny-1 {file} --top 2 --json")).stdout);
        let classes = told[0]["predictions"].as_array().unwrap().iter().map(|class| {
            let p = class["probability"].as_f64().unwrap() as f32;
            format!(",{},{p}", class["class"].as_str().unwrap())
        });
        format!("{file}{}", classes.collect::<String>())
    };
    let [first, second] = ["0.png", "1.png"].map(row);
    let expected = names.lines().map(|name| match name {
        "0.png" => &*first,
        "1.png" => &*second,
        _ => "no.png,,,,",
    });
    assert!(rows.eq(expected));
}

#[test]
fn of_an_animation_the_first_frame_is_classified_and_that_is_told_once() {
    let place = trained();
    let gif = std::fs::File::create(place.path("moving")).unwrap();
    let mut encoder = image::codecs::gif::GifEncoder::new(gif);
    for level in [0, 255] {
        let frame = image::RgbaImage::from_pixel(28, 28, image::Rgba([level, level, level, 255]));
        encoder.encode_frame(image::Frame::new(frame)).unwrap();
    }
    drop(encoder);
    image::GrayImage::new(28, 28).save(place.path("black.png")).unwrap();
    let done = place.ok("predict runs/tiny-1 black.png moving moving --json");
    let told = json(&done.stdout);
    assert_eq!(told[0]["predictions"], told[1]["predictions"]);
    let once = "the first frame of an animation is the image: moving\n";
    assert_eq!(done.stderr.matches(once).count(), 1, "{}", done.stderr);
}

fn bytes(place: &Workplace, name: &str) -> Vec<u8> {
    std::fs::read(place.path(name)).unwrap()
}

fn dimensions(place: &Workplace, picture: &str) -> (u32, u32) {
    image::open(place.path(picture)).unwrap().into_rgb8().dimensions()
}

#[test]
fn predictions_are_explained_in_pictures() {
    let place = trained();
    std::fs::create_dir(place.path("other")).unwrap();
    std::fs::copy(place.path("1.png"), place.path("other/0.jpg")).unwrap();
    std::fs::write(place.path("notes.txt"), "no image").unwrap();
    let files = "0.png photo.jpg notes.txt other/0.jpg";
    let done = place.run(&format!("predict runs/tiny-1 {files} --json -q --explain in/a/folder"));
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let told = json(&done.stdout);
    let pictures: Vec<_> =
        told.iter().filter_map(|line| Some(line["explanation"].as_str()?.to_owned())).collect();
    assert_eq!(pictures, ["in/a/folder/0.png", "in/a/folder/photo.png", "in/a/folder/0-2.png"]);
    assert_eq!(std::fs::read_dir(place.path("in/a/folder")).unwrap().count(), 3);
    // The network's images have 32×32 pixels.
    assert!(pictures.iter().all(|picture| dimensions(&place, picture) == (224, 224)));
    assert!(bytes(&place, &pictures[0]) != bytes(&place, &pictures[2]));

    // Predictions are what they are without, and pictures what they are alone; old ones are replaced.
    let plain = place.run(&format!("predict runs/tiny-1 {files} --json -q"));
    let predictions = |told: &[Value]| -> Vec<Value> {
        told.iter().map(|line| line["predictions"].clone()).collect()
    };
    assert_eq!(predictions(&json(&plain.stdout)), predictions(&told));
    assert!(!plain.stdout.contains("explanation"));
    let all = bytes(&place, "in/a/folder/0-2.png");
    let text = place.ok("predict runs/tiny-1 other/0.jpg --explain in/a/folder").stdout;
    assert!(text.ends_with("\n  explained in in/a/folder/0.png\n"), "{text}");
    assert!(bytes(&place, "in/a/folder/0.png") == all);
}

#[test]
fn pictures_go_where_nothing_is_lost() {
    let place = trained();
    let image = bytes(&place, "0.png");
    let refused = |command: &str, message: &str| {
        let done = place.run(&format!("predict runs/tiny-1 -q {command}"));
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{}", done.stderr);
        assert!(done.stderr.starts_with(&format!("error: {message}")), "{}", done.stderr);
    };
    refused("1.png 0.png --explain .", "cannot write ./1.png: it is read, too");
    #[cfg(unix)]
    {
        std::fs::create_dir(place.path("links")).unwrap();
        std::os::unix::fs::symlink("../0.png", place.path("links/0.png")).unwrap();
        refused("0.png --explain links", "cannot write links/0.png: it is read, too");
    }
    refused("0.png --explain 1.png", "cannot make the folder 1.png: it is a file");
    let checkpoints = "runs/tiny-1/checkpoints";
    let message = format!("cannot write {checkpoints}/0.png: it is a file of a run");
    refused(&format!("0.png --explain {checkpoints}"), &message);
    let message = "--explain computes gradients, which take the weights in f32";
    refused("0.png --explain out --linear-weights f16", message);
    assert!(!place.path("out").exists());
    assert!(bytes(&place, "0.png") == image);
}

#[test]
fn evaluation_agrees_with_training() {
    let place = trained();
    let rows = place.read("runs/tiny-1/metrics.csv");
    // What was not asked for is empty.
    let last: Vec<Option<f64>> =
        rows.lines().last().unwrap().split(',').map(|value| value.parse().ok()).collect();
    let report = json(&place.ok("eval runs/tiny-1 --checkpoint last --json").stdout).remove(0);
    assert_eq!(report["images"], 30);
    for (key, value) in [("loss", last[4]), ("top1", last[5]), ("top5", last[6])] {
        assert!(value.is_some() && report[key].as_f64() == value, "{key}");
    }
    let text = place.ok("eval runs/tiny-1").stdout;
    assert!(text.contains("top-1") && text.contains("Ankle boot"), "{text}");
}

#[test]
fn weights_in_halves() {
    let place = trained();
    let eval = |option: &str| json(&place.ok(&format!("eval runs/tiny-1 --json {option}")).stdout);
    let (default, f32) = (eval(""), eval("--linear-weights f32"));
    assert_eq!(default, f32);
    let (f32, f16) = (&f32[0], &eval("--linear-weights f16")[0]);
    assert_eq!((&f32["linear_weights"], &f16["linear_weights"]), (&"f32".into(), &"f16".into()));
    let loss = |report: &Value| report["loss"].as_f64().unwrap();
    assert_ne!(loss(f32), loss(f16));
    assert!((loss(f32) - loss(f16)).abs() < 1e-3, "{} and {}", loss(f32), loss(f16));
    let told = place.ok("eval runs/tiny-1 --linear-weights f16").stderr;
    assert!(told.contains("fully connected weights in f16, on 30 images"), "{told}");

    let top = |option: &str| {
        let done = place.ok(&format!("predict runs/tiny-1 0.png photo.jpg --json {option}"));
        let class = |file: &Value| file["predictions"][0]["probability"].as_f64().unwrap();
        json(&done.stdout).iter().map(class).collect::<Vec<_>>()
    };
    let (f32, f16) = (top("--linear-weights f32"), top("--linear-weights f16"));
    assert_eq!(f32, top(""));
    assert_ne!(f32, f16);
    assert!(f32.iter().zip(&f16).all(|(a, b)| (a - b).abs() < 1e-3), "{f32:?} and {f16:?}");
}

/// Rewrites the best checkpoint of the tiny run.
fn edit(place: &Workplace, change: impl FnOnce(Checkpoint) -> Checkpoint) {
    let path = place.path("runs/tiny-1/checkpoints/best.safetensors");
    change(Checkpoint::load_weights(&path).unwrap()).save(&path).unwrap();
}

#[test]
fn weights_that_no_half_can_hold() {
    let place = trained();
    edit(&place, |checkpoint| {
        let tensors = checkpoint.params.iter().map(|(name, tensor)| {
            let mut tensor = tensor.clone();
            if name == "classifier.3.weight" {
                tensor.data_mut()[7] = 7e4;
            }
            (name.to_owned(), tensor)
        });
        let params = Params::new(&Vgg::new(&checkpoint.vgg).unwrap(), tensors).unwrap();
        Checkpoint { params, ..checkpoint }
    });
    for command in ["eval runs/tiny-1 -q", "predict runs/tiny-1 0.png -q"] {
        place.ok(command);
        let done = place.run(&format!("{command} --linear-weights f16"));
        assert_eq!((done.code, &*done.stdout), (Some(2), ""));
        let expected = "error: classifier.3.weight has 70000, but a number in f16 ends at 65504: \
                        keep its weights in f32\n";
        assert_eq!(done.stderr, expected);
    }
}

#[test]
fn classes_without_names_are_numbered() {
    let place = trained();
    edit(&place, |checkpoint| Checkpoint { classes: vec![], ..checkpoint });
    let text = place.ok("predict runs/tiny-1 0.png --top 10").stdout;
    let mut classes: Vec<_> =
        text.lines().skip(1).map(|line| line.split_once(" %  ").unwrap().1).collect();
    classes.sort();
    assert_eq!(classes, (0..10).map(|class| format!("class {class}")).collect::<Vec<_>>());
}
