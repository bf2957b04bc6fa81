//! Several ranks train one network: what comes out depends on the shards alone.
#![cfg(unix)]

use std::fs;
use std::process::Child;

use super::image_folder;
use super::resume::{ENDLESS, finish_and_compare, signal, wait_for_step};
use super::{Workplace, failure, metrics_without_times, sha256};

/// 51 images in batches of 16: the last one of an epoch has three images, fewer than there are shards.
pub(super) const SHARDS: &str = "--set train.shards=4 --set data.train_limit=51";

/// All that ranks have to agree on with momentum, mixed images and a rate that falls, and layers so wide that
/// the factors of their gradients are few.
pub(super) const MOMENTUM: &str = "--set optimizer.momentum=0.9 --set optimizer.average_decay=0.9 \
    --set optimizer.clip_norm=1 --set train.label_smoothing=0.1 --set schedule.kind=plateau \
    --set schedule.patience=1 --set schedule.factor=0.5 --set data.augment.flip=true \
    --set data.augment.pad_crop=2 --set data.augment.mixup=0.2 --set data.augment.cutmix=1 \
    --set model.fc_width=128";

/// The same with AdamW, statistics, also those of averaged weights, and layers that stay as they are.
pub(super) const ADAMW: &str = "--set optimizer.kind=adamw --set optimizer.momentum=0 --set optimizer.lr=0.002 \
    --set optimizer.weight_decay=0.01 --set model.batch_norm=true --set optimizer.freeze=['features.0'] \
    --set train.class_weights='balanced' --set report.gradient_norm=true --set optimizer.average_decay=0.9";

/// Whether two runs came to the same.
pub(super) fn assert_same_runs(place: &Workplace, a: &str, b: &str) {
    for checkpoint in ["last", "best"] {
        let path = |run| place.path(&format!("runs/{run}/checkpoints/{checkpoint}.safetensors"));
        assert_eq!(sha256(&path(a)), sha256(&path(b)), "{checkpoint} of {a} and {b}");
    }
    let metrics = |run| metrics_without_times(&place.read(&format!("runs/{run}/metrics.jsonl")));
    assert_eq!(metrics(a), metrics(b), "{a} and {b}");
    for file in ["confusion.csv", "config.toml"] {
        let file = |run| place.read(&format!("runs/{run}/{file}"));
        assert_eq!(file(a), file(b), "{a} and {b}");
    }
}

#[test]
fn any_number_of_ranks_comes_to_the_same() {
    for settings in [MOMENTUM, ADAMW] {
        let place = Workplace::new();
        place.ok(&format!("tiny.toml -q {SHARDS} {settings} --set device.threads=1"));
        for ranks in 2..5 {
            let settings = format!("{SHARDS} {settings} --set device.threads=1");
            let done = place.ok(&format!("tiny.toml {settings} --ranks {ranks}"));
            let told = format!("Ranks {ranks} ranks in one process");
            assert!(done.stderr.contains(&told), "{}", done.stderr);
            assert_same_runs(&place, "tiny-1", &format!("tiny-{ranks}"));
        }
    }
}

/// Of image files, of which each rank decodes its own.
#[test]
fn ranks_share_images() {
    let place = image_folder::place();
    let (files, settings) = ("folder.toml -q", "--set train.shards=3 --set device.threads=1");
    image_folder::ok(&place, &format!("{files} {settings}"));
    image_folder::ok(&place, &format!("{files} {settings} --ranks 3"));
    assert_same_runs(&place, "folder-1", "folder-2");
}

/// Waits for the run's next step and ends it.
fn killed(place: &Workplace, mut child: Child, step: u64) {
    wait_for_step(place, &mut child, step);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_run_goes_on_with_any_number_of_ranks() {
    let place = Workplace::new();
    let often = "--set checkpoint.every_minutes=1e-9";
    let settings = format!("{SHARDS} {MOMENTUM}");
    let start = format!("tiny.toml -q {often} {settings} {ENDLESS} --ranks 3");
    killed(&place, place.spawn(&start), 2);
    killed(&place, place.spawn("resume runs/tiny-1 -q --ranks 2"), 5);
    killed(&place, place.spawn("resume runs/tiny-1 -q --ranks 4"), 9);
    finish_and_compare(&place, &settings);
}

/// All stop at the same step, whichever rank sees the signal first.
#[test]
fn a_signal_stops_all_ranks_with_the_state_saved() {
    let place = Workplace::new();
    let settings = format!("{SHARDS} {ADAMW}");
    let mut child = place.spawn(&format!("tiny.toml -q {settings} {ENDLESS} --ranks 2"));
    wait_for_step(&place, &mut child, 3);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    finish_and_compare(&place, &settings);
}

/// How long epochs took is another time on each rank, and so is whether one more would take too long.
#[test]
fn ranks_end_together_when_time_is_over() {
    let place = Workplace::new();
    for minutes in [0.004, 0.006, 0.008] {
        let limit = format!("--set train.max_minutes={minutes} --set train.epochs=100000");
        let done = place.ok(&format!("tiny.toml -q {SHARDS} {limit} --ranks 2 --json"));
        assert!(done.stdout.contains("\"run\""), "{}", done.stdout);
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let place = Workplace::new();
    insta::assert_snapshot!(failure(&place, "tiny.toml --set train.shards=2 --ranks 3"), @r"
    2
    error: too many ranks
      caused by: 3 ranks cannot share 2 shards: take 3 shards or more, which changes the results, or 2 ranks
    help: --set train.shards=3 has as many shards as ranks
    ");
    insta::assert_snapshot!(failure(&place, "tiny.toml --ranks 2"), @r"
    2
    error: too many ranks
      caused by: 2 ranks cannot share 1 shard: take 2 shards or more, which changes the results, or 1 rank
    help: --set train.shards=2 has as many shards as ranks
    ");
    let both = "tiny.toml --set train.shards=2 --set train.accumulate=2";
    insta::assert_snapshot!(failure(&place, both), @r"
    2
    error: --set train.shards=2: train.shards takes the place of train.accumulate: each shard passes by itself
    ");
    assert_eq!(place.run("tiny.toml --ranks 0").code, Some(2));
    assert_eq!(place.run("tiny.toml --ranks 2 --profile").code, Some(2));
    assert!(!place.path("runs").exists(), "nothing is left of what was refused");
}

/// Settings by which no image is decoded before training.
pub(super) const UNSEEN: &str = "--set train.shards=4 --set data.normalize=given \
    --set data.mean=[0.5,0.5,0.5] --set data.std=[0.25,0.25,0.25] --set data.augment.color_shift=0";

pub(super) const DAMAGE: &str = "images/train/red/01.jpg: the image is damaged";

/// A folder of images of which one cannot be read.
pub(super) fn place_with_damage() -> Workplace {
    let place = image_folder::place();
    let cut = place.path("images/train/red/01.jpg");
    let bytes = fs::read(&cut).unwrap();
    // Its header is whole, so that it is found when it is decoded.
    fs::write(&cut, &bytes[..bytes.len() - 99]).unwrap();
    place
}

/// An image that one rank cannot read ends all, with that rank's words.
#[test]
fn a_rank_that_fails_ends_all() {
    let place = place_with_damage();
    let mut named = Vec::new();
    for seed in 0..6 {
        let seed = format!("--set train.seed={seed}");
        let done = image_folder::run(&place, &format!("folder.toml -q {UNSEEN} {seed} --ranks 4"));
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        assert!(done.stderr.contains(DAMAGE), "{}", done.stderr);
        named.push(done.stderr.contains("error: rank "));
    }
    assert!(named.contains(&true), "another rank than the first had the image");
}

/// The first rank alone writes: where it cannot, the others do not wait for it.
#[test]
fn a_full_disk_ends_all() {
    let place = Workplace::new();
    let arguments = format!("tiny.toml {SHARDS} --ranks 3");
    let output = place.command_after("ulimit -f 100", &arguments).output().unwrap();
    let done = super::Done::of(output);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("error: cannot save a checkpoint"), "{}", done.stderr);
    assert!(done.stderr.contains("File too large"), "{}", done.stderr);
    place.ok("resume runs/tiny-1 -q --ranks 2");
}

/// A network that diverges does so on all ranks.
#[test]
fn a_network_that_diverges_ends_all_ranks() {
    let place = Workplace::new();
    let arguments = format!("tiny.toml -q {SHARDS} --set optimizer.lr=1e30 --ranks 3");
    let done = place.run(&arguments);
    assert_eq!(done.code, Some(6), "{}", done.stderr);
    assert!(done.stderr.contains("not a number any more"), "{}", done.stderr);
}
