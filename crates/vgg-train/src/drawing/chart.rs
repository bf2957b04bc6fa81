//! Line charts.

use maud::{Markup, html};

use super::axis::{Axis, Scale};
use super::legend::{Entry, Swatch, legend};
use super::paint::GUIDE;
use super::picture::Picture;
use super::plot::{Plot, TICKS_WIDTH};
use super::points::{Point, Stretch, stretches};
use super::style::{Style, px};
use super::text::title;
use crate::terminal::numbers::short;

/// Of the label of the axis on the left.
const LABEL_WIDTH: f64 = 18.0;
const RIGHT: f64 = 16.0;
const LEGEND_TOP: f64 = 34.0;
/// Between points for each to have a marker.
const MARKER_ROOM: f64 = 9.0;
/// A line is drawn beyond the plot by this much, for its markers.
const OVERHANG: f64 = 6.0;

/// Lines between two axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
    /// Of all of it, in px; pages scale it. Letters have 12.
    pub width: f64,
    /// Height of the plot, as a share of its width.
    pub aspect: f64,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// For the legend, which a chart has where two series or marks have names.
    pub name: String,
    pub style: Style,
    /// x and y, in the order in which they are connected. What is not a number is a gap.
    pub points: Vec<(f64, f64)>,
}

/// A vertical line.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub x: f64,
    pub name: String,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, style: Style, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), style, points }
    }
}

impl Chart {
    pub(crate) fn new(title: impl Into<String>, x: Axis, y: Axis, series: Vec<Series>) -> Self {
        Self { title: title.into(), x, y, series, marks: vec![], width: 420.0, aspect: 0.6 }
    }

    /// With a vertical line at `x`.
    pub(crate) fn mark(mut self, x: f64, name: impl Into<String>) -> Self {
        self.marks.push(Mark { x, name: name.into() });
        self
    }

    /// With a plot as high as it is wide.
    pub(crate) fn square(self) -> Self {
        Self { aspect: 1.0, ..self }
    }

    /// Draws it.
    ///
    /// Scripts find in it a `g.plot`, whose `data-` attributes have the plot's place in the view box
    /// (`left`, `top`, `width`, `height`), the values at its edges (`x0`, `x1`, `y0`, `y1`), and what
    /// the axes are (`x-scale` and `y-scale`: `linear` or `log`; `x-label`, `y-label`); and in it a
    /// `g.series` a line, with its `data-name` and its `data-points`, `x,y x,y …`, those drawn.
    pub(crate) fn picture(&self) -> Picture {
        let left = TICKS_WIDTH + if self.y.label.is_empty() { 0.0 } else { LABEL_WIDTH };
        let plot_width = self.width - left - RIGHT;
        let (legend, legend_height) = legend(&self.legend(), (left, LEGEND_TOP), plot_width);
        let top = LEGEND_TOP + legend_height + 4.0;
        let plot_height = plot_width * self.aspect;
        let (right, bottom) = (left + plot_width, top + plot_height);
        let x_values = self.points().map(|(x, _)| x).chain(self.marks.iter().map(|mark| mark.x));
        let plot = Plot {
            x: self.x.scale(x_values, (left, right)),
            y: self.y.scale(self.points().map(|(_, y)| y), (bottom, top)),
        };
        let name = |scale: &Scale| if scale.log { "log" } else { "linear" };
        let below = bottom + 18.0 + if self.x.label.is_empty() { 0.0 } else { 19.0 };
        let content = html! {
            (title(left, &self.title, plot_width))
            (legend)
            (plot.axes(Some(&self.x), &self.y))
            g class="plot" data-left=(px(left)) data-top=(px(top)) data-width=(px(plot_width))
                data-height=(px(plot_height)) data-x0=(plot.x.low) data-x1=(plot.x.high)
                data-y0=(plot.y.low) data-y1=(plot.y.high) data-x-scale=(name(&plot.x))
                data-y-scale=(name(&plot.y)) data-x-label=(self.x.label) data-y-label=(self.y.label) {
                @for mark in &self.marks {
                    @if let Some(x) = plot.x.at(mark.x) {
                        g class="mark guide" color=(GUIDE.colour) {
                            title { (mark.name) }
                            path d=(format!("M{0} {1}V{2}", px(x), px(top), px(bottom)))
                                stroke="currentColor" stroke-dasharray="3 3" {}
                        }
                    }
                }
                // Clips what lies far outside.
                svg x=(px(left - OVERHANG)) y=(px(top - OVERHANG))
                    width=(px(plot_width + 2.0 * OVERHANG)) height=(px(plot_height + 2.0 * OVERHANG))
                    viewBox=(format!(
                        "{} {} {} {}", px(left - OVERHANG), px(top - OVERHANG),
                        px(plot_width + 2.0 * OVERHANG), px(plot_height + 2.0 * OVERHANG)
                    )) {
                    @for series in &self.series {
                        (plot.line(series))
                    }
                }
            }
        };
        Picture::new((self.width, below), &self.title, self.description(), content)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }

    /// The numbers that the chart is drawn for, in words.
    fn description(&self) -> String {
        let drawn = self.series.iter().filter(|series| series.style != Style::Guide);
        let series = drawn.map(|Series { name, points, .. }| {
            let numbers = || points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
            let of = if name.is_empty() { &self.title } else { name };
            let at = |(x, y): &(f64, f64)| format!("{} at {}", short(*y), short(*x));
            let (Some(first), Some(last)) = (numbers().next(), numbers().next_back()) else {
                return format!("{of}: no values.");
            };
            let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            match (numbers().min_by(by_value), numbers().max_by(by_value)) {
                (Some(low), Some(high)) if first != last => format!(
                    "{of}: from {} to {}, lowest {}, highest {}.",
                    at(first),
                    at(last),
                    at(low),
                    at(high)
                ),
                _ => format!("{of}: {}.", at(first)),
            }
        });
        let marks = self.marks.iter().filter(|mark| mark.x.is_finite());
        let marks = marks.map(|mark| format!("{} at {}.", mark.name, short(mark.x)));
        series.chain(marks).collect::<Vec<_>>().join(" ")
    }

    /// What is named above the plot, if there is anything to be told apart.
    fn legend(&self) -> Vec<Entry<'_>> {
        let series = self.series.iter().map(|series| (&series.name, Swatch::Line(series.style)));
        let marks = self.marks.iter().map(|mark| (&mark.name, Swatch::Mark));
        let named: Vec<_> = series.chain(marks).filter(|(name, _)| !name.is_empty()).collect();
        if named.len() < 2 && self.marks.is_empty() { vec![] } else { named }
    }
}

impl Plot {
    fn line(&self, series: &Series) -> Markup {
        let style = series.style;
        let stretches = stretches(&series.points, &self.x, &self.y);
        let drawn = stretches.iter().map(Vec::len).sum::<usize>() as f64;
        let room = self.x.end - self.x.start;
        let has_markers = drawn * MARKER_ROOM <= room;
        // Noise is not to be a black band.
        let stroke_width = if drawn > 2.0 * room { 1.0 } else { style.stroke_width() };
        let class = match style {
            Style::Guide => "guide".to_owned(),
            style => format!("series {}", style.class()),
        };
        html! {
            g class=(class) data-name=(series.name) data-points=(values(&stretches))
                color=(style.colour()) {
                path d=(path(&stretches)) fill="none" stroke="currentColor" stroke-linejoin="round"
                    stroke-width=(stroke_width) stroke-dasharray=[style.dashes()] {}
                @for point in stretches.iter().filter(|it| has_markers || it.len() == 1).flatten() {
                    (style.marker(point.at, has_markers.then(|| tip(&series.name, point))))
                }
            }
        }
    }
}

fn tip(name: &str, Point { value: (x, y), .. }: &Point) -> String {
    let colon = if name.is_empty() { "" } else { ": " };
    format!("{name}{colon}{} at {}", short(*y), short(*x))
}

fn path(stretches: &[Stretch]) -> String {
    let mut path = String::new();
    for stretch in stretches {
        for (index, point) in stretch.iter().enumerate() {
            let verb = if index == 0 { 'M' } else { 'L' };
            path += &format!("{verb}{} {}", px(point.at.0), px(point.at.1));
        }
    }
    path
}

/// Of y six digits, of x all.
fn values(stretches: &[Stretch]) -> String {
    let value = |point: &Point| {
        let (x, y) = point.value;
        format!("{x},{}", format!("{y:.5e}").parse().unwrap_or(y))
    };
    stretches.iter().flatten().map(value).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, style: Style, points: &[(f64, f64)]) -> Series {
        Series::new(name, style, points.to_vec())
    }

    fn chart(series: Vec<Series>) -> Chart {
        Chart::new("loss", Axis::new("epoch").whole(), Axis::default(), series)
    }

    #[test]
    fn a_line_has_its_points_as_data_and_in_words() {
        let points = [(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.125), (4.0, 0.25)];
        let train = series("train", Style::Train, &points);
        let chart = chart(vec![train, series("", Style::Test, &[(4.0, 0.2)])]).mark(3.0, "best");
        let svg = chart.picture().file();
        assert!(svg.contains(r#"data-name="train" data-points="1,0.5 3,0.125 4,0.25""#), "{svg}");
        let said = "train: from 0.5 at 1 to 0.25 at 4, lowest 0.125 at 3, highest 0.5 at 1. \
                    loss: 0.2 at 4. best at 3.";
        assert!(svg.contains(&format!("<desc>{said}</desc>")), "{svg}");
        assert_eq!(svg.matches("<title>train: ").count(), 3);
    }

    #[test]
    fn what_is_not_a_number_is_a_gap() {
        let [nan, infinite] = [f64::NAN, f64::INFINITY];
        let points = [(1.0, nan), (2.0, 1.0), (3.0, 2.0), (4.0, infinite), (nan, 1.0), (6.0, 1.0)];
        let svg = chart(vec![series("", Style::Plain, &points)]).picture().file();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let line = svg.split("<path d=\"").find(|path| path.starts_with('M') && path.contains('L'));
        let line = line.unwrap().split('"').next().unwrap();
        // Two points, connected, and one.
        assert_eq!((line.matches('M').count(), line.matches('L').count()), (2, 1), "{line}");
        let none = chart(vec![series("", Style::Plain, &[(1.0, nan)])]).picture().file();
        assert!(none.contains("loss: no values.") && !none.contains("NaN"), "{none}");
    }

    #[test]
    fn names_are_text() {
        let name = "</text><script>alert(1)</script>\" onload=\"x\u{1} \u{202e}👕";
        let x = Axis::new(name);
        let mut chart = Chart::new(name, x, Axis::new(name), vec![]).mark(1.0, name);
        chart.series = vec![series(name, Style::Nth(0), &[(0.0, 1.0)])];
        let svg = chart.picture().file();
        assert!(!svg.contains("<script") && !svg.contains("\" onload"), "{svg}");
        assert!(!svg.contains('\u{1}'));
    }

    #[test]
    fn very_many_points_are_thinned_to_what_is_seen() {
        let mut points: Vec<_> = (0..100_000).map(|x| (f64::from(x), 1.0)).collect();
        points[77_777].1 = 9.0;
        points[77_778].1 = -9.0;
        let svg = chart(vec![series("", Style::Plain, &points)]).picture().file();
        assert!(svg.len() < 100_000, "{}", svg.len());
        for kept in ["0,1 ", " 77777,9 77778,-9 ", " 99999,1\""] {
            assert!(svg.contains(kept), "{kept}");
        }
    }

    #[test]
    fn a_legend_has_a_few_rows() {
        let lines = |n| (0..n).map(|n| series(&format!("runs/vgg11-{n}"), Style::Nth(n), &[]));
        let of = |n| chart(lines(n).collect()).picture();
        assert!(!of(1).file().contains(">runs/vgg11-0</text>"), "one line needs no name");
        assert!(of(3).file().contains(">runs/vgg11-2</text>"));
        assert!(of(3).height > of(2).height);
        assert!(of(100).file().contains(">and 92 more</text>"));
        assert_eq!(of(100).height, of(50).height);
    }
}
