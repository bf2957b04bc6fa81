//! The README's commands do what it says.

use std::fs;
use std::path::Path;

use super::{Done, Workplace};

/// What the README tells to run after `cargo run -p vgg-train --`.
fn commands() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("cargo run -p vgg-train -- "));
    let words = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        line.split_whitespace().map(|word| word.replace('\'', "")).collect()
    };
    lines.map(words).collect()
}

fn run(place: &Workplace, arguments: &[String]) -> Done {
    Done::of(place.command("").args(arguments).output().unwrap())
}

#[test]
fn what_is_done_with_a_run_is_done_as_written() {
    const RUN: &str = "runs/vgg11_small_quick-1";
    let place = Workplace::new();
    // Another run under the name of the README's first one, which would take minutes.
    place.ok("smoke -q --set train.epochs=1 --set name=vgg11_small_quick --device cpu");
    let sample = place.path("crates/vgg-data/sample");
    fs::create_dir_all(&sample).unwrap();
    fs::copy(super::sample(), sample.join("ankle_boot.png")).unwrap();
    let of_a_run = |words: &&Vec<String>| words.get(1).is_some_and(|word| word == RUN);
    let commands = commands();
    let commands: Vec<_> = commands.iter().filter(of_a_run).collect();
    for words in &commands {
        let done = run(&place, words);
        assert_eq!(done.code, Some(0), "{words:?}: {}", done.stderr);
    }
    assert!(commands.len() >= 6, "{commands:?}");
    assert!(place.path("features.npy").is_file() && place.path("vgg11_small.onnx").is_file());
}

#[test]
fn what_is_trained_is_a_config_with_keys_that_there_are() {
    let place = Workplace::new();
    let commands = commands();
    let trains = |words: &&Vec<String>| words[0].ends_with(".toml") || words[0] == "summary";
    let commands: Vec<_> = commands.iter().filter(trains).collect();
    for words in &commands {
        let done = run(&place, &[&words[..], &["--print-config".to_owned()]].concat());
        assert_eq!(done.code, Some(0), "{words:?}: {}", done.stderr);
    }
    assert!(commands.len() >= 5, "{commands:?}");
}

#[test]
fn the_version_has_the_commit() {
    let version = Workplace::new().ok("--version").stdout;
    let (number, commit) = version.trim_end().split_once(" (commit ").unwrap();
    assert_eq!(number, concat!("vgg-train ", env!("CARGO_PKG_VERSION")));
    let commit = commit.strip_suffix(')').unwrap();
    let is_hash = commit.len() >= 7 && commit.chars().all(|letter| letter.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown", "{version}");
}
