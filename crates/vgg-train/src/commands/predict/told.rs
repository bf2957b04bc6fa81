//! How a file's classes are told.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::passes::classify::predictions;
use crate::passes::shown::Views;
use crate::terminal::print;
use crate::terminal::table::csv;

/// The form of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people: the file, and below it its classes.
    Text,
    /// An object a line.
    Json,
    /// A row a file, below a header.
    Csv,
}

/// What is told of a file.
pub(super) struct Told<'a> {
    pub file: &'a Path,
    /// The most probable classes and their probabilities.
    pub ranked: &'a [(usize, f32)],
    /// The names of all classes.
    pub classes: &'a [String],
    /// Where a picture explains it.
    pub picture: Option<&'a Path>,
    /// What probabilities are means over.
    pub views: Views,
}

impl Format {
    /// Prints what comes before all files, each of which has `top` classes, if it is `explained`, a
    /// picture, and `views` if they are several.
    pub(super) fn begin(self, top: usize, explained: bool, views: Views) -> Result<()> {
        match self {
            Self::Text | Self::Json => Ok(()),
            Self::Csv => print_row(header(top, explained, views)),
        }
    }

    /// Prints what is told of a file.
    pub(super) fn tell(self, told: &Told<'_>) -> Result<()> {
        match self {
            Self::Text => print::lines(told.to_text()),
            Self::Json => print::json(&told.to_json()),
            Self::Csv => print_row(told.to_row()),
        }
    }

    /// Prints what programs are told of a file that cannot be read, in rows of so many `columns`; people read
    /// it on standard error.
    pub(super) fn tell_unreadable(self, file: &Path, reason: &str, columns: usize) -> Result<()> {
        match self {
            Self::Text => Ok(()),
            Self::Json => print::json(&unreadable_to_json(file, reason)),
            Self::Csv => print_row(unreadable_to_row(file, columns)),
        }
    }
}

/// An object for a file that cannot be read, so that there is one for each file.
fn unreadable_to_json(file: &Path, reason: &str) -> Value {
    let file = file.to_string_lossy();
    let reason = reason.strip_prefix(&format!("{file}: ")).unwrap_or(reason);
    json!({ "file": file, "error": reason })
}

/// The same as a row of so many `columns`.
fn unreadable_to_row(file: &Path, columns: usize) -> Vec<Vec<u8>> {
    let mut row = vec![vec![]; columns];
    row[0] = file.as_os_str().as_encoded_bytes().to_vec();
    row
}

/// Prints a row: to a program as it is, to a screen without what would move its cursor.
pub(super) fn print_row(row: Vec<impl AsRef<[u8]>>) -> Result<()> {
    let row = csv([row]);
    match print::columns() {
        None => print::raw(&row),
        Some(_) => print::lines(String::from_utf8_lossy(&row).lines()),
    }
}

/// The names of the columns.
pub(super) fn header(top: usize, explained: bool, views: Views) -> Vec<String> {
    let classes = (1..=top).flat_map(|n| [format!("class_{n}"), format!("probability_{n}")]);
    let explanation = explained.then(|| "explanation".to_owned());
    let views = several(views).into_iter().flatten().map(|(name, _)| name.to_owned());
    ["file".to_owned()].into_iter().chain(classes).chain(explanation).chain(views).collect()
}

/// Names and values of what views are, if they are several.
fn several(views: Views) -> Option<[(&'static str, Value); 2]> {
    let Views { flip, shift } = views;
    (!views.are_one()).then(|| [("flip", json!(flip)), ("shift", json!(shift))])
}

impl Told<'_> {
    fn to_text(&self) -> Vec<String> {
        let mut lines = vec![self.file.display().to_string()];
        let class =
            |(class, p): &(usize, f32)| format!("  {:5.1} %  {}", 100.0 * p, self.classes[*class]);
        lines.extend(self.ranked.iter().map(class));
        lines.extend(self.picture.map(|picture| format!("  explained in {}", picture.display())));
        lines
    }

    fn to_json(&self) -> Value {
        // JSON has no other names than those in Unicode.
        let file = self.file.to_string_lossy();
        let mut told = json!({
            "file": file,
            "predictions": predictions(self.ranked, self.classes),
        });
        if let Some(picture) = self.picture {
            told["explanation"] = json!(picture.to_string_lossy());
        }
        for (name, value) in several(self.views).into_iter().flatten() {
            told[name] = value;
        }
        told
    }

    /// Names as they are, and probabilities so that reading gives the same `f32`.
    fn to_row(&self) -> Vec<Vec<u8>> {
        let classes = self.ranked.iter().flat_map(|(class, p)| {
            [self.classes[*class].clone().into_bytes(), p.to_string().into_bytes()]
        });
        let name = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let picture = self.picture.map(name);
        let views = several(self.views).into_iter().flatten();
        let views = views.map(|(_, value)| value.to_string().into_bytes());
        [name(self.file)].into_iter().chain(classes).chain(picture).chain(views).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_as_text_json_and_csv() {
        let classes = ["Bag", "Shirt"].map(String::from);
        let ranked = [(1, 0.75), (0, 0.25)];
        let told = |picture| Told {
            file: Path::new("a.png"),
            ranked: &ranked,
            classes: &classes,
            picture,
            views: Views::default(),
        };
        let text = |picture| told(picture).to_text().join("\n");
        assert_eq!(text(None), "a.png\n   75.0 %  Shirt\n   25.0 %  Bag");
        let picture = Some(Path::new("x/a.png"));
        assert_eq!(text(picture), text(None) + "\n  explained in x/a.png");
        let json = |picture| Told { ranked: &ranked[..1], ..told(picture) }.to_json().to_string();
        let predictions = r#""predictions":[{"class":"Shirt","label":1,"probability":0.75}]"#;
        assert_eq!(json(None), format!(r#"{{"file":"a.png",{predictions}}}"#));
        let explanation = r#""explanation":"x/a.png""#;
        assert_eq!(json(picture), format!(r#"{{{explanation},"file":"a.png",{predictions}}}"#));
        let rows = [csv([header(2, false, Views::default())]), csv([told(None).to_row()])].concat();
        let expected = "file,class_1,probability_1,class_2,probability_2\n\
                        a.png,Shirt,0.75,Bag,0.25\n";
        assert_eq!(String::from_utf8(rows).unwrap(), expected);

        let views = Views { flip: true, shift: 2 };
        let averaged = Told { ranked: &[], views, ..told(picture) };
        let json = averaged.to_json().to_string();
        let expected = r#""file":"a.png","flip":true,"predictions":[],"shift":2}"#;
        assert_eq!(json, format!("{{{explanation},{expected}"));
        let rows = [csv([header(0, true, views)]), csv([averaged.to_row()])].concat();
        let expected = "file,explanation,flip,shift\na.png,x/a.png,true,2\n";
        assert_eq!(String::from_utf8(rows).unwrap(), expected);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_unicode_have_a_substitute_but_in_a_file() {
        use std::os::unix::ffi::OsStrExt as _;
        let file = Path::new(std::ffi::OsStr::from_bytes(b"\xff,.png"));
        let views = Views::default();
        let told = Told { file, ranked: &[], classes: &[], picture: Some(file), views };
        let json = told.to_json();
        assert_eq!([&json["file"], &json["explanation"]], ["\u{fffd},.png"; 2]);
        assert_eq!(csv([told.to_row()]), b"\"\xff,.png\",\"\xff,.png\"\n");
        assert_eq!(header(0, true, views), ["file", "explanation"]);
    }
}
