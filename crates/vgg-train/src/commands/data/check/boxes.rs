//! What there is to know of the boxes beside a folder of images.

use serde::Serialize;
use vgg_data::boxes::{Boxes, Object};

use super::findings::{Place, Range, path};
use crate::data::folder::Parts;
use crate::terminal::numbers::{count, grouped};

/// The boxes of all parts.
#[derive(Debug, Serialize)]
pub(super) struct BoxFindings {
    pub parts: Vec<OfPart>,
    pub width: Option<Range>,
    pub height: Option<Range>,
    /// Images that have none.
    pub without: Vec<String>,
    /// Of each image of each part.
    #[serde(skip)]
    pub objects: Vec<Vec<Vec<Object>>>,
}

#[derive(Debug, Serialize)]
pub(super) struct OfPart {
    pub name: &'static str,
    pub boxes: usize,
    /// Images that have a box.
    pub images: usize,
}

impl BoxFindings {
    pub(super) fn of(parts: &Parts, boxes: &Boxes) -> Self {
        let objects: Vec<_> = (0..parts.len()).map(|part| boxes.of_part(part).to_vec()).collect();
        let (mut widths, mut heights, mut without) = (vec![], vec![], vec![]);
        let mut of_parts = Vec::new();
        for (number, ((name, _), objects)) in parts.iter().zip(&objects).enumerate() {
            let mut part = OfPart { name, boxes: 0, images: 0 };
            for (i, objects) in objects.iter().enumerate() {
                part.boxes += objects.len();
                part.images += usize::from(!objects.is_empty());
                if objects.is_empty() {
                    without.push(path(parts, (number, i)));
                }
                widths.extend(objects.iter().map(|it| it.bounds.width().round() as usize));
                heights.extend(objects.iter().map(|it| it.bounds.height().round() as usize));
            }
            of_parts.push(part);
        }
        let [width, height] = [Range::of(widths), Range::of(heights)];
        Self { parts: of_parts, width, height, without, objects }
    }

    /// The objects in an image.
    pub(super) fn of_image(&self, (part, i): Place) -> &[Object] {
        &self.objects[part][i]
    }

    /// As text, with the files that have no box, of which `named` shows some.
    pub(super) fn lines(&self, named: impl FnOnce(&mut Vec<String>, Vec<String>)) -> Vec<String> {
        let part = |OfPart { name, boxes, images }: &OfPart| {
            let (boxes, images) = (count(*boxes as u64, "box"), count(*images as u64, "image"));
            format!("{boxes} in {images} of {name}")
        };
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        let mut lines = vec![format!("boxes        {}", parts.join(", "))];
        for (side, range) in [("width ", &self.width), ("height", &self.height)] {
            if let Some(range) = range {
                lines.push(format!("  {side}     {range}"));
            }
        }
        lines.push(format!("without box  {}", grouped(self.without.len() as u64)));
        named(&mut lines, self.without.iter().map(|file| format!("  {file}")).collect());
        lines
    }
}
