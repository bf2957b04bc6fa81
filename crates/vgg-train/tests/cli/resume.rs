//! Interrupted and resumed runs end as uninterrupted ones, to the bit.
//!
//! The runs to be interrupted have far more epochs than they get to do; how many they did decides
//! what they are compared with. So no test depends on how fast the machine is.
#![cfg(unix)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use vgg_model::{Checkpoint, Progress};

use super::{Workplace, failure, is_ignored, metrics_without_times, sha256};

/// Epochs that no test waits for.
pub(super) const ENDLESS: &str = "--set train.epochs=1000000";

/// Waits until the run has recorded a step beyond `step`.
pub(super) fn wait_for_step(place: &Workplace, child: &mut Child, step: u64) {
    loop {
        let text = std::fs::read_to_string(place.path("runs/tiny-1/metrics.jsonl"));
        let lines = text.unwrap_or_default();
        // The last line may be half written.
        let steps = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
        if steps.filter_map(|record: serde_json::Value| record["step"].as_u64()).any(|s| s > step) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "the run ended before step {step}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Resumes `runs/tiny-1` for two more epochs than it has begun, and compares it with a run of as
/// many epochs that was not interrupted.
pub(super) fn finish_and_compare(place: &Workplace, arguments: &str) {
    let records = metrics_without_times(&place.read("runs/tiny-1/metrics.jsonl"));
    let begun = records.iter().filter_map(|record| record["epoch"].as_u64()).max().unwrap_or(0);
    let epochs = format!("--set train.epochs={}", begun + 2);
    place.ok(&format!("resume runs/tiny-1 -q {epochs}"));
    place.ok(&format!("tiny.toml -q {arguments} {epochs}"));

    for checkpoint in ["last", "best"] {
        let path = |run| place.path(&format!("runs/{run}/checkpoints/{checkpoint}.safetensors"));
        assert_eq!(sha256(&path("tiny-1")), sha256(&path("tiny-2")), "{checkpoint}");
    }
    let metrics = |run| metrics_without_times(&place.read(&format!("runs/{run}/metrics.jsonl")));
    assert_eq!(metrics("tiny-1"), metrics("tiny-2"));
    // Of a network that locates there is none.
    let confusion = |run| std::fs::read(place.path(&format!("runs/{run}/confusion.csv"))).ok();
    assert_eq!(confusion("tiny-1"), confusion("tiny-2"));
}

#[test]
fn a_run_killed_at_any_moment() {
    let place = Workplace::new();
    // A checkpoint after every step, so that most moments are within an epoch or within saving.
    let often = "--set checkpoint.every_minutes=1e-9";
    let mut child = place.spawn(&format!("tiny.toml -q {often} {ENDLESS}"));
    for step in [2, 5, 11] {
        wait_for_step(&place, &mut child, step);
        child.kill().unwrap();
        child.wait().unwrap();
        child = place.spawn("resume runs/tiny-1 -q");
    }
    wait_for_step(&place, &mut child, 12);
    child.kill().unwrap();
    child.wait().unwrap();
    finish_and_compare(&place, "");
}

/// Velocities, the EMA, and how often the learning rate has dropped; images as operations that are drawn
/// make them.
pub(super) const MOMENTUM: &str = "--set optimizer.momentum=0.9 --set optimizer.average_decay=0.9 \
    --set optimizer.clip_norm=1 --set train.accumulate=2 --set train.label_smoothing=0.1 \
    --set schedule.kind=plateau --set schedule.patience=1 --set schedule.factor=0.5 \
    --set data.augment.flip=true --set data.augment.pad_crop=2 --set data.augment.rand_augment={} \
    --set data.augment.random_erasing=0.5 --set data.augment.mixup=0.2 --set data.augment.cutmix=1";

/// AdamW's averages, whose correction counts steps, with an EMA, statistics and a group of layers; images
/// as the other augmentations make them.
pub(super) const ADAMW: &str = "--set optimizer.kind=adamw --set optimizer.momentum=0 \
    --set optimizer.lr=0.002 --set optimizer.weight_decay=0.01 --set optimizer.average_decay=0.9 \
    --set model.batch_norm=true \
    --set optimizer.groups=[{layers='features',lr=0.5,weight_decay=0.1}] \
    --set data.augment.resized_crop={} --set data.augment.trivial_augment_wide=true \
    --set data.augment.color_jitter={brightness=0.4,contrast=0.4}";

#[test]
fn a_run_with_momentum() {
    let place = Workplace::new();
    killed_three_times(&place, MOMENTUM);
    let table = place.read("runs/tiny-1/metrics.csv");
    let at = table.lines().next().unwrap().split(',').position(|name| name == "lr").unwrap();
    let rates: Vec<f64> =
        table.lines().skip(1).map(|row| row.split(',').nth(at).unwrap().parse().unwrap()).collect();
    assert!(rates.last() < rates.first(), "{rates:?}");
}

/// The average begins with the weights that the run has.
#[test]
fn a_run_that_goes_on_with_an_average() {
    let place = Workplace::new();
    place.ok("tiny.toml --set train.epochs=1");
    // At no rate the weights stay, and so does their average.
    let still = "--set train.epochs=2 --set optimizer.lr=1e-20 --set optimizer.average_decay=0.9";
    place.ok(&format!("resume runs/tiny-1 {still}"));
    let tested: Vec<String> = place
        .read("runs/tiny-1/metrics.jsonl")
        .lines()
        .filter_map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record.get("test_accuracy").map(ToString::to_string)
        })
        .collect();
    assert!(tested.len() == 2 && tested[0] == tested[1], "{tested:?}");
    let files = std::fs::read_dir(place.path("runs/tiny-1/checkpoints")).unwrap();
    let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.contains("unaveraged")));
    place.ok("resume runs/tiny-1 --set train.epochs=3");
    let done = place.run("resume runs/tiny-1 --set train.epochs=4 --set optimizer.average_decay=2");
    assert_eq!(done.code, Some(2), "{}", done.stderr);
}

/// In bf16 where the CPU has instructions for it.
#[test]
fn a_run_in_half_precision() {
    let place = Workplace::new();
    killed_three_times(&place, "--precision bf16 --set model.batch_norm=true");
}

#[test]
fn a_run_of_adamw() {
    let place = Workplace::new();
    killed_three_times(&place, ADAMW);
    let other = "resume runs/tiny-1 -q --set optimizer.kind=sgd --set train.epochs=9";
    insta::assert_snapshot!(failure(&place, other), @r"
    2
    error: what adamw keeps of the weights is nothing that sgd could go on from
    help: start a new run
    ");
}

/// A run whose process is killed again and again comes to what one does that is not.
fn killed_three_times(place: &Workplace, recipe: &str) {
    let often = "--set checkpoint.every_minutes=1e-9";
    let mut child = place.spawn(&format!("tiny.toml -q {recipe} {often} {ENDLESS}"));
    for step in [3, 30] {
        wait_for_step(place, &mut child, step);
        child.kill().unwrap();
        child.wait().unwrap();
        child = place.spawn("resume runs/tiny-1 -q");
    }
    wait_for_step(place, &mut child, 31);
    child.kill().unwrap();
    child.wait().unwrap();
    finish_and_compare(place, recipe);
}

#[test]
fn a_run_killed_before_its_first_checkpoint() {
    let place = Workplace::new();
    // One epoch of many steps: the first checkpoint is far away.
    let long = "--set data.train_limit=500 --set train.batch_size=1";
    let mut child = place.spawn(&format!("tiny.toml -q {long}"));
    wait_for_step(&place, &mut child, 0);
    child.kill().unwrap();
    child.wait().unwrap();
    finish_and_compare(&place, long);
}

#[test]
fn a_run_stopped_by_a_signal() {
    // Most of the time goes to steps in the first run, to evaluation in the second one.
    let evaluating = "--set data.train_limit=16 --set data.test_limit=256";
    let cases = [("-INT", 130, ""), ("-TERM", 75, evaluating), ("-HUP", 75, "")];
    // Where the tests themselves are run by `nohup`, no signal of that name stops anything.
    let stops = |name: &str| name != "-HUP" || !is_ignored(1);
    for (name, code, arguments) in cases.into_iter().filter(|(name, ..)| stops(name)) {
        let place = Workplace::new();
        let mut child = place.spawn(&format!("tiny.toml -q {arguments} {ENDLESS}"));
        wait_for_step(&place, &mut child, 4);
        // Twice, as `timeout` sends it to the process and to its group.
        signal(&child, name);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let eval = place.ok("eval runs/tiny-1 --checkpoint last");
        assert!(eval.stdout.contains("top-1"));
        finish_and_compare(&place, arguments);
    }
}

/// Under `nohup` a run outlives its terminal.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_is_ignored_stays_ignored() {
    let place = Workplace::new();
    let mut command = place.command_after("trap '' HUP", &format!("tiny.toml -q {ENDLESS}"));
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    wait_for_step(&place, &mut child, 0);
    signal(&child, "-HUP");
    wait_for_step(&place, &mut child, 40);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(75));
}

/// The terminal is gone, and with it who would read what is said.
#[test]
fn a_run_without_a_reader_goes_on() {
    let place = Workplace::new();
    for options in ["", "-v", "--progress bar"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status =
            place.command(&format!("tiny.toml {options}")).stderr(writer).status().unwrap();
        assert!(status.success(), "{options}: {status}");
    }
}

#[test]
fn a_resumed_epoch_has_no_time() {
    let place = Workplace::new();
    // An epoch of many steps, so that the signal comes within one.
    let long = "--set data.train_limit=500 --set train.batch_size=1";
    let mut child = place.spawn(&format!("tiny.toml -q {long} {ENDLESS}"));
    wait_for_step(&place, &mut child, 0);
    signal(&child, "-INT");
    child.wait().unwrap();
    let last = place.path("runs/tiny-1/checkpoints/last.safetensors");
    let Progress { epoch, batch, .. } = Checkpoint::load(&last).unwrap().progress;
    place.ok(&format!("resume runs/tiny-1 -q --set train.epochs={}", epoch + 2));
    let table = place.read("runs/tiny-1/metrics.csv");
    let seconds =
        table.lines().next().unwrap().split(',').position(|name| name == "seconds").unwrap();
    for (row, number) in table.lines().skip(1).zip(0..) {
        let resumed = number == epoch && batch > 0;
        let seconds = row.split(',').nth(seconds).unwrap();
        assert_eq!(seconds.is_empty(), resumed, "batch {batch} of epoch {epoch}\n{table}");
    }
}

#[test]
fn one_process_trains_in_a_run() {
    let place = Workplace::new();
    let mut child = place.spawn(&format!("tiny.toml -q {ENDLESS}"));
    wait_for_step(&place, &mut child, 0);
    let second = place.run("resume runs/tiny-1");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(second.code, Some(1));
    let message = "error: another process is training in runs/tiny-1\n";
    assert!(second.stderr.starts_with(message), "{}", second.stderr);
}

#[test]
fn a_finished_run_says_so() {
    let place = Workplace::new();
    let first = place.ok("tiny.toml -q");
    let before = sha256(&place.path("runs/tiny-1/checkpoints/last.safetensors"));
    let done = place.ok("resume runs/tiny-1");
    assert_eq!(done.stdout, first.stdout);
    assert!(done.stderr.contains("Finished runs/tiny-1 is done already"), "{}", done.stderr);
    assert_eq!(before, sha256(&place.path("runs/tiny-1/checkpoints/last.safetensors")));
}

#[test]
fn a_resume_that_fails_changes_nothing() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let files = ["config.toml", "metrics.jsonl", "metrics.csv", "checkpoints/last.safetensors"];
    let contents = || files.map(|file| sha256(&place.path(&format!("runs/tiny-1/{file}"))));
    let before = contents();
    for (set, code) in [
        ("--device cuda", 4),
        ("--set data.dataset=image-folder --set data.folder=nowhere", 7),
        ("--set data.dataset=fashion-mnist --data-dir nowhere --offline", 2),
        ("--set optimizer.momentum=0", 2),
        ("--set optimizer.freeze=['nothing']", 2),
        ("--set init.std=0.1", 2),
        ("--set data.normalize=data", 2),
        ("--set data.hold_out=10", 2),
        ("--set data.test_limit=20", 2),
    ] {
        let mut command = place.command(&format!("resume runs/tiny-1 --set train.epochs=3 {set}"));
        // A machine may have a GPU.
        let output = command.env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{set}");
        assert!(contents() == before, "{set}");
    }
    place.ok("resume runs/tiny-1 -q --set train.epochs=3");
    assert!(place.read("runs/tiny-1/config.toml").contains("epochs = 3 "));
}

#[test]
fn an_epoch_is_finished_with_the_images_it_began_with() {
    let place = Workplace::new();
    // Steps of an epoch that lasts, whose number nobody knows.
    let long = "--set data.train_limit=500 --set train.batch_size=2";
    let mut child = place.spawn(&format!("tiny.toml -q {long}"));
    wait_for_step(&place, &mut child, 0);
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let last = place.path("runs/tiny-1/checkpoints/last.safetensors");
    let mut checkpoint = Checkpoint::load(&last).unwrap();
    let batch = checkpoint.progress.batch;
    assert!(batch > 0 && batch < 250, "stopped within the epoch");
    let refused = |set: &str| {
        let error = failure(&place, &format!("resume runs/tiny-1 -q --set {set}"));
        error.replace(&format!("step {batch} "), "step N ")
    };
    insta::assert_snapshot!(refused("train.batch_size=3"), @r"
    2
    error: train.batch_size was 2 and cannot become 3 in this run: it is at step N of epoch 1
    help: it can change between epochs, or in a new run
    ");
    insta::assert_snapshot!(refused("data.train_limit=400"), @r"
    2
    error: data.train_limit was 500 and cannot become 400 in this run: it is at step N of epoch 1
    help: it can change between epochs, or in a new run
    ");
    insta::assert_snapshot!(refused("data.hold_out=30"), @r"
    2
    error: data.hold_out was not set and cannot become 30 in this run: it would be tested on images that it was trained on
    help: start a new run
    ");
    // The checkpoint of an older version does not know; the config does.
    checkpoint.run.as_object_mut().unwrap().remove("images").unwrap();
    checkpoint.save(&last).unwrap();
    assert!(refused("train.batch_size=3").contains("error: train.batch_size was 2 and"));
    place.ok("resume runs/tiny-1 -q --set train.epochs=1");
}

#[test]
fn batches_may_change_between_epochs() {
    let place = Workplace::new();
    let step = "--set schedule.kind=step --set schedule.every_epochs=1 --set schedule.factor=0.5";
    place.ok(&format!("tiny.toml -q {step}"));
    let change = "--set train.batch_size=5 --set data.train_limit=50 --set train.epochs=4";
    let done = place.ok(&format!("resume runs/tiny-1 {change}"));
    assert!(done.stderr.contains("step  1/10"), "{}", done.stderr);
    // The schedule counts epochs, whatever they have of steps: four each, then ten.
    let table = place.read("runs/tiny-1/metrics.csv");
    let column = |i| table.lines().skip(1).map(move |row| row.split(',').nth(i).unwrap());
    assert_eq!(column(1).collect::<Vec<_>>(), ["4", "8", "18", "28"]);
    assert_eq!(column(7).collect::<Vec<_>>(), ["0.01", "0.005", "0.0025", "0.00125"]);
}

#[test]
fn a_prolonged_cosine_is_told() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set schedule.kind=cosine");
    let said = |arguments: &str| {
        let done = place.ok(&format!("resume runs/tiny-1 {arguments} --progress none"));
        let told = ["warning: the learning rate", "help: --set", "help: with --set"];
        let lines = done.stderr.lines().filter(|line| told.iter().any(|t| line.starts_with(t)));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(said(""), @r"
    help: --set train.epochs=4 goes on with it, but the learning rate rises from 0.0003806 to 0.005: its cosine is that of 4 epochs now, not of 2
    help: with --set schedule.kind=constant --set optimizer.lr=0.0003806 it stays what it was
    ");
    insta::assert_snapshot!(said("--set train.epochs=4"), @r"
    warning: the learning rate rises from 0.0003806 to 0.005: its cosine is that of 4 epochs now, not of 2
    help: with --set schedule.kind=constant --set optimizer.lr=0.0003806 it stays what it was
    ");
    insta::assert_snapshot!(said("--set train.epochs=6 --set schedule.kind=constant"), @"");
}

#[test]
fn a_run_without_checkpoints_starts_over() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let path = |name: &str| place.path(&format!("runs/tiny-1/checkpoints/{name}.safetensors"));
    let weights = sha256(&path("last"));
    let metrics = place.read("runs/tiny-1/metrics.jsonl");

    // The network of the best epoch is more than a run that starts over has.
    std::fs::remove_file(path("last")).unwrap();
    let mut best = Checkpoint::load_weights(&path("best")).unwrap();
    best.progress.epoch = 2;
    best.save(&path("best")).unwrap();
    insta::assert_snapshot!(failure(&place, "resume runs/tiny-1"), @r"
    7
    error: runs/tiny-1/checkpoints/last.safetensors is missing
    help: a new run can start from the best epoch: --set init.from=runs/tiny-1/checkpoints/best.safetensors
    ");

    // So are records.
    std::fs::remove_dir_all(place.path("runs/tiny-1/checkpoints")).unwrap();
    insta::assert_snapshot!(failure(&place, "resume runs/tiny-1"), @r"
    7
    error: runs/tiny-1/checkpoints/last.safetensors is missing, and 2 epochs are done
    help: vgg-train runs/tiny-1/config.toml trains them again, in a new run
    ");

    let of_one: Vec<_> = metrics.lines().filter(|line| !line.contains("\"epoch\":2")).collect();
    let metrics = of_one.join("\n") + "\n";
    std::fs::write(place.path("runs/tiny-1/metrics.jsonl"), &metrics).unwrap();
    std::fs::remove_file(place.path("runs/tiny-1/metrics.csv")).unwrap();
    let done = place.ok("resume runs/tiny-1");
    let told = "warning: there is no runs/tiny-1/checkpoints/last.safetensors: the run starts over";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    assert_eq!(sha256(&path("last")), weights);
}

#[test]
fn damaged_metrics_are_kept() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let damaged = place.read("runs/tiny-1/metrics.jsonl").replacen("\"epoch\":1", "?", 1);
    std::fs::write(place.path("runs/tiny-1/metrics.jsonl"), &damaged).unwrap();
    let done = place.ok("resume runs/tiny-1 --set train.epochs=3");
    let told = "warning: runs/tiny-1/metrics.jsonl is damaged: line 3 does not read; as it was it \
                is now runs/tiny-1/metrics.old-1.jsonl";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    assert_eq!(place.read("runs/tiny-1/metrics.old-1.jsonl"), damaged);
}

/// The records of epochs are in `metrics.csv`, too, which is made anew when a run goes on.
#[test]
fn lost_metrics_are_those_of_the_spreadsheet() {
    for (keeps_rest, told) in [
        (false, "lacks epochs 1 to 3, taken from metrics.csv\n"),
        (true, "lacks epoch 1, taken from metrics.csv; as it was it is now"),
    ] {
        let place = Workplace::new();
        place.ok("tiny.toml -q --set train.epochs=3");
        let rows = place.read("runs/tiny-1/metrics.csv");
        let lines = place.read("runs/tiny-1/metrics.jsonl");
        let epochs = || -> Vec<String> {
            let records = metrics_without_times(&place.read("runs/tiny-1/metrics.jsonl"));
            let records = records.iter().map(|record| record.to_string());
            records.filter(|record| record.contains("\"kind\":\"epoch\"")).collect()
        };
        let whole = epochs();
        let after_first =
            lines.lines().skip_while(|line| !line.contains("\"kind\":\"epoch\"")).skip(1);
        let kept: String =
            after_first.filter(|_| keeps_rest).map(|line| format!("{line}\n")).collect();
        std::fs::write(place.path("runs/tiny-1/metrics.jsonl"), kept).unwrap();
        let done = place.ok("resume runs/tiny-1 --set train.epochs=4");
        let told = format!("warning: runs/tiny-1/metrics.jsonl {told}");
        assert!(done.stderr.contains(&told), "{}", done.stderr);
        assert!(place.read("runs/tiny-1/metrics.csv").starts_with(&rows));
        assert_eq!(epochs()[..3], whole);
    }
}

/// What is cut off would count as left out, and so as a default.
#[test]
fn a_config_that_is_cut_off_is_told() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let config = place.read("runs/tiny-1/config.toml");
    for (kept, key) in
        [("", "init.std"), (config.split("[schedule]").next().unwrap(), "schedule.min_lr")]
    {
        std::fs::write(place.path("runs/tiny-1/config.toml"), kept).unwrap();
        for command in
            ["resume runs/tiny-1 --set train.epochs=2", "eval runs/tiny-1", "report runs/tiny-1"]
        {
            let told = failure(&place, command);
            let damaged = format!("7\nerror: runs/tiny-1/config.toml is damaged: it lacks {key}\n");
            assert!(told.starts_with(&damaged), "{command}: {told}");
        }
        let listed = place.ok("runs runs").stdout;
        assert!(listed.contains("damaged"), "{listed}");
    }
    std::fs::write(place.path("runs/tiny-1/config.toml"), config).unwrap();
    place.ok("resume runs/tiny-1 -q --set train.epochs=2");
}
