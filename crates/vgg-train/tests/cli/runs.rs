//! The table of runs.

use std::fs;

use serde_json::Value;

use super::resume::{ENDLESS, wait_for_step};
use super::{Killed, Workplace, failure};

/// The lines of the table, each with one space for many.
fn rows(stdout: &str) -> Vec<String> {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    stdout.lines().map(squeezed).collect()
}

#[test]
fn a_row_a_run_with_what_became_of_it() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    place.ok("tiny.toml -q --set name=held --set data.hold_out=20 --set train.epochs=1");
    place.ok("resume runs/held-1 -q --print-config");
    fs::create_dir(place.path("runs/notes")).unwrap();
    let done = place.ok("runs --sort name");
    let rows = rows(&done.stdout);
    let header = "run state network data epochs best on loss time";
    assert_eq!((&*rows[0], rows.len()), (header, 4), "{}", done.stdout);
    let [held, tiny] = [&rows[2], &rows[3]];
    let about = "finished vgg11 × 0.0625 fashion-mnist-sample";
    assert!(held.starts_with(&format!("runs/held-1 {about} 1/1 ")), "{held}");
    assert!(held.contains(" % held-out "), "{held}");
    assert!(tiny.starts_with(&format!("runs/tiny-1 {about} 2/2 ")), "{tiny}");
    assert!(tiny.contains(" % test ") && tiny.ends_with(" s"), "{tiny}");
    assert!(done.stderr.contains("not runs: 1 folder (notes)"), "{}", done.stderr);

    let json = place.ok("runs runs/tiny-1 --json").stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["run"], &json["state"]), (&"runs/tiny-1".into(), &"finished".into()));
    let last = place.read("runs/tiny-1/metrics.csv");
    let last: Vec<&str> = last.lines().last().unwrap().split(',').collect();
    for (name, column) in [("train_loss", 2), ("test_loss", 4), ("test_accuracy", 5)] {
        assert_eq!(json[name].as_f64(), last[column].parse().ok(), "{name}");
    }
}

#[test]
fn damaged_runs_are_named_and_names_are_printable() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let bad = place.path("runs/bad\u{1b}[2K-1");
    fs::create_dir(&bad).unwrap();
    fs::write(bad.join("config.toml"), "[train]\nepoch = 1\n").unwrap();
    fs::create_dir_all(place.path("runs/empty-1/checkpoints")).unwrap();
    let last = place.path("runs/tiny-1/checkpoints/last.safetensors");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    // A pipe would be waited for.
    fs::create_dir_all(place.path("runs/pipe-1/checkpoints")).unwrap();
    let pipe = place.path("runs/pipe-1/config.toml");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let done = place.ok("runs");
    assert_eq!(
        done.stdout.matches(" damaged ").count() + done.stdout.matches(" damaged\n").count(),
        4
    );
    assert!(!done.stdout.contains('\u{1b}') && !done.stderr.contains('\u{1b}'), "{}", done.stdout);
    assert!(done.stdout.contains(r"runs/bad\u{1b}[2K-1  damaged"), "{}", done.stdout);
    for told in [
        r"runs/bad\u{1b}[2K-1: runs/bad\u{1b}[2K-1/config.toml:2: unknown key `epoch`",
        "runs/empty-1: it has no config.toml",
        "runs/pipe-1: config.toml is no file",
        "runs/tiny-1: runs/tiny-1/checkpoints/last.safetensors: ",
    ] {
        assert!(done.stderr.contains(&format!("warning: {told}")), "{told}: {}", done.stderr);
    }
}

#[test]
fn a_run_in_which_a_process_trains_is_running_and_stays_so() {
    let place = Workplace::new();
    let mut child = Killed(place.spawn(&format!("tiny.toml -q {ENDLESS}")));
    wait_for_step(&place, &mut child.0, 0);
    for _ in 0..5 {
        let done = place.ok("runs --json");
        let json: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(json["state"], "running", "{}", done.stderr);
        assert!(json["train_loss"].is_f64(), "{json}");
    }
    assert!(child.0.try_wait().unwrap().is_none(), "nobody disturbs it");
    drop(child);
    let rows = rows(&place.ok("runs").stdout);
    assert!(rows[2].starts_with("runs/tiny-1 stopped "), "{rows:?}");
}

#[test]
fn a_folder_without_runs_says_so() {
    let place = Workplace::new();
    insta::assert_snapshot!(failure(&place, "runs"), @r"
    2
    error: there is no folder runs
    help: `vgg-train CONFIG` makes it with its first run
    ");
    insta::assert_snapshot!(failure(&place, "runs tiny.toml"), @r"
    2
    error: tiny.toml is not a folder of runs
    help: runs are folders, made by `vgg-train CONFIG`
    ");
    fs::create_dir(place.path("runs")).unwrap();
    insta::assert_snapshot!(failure(&place, "runs"), @r"
    0
           Empty runs has no runs
    ");
    assert_eq!(place.ok("runs --json -q").stderr, "");
}
