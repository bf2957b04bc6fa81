//! Pictures: what a chart or a matrix looks like, and nothing of where its numbers are from.
//!
//! Everything is drawn by templates that escape what they are given, into a [`picture::Picture`],
//! which is a part of an HTML page or a file of its own. Colours are attributes, so that a picture
//! needs no style sheet, and [`picture::DARK`] has those for dark pages.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod heatmap;
mod legend;
pub(crate) mod matrix;
pub(crate) mod mosaic;
pub(crate) mod outlines;
mod paint;
pub(crate) mod picture;
pub(crate) mod pixels;
mod plot;
mod points;
mod raster;
pub(crate) mod reliability;
mod shade;
pub(crate) mod style;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod thumbnail;
