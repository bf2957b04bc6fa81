//! The confusion matrix: which classes are taken for which.

use image::{Rgba, RgbaImage};
use maud::{Markup, html};

use super::paint::{AXIS, FAINT, TEXT};
use super::picture::Picture;
use super::pixels;
use super::shade::{Hue, RIGHT, WRONG, opacity};
use super::style::px;
use super::text::{self, SIZE, fitted, width};
use crate::scores::confusion::Confusion;
use crate::terminal::numbers::{count, grouped};

/// Of more classes the cells have no numbers …
const MOST_WITH_COUNTS: usize = 25;
const WIDEST_WITH_COUNTS: f64 = 900.0;
/// … and of more than these they are pixels: elements would be too many for a page.
const MOST_AS_ELEMENTS: usize = 60;
/// Of the cells together, where they have no numbers; there are no more pixels.
const SIDE: f64 = 600.0;
/// For the name of a class.
const MOST_NAME_WIDTH: f64 = 130.0;
/// Between names, of which some are left out where classes are closer.
const NAME_ROOM: f64 = 22.0;
/// For the title and the legend.
const NARROWEST: f64 = 420.0;
const AXIS_TITLE: f64 = 20.0;
const LEGEND_TOP: f64 = 36.0;
const LEGEND_ROW: f64 = 19.0;
const SWATCH: f64 = 42.0;

/// The matrix with true classes as rows. `classes` are their names.
///
/// Cells of up to 60 classes are `g.cell`, with the numbers of their classes, from 0 on, in `data-row`
/// and `data-col`; those without images are left out. More classes are an image in `g.cells`, whose
/// number is in `data-classes`.
pub(crate) fn picture(title: &str, classes: &[String], confusion: &Confusion) -> Picture {
    Matrix::new(classes, confusion).picture(title, &|_, _| None)
}

/// As [`picture`], with cells that lead to where `link` says, by row and column.
pub(crate) fn linked(
    title: &str,
    classes: &[String],
    confusion: &Confusion,
    link: &dyn Fn(usize, usize) -> Option<String>,
) -> Picture {
    Matrix::new(classes, confusion).picture(title, link).with_links()
}

struct Matrix<'a> {
    classes: &'a [String],
    rows: Vec<&'a [u64]>,
    /// Images of each true class.
    images: Vec<u64>,
    has_counts: bool,
    /// Of a cell, in px.
    side: f64,
}

impl<'a> Matrix<'a> {
    fn new(classes: &'a [String], confusion: &'a Confusion) -> Self {
        let rows: Vec<_> = confusion.rows().collect();
        let n = classes.len() as f64;
        let largest = rows.iter().flat_map(|row| row.iter()).max().copied().unwrap_or_default();
        let with_count = (width(&grouped(largest), SIZE) + 8.0).max((300.0 / n).clamp(34.0, 64.0));
        let has_counts = classes.len() <= MOST_WITH_COUNTS && n * with_count <= WIDEST_WITH_COUNTS;
        let side = if has_counts { with_count } else { SIDE / n };
        let images = rows.iter().map(|row| row.iter().sum()).collect();
        Self { classes, rows, images, has_counts, side }
    }

    fn picture(&self, title: &str, link: &dyn Fn(usize, usize) -> Option<String>) -> Picture {
        let all = self.side * self.classes.len() as f64;
        let step = (NAME_ROOM / self.side).ceil() as usize;
        let named: Vec<_> = self.classes.iter().enumerate().step_by(step.max(1)).collect();
        let widest = named.iter().map(|(_, name)| width(name, SIZE)).fold(0.0, f64::max);
        let room = widest.min(MOST_NAME_WIDTH);
        // Names of columns lie on a slope unless they are short.
        let slopes = widest > self.side * step as f64 - 6.0;
        let (above, beside) = match slopes {
            true => (0.75 * room + 14.0, 0.75 * room - self.side / 2.0 + 6.0),
            false => (SIZE + 6.0, 0.0),
        };
        let left = AXIS_TITLE + room + 10.0;
        let top = LEGEND_TOP + 2.0 * LEGEND_ROW + 8.0 + AXIS_TITLE + above;
        let place = |index: usize| (index as f64 + 0.5) * self.side;
        let (middle, centre) = (px(left + all / 2.0), px(top + all / 2.0));
        let total = (left + all + beside.max(14.0)).max(NARROWEST);
        let content = html! {
            (text::title(AXIS_TITLE, title, total - 2.0 * AXIS_TITLE))
            (legend())
            g class=(FAINT.class) color=(FAINT.colour) fill="currentColor" font-size=(SIZE) {
                text x=(middle) y=(px(top - above - 6.0)) text-anchor="middle" { "predicted class" }
                text x="14" y=(centre) text-anchor="middle"
                    transform=(format!("rotate(-90 14 {centre})")) { "true class" }
            }
            g class=(TEXT.class) color=(TEXT.colour) fill="currentColor" font-size=(SIZE) {
                @for &(index, name) in &named {
                    text x=(px(left - 7.0)) y=(px(top + place(index) + 4.0)) text-anchor="end" {
                        (fitted(name, SIZE, room))
                    }
                    @let (x, y) = (px(left + place(index)), px(top - 7.0));
                    @if slopes {
                        text x=(x) y=(y) transform=(format!("rotate(-45 {x} {y})")) {
                            (fitted(name, SIZE, room))
                        }
                    } @else {
                        text x=(x) y=(y) text-anchor="middle" { (fitted(name, SIZE, room)) }
                    }
                }
            }
            @if self.classes.len() > MOST_AS_ELEMENTS {
                g class="cells" data-classes=(self.classes.len()) {
                    (pixels::draw(&pixels::png_uri(&self.pixels()), true, (left, top), (all, all)))
                    @for (row, column) in self.cells() {
                        @if let Some(link) = link(row, column) {
                            a href=(link) { (self.area((row, column), (left, top))) }
                        }
                    }
                }
            } @else {
                @for (row, column) in self.cells() {
                    @let cell = self.cell((row, column), (left, top));
                    @match link(row, column) {
                        Some(link) => a href=(link) { (cell) },
                        None => (cell),
                    }
                }
            }
            rect class=(AXIS.class) x=(px(left)) y=(px(top)) width=(px(all)) height=(px(all))
                color=(AXIS.colour) stroke="currentColor" fill="none" {}
        };
        Picture::new((total, top + all + 14.0), title, self.description(), content)
    }

    /// Those with images.
    fn cells(&self) -> impl Iterator<Item = (usize, usize)> {
        let rows = self.rows.iter().enumerate();
        rows.flat_map(|(row, counts)| {
            let cells = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            cells.map(move |(column, _)| (row, column))
        })
    }

    /// Of the images of the true class.
    fn share(&self, (row, column): (usize, usize)) -> f64 {
        self.rows[row][column] as f64 / self.images[row].max(1) as f64
    }

    fn cell(&self, (row, column): (usize, usize), (left, top): (f64, f64)) -> Markup {
        let (x, y) = (left + column as f64 * self.side, top + row as f64 * self.side);
        let (hue, opacity) = (hue(row, column), opacity(self.share((row, column))));
        html! {
            g class="cell" data-row=(row) data-col=(column) {
                title { (self.said(row, column)) }
                (shade(hue, opacity, (x, y), (self.side, self.side)))
                @if self.has_counts {
                    (ink(hue, opacity, (x + self.side / 2.0, y + self.side / 2.0), SIZE,
                        &grouped(self.rows[row][column])))
                }
            }
        }
    }

    /// Where a pixel leads from.
    fn area(&self, (row, column): (usize, usize), (left, top): (f64, f64)) -> Markup {
        let (x, y) = (left + column as f64 * self.side, top + row as f64 * self.side);
        html! {
            rect x=(px(x)) y=(px(y)) width=(px(self.side)) height=(px(self.side)) fill="transparent" {
                title { (self.said(row, column)) }
            }
        }
    }

    fn said(&self, row: usize, column: usize) -> String {
        let (name, other) = (&self.classes[row], &self.classes[column]);
        let what = match row == column {
            true => format!("{name} recognised"),
            false => format!("{name} taken for {other}"),
        };
        let (images, all) = (grouped(self.rows[row][column]), grouped(self.images[row]));
        format!("{what}: {images} of {all}, {:.1} %", 100.0 * self.share((row, column)))
    }

    /// A pixel a cell, or, of very many classes, the largest share of several.
    fn pixels(&self) -> RgbaImage {
        let block = self.classes.len().div_ceil(SIDE as usize);
        let side = self.classes.len().div_ceil(block) as u32;
        let mut image = RgbaImage::new(side, side);
        for (row, column) in self.cells() {
            let pixel = image.get_pixel_mut((column / block) as u32, (row / block) as u32);
            let opacity = (255.0 * opacity(self.share((row, column)))).round() as u8;
            if opacity > pixel.0[3] {
                let [red, green, blue] = hue(row, column).on_both;
                *pixel = Rgba([red, green, blue, opacity]);
            }
        }
        image
    }

    fn description(&self) -> String {
        let all: u64 = self.images.iter().sum();
        let right: u64 = (0..self.rows.len()).map(|class| self.rows[class][class]).sum();
        let mut wrong: Vec<_> = self.cells().filter(|(row, column)| row != column).collect();
        // Stable, so that the first of equals stay first.
        wrong.sort_by_key(|&(row, column)| std::cmp::Reverse(self.rows[row][column]));
        let most = wrong.iter().take(5).map(|&(row, column)| self.said(row, column));
        let said = format!("{} of {} recognised.", grouped(right), count(all, "image"));
        [said].into_iter().chain(most.map(|it| format!("{it}."))).collect::<Vec<_>>().join(" ")
    }
}

fn hue(row: usize, column: usize) -> Hue {
    if row == column { RIGHT } else { WRONG }
}

/// A cell, with a line of the page between it and the next.
fn shade(hue: Hue, opacity: f64, (x, y): (f64, f64), (width, height): (f64, f64)) -> Markup {
    let gap = if width > 8.0 { 1.0 } else { 0.0 };
    html! {
        rect class=(hue.class) x=(px(x + gap / 2.0)) y=(px(y + gap / 2.0)) width=(px(width - gap))
            height=(px(height - gap)) color=(hue.colour) fill="currentColor"
            fill-opacity=(px(opacity)) {}
    }
}

/// Text around a point of a cell.
fn ink(hue: Hue, opacity: f64, (x, y): (f64, f64), size: f64, text: &str) -> Markup {
    let (colour, class) = hue.ink(opacity);
    html! {
        text class=(class) x=(px(x)) y=(px(y + 0.35 * size)) text-anchor="middle" font-size=(size)
            color=(colour) fill="currentColor" { (text) }
    }
}

/// What the shades are.
fn legend() -> Markup {
    let rows = [("recognised", RIGHT), ("taken for another", WRONG)];
    html! {
        @for ((name, hue), row) in rows.into_iter().zip(0..) {
            @let y = LEGEND_TOP + LEGEND_ROW * f64::from(row);
            text x=(AXIS_TITLE) y=(y + 12.0) font-size=(SIZE) class=(FAINT.class) color=(FAINT.colour)
                fill="currentColor" { (name) }
            @for (percent, column) in [1, 10, 50, 100].into_iter().zip(0..) {
                @let (x, opacity) = (AXIS_TITLE + 110.0 + SWATCH * f64::from(column), opacity(f64::from(percent) / 100.0));
                (shade(hue, opacity, (x, y), (SWATCH, LEGEND_ROW - 2.0)))
                (ink(hue, opacity, (x + SWATCH / 2.0, y + LEGEND_ROW / 2.0 - 1.0), 11.0, &format!("{percent} %")))
            }
        }
    }
}
