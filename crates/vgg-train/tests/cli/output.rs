//! What the user names for results.

use std::fs;
use std::process::Command;

use super::{Workplace, failure, sample};

fn trained() -> Workplace {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    place
}

#[test]
fn a_runs_own_files_are_never_written_over() {
    let place = trained();
    let best = place.path("runs/tiny-1/checkpoints/best.safetensors");
    let before = fs::read(&best).unwrap();
    let export = "export runs/tiny-1 -q --format safetensors --output";
    let own = failure(&place, &format!("{export} runs/tiny-1/checkpoints/best.safetensors"));
    insta::assert_snapshot!(own, @r"
    2
    error: cannot write runs/tiny-1/checkpoints/best.safetensors: it is a file of a run
    help: name another file: a run's own files are the program's
    ");
    fs::copy(&best, place.path("alone.safetensors")).unwrap();
    let alone = "export alone.safetensors -q --format onnx --output alone.safetensors";
    insta::assert_snapshot!(failure(&place, alone), @r"
    2
    error: cannot write alone.safetensors: it is read, too
    help: name another file
    ");
    let others = [
        format!("{export} runs/tiny-1/checkpoints/new"),
        "eval runs/tiny-1 -q --confusion runs/tiny-1/config.toml".into(),
        "eval runs/tiny-1 -q --predictions runs/tiny-1/config.toml".into(),
        "tiny.toml -q --profile=runs/tiny-1/metrics.jsonl".into(),
        "tiny.toml -q --profile=tiny.toml".into(),
    ];
    for refused in &others {
        let told = failure(&place, refused);
        assert!(told.starts_with("2\nerror: cannot write "), "{refused}: {told}");
    }
    assert_eq!(fs::read(&best).unwrap(), before);
    place.ok(&format!("{export} runs/tiny-1/mine.safetensors"));
    place.ok("resume runs/tiny-1 -q --set train.epochs=2");
}

/// Two arguments are easily exchanged, and a photograph is there once.
#[test]
fn a_photograph_is_not_written_over() {
    let place = trained();
    fs::copy(sample(), place.path("photo.png")).unwrap();
    for command in [
        "export runs/tiny-1 --format onnx --output photo.png",
        "report runs/tiny-1 --output photo.png",
        "eval runs/tiny-1 --predictions photo.png",
    ] {
        let told = failure(&place, command);
        assert!(told.starts_with("2\nerror: cannot write photo.png: it is an image,"), "{told}");
    }
    assert_eq!(fs::read(place.path("photo.png")).unwrap(), fs::read(sample()).unwrap());
}

/// Nor is what says which images are of which class.
#[test]
fn labels_are_not_written_over() {
    let place = trained();
    fs::copy(sample(), place.path("a.png")).unwrap();
    fs::write(place.path("labels.csv"), "a.png,boot\n").unwrap();
    for command in [
        "data check . --labels labels.csv --page labels.csv",
        "data pack . labels.csv --labels labels.csv --split 0.5",
    ] {
        let told = failure(&place, command);
        assert!(told.starts_with("2\nerror: cannot write labels.csv: it is read, too"), "{told}");
    }
    assert_eq!(place.read("labels.csv"), "a.png,boot\n");
}

#[test]
fn an_image_that_is_described_is_not_written_over() {
    let place = trained();
    fs::copy(sample(), place.path("a.npy")).unwrap();
    let told = failure(&place, "extract runs/tiny-1 -q a.npy --output ./a.npy");
    assert!(told.starts_with("2\nerror: cannot write ./a.npy: it is read, too"), "{told}");
}

#[cfg(unix)]
#[test]
fn pipes_stay_pipes_and_their_readers_get_the_file() {
    use std::os::unix::fs::FileTypeExt as _;
    let place = trained();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    for format in ["safetensors", "onnx"] {
        let pipe = place.path("pipe");
        let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
        place.ok(&format!("export runs/tiny-1 --format {format} --output pipe"));
        place.ok(&format!("export runs/tiny-1 --format {format} --output file"));
        assert!(reader.join().unwrap() == fs::read(place.path("file")).unwrap(), "{format}");
        assert!(fs::metadata(place.path("pipe")).unwrap().file_type().is_fifo());
    }
    let done = place.command("eval runs/tiny-1 -q --confusion /dev/stdout").output().unwrap();
    let table = String::from_utf8(done.stdout).unwrap();
    assert!(table.contains("T-shirt/top") && table.contains("top-1 "), "{table}");
}

/// What is written goes on where standard output is: a file that is appended to keeps what it has, and gets
/// nothing that is not asked for.
#[cfg(unix)]
#[test]
fn a_result_on_standard_output_is_all_that_is_there() {
    let place = trained();
    let into = |arguments: &str| {
        let shell = "echo before > all; exec \"$0\" \"$@\" >> all";
        let program = place.command(arguments);
        let mut command = Command::new("sh");
        command.args(["-c", shell]).arg(program.get_program()).args(program.get_args());
        let done = super::Done::of(command.current_dir(place.path("")).output().unwrap());
        assert_eq!(done.code, Some(0), "{arguments}: {}", done.stderr);
        fs::read(place.path("all")).unwrap()
    };
    for (command, output) in [
        ("export runs/tiny-1 --format onnx --output", "model.onnx"),
        ("report runs/tiny-1 --output", "page.html"),
        ("data pack images --split 0.3", "images.pack"),
    ] {
        if output == "images.pack" {
            for class in ["a", "b"] {
                fs::create_dir_all(place.path("images").join(class)).unwrap();
                for i in 0..9 {
                    let image = image::GrayImage::from_pixel(32, 32, image::Luma([i]));
                    image.save(place.path(&format!("images/{class}/{i}.png"))).unwrap();
                }
            }
        }
        place.ok(&format!("{command} {output}"));
        let written = fs::read(place.path(output)).unwrap();
        let all = into(&format!("{command} /dev/stdout"));
        assert!(all.strip_prefix(b"before\n") == Some(&*written), "{command}: {} bytes", all.len());
    }
    let both = String::from_utf8(into("eval runs/tiny-1 -q --confusion /dev/stdout")).unwrap();
    let places = ["before\n", "T-shirt/top", "top-1 "].map(|word| both.find(word));
    assert!(places.is_sorted() && places[0] == Some(0) && places[2].is_some(), "{both}");
}

/// Descriptors are many: the file fails while they are computed, not at its end.
#[cfg(unix)]
#[test]
fn a_file_that_takes_no_more_is_told_by_its_name() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1 --set model.fc_width=1024");
    image::GrayImage::new(32, 32).save(place.path("a.png")).unwrap();
    let extract = format!("extract runs/tiny-1 -q {}--output", "a.png ".repeat(100));
    assert!(Command::new("mkfifo").arg(place.path("pipe.npy")).status().unwrap().success());
    let pipe = place.path("pipe.npy");
    let reader = std::thread::spawn(move || drop(fs::File::open(pipe).unwrap()));
    insta::assert_snapshot!(failure(&place, &format!("{extract} pipe.npy")), @r"
    1
    error: cannot write pipe.npy
      caused by: its reader has gone
    ");
    reader.join().unwrap();
    let full = place.command_after("ulimit -f 1", &format!("{extract} full.npy"));
    let done = super::Done::of({ full }.output().unwrap());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.starts_with("error: cannot write full.npy\n"), "{}", done.stderr);
    assert!(!place.path("full.npy").exists());

    for i in 0..9 {
        for class in ["a", "b"] {
            std::fs::create_dir_all(place.path("images").join(class)).unwrap();
            let level = |x, y| image::Luma([(x * y + i) as u8]);
            let image = image::GrayImage::from_fn(256, 256, level);
            image.save(place.path(&format!("images/{class}/{i}.bmp"))).unwrap();
        }
    }
    // What is known of the images is a file, too.
    place.ok("data check images -q");
    let full = place.command_after("ulimit -f 1", "data pack images full.pack --split 0.3 -q");
    let done = super::Done::of({ full }.output().unwrap());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.starts_with("error: cannot write full.pack\n"), "{}", done.stderr);
    assert!(!place.path("full.pack").exists());
}

#[cfg(unix)]
#[test]
fn links_stay_links_and_files_keep_their_permissions() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let place = trained();
    fs::create_dir(place.path("store")).unwrap();
    fs::write(place.path("store/model.onnx"), "old").unwrap();
    symlink("store/model.onnx", place.path("link.onnx")).unwrap();
    place.ok("export runs/tiny-1 --format onnx --output link.onnx");
    assert!(fs::symlink_metadata(place.path("link.onnx")).unwrap().is_symlink());
    assert!(fs::metadata(place.path("store/model.onnx")).unwrap().len() > 1000);

    let mode = |name| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    fs::write(place.path("private.csv"), "").unwrap();
    fs::set_permissions(place.path("private.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    place.ok("eval runs/tiny-1 -q --confusion private.csv");
    assert_eq!(mode("private.csv"), 0o600);
    place.ok("eval runs/tiny-1 -q --confusion new.csv");
    assert_eq!(mode("new.csv"), mode("tiny.toml"), "as any new file");
}
