//! Looking for a learning rate, which leaves everything as it is.

use std::fs;

use serde_json::Value;

use super::{Workplace, failure, metrics_without_times};

fn found(place: &Workplace, arguments: &str) -> Value {
    let done = place.ok(&format!("find-lr {arguments} --json -q"));
    serde_json::from_str(&done.stdout).unwrap()
}

/// Each step's learning rate and loss.
fn steps(found: &Value) -> Vec<(f64, f64)> {
    let steps = found["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["lr"].as_f64().unwrap(), step["loss"].as_f64().unwrap())).collect()
}

#[test]
fn the_test_is_training_at_rates_that_rise_and_leaves_nothing() {
    let place = Workplace::new();
    // Also where images and labels are mixed, and class weights and an average are kept.
    let set = "--set data.augment.mixup=0.2 --set data.augment.random_erasing=0.5 \
               --set train.class_weights='balanced' --set optimizer.average_decay=0.9";
    let before = place.read("tiny.toml");
    let curve = found(&place, &format!("tiny.toml --steps 30 {set}"));
    assert_eq!(curve, found(&place, &format!("tiny.toml --steps 30 --threads 1 {set}")));
    let names = fs::read_dir(place.folder.path()).unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["tiny.toml"]);
    assert_eq!(place.read("tiny.toml"), before);

    let found = steps(&curve);
    assert!((found[0].0 - 1e-6).abs() < 1e-12 && found.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!((&curve["key"], &curve["config"]), (&"optimizer.lr".into(), &0.01.into()));
    // A run's first step has the same loss.
    place.ok(&format!("tiny.toml -q {set}"));
    let records = metrics_without_times(&place.read("runs/tiny-1/metrics.jsonl"));
    let first = records.iter().find_map(|record| record["batch_loss"].as_f64());
    assert_eq!(first, Some(found[0].1));
}

#[test]
fn a_rate_is_suggested_with_its_reason_and_the_curve() {
    let place = Workplace::new();
    let done = place.ok("find-lr smoke --output curve.svg");
    let said = "Testing rates from 1e-6 to 10 in 200 steps of 32 images";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    let (_, told) = done.stdout.split_once("--set optimizer.lr=").unwrap();
    let lr = told.split(',').next().unwrap();
    // Sums differ in their last bits from CPU to CPU.
    assert!((0.002..0.1).contains(&lr.parse::<f64>().unwrap()), "{told}");
    assert!(told.contains(", where the config has 0.02:\nthe loss is least there, "), "{told}");
    let plot = done.stdout.lines().filter(|line| line.contains(['│', '┤'])).count();
    assert_eq!(plot, 12, "{}", done.stdout);
    assert!(done.stdout.lines().all(|line| line.chars().count() <= 80), "{}", done.stdout);

    let svg = place.read("curve.svg");
    assert!(svg.contains("smoke: loss by learning rate") && svg.contains(r#"-scale="log""#));
    assert!(svg.contains(&format!("optimizer.lr = {lr}")), "{svg}");
    assert!(svg.contains("prefers-color-scheme: dark"));
    let json = found(&place, "smoke");
    assert_eq!(json["suggestion"].as_f64().unwrap(), lr.parse::<f64>().unwrap());
    place.ok(&format!("smoke -q --set optimizer.lr={lr} --set train.epochs=1"));
    // As pixels, and again in the same place.
    for _ in 0..2 {
        place.ok("find-lr tiny.toml --steps 30 -q --output curve.PNG");
        let png = fs::read(place.path("curve.PNG")).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n"));
    }
}

#[test]
fn where_nothing_is_learned_nothing_is_suggested() {
    let place = Workplace::new();
    // So small that all images are as good as one.
    let still = "smoke --steps 40 --set init.weights='normal' --set init.std=1e-9";
    let done = place.ok(&format!("find-lr {still}"));
    assert!(
        done.stderr.contains("warning: the loss did not fall below that of guessing"),
        "{}",
        done.stderr
    );
    assert!(!done.stdout.contains("optimizer.lr"), "{}", done.stdout);
    let json = found(&place, still);
    assert_eq!((&json["suggestion"], &json["reason"]), (&Value::Null, &Value::Null));

    // Frozen layers stay as they are, and others are trained.
    let frozen = found(&place, "smoke --set optimizer.freeze=['features'] --steps 60");
    assert!(steps(&frozen).len() > 20);
}

#[test]
fn what_cannot_be_tested_is_told() {
    let place = Workplace::new();
    assert!(failure(&place, "find-lr none.toml").starts_with("2\nerror: there is no config none"));
    assert!(failure(&place, "find-lr tiny.toml --steps 3").starts_with("2\nerror: invalid value"));
    let same = failure(&place, "find-lr tiny.toml --output tiny.toml -q");
    assert!(same.starts_with("2\nerror: cannot write tiny.toml: it is read, too"), "{same}");
    let infinite = "--set init.weights='normal' --set init.std=1e38";
    let diverged = failure(&place, &format!("find-lr tiny.toml -q {infinite}"));
    assert!(
        diverged.starts_with("6\nerror: the training loss is not a number at the first step"),
        "{diverged}"
    );
}

#[test]
#[cfg(unix)]
fn a_test_that_is_interrupted_tells_and_leaves_nothing() {
    use std::io::Read as _;
    let place = Workplace::new();
    let mut command = place.command("find-lr tiny.toml --steps 100000 --output curve.svg");
    let mut child = command
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    // It listens from before the first step on, which this line precedes.
    let mut stderr = child.stderr.take().unwrap();
    while !said.ends_with(b"Testing") {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    super::resume::signal(&child, "-INT");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), &*done.stdout), (Some(130), &b""[..]), "{rest}");
    assert!(rest.contains("Stopped as asked"), "{rest}");
    assert!(!place.path("curve.svg").exists());
}

/// A shell's `<(…)` is a pipe, of which there is something to read once.
#[cfg(unix)]
#[test]
fn a_config_may_come_by_a_pipe() {
    use std::io::Write as _;
    use std::process::Stdio;
    let place = Workplace::new();
    for arguments in
        ["find-lr /dev/stdin --steps 30 --output lr.svg", "/dev/stdin --profile=trace.json"]
    {
        let mut command = place.command(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let config = place.read("tiny.toml");
        child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
        let done = super::Done::of(child.wait_with_output().unwrap());
        assert_eq!(done.code, Some(0), "{arguments}: {}", done.stderr);
        assert!(done.stderr.contains("vgg11 × 0.0625"), "{arguments}: {}", done.stderr);
    }
}
