//! Images in rows, with what is to be said of each.

use maud::html;

use super::paint::{FAINT, TEXT};
use super::picture::Picture;
use super::pixels;
use super::style::px;
use super::text::{self, SIZE, fitted};
use super::thumbnail::Thumbnail;

const TOP: f64 = 38.0;
const MARGIN: f64 = 16.0;
/// Of an image, and of the two lines below it.
const SIDE: f64 = 140.0;
const LINES: f64 = 40.0;
const GAP: f64 = 14.0;

/// An image and two lines of text, of which the first counts more.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    /// An address that holds the image.
    pub uri: String,
    /// Whether its pixels are to be seen as what they are.
    pub is_coarse: bool,
    pub lines: [String; 2],
}

impl Tile {
    /// An image of the class `label` that is taken for another one.
    pub(crate) fn mistake(
        image: &Thumbnail,
        label: &str,
        predicted: &str,
        probability: f32,
    ) -> Self {
        let lines = [format!("{label} → {predicted}"), format!("{:.1} %", 100.0 * probability)];
        Self { uri: image.uri.clone(), is_coarse: image.is_coarse(), lines }
    }
}

/// The tiles in rows of `columns`.
pub(crate) fn picture(title: &str, columns: usize, tiles: &[Tile]) -> Picture {
    let rows = tiles.len().div_ceil(columns) as f64;
    let width = 2.0 * MARGIN + columns as f64 * (SIDE + GAP) - GAP;
    let place = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        let x = MARGIN + column as f64 * (SIDE + GAP);
        (x, TOP + row as f64 * (SIDE + LINES + GAP))
    };
    let content = html! {
        (text::title(MARGIN, title, width - 2.0 * MARGIN))
        @for (index, Tile { uri, is_coarse, lines: [first, second] }) in tiles.iter().enumerate() {
            @let (x, y) = place(index);
            g class="tile" {
                (pixels::draw(uri, *is_coarse, (x, y), (SIDE, SIDE)))
                text class=(TEXT.class) x=(px(x)) y=(px(y + SIDE + 16.0)) font-size=(SIZE) color=(TEXT.colour)
                    fill="currentColor" { (fitted(first, SIZE, SIDE)) }
                text class=(FAINT.class) x=(px(x)) y=(px(y + SIDE + 32.0)) font-size=(SIZE) color=(FAINT.colour)
                    fill="currentColor" { (fitted(second, SIZE, SIDE)) }
            }
        }
    };
    let said = tiles.iter().map(|tile| tile.lines.join(", ")).collect::<Vec<_>>().join("; ");
    Picture::new((width, TOP + rows * (SIDE + LINES + GAP)), title, said, content)
}
