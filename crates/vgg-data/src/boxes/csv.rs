//! Boxes in a CSV file: `path,label,x0,y0,x1,y1`, a line an object.
//!
//! A first line that has all of these names in it names the columns, in any order and with others beside
//! them; without it they are these.
//!
//! Coordinates are pixels and continuous, as a [`BoundingBox`](super::BoundingBox) has them: a box from
//! (0, 0) to (`w`, `h`) is the whole image, and `x1 - x0` is a width.

use std::path::Path;

use csv::StringRecord;

use super::annotation::{Annotation, Annotations, Name, Stated};
use crate::csv_lines::{other_separator, records};

const COLUMNS: [&str; 6] = ["path", "label", "x0", "y0", "x1", "y1"];

/// Reads the text of a file.
pub(super) fn read(file: &Path, text: &[u8], into: &mut Annotations) {
    let mut columns = None;
    for record in records(file, text) {
        let (line, record) = match record {
            Ok(record) => record,
            Err(error) => {
                into.faults.push(error);
                continue;
            }
        };
        let columns = match columns {
            Some(columns) => columns,
            None => {
                let header = named(&record);
                if header.is_none() && !record.iter().any(|field| field.parse::<f64>().is_ok()) {
                    let reason = format!("line {line}: {}", unknown(&record));
                    return into.fault(file, "", &reason);
                }
                let known = *columns.insert(header.unwrap_or(std::array::from_fn(|at| at)));
                if header.is_some() {
                    continue;
                }
                known
            }
        };
        let place = format!("line {line}");
        match object(&record, columns, &place) {
            Ok((path, object)) => into.annotations.push(Annotation {
                file: file.into(),
                place,
                image: Name::Path(path),
                size: None,
                objects: vec![object],
            }),
            Err(reason) => into.fault(file, &place, &reason),
        }
    }
}

/// Where the columns are, as a header says.
fn named(header: &StringRecord) -> Option<[usize; 6]> {
    let find = |name: &&str| header.iter().position(|field| field.eq_ignore_ascii_case(name));
    let found: Vec<usize> = COLUMNS.iter().filter_map(find).collect();
    found.try_into().ok()
}

/// What is wrong with a first line that has no number in it, and is not the header.
fn unknown(record: &StringRecord) -> String {
    let columns = COLUMNS.join(",");
    match record.get(0) {
        Some(field) if other_separator(record).is_some() => {
            format!(
                "commas are to be between fields, and {field} has other signs: {columns} is expected"
            )
        }
        _ => {
            let names: Vec<_> = record.iter().collect();
            format!("its columns are {}, and {columns} are expected, in any order", names.join(","))
        }
    }
}

/// The path of an image, and an object in it.
fn object(
    record: &StringRecord,
    columns: [usize; 6],
    place: &str,
) -> Result<(String, Stated), String> {
    let field = |at: usize| match record.get(columns[at]) {
        Some(field) if !field.is_empty() => Ok(field),
        _ => Err(format!("no {}: {} is expected", COLUMNS[at], COLUMNS.join(","))),
    };
    let (path, class) = (field(0)?.to_owned(), field(1)?.to_owned());
    let mut corners = [0.0; 4];
    for (corner, at) in corners.iter_mut().zip(2..) {
        let text = field(at)?;
        let number = text.parse();
        *corner = number.map_err(|_| format!("{} is {text}, which is no number", COLUMNS[at]))?;
    }
    Ok((path, Stated { place: place.into(), class, corners }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Annotations {
        let mut found = Annotations::default();
        read(Path::new("boxes.csv"), text.as_bytes(), &mut found);
        found
    }

    fn faults(text: &str) -> Vec<String> {
        read_text(text).faults.iter().map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn a_line_is_an_object() {
        let plain = read_text("a/1.png, big dog ,0,1.5,20,30\n").annotations;
        assert_eq!(plain[0].image, Name::Path("a/1.png".into()));
        let object = Stated {
            place: "line 1".into(),
            class: "big dog".into(),
            corners: [0.0, 1.5, 20.0, 30.0],
        };
        assert_eq!(plain[0].objects, [object]);
        let named = read_text("\u{feff}x1,y1,score,x0,y0,Label,PATH\r\n3,4,.5,1,2,cat,1.png\r\n");
        let Annotation { place, objects, .. } = &named.annotations[0];
        assert_eq!((&**place, objects[0].corners), ("line 2", [1.0, 2.0, 3.0, 4.0]));
        // Whether that makes sense is not asked here.
        assert!(read_text("a,b,NaN,inf,0,0\n").faults.is_empty());
    }

    #[test]
    fn a_header_of_other_names_is_told_once() {
        let told = "boxes.csv: line 1: its columns are filename,class,xmin, and path,label,x0,y0,x1,y1 are \
                    expected, in any order";
        assert_eq!(faults("filename,class,xmin\n1.png,cat,0\n1.png,cat,0\n"), [told]);
        let told = "boxes.csv: line 1: commas are to be between fields, and path;label;x0 has other signs: \
                    path,label,x0,y0,x1,y1 is expected";
        assert_eq!(faults("path;label;x0\n1.png;cat;0\n"), [told]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let found =
            faults("1.png,cat,0,0,9,9\n1.png,cat,0,0,9\n\n1.png,,0,0,9,9\n1.png,cat,a,0,9,9\n");
        assert_eq!(
            found,
            [
                "boxes.csv: line 2: no y1: path,label,x0,y0,x1,y1 is expected",
                "boxes.csv: line 4: no label: path,label,x0,y0,x1,y1 is expected",
                "boxes.csv: line 5: x0 is a, which is no number",
            ]
        );
    }
}
