//! Steps as a table: what takes how long.

use std::time::Duration;

use vgg_tensor::profile::Event;

use super::step::{PASSES, Step, word};
use crate::terminal::numbers::count;
use crate::terminal::table::Table;

/// A row an operation in the order of a step, where the updates of a layer's weight and bias share
/// one; then the passes, and the whole step of `batch` images. Times are medians over the steps.
pub(super) fn lines(steps: &[Step], batch: usize) -> Vec<String> {
    let breakdown = Breakdown { steps, step_ms: median(steps.iter().map(|step| step.duration)) };
    let header = ["layer", "operation", "calls", "ms", "share", "GFLOP/s"];
    let mut table = Table::new(2, header);
    let mut first = 0;
    for group in steps[0].events.chunk_by(|a, b| (a.pass, &a.layer) == (b.pass, &b.layer)) {
        let end = first + group.len();
        let operations: Vec<&str> = group.iter().map(|event| event.operation.as_str()).collect();
        let operation = in_words(&operations);
        table.row(breakdown.row(&group[0].layer, operation, |i, _| (first..end).contains(&i)));
        first = end;
    }
    table.rule();
    for pass in PASSES {
        table.row(breakdown.row(word(pass), String::new(), |_, event| event.pass == pass));
    }
    table.rule();
    table.row(breakdown.row("operations", "together".into(), |_, _| true));
    let ms = breakdown.step_ms;
    let images = format!("{}, {:.1} img/s", count(batch as u64, "image"), 1e3 * batch as f64 / ms);
    let (ms, share) = (format!("{ms:.2}"), "100.0 %".into());
    table.row(["whole step".into(), images, String::new(), ms, share, String::new()]);
    table.lines()
}

/// A layer's operations; of many that are alike only what and how many.
fn in_words(operations: &[&str]) -> String {
    match operations {
        [first, _, _, ..] => {
            let kind = first.split(' ').next().unwrap_or_default();
            format!("{kind}, {} times", operations.len())
        }
        few => few.join(", "),
    }
}

struct Breakdown<'a> {
    steps: &'a [Step],
    step_ms: f64,
}

impl Breakdown<'_> {
    /// The row of the events that are in it, given their places in a step.
    fn row(
        &self,
        name: &str,
        operation: String,
        is_in: impl Fn(usize, &Event) -> bool,
    ) -> [String; 6] {
        let time = |step| events(step, &is_in).map(|event| event.duration).sum();
        let ms = median(self.steps.iter().map(time));
        let (mut calls, mut macs) = (0, 0);
        for event in events(&self.steps[0], &is_in) {
            calls += 1;
            macs += event.macs;
        }
        let rate = match macs {
            0 => String::new(),
            _ => format!("{:.1}", 2e-6 * macs as f64 / ms),
        };
        let share = format!("{:.1} %", 100.0 * ms / self.step_ms);
        [name.into(), operation, calls.to_string(), format!("{ms:.2}"), share, rate]
    }
}

fn events<'a>(
    step: &'a Step,
    is_in: &'a impl Fn(usize, &Event) -> bool,
) -> impl Iterator<Item = &'a Event> {
    let events = step.events.iter().enumerate().filter(|(i, event)| is_in(*i, event));
    events.map(|(_, event)| event)
}

/// The median, in milliseconds; of an even number the upper one.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    1e3 * times[times.len() / 2].as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::step::tests::step;
    use super::*;

    #[test]
    fn operations_passes_and_the_step() {
        let step = step(Instant::now());
        let mut slow = step.clone();
        slow.duration *= 2;
        slow.events[1].duration *= 10;
        let lines = lines(&[step.clone(), slow, step], 1000);
        insta::assert_snapshot!(lines.join("\n"), @r#"
        layer       operation                             calls      ms    share  GFLOP/s
        ─────────────────────────────────────────────────────────────────────────────────
        batch       upload 8 bytes                            1    1.00    0.2 %
        fc          linear 1000→500                           1    2.00    0.4 %    500.0
        dropout     dropout 0.5 500                           1    4.00    0.8 %
        logits      softmax cross-entropy 500                 1    8.00    1.5 %
        dropout     dropout 0.5 500                           1   16.00    3.1 %
        fc          linear backward 1000→500, without dx      1   32.00    6.2 %     31.2
        fc          sgd 500×1000, sgd 500                     2  192.00   37.0 %
        metrics     download 12 bytes                         1  256.00   49.3 %
        ─────────────────────────────────────────────────────────────────────────────────
        transfer                                              2  257.00   49.5 %
        forward                                               2    6.00    1.2 %    166.7
        loss                                                  1    8.00    1.5 %
        backward                                              2   48.00    9.2 %     20.8
        update                                                2  192.00   37.0 %
        ─────────────────────────────────────────────────────────────────────────────────
        operations  together                                  9  511.00   98.5 %      3.9
        whole step  1 000 images, 1926.8 img/s                   519.00  100.0 %
        "#);
    }
}
