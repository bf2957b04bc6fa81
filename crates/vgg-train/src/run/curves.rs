//! The picture of a run: `curves.svg`.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::metrics::EpochRecord;
use crate::terminal::numbers::short;

const SIZE: (u32, u32) = (1260, 400);
/// Okabe and Ito's colours, which the colour-blind tell apart. Dashes and triangles do so without any.
const TRAIN: RGBColor = RGBColor(0, 114, 178);
const TEST: RGBColor = RGBColor(213, 94, 0);
const RATE: RGBColor = RGBColor(0, 0, 0);
const GRID: RGBColor = RGBColor(230, 230, 230);
const BEST: RGBColor = RGBColor(120, 120, 120);

/// Loss, accuracy and learning rate by epoch, as SVG. Tests are on `tested_on` images.
pub(crate) fn svg(name: &str, tested_on: &str, epochs: &[EpochRecord]) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, name, tested_on, epochs)
        .map_err(|error| anyhow!("cannot draw the curves: {error}"))?;
    Ok(svg)
}

type DrawResult = Result<(), Box<dyn std::error::Error>>;
type Points = Vec<(f64, f64)>;

fn draw(svg: &mut String, name: &str, tested_on: &str, epochs: &[EpochRecord]) -> DrawResult {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled(name, ("sans-serif", 20))?;
    let areas = area.split_evenly((1, 3));
    let points = |value: fn(&EpochRecord) -> f64| -> Points {
        epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch))).collect()
    };
    // The first of equals, as training has it.
    let best = epochs
        .iter()
        .reduce(|best, epoch| if epoch.test_accuracy > best.test_accuracy { epoch } else { best });
    let of_best = best.map_or(String::new(), |best| {
        format!(" (best {:.2} in epoch {})", 100.0 * best.test_accuracy, best.epoch)
    });
    let last_rate =
        epochs.last().map_or(String::new(), |last| format!(" (last {})", short(last.lr)));
    let line = |label, style, points| Line { label, style, points };
    let panels = [
        Panel {
            title: "loss".into(),
            lines: vec![
                line("train", Style::Train, points(|e| e.train_loss)),
                line(tested_on, Style::Test, points(|e| e.test_loss)),
            ],
            // Losses fall and accuracies rise, so these corners are free.
            legend: SeriesLabelPosition::UpperRight,
        },
        Panel {
            title: format!("accuracy, %{of_best}"),
            lines: vec![
                line("train", Style::Train, points(|e| 100.0 * e.train_accuracy)),
                line(tested_on, Style::Test, points(|e| 100.0 * e.test_accuracy)),
            ],
            legend: SeriesLabelPosition::LowerRight,
        },
        Panel {
            title: format!("learning rate{last_rate}"),
            lines: vec![line("", Style::Rate, points(|e| f64::from(e.lr)))],
            legend: SeriesLabelPosition::UpperRight,
        },
    ];
    for (area, panel) in areas.iter().zip(panels) {
        panel.draw(area, best.map(|best| best.epoch as f64))?;
    }
    area.present()?;
    Ok(())
}

/// A chart.
struct Panel<'a> {
    title: String,
    lines: Vec<Line<'a>>,
    legend: SeriesLabelPosition,
}

/// A value by epoch.
struct Line<'a> {
    /// In the legend, if there is one.
    label: &'a str,
    style: Style,
    points: Points,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Dots, connected.
    Train,
    /// Triangles, connected by dashes.
    Test,
    /// Dots, connected, in black.
    Rate,
}

impl Panel<'_> {
    /// Draws it, with a vertical line at the best epoch.
    fn draw(self, area: &DrawingArea<SVGBackend<'_>, Shift>, best: Option<f64>) -> DrawResult {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let values = || points().map(|(_, value)| *value);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let margin = ((high - low) * 0.08).max(high.abs() * 0.01).max(1e-9);
        let last = points().map(|(epoch, _)| *epoch).fold(1.0, f64::max);
        let (bottom, top) = ((low - margin).max(0.0), high + margin);

        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(&self.title, ("sans-serif", 15))
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.5..last + 0.5, bottom..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(BLACK.mix(0.4))
            .label_style(("sans-serif", 12))
            .x_desc("epoch")
            .x_labels((last as usize).clamp(2, 12))
            .x_label_formatter(&|epoch| {
                // Epochs are whole; the chart would also label halves.
                if epoch.fract().abs() < 1e-6 { format!("{epoch:.0}") } else { String::new() }
            })
            .y_label_formatter(&|value| short(*value as f32))
            .draw()?;
        if let Some(best) = best {
            let line = vec![(best, bottom), (best, top)];
            chart.draw_series(DashedLineSeries::new(line, 2, 4, BEST.stroke_width(1)))?;
        }
        let has_legend = self.lines.iter().any(|line| !line.label.is_empty());
        for Line { label, style, points } in self.lines {
            let color = match style {
                Style::Train => TRAIN,
                Style::Test => TEST,
                Style::Rate => RATE,
            };
            let stroke = color.stroke_width(2);
            let marked = points.clone().into_iter();
            let series = if style == Style::Test {
                chart.draw_series(marked.map(|at| TriangleMarker::new(at, 5, color.filled())))?;
                chart.draw_series(DashedLineSeries::new(points, 6, 4, stroke))?
            } else {
                chart.draw_series(marked.map(|at| Circle::new(at, 3, color.filled())))?;
                chart.draw_series(LineSeries::new(points, stroke))?
            };
            if label.is_empty() {
                continue;
            }
            series.label(label).legend(move |(x, y)| {
                let ends = [(x - 4, y), (x + 18, y)];
                match style {
                    Style::Test => DashedPathElement::new(ends, 6, 4, stroke).into_dyn(),
                    _ => PathElement::new(ends, stroke).into_dyn(),
                }
            });
        }
        if has_legend {
            chart
                .configure_series_labels()
                .position(self.legend)
                .background_style(WHITE.mix(0.8))
                .label_font(("sans-serif", 12))
                .draw()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_a_point_an_epoch() {
        let epoch = |epoch: u64| EpochRecord {
            epoch,
            step: epoch,
            train_loss: 1.0 / epoch as f64,
            train_accuracy: 0.5,
            test_loss: 0.9 / epoch as f64,
            test_accuracy: if epoch == 2 { 0.875 } else { 0.75 },
            test_top5: 1.0,
            lr: 0.05 / epoch as f32,
            images_per_second: Some(1.0),
            wait_share: Some(0.0),
            seconds: Some(1.0),
        };
        for n in [1, 2, 10] {
            let svg = svg("tiny", "held-out", &(1..=n).map(epoch).collect::<Vec<_>>()).unwrap();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
            let count = |what: &str| svg.matches(what).count() as u64;
            // Dots for what training tells and for the rate, triangles for the tests.
            assert_eq!((count("<circle"), count("<polygon")), (3 * n, 2 * n));
            let best = if n == 1 { "best 75.00 in epoch 1" } else { "best 87.50 in epoch 2" };
            let rate = format!("learning rate (last {})", short(0.05 / n as f32));
            for said in [best, &rate, "loss", "accuracy", "epoch", "held-out"] {
                assert!(svg.contains(said), "{said}: {svg}");
            }
            assert!(!svg.contains("NaN"));
        }
    }
}
