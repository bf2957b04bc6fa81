//! A picture, as a part of a page and as a file.

use maud::{Markup, PreEscaped, Render, html};

use super::paint::TEXT;
use super::text::{BOLD, fitted, is_xml};

/// The style sheet of pictures on a dark page: rules that a page puts in a query or below a selector.
pub(crate) const DARK: &str = include_str!("dark.css");

const XMLNS: &str = "http://www.w3.org/2000/svg";
/// Between pictures that stand beside each other.
const GAP: f64 = 20.0;
/// Of a title above them.
const TITLE_HEIGHT: f64 = 36.0;
const TITLE_SIZE: f64 = 17.0;

/// Elements of SVG on a sheet. A page shows it where it is spliced into a template: `(picture)`.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// In px, of which letters have 11 or more. Pages scale it.
    pub width: f64,
    pub height: f64,
    /// What it is, for those who do not see it …
    title: String,
    /// … and what it shows.
    description: String,
    content: String,
    has_links: bool,
}

impl Picture {
    pub(crate) fn new(
        (width, height): (f64, f64),
        title: impl Into<String>,
        description: impl Into<String>,
        content: Markup,
    ) -> Self {
        // Names may have any character, and no escape makes a control character part of XML.
        let xml = |text: String| text.replace(|c| !is_xml(c), "\u{fffd}");
        let (title, description) = (xml(title.into()), xml(description.into()));
        Self { width, height, title, description, content: xml(content.0), has_links: false }
    }

    /// What is an image has no parts for those who do not see it; this has links.
    pub(super) fn with_links(self) -> Self {
        Self { has_links: true, ..self }
    }

    /// Pictures in rows of `columns`, below a title.
    pub(crate) fn grid(title: &str, columns: usize, pictures: &[Self]) -> Self {
        let widest = pictures.iter().map(|picture| picture.width).fold(0.0, f64::max);
        let (mut placed, mut bottom) = (vec![], TITLE_HEIGHT);
        for row in pictures.chunks(columns) {
            let left = (0..).map(|column| GAP / 2.0 + column as f64 * (widest + GAP));
            placed.extend(row.iter().zip(left).map(|(picture, left)| (picture, left, bottom)));
            bottom += row.iter().map(|picture| picture.height).fold(0.0, f64::max) + GAP / 2.0;
        }
        let width = columns.min(pictures.len().max(1)) as f64 * (widest + GAP);
        let content = html! {
            text x=(width / 2.0) y=(TITLE_HEIGHT - 12.0) text-anchor="middle"
                font-size=(TITLE_SIZE) font-weight="600" class=(TEXT.class) color=(TEXT.colour) fill="currentColor" {
                (fitted(title, BOLD * TITLE_SIZE, width))
            }
            @for (picture, left, top) in placed {
                g transform=(format!("translate({left} {top})")) {
                    title { (picture.title) }
                    desc { (picture.description) }
                    (PreEscaped(&picture.content))
                }
            }
        };
        let of_all: Vec<_> =
            pictures.iter().map(|it| format!("{}: {}", it.title, it.description)).collect();
        Self::new((width, bottom), title, of_all.join(" "), content)
    }

    /// As a file of its own: on white, or dark where that is preferred.
    pub(crate) fn file(&self) -> String {
        let style = format!("@media (prefers-color-scheme: dark) {{\n{DARK}}}\n");
        let svg = self.svg(html! { style { (PreEscaped(style)) } (sheet()) });
        format!("{}\n", svg.0)
    }

    /// As a file without a style sheet.
    pub(super) fn on_white(&self) -> String {
        self.svg(sheet()).0
    }

    fn svg(&self, below: Markup) -> Markup {
        let (width, height) = (self.width.ceil(), self.height.ceil());
        let role = if self.has_links { "group" } else { "img" };
        html! {
            svg xmlns=(XMLNS) class="drawing" role=(role) width=(width) height=(height)
                viewBox=(format!("0 0 {width} {height}"))
                font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" {
                title { (self.title) }
                desc { (self.description) }
                (below)
                (PreEscaped(&self.content))
            }
        }
    }
}

fn sheet() -> Markup {
    html! {
        rect class="bg" width="100%" height="100%" fill="#ffffff" {}
    }
}

impl Render for Picture {
    fn render(&self) -> Markup {
        self.svg(html! {})
    }
}
