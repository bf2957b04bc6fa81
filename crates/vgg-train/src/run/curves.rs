//! The curves of a run, by epoch.

use super::metrics::EpochRecord;
use crate::config::BestBy;
use crate::drawing::axis::Axis;
use crate::drawing::chart::{Chart, Series};
use crate::drawing::picture::Picture;
use crate::drawing::style::Style;
use crate::terminal::numbers::short;

/// All of them, below the run's name: `curves.svg`. Tests are on `tested_on` images.
pub(crate) fn picture(
    name: &str,
    tested_on: &str,
    best_by: BestBy,
    epochs: &[EpochRecord],
) -> Picture {
    Picture::grid(name, 2, &charts(tested_on, best_by, epochs).map(|chart| chart.picture()))
}

/// Loss, accuracy, learning rate and speed. The best epoch is marked.
pub(crate) fn charts(tested_on: &str, best_by: BestBy, epochs: &[EpochRecord]) -> [Chart; 4] {
    let line = |name: &str, style, value: fn(&EpochRecord) -> f64| {
        let points = epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch)));
        Series::new(name, style, points.collect())
    };
    let chart = |title: String, y, series| Chart::new(title, Axis::new("epoch").whole(), y, series);
    let axis = Axis::default;
    let best = EpochRecord::best(epochs, best_by);
    let of_best = best.map_or(String::new(), |best| {
        let accuracy = 100.0 * best.test_accuracy;
        match best_by {
            BestBy::Accuracy => format!(" (best {accuracy:.2} in epoch {})", best.epoch),
            _ => format!(" ({accuracy:.2} in epoch {}, the best{})", best.epoch, best_by.words()),
        }
    });
    let last_rate =
        epochs.last().map_or(String::new(), |last| format!(" (last {})", short(last.lr)));
    let charts = [
        chart(
            "loss".into(),
            axis(),
            vec![
                line("train", Style::Train, |epoch| epoch.train_loss),
                line(tested_on, Style::Test, |epoch| epoch.test_loss),
            ],
        ),
        chart(
            format!("accuracy, %{of_best}"),
            axis(),
            vec![
                line("train", Style::Train, |epoch| 100.0 * epoch.train_accuracy),
                line(tested_on, Style::Test, |epoch| 100.0 * epoch.test_accuracy),
            ],
        ),
        chart(
            format!("learning rate{last_rate}"),
            axis(),
            vec![line("", Style::Plain, |epoch| f64::from(epoch.lr))],
        ),
        chart(
            "training images a second".into(),
            axis().with_zero(),
            // An epoch that was resumed at its end has none: a gap.
            vec![line("", Style::Plain, |epoch| epoch.images_per_second.unwrap_or(f64::NAN))],
        ),
    ];
    charts.map(|chart| match best {
        Some(best) => chart.mark(best.epoch as f64, format!("best epoch{}", best_by.words())),
        None => chart,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_a_point_an_epoch() {
        let epoch = |epoch: u64| EpochRecord {
            epoch,
            train_loss: 1.0 / epoch as f64,
            test_loss: 0.9 / epoch as f64,
            test_accuracy: if epoch == 2 { 0.875 } else { 0.75 },
            test_macro_f1: Some(1.0 / epoch as f64),
            lr: 0.05 / epoch as f32,
            images_per_second: (epoch > 1).then_some(1000.0),
            ..EpochRecord::sample()
        };
        for n in [1, 2, 10] {
            let epochs: Vec<_> = (1..=n).map(epoch).collect();
            let svg = picture("tiny", "held-out", BestBy::Accuracy, &epochs).file();
            let count = |what: &str| svg.matches(what).count() as u64;
            // Each point tells its value; nothing is known of how fast the first epoch was.
            assert_eq!(count("<title>train: "), 2 * n, "{svg}");
            assert_eq!(count("<title>held-out: "), 2 * n);
            assert_eq!(count("<title>1000 at "), n - 1);
            let best = if n == 1 { "best 75.00 in epoch 1" } else { "best 87.50 in epoch 2" };
            let rate = format!("learning rate (last {})", short(0.05 / n as f32));
            for said in [best, &rate, "loss", "accuracy", "epoch", "held-out"] {
                assert!(svg.contains(said), "{said}: {svg}");
            }
            assert!(!svg.contains("NaN"));
            let svg = picture("tiny", "held-out", BestBy::MacroF1, &epochs).file();
            for said in ["(75.00 in epoch 1, the best by macro F1)", "best epoch by macro F1"] {
                assert!(svg.contains(said), "{said}: {svg}");
            }
        }
    }
}
