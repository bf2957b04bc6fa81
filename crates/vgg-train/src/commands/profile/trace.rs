//! Steps in the trace event format, which ui.perfetto.dev and chrome://tracing open.
//!
//! The format: "Trace Event Format", Google, 2016; `X` is an event with a duration, in microseconds,
//! and `M` names something.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use vgg_tensor::profile::Event;

use super::step::{Step, word};

/// One track with a slice a step, and in it a slice an operation. It begins at `origin`.
pub(super) fn json(run: &str, device: &str, origin: Instant, steps: &[Step]) -> Value {
    let mut events =
        vec![meta("process_name", &format!("vgg-train {run}")), meta("thread_name", device)];
    for (i, step) in steps.iter().enumerate() {
        let name = format!("step {}", i + 1);
        events.push(slice(&name, "step", step.start - origin, step.duration, json!({})));
        events.extend(step.events.iter().map(|event| event_slice(event, origin)));
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ms" })
}

fn event_slice(event: &Event, origin: Instant) -> Value {
    let Event { pass, layer, operation, macs, start, duration } = event;
    let mut args = json!({ "operation": operation });
    if *macs > 0 {
        let gflop = 2e-9 * *macs as f64;
        args["GFLOP"] = gflop.into();
        args["GFLOP/s"] = (gflop / duration.as_secs_f64()).into();
    }
    let name = format!("{layer} {}", word(*pass));
    slice(&name, word(*pass), *start - origin, *duration, args)
}

fn slice(name: &str, category: &str, start: Duration, duration: Duration, args: Value) -> Value {
    let us = |time: Duration| 1e6 * time.as_secs_f64();
    json!({
        "ph": "X", "pid": 1, "tid": 1, "ts": us(start), "dur": us(duration),
        "name": name, "cat": category, "args": args,
    })
}

fn meta(what: &str, name: &str) -> Value {
    json!({ "ph": "M", "pid": 1, "tid": 1, "name": what, "args": { "name": name } })
}

#[cfg(test)]
mod tests {
    use super::super::step::tests::step;
    use super::*;

    #[test]
    fn operations_lie_in_their_steps() {
        let origin = Instant::now();
        let trace = json("tiny", "cpu", origin, &[step(origin)]);
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(events[0]["args"]["name"], "vgg-train tiny");
        assert_eq!(events[1]["args"]["name"], "cpu");
        let slices = &events[2..];
        assert_eq!(slices.len(), 1 + 9);
        assert_eq!((&slices[0]["name"], &slices[0]["ts"]), (&json!("step 1"), &json!(1e5)));
        let ends = |slice: &Value| slice["ts"].as_f64().unwrap() + slice["dur"].as_f64().unwrap();
        assert!(slices.iter().all(|slice| slice["ph"] == "X" && ends(slice) <= ends(&slices[0])));
        let fc = &slices[2];
        assert_eq!((&fc["name"], &fc["cat"]), (&json!("fc forward"), &json!("forward")));
        assert_eq!((&fc["ts"], &fc["dur"]), (&json!(102e3), &json!(2e3)));
        // 1000 × 1000 × 500 multiply-adds in 2 ms.
        assert_eq!(fc["args"]["operation"], "linear 1000→500");
        assert!((fc["args"]["GFLOP/s"].as_f64().unwrap() - 500.0).abs() < 1e-9);
    }
}
