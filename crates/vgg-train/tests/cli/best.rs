//! Which epoch is the best, and training that ends because no better one comes.

use serde_json::Value;

use super::{Workplace, failure};

/// So slow that no score of a test ever changes.
const STILL: &str = "--set optimizer.lr=1e-30 --set train.epochs=40 --set report.page=false";

#[test]
fn training_ends_early_and_can_go_on() {
    let place = Workplace::new();
    let early = "--set train.best_by=macro_f1 --set train.early_stop.patience=1";
    let done = place.ok(&format!("tiny.toml {STILL} {early}"));
    let why = "the macro F1 has not risen in 1 epoch";
    assert!(done.stderr.contains(&format!("Stopped early: {why}")), "{}", done.stderr);
    assert!(done.stderr.contains("* best by macro F1"), "{}", done.stderr);
    assert!(done.stdout.contains(" accuracy ") && done.stdout.contains(", best by macro F1 "));
    let runs = place.ok("runs").stdout;
    assert!(runs.contains(" finished ") && runs.contains(" 2/40 "), "{runs}");
    assert!(runs.contains(" % by macro F1 "), "{runs}");

    let again = place.ok("resume runs/tiny-1 --json");
    assert!(again.stderr.contains(&format!("runs/tiny-1 is done already: {why}")));
    assert!(again.stderr.contains("--set train.early_stop.patience=40 goes on"));
    let json: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&json["epochs"], &json["best"]["epoch"]), (&2.into(), &1.into()));
    assert_eq!(json["best"]["by"], "macro_f1");
    assert_eq!(json["best"]["score"], json["test_macro_f1"]);

    // More patience makes of it what it had been with it from the start.
    place.ok("resume runs/tiny-1 -q --set train.early_stop.patience=3");
    place.ok(&format!("tiny.toml -q {STILL} {early} --set train.early_stop.patience=3"));
    let [once, twice] = [2, 1].map(|run| {
        assert_eq!(place.read(&format!("runs/tiny-{run}/metrics.csv")).lines().count(), 5);
        std::fs::read(place.path(&format!("runs/tiny-{run}/checkpoints/last.safetensors"))).unwrap()
    });
    assert!(once == twice);
}

#[test]
fn the_best_epoch_is_chosen_by_one_score() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.best_by=loss --set train.epochs=1");
    let done = failure(&place, "resume runs/tiny-1 --set train.best_by=macro_f1");
    let said = "best.safetensors is the best epoch's by loss, and others are not kept";
    assert!(done.starts_with("2\n") && done.contains(said), "{done}");
    let done = failure(&place, "tiny.toml --set train.early_stop.patience=0");
    assert!(done.contains("train.early_stop.patience must be at least 1, not 0"), "{done}");
}
