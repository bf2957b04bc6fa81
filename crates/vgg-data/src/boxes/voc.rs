//! Boxes in the XML files of Pascal VOC: a file an image, `annotation/object/{name,bndbox}`.
//!
//! The file belongs to the image whose name is the same up to the ending: `filename` in it is not asked, as
//! many a copied file names another image, or none.
//!
//! Coordinates are whole pixels, counted from 1, and the last is in the box: `xmin` = 1 and `xmax` = `w` is
//! the whole width. So the box is from `xmin - 1` to `xmax`. Source: the data set's annotations, whose
//! numbers are from 1 to the width or the height; Detectron2's `pascal_voc.py` reads them so and says why.
//! Some programs write the format and count from 0: then the box is from `xmin` to `xmax + 1`.

use std::path::Path;

use roxmltree::{Document, Node};

use super::annotation::{Annotation, Annotations, Name, Stated};

const SIDES: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// Reads the text of a file in which the first pixel has the number `first`. `name` is its path in the folder
/// of such files.
pub(super) fn read(file: &Path, name: &Path, text: &str, first: u32, into: &mut Annotations) {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => return into.fault(file, "", &format!("this is no XML: {error}")),
    };
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let reason =
            format!("its root is {}, not annotation of Pascal VOC", root.tag_name().name());
        return into.fault(file, "", &reason);
    }
    let mut annotation = Annotation {
        file: file.into(),
        place: String::new(),
        image: Name::Beside(name.into()),
        size: size(root),
        objects: Vec::new(),
    };
    let objects = root.children().filter(|node| node.has_tag_name("object"));
    for (number, node) in objects.enumerate() {
        let line = document.text_pos_at(node.range().start).row;
        let place = format!("object {} (line {line})", number + 1);
        match object(node, first, &place) {
            Ok(object) => annotation.objects.push(object),
            Err(reason) => into.fault(file, &place, &reason),
        }
    }
    into.annotations.push(annotation);
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let text = node.children().find(|child| child.has_tag_name(name))?.text()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The height and width that the file states. Some files have zeros there, which say nothing.
fn size(root: Node<'_, '_>) -> Option<[usize; 2]> {
    let size = root.children().find(|child| child.has_tag_name("size"))?;
    let [h, w] = ["height", "width"].map(|side| text(size, side)?.parse::<usize>().ok());
    Some([h?, w?]).filter(|[h, w]| *h.min(w) > 0)
}

fn object(node: Node<'_, '_>, first: u32, place: &str) -> Result<Stated, String> {
    let class = text(node, "name").ok_or("it has no name")?.to_owned();
    let bounds = node.children().find(|child| child.has_tag_name("bndbox"));
    let bounds = bounds.ok_or("it has no bndbox")?;
    let mut corners = [0.0; 4];
    for (corner, side) in corners.iter_mut().zip(SIDES) {
        let text = text(bounds, side).ok_or_else(|| format!("its bndbox has no {side}"))?;
        let number: f64 =
            text.parse().map_err(|_| format!("{side} is {text}, which is no number"))?;
        *corner = number - f64::from(first);
    }
    corners[2] += 1.0;
    corners[3] += 1.0;
    Ok(Stated { place: place.into(), class, corners })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, first: u32) -> Annotations {
        let mut found = Annotations::default();
        read(Path::new("a/1.xml"), Path::new("1.xml"), text, first, &mut found);
        found
    }

    const TEXT: &str = "<annotation><filename>%s</filename>
<size><width>40</width><height>30</height><depth>3</depth></size>
<object><name> cat </name><part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>
  <bndbox><ymin>1</ymin><xmin>1</xmin><xmax>40</xmax><ymax>30</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
</annotation>";

    #[test]
    fn pixels_are_counted_from_1_and_the_last_is_in_the_box() {
        let found = read_text(TEXT, 1);
        assert!(found.faults.is_empty());
        let Annotation { size, objects, image, .. } = &found.annotations[0];
        assert_eq!((*size, image), (Some([30, 40]), &Name::Beside("1.xml".into())));
        assert_eq!((&*objects[0].class, objects[0].corners), ("cat", [0.0, 0.0, 40.0, 30.0]));
        assert_eq!(objects[0].place, "object 1 (line 3)");
        assert_eq!(objects[1].corners, [2.0, 3.0, 3.0, 4.0], "a single pixel");
        assert_eq!(read_text(TEXT, 0).annotations[0].objects[1].corners, [3.0, 4.0, 4.0, 5.0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_object() {
        let fault = |text: &str| read_text(text, 1).faults[0].to_string();
        let no_xml = fault("<annotation>\n<object></annotation>");
        assert!(
            no_xml.starts_with("a/1.xml: this is no XML: ") && no_xml.contains("2:"),
            "{no_xml}"
        );
        assert_eq!(fault("<html/>"), "a/1.xml: its root is html, not annotation of Pascal VOC");
        let object =
            |text: &str| fault(&format!("<annotation>\n<object>{text}</object></annotation>"));
        let at = "a/1.xml: object 1 (line 2)";
        assert_eq!(object("<bndbox/>"), format!("{at}: it has no name"));
        assert_eq!(object("<name>a</name>"), format!("{at}: it has no bndbox"));
        let bounds = "<name>a</name><bndbox><xmin>1</xmin><ymin>two</ymin></bndbox>";
        assert_eq!(object(bounds), format!("{at}: ymin is two, which is no number"));
        let bounds = "<name>a</name><bndbox><xmin> </xmin></bndbox>";
        assert_eq!(object(bounds), format!("{at}: its bndbox has no xmin"));
    }
}
