//! Errors word for word, with their exit codes.

use super::{Workplace, failure};

#[test]
fn help() {
    insta::assert_snapshot!("help", Workplace::new().ok("--help").stdout);
    for command in ["train", "predict", "doctor"] {
        let help = Workplace::new().ok(&format!("{command} --help")).stdout;
        insta::assert_snapshot!(format!("{command}-help"), help);
    }
}

#[test]
fn bad_arguments() {
    let place = Workplace::new();
    let nothing = failure(&place, "");
    assert!(nothing.starts_with("2\nTrain, evaluate and use VGG networks"), "{nothing}");
    insta::assert_snapshot!(failure(&place, "tiny.toml resume x"), @r"
    2
    error: unexpected argument 'resume' found

    Usage: vgg-train train [OPTIONS] <CONFIG>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(failure(&place, "predict x a.png --set train.epochs=2"), @r"
    2
    error: invalid value 'train.epochs=2' for '--set <KEY=VALUE>': only keys of `device` mean something here, not train.epochs

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(failure(&place, "import x --arch vgg11 --to run --print-config"), @r"
    2
    error: --print-config needs --config CONFIG
    help: without it, the run's config is made of the weights
    ");
    insta::assert_snapshot!(failure(&place, "tiny.toml --threads x"), @r#"
    2
    error: invalid value 'x' for '--threads <N>': invalid digit found in string

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(failure(&place, "tiny.toml --set train"), @r#"
    2
    error: invalid value 'train' for '--set <KEY=VALUE>': expected KEY=VALUE, as in train.epochs=2

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(failure(&place, "tiny.toml --set train.batchsize=3"), @r#"
    2
    error: --set train.batchsize=3: unknown key `batchsize`
    help: did you mean `batch_size`?
    "#);
    insta::assert_snapshot!(failure(&place, "tiny.toml --set train.batch_size=0"), @r#"
    2
    error: --set train.batch_size=0: train.batch_size must be at least 1, not 0
    "#);
    insta::assert_snapshot!(failure(&place, "tiny.toml --set data.mean=[0,0]"), @r#"
    2
    error: --set data.mean=[0,0]: data.mean must have a number a channel, 1, not 2
    "#);
    assert!(!place.path("runs").exists(), "a run that cannot start leaves no folder");
}

#[test]
fn bad_configs() {
    let place = Workplace::new();
    std::fs::write(place.path("bad.toml"), "[optimizer]\nlrr = 0.1\n").unwrap();
    insta::assert_snapshot!(failure(&place, "bad.toml"), @r#"
    2
    error: bad.toml:2: unknown key `lrr`
      |
    2 | lrr = 0.1
      | ^^^
    help: did you mean `lr`?
    "#);
    std::fs::write(place.path("bad.toml"), "[train]\nepochs = \"ten\"\n").unwrap();
    insta::assert_snapshot!(failure(&place, "summary bad.toml"), @r#"
    2
    error: bad.toml:2: expected a whole number from 0 on, found the string "ten"
      |
    2 | epochs = "ten"
      |          ^^^^^
    "#);
    std::fs::write(place.path("bad.toml"), "[model]\nimage_size = 28\n").unwrap();
    insta::assert_snapshot!(failure(&place, "--print-config bad.toml"), @r#"
    2
    error: bad.toml:2: model.image_size must be at least 32 for vgg11, whose pools shrink it, not 28
      |
    2 | image_size = 28
      |              ^^
    "#);
}

#[test]
fn data_that_are_not_there() {
    let place = Workplace::new();
    let set = "--set data.dataset=fashion-mnist --data-dir data";
    let done = place.run(&format!("tiny.toml --offline {set}"));
    // The distribution's package may be installed here.
    if done.code != Some(0) {
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        for part in ["train-images-idx3-ubyte.gz", "sha256 c59f468a", "data/fashion-mnist"] {
            assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
        }
        assert!(!place.path("runs").exists());
    }
}

#[test]
fn memory_that_is_not_there() {
    let place = Workplace::new();
    // Hundreds of GiB.
    let set = "--set model.image_size=2048 --set train.batch_size=60 --set model.width=4";
    let done = place.run(&format!("tiny.toml {set}"));
    if cfg!(target_os = "linux") {
        assert_eq!(done.code, Some(5), "{}", done.stderr);
        assert!(done.stderr.contains("error: training at batch size 60 needs"), "{}", done.stderr);
        assert!(!place.path("runs").exists());
    }
}

#[test]
fn folders_that_are_not_runs() {
    let place = Workplace::new();
    insta::assert_snapshot!(failure(&place, "resume runs/x-1"), @r#"
    2
    error: there is no run runs/x-1
    help: a run's folder looks like runs/vgg11_small-1
    "#);
    insta::assert_snapshot!(failure(&place, "eval ."), @r#"
    2
    error: . is not the folder of a run: it has no config.toml
    help: a run's folder looks like runs/vgg11_small-1
    "#);
    std::fs::write(place.path("file"), "").unwrap();
    let done = place.run("tiny.toml --out file");
    assert_eq!(done.code, Some(2));
    let told = "error: cannot make the folder file: it is a file";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}

#[test]
fn damaged_and_foreign_checkpoints() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let other = failure(&place, "resume runs/tiny-1 --set model.width=0.125");
    insta::assert_snapshot!(other, @r#"
    7
    error: runs/tiny-1/checkpoints/last.safetensors is of another network
    help: width is 0.0625 in the checkpoint, but 0.125 in the config
    "#);
    insta::assert_snapshot!(failure(&place, "resume runs/tiny-1 --set train.seed=7"), @r#"
    2
    error: the run's seed is 0, not 7
    help: start a new run
    "#);

    insta::assert_snapshot!(failure(&place, "resume runs/tiny-1 --set data.std=[0.5]"), @r#"
    2
    error: the normalisation of the images cannot change within a run
    help: start a new run
    "#);

    place.ok("tiny.toml -q --set name=averaged --set optimizer.average_decay=0.5");
    let config = place.path("runs/averaged-1/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("average_decay"));
    std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    insta::assert_snapshot!(failure(&place, "resume runs/averaged-1 --set train.epochs=9"), @r"
    2
    error: the weights of this run are averaged: optimizer.average_decay cannot be left out
    help: start a new run
    ");

    let path = place.path("runs/tiny-1/checkpoints/last.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for command in ["resume runs/tiny-1", "eval runs/tiny-1 --checkpoint last"] {
        let done = place.run(command);
        assert_eq!(done.code, Some(7), "{}", done.stderr);
        assert!(done.stderr.contains("last.safetensors"), "{}", done.stderr);
    }
}

#[test]
fn training_that_diverges() {
    let place = Workplace::new();
    let done = place.run("tiny.toml --set optimizer.lr=1e30");
    assert_eq!(done.code, Some(6), "{}", done.stderr);
    assert!(done.stderr.contains("at step"), "{}", done.stderr);
    assert!(done.stderr.contains("help: try a lower optimizer.lr"), "{}", done.stderr);
    assert!(!place.path("runs/tiny-1/checkpoints/last.safetensors").exists());
}

/// The only step's loss is a number, and so is the loss of the test, as ReLU makes zero of NaN.
#[test]
fn weights_that_are_not_numbers_are_no_epoch() {
    let place = Workplace::new();
    let overflow = "tiny.toml --set train.epochs=1 --set train.batch_size=60 \
                    --set optimizer.lr=3e38 --set optimizer.weight_decay=1e3 \
                    --set optimizer.freeze=['classifier']";
    for (often, run) in [("", "tiny-1"), ("--set checkpoint.every_minutes=1e-9", "tiny-2")] {
        let done = place.run(&format!("{overflow} {often}"));
        assert_eq!(done.code, Some(6), "{}", done.stderr);
        let told = "error: the weights are not numbers any more, at step 1 in epoch 1\n";
        assert!(done.stderr.contains(told), "{}", done.stderr);
        assert!(!done.stderr.contains("test loss"), "{}", done.stderr);
        let metrics = place.read(&format!("runs/{run}/metrics.jsonl"));
        assert!(!metrics.contains(r#""kind":"epoch""#), "{metrics}");
        assert!(!place.path(&format!("runs/{run}/checkpoints/best.safetensors")).exists());
    }
    // What was saved before the first step is good, and still there.
    let last = place.path("runs/tiny-2/checkpoints/last.safetensors");
    assert_eq!(vgg_model::Checkpoint::load(&last).unwrap().progress.step, 0);
}

/// A folder where a temporary file would go stands for a disk that takes no more.
#[test]
fn a_checkpoint_that_cannot_be_written_ends_training() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let checkpoints = place.path("runs/tiny-1/checkpoints");
    let last = checkpoints.join("last.safetensors");
    let before = super::sha256(&last);
    let blocked = checkpoints.join(".last.safetensors.tmp");
    std::fs::create_dir(&blocked).unwrap();
    for epochs in [2, 1_000_000] {
        let done = place.run(&format!("resume runs/tiny-1 --set train.epochs={epochs}"));
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("error: cannot save a checkpoint\n"), "{}", done.stderr);
        let help = "help: vgg-train resume runs/tiny-1 goes on; the last good checkpoint is \
                    runs/tiny-1/checkpoints/last.safetensors\n";
        assert!(done.stderr.contains(help), "{}", done.stderr);
        assert_eq!(super::sha256(&last), before);
    }
    std::fs::remove_dir(&blocked).unwrap();
    place.ok("resume runs/tiny-1 -q --set train.epochs=2");
    place.ok("tiny.toml -q --set train.epochs=2");
    let other = place.path("runs/tiny-2/checkpoints/last.safetensors");
    assert_eq!(super::sha256(&last), super::sha256(&other));
}

/// A folder is where a file is to be.
#[test]
fn a_picture_that_cannot_be_written_is_told_once() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let in_its_place = |file: &str| {
        std::fs::remove_file(place.path(file)).unwrap();
        std::fs::create_dir_all(place.path(file).join("in its place")).unwrap();
    };
    in_its_place("runs/tiny-1/curves.svg");
    let done = place.ok("resume runs/tiny-1 -q --set train.epochs=3");
    let told = "warning: cannot write runs/tiny-1/curves.svg";
    assert_eq!(done.stderr.matches(told).count(), 1, "{}", done.stderr);
    assert!(done.stderr.ends_with("; training goes on without\n"), "{}", done.stderr);
    assert_eq!(place.read("runs/tiny-1/metrics.csv").lines().count(), 4);

    // A record is no picture.
    in_its_place("runs/tiny-1/metrics.csv");
    let done = place.run("resume runs/tiny-1 -q --set train.epochs=4");
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let told = "error: cannot write runs/tiny-1/metrics.csv\n";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}

/// As a full disk, and not a signal that ends the program.
#[test]
#[cfg(unix)]
fn a_limit_on_file_sizes_is_an_error() {
    let place = Workplace::new();
    // 50 KiB: less than a checkpoint.
    let limited = |arguments: &str| {
        let output = place.command_after("ulimit -f 100", arguments).output().unwrap();
        super::Done::of(output)
    };
    let done = limited("tiny.toml");
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let told = "error: cannot save a checkpoint\n  caused by: runs/tiny-1/checkpoints/";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    assert!(done.stderr.contains("File too large"), "{}", done.stderr);
    assert!(done.stderr.contains("; there is no checkpoint yet\n"), "{}", done.stderr);
    let left = std::fs::read_dir(place.path("runs/tiny-1/checkpoints")).unwrap().count();
    assert_eq!(left, 0, "a disk that is full has no room for leftovers");

    // With room again it goes on, and without loses nothing.
    place.ok("resume runs/tiny-1 -q --set train.epochs=1");
    let last = super::sha256(&place.path("runs/tiny-1/checkpoints/last.safetensors"));
    let done = limited("resume runs/tiny-1 --set train.epochs=2");
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("the last good checkpoint is"), "{}", done.stderr);
    assert_eq!(super::sha256(&place.path("runs/tiny-1/checkpoints/last.safetensors")), last);
    for output in ["--format onnx --output it.onnx", "--format safetensors --output it.safetensors"]
    {
        let done = limited(&format!("export runs/tiny-1 {output}"));
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("File too large"), "{}", done.stderr);
    }
    assert!(!place.path("it.onnx").exists() && !place.path("it.safetensors").exists());
}

#[test]
fn training_that_does_not_learn() {
    let place = Workplace::new();
    // Slow enough not to learn; enough steps to be sure of it.
    let flat = "tiny.toml --set optimizer.lr=1e-9 --set data.train_limit=500 \
                --set train.batch_size=2 --set train.epochs=1";
    let done = place.ok(flat);
    assert!(done.stderr.contains("warning: the loss stays at 2."), "{}", done.stderr);
    assert!(done.stderr.contains("after 200 steps"), "{}", done.stderr);
    let done = place.run(&format!("{flat} --set guard.flat_loss=stop"));
    assert_eq!(done.code, Some(6), "{}", done.stderr);
    assert!(done.stderr.contains("error: the loss stays at 2."), "{}", done.stderr);
}

#[test]
fn another_checkpoint_than_the_one_that_is_meant_is_told() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=2");
    place.ok("import runs/tiny-1/checkpoints/last.safetensors --to runs/imported -q");
    let warning = "runs/tiny-1/checkpoints/best.safetensors is missing: \
                   runs/tiny-1/checkpoints/last.safetensors is taken instead";
    let told = |arguments: &str| place.ok(arguments).stderr.contains(warning);
    assert!(!told("eval runs/tiny-1"));
    std::fs::remove_file(place.path("runs/tiny-1/checkpoints/best.safetensors")).unwrap();
    assert!(told("eval runs/tiny-1"));
    assert!(!told("eval runs/tiny-1 --checkpoint last"));
    // What was imported has one alone.
    assert!(!place.ok("export runs/imported --output a.onnx").stderr.contains("is missing"));
}
