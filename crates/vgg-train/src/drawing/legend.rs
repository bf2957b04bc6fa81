//! Which line is which.

use maud::{Markup, html};

use super::paint::{GUIDE, TEXT};
use super::style::{Style, px};
use super::text::{SIZE, fit, fitted, width};

const ROW: f64 = 18.0;
/// Beyond these the other entries are only counted.
const MOST_ROWS: usize = 4;
/// Between a swatch and its name, and between entries.
const SPACE: f64 = 6.0;
const BETWEEN: f64 = 16.0;

/// A name, and how what has it is drawn.
pub(super) type Entry<'a> = (&'a String, Swatch);

#[derive(Clone, Copy)]
pub(super) enum Swatch {
    Line(Style),
    Mark,
}

impl Swatch {
    fn width(self) -> f64 {
        match self {
            Self::Line(_) => 24.0,
            Self::Mark => 4.0,
        }
    }

    /// Around the height `y`.
    fn draw(self, x: f64, y: f64) -> Markup {
        let (left, width) = (px(x), self.width());
        match self {
            Self::Line(style) => html! {
                g class=(style.class()) color=(style.colour()) {
                    path d=(format!("M{left} {y}h{width}")) fill="none" stroke="currentColor"
                        stroke-width=(style.stroke_width()) stroke-dasharray=[style.dashes()] {}
                    (style.marker((x + width / 2.0, y), None))
                }
            },
            Self::Mark => html! {
                path class=(GUIDE.class) d=(format!("M{} {}v14", px(x + width / 2.0), y - 7.0))
                    color=(GUIDE.colour) stroke="currentColor" stroke-dasharray="3 3" {}
            },
        }
    }
}

/// The entries in rows from `left` and `top` on, at most `room` wide; and the height of the rows,
/// of one at least, so that charts beside each other are level.
pub(super) fn legend(entries: &[Entry<'_>], (left, top): (f64, f64), room: f64) -> (Markup, f64) {
    let (mut x, mut row, mut placed, mut left_out) = (0.0, 0, vec![], None);
    for (index, (name, swatch)) in entries.iter().enumerate() {
        let text_x = swatch.width() + SPACE;
        let end = |x: f64| x + text_x + width(&fit(name, SIZE, room - text_x), SIZE);
        if x > 0.0 && end(x) > room && row + 1 < MOST_ROWS {
            (x, row) = (0.0, row + 1);
        }
        let others = format!("and {} more", entries.len() - index);
        let is_last = index + 1 == entries.len();
        let room_after = if is_last { 0.0 } else { BETWEEN + width(&others, SIZE) };
        if row + 1 == MOST_ROWS && x > 0.0 && end(x) + room_after > room {
            left_out = Some((x, row, others));
            break;
        }
        placed.push((x, row, text_x, name, swatch));
        x = end(x) + BETWEEN;
    }
    let middle = |row: usize| top + ROW * row as f64 + 7.0;
    let text = |x: f64, row, text: Markup| {
        html! {
            text x=(px(left + x)) y=(middle(row) + 4.0) font-size=(SIZE) class=(TEXT.class)
                color=(TEXT.colour) fill="currentColor" { (text) }
        }
    };
    let markup = html! {
        @for (x, row, text_x, name, swatch) in placed {
            (swatch.draw(left + x, middle(row)))
            (text(x + text_x, row, fitted(name, SIZE, room - text_x)))
        }
        @if let Some((x, row, others)) = left_out {
            (text(x, row, html! { (others) }))
        }
    };
    (markup, ROW * (row + 1) as f64)
}
