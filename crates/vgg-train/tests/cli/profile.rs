//! Profiling: a table, a trace, and nothing else.

use serde_json::Value;

use super::Workplace;

/// The operations of a step of the tiny network: what comes first in the table's rows.
const LAYERS: [&str; 13] = [
    "features.0",
    "features.3",
    "features.6",
    "features.8",
    "features.11",
    "features.13",
    "features.16",
    "features.18",
    "classifier.0",
    "classifier.2",
    "classifier.3",
    "classifier.5",
    "classifier.6",
];

#[test]
fn the_table_has_every_operation_in_the_order_of_a_step() {
    let place = Workplace::new();
    let done = place.ok("tiny.toml --profile");
    let weights = LAYERS.iter().filter(|name| !matches!(**name, "classifier.2" | "classifier.5"));
    let rows = [&["layer", "─", "batch", "images"], &LAYERS[..], &["logits"]].concat();
    let rows = rows.into_iter().chain(LAYERS.into_iter().rev()).chain(weights.copied()).chain([
        "metrics",
        "─",
        "transfer",
        "forward",
        "loss",
        "backward",
        "update",
        "─",
        "operations",
        "whole",
    ]);
    let first = |line: &str| match line.split_whitespace().next() {
        Some(rule) if rule.starts_with('─') => "─".to_owned(),
        first => first.unwrap_or_default().to_owned(),
    };
    let found: Vec<String> = done.stdout.lines().map(first).collect();
    assert_eq!(found, rows.collect::<Vec<_>>(), "{}", done.stdout);

    for operation in [
        "resize 28×28→32×32, normalise",
        "conv2d 3×3 4→8@16×16 + relu + max-pool",
        "conv2d backward 3×3 1→4@32×32 + relu + max-pool, without dx",
        "linear backward 16→10 + sgd",
        "sgd 8×4×3×3, sgd 8",
        "16 images",
    ] {
        assert!(done.stdout.contains(operation), "{operation}: {}", done.stdout);
    }
    assert!(done.stderr.contains("Profiling 5 steps of 16 images"), "{}", done.stderr);
    assert!(done.stderr.contains("Trace runs/tiny-profile-1.json"), "{}", done.stderr);
    // Among the runs, and never over an older one.
    place.ok("tiny.toml --profile -q");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(place.path(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(files(""), ["runs", "tiny.toml"]);
    assert_eq!(files("runs"), ["tiny-profile-1.json", "tiny-profile-2.json"]);
}

#[test]
fn the_trace_has_five_steps_with_all_operations() {
    let place = Workplace::new();
    assert_eq!(place.ok("train tiny.toml -q --profile=trace.json").stderr, "");
    let trace: Value = serde_json::from_str(&place.read("trace.json")).unwrap();
    let slices: Vec<&Value> = trace["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["ph"] == "X")
        .collect();
    let number = |slice: &Value, key: &str| slice[key].as_f64().unwrap();
    let steps: Vec<_> = slices.iter().filter(|slice| slice["cat"] == "step").collect();
    assert_eq!(steps.len(), 5);
    for step in steps {
        let (start, end) = (number(step, "ts"), number(step, "ts") + number(step, "dur"));
        let within: Vec<_> = slices
            .iter()
            .filter(|slice| slice["cat"] != "step" && (start..end).contains(&number(slice, "ts")))
            .collect();
        // Slices of a track must nest: one ends before the next begins.
        let ordered =
            within.is_sorted_by(|a, b| number(a, "ts") + number(a, "dur") <= number(b, "ts"));
        assert!(ordered, "{within:#?}");
        let has = |name: &str| within.iter().filter(|slice| slice["name"] == name).count();
        for layer in LAYERS {
            assert_eq!(has(&format!("{layer} forward")), 1);
            assert_eq!(has(&format!("{layer} backward")), 1);
        }
        assert_eq!(has("features.8 update"), 2, "weight and bias");
        assert_eq!(has("images forward") + has("logits loss"), 2);
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_told_before_the_steps() {
    let place = Workplace::new();
    let done = place.run("tiny.toml --profile=nowhere/trace.json");
    assert_eq!((done.code, &*done.stdout), (Some(2), ""));
    assert!(done.stderr.contains("error: cannot write nowhere/trace.json"), "{}", done.stderr);
    assert!(!done.stderr.contains("Profiling"), "{}", done.stderr);
}
