//! Which image is what, as a CSV file says: `path,label` or `path,label,split`, a line an image.
//!
//! A first line that has `path` and `label` in it names the columns, in any order and with others
//! beside them; without it they are these. Paths begin in the folder of the images. The split is
//! `train`, `val` or `test`.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use csv::StringRecord;
use vgg_tensor::{Error, Result};

use super::list::format_error;
use super::{TEST, TRAIN, VAL};
use crate::csv_lines::{other_separator, records};
use crate::names::composed;

/// Lines that an error names; it counts the others.
const NAMED: usize = 3;

/// A line of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Labelled {
    pub line: u64,
    pub path: PathBuf,
    /// The name of its class, composed.
    pub class: String,
    /// [`TRAIN`], [`VAL`] or [`TEST`], if there is a column for it.
    pub part: Option<&'static str>,
}

/// Reads the labels of the images in `folder`.
///
/// # Errors
/// When the file cannot be read, or a line makes no sense or names an image again: with the number of
/// the line.
pub(super) fn read(csv: &Path, folder: &Path) -> Result<Vec<Labelled>> {
    let text = fs::read(csv).map_err(|source| Error::Io { path: csv.into(), source })?;
    let mut columns = None;
    let mut lines: Vec<Labelled> = Vec::new();
    let mut first: HashMap<PathBuf, usize> = HashMap::new();
    let mut again = Vec::new();
    for record in records(csv, &text) {
        let (line, record) = record?;
        if let Some(sign) = other_separator(&record) {
            let reason = format!("line {line}: {sign} is between its fields, where , is expected");
            return Err(format_error(csv, &reason));
        }
        let columns = match &columns {
            Some(columns) => columns,
            None => {
                let header = Columns::named(&record);
                if header.is_none() && calls_paths_otherwise(&record) {
                    let names = record.iter().collect::<Vec<_>>().join(", ");
                    let reason = format!("its columns are {names}, but must be path and label");
                    return Err(format_error(csv, &format!("line {line}: {reason}")));
                }
                let is_header = header.is_some();
                let known = columns.insert(header.unwrap_or(Columns::of(record.len())));
                if is_header {
                    continue;
                }
                known
            }
        };
        let wrong = |reason: String| format_error(csv, &format!("line {line}: {reason}"));
        let labelled = columns.read(&record, line, folder).map_err(wrong)?;
        match first.get(&labelled.path) {
            None => drop(first.insert(labelled.path.clone(), lines.len())),
            Some(other) => {
                let (line, other) = (labelled.line, lines[*other].line);
                let path = record.get(columns.path).unwrap_or_default();
                again.push(format!("line {line}: {path} is in line {other}, too"));
            }
        }
        lines.push(labelled);
    }
    if lines.is_empty() {
        return Err(format_error(csv, "no labels: a line an image is expected, path,label"));
    }
    refuse(csv, &again)?;
    Ok(lines)
}

/// Whether a line is a header by other names than ours.
fn calls_paths_otherwise(header: &StringRecord) -> bool {
    const NAMES: [&str; 10] = [
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "image_name",
        "image_id",
        "img",
    ];
    header.iter().any(|field| NAMES.iter().any(|name| field.eq_ignore_ascii_case(name)))
}

/// Refuses a file for what is wrong with some of its lines.
pub(super) fn refuse(csv: &Path, wrong: &[String]) -> Result<()> {
    let more = match wrong.len() {
        0 => return Ok(()),
        n if n > NAMED => format!("; and {} more", n - NAMED),
        _ => String::new(),
    };
    let named: Vec<_> = wrong.iter().take(NAMED).map(|wrong| &**wrong).collect();
    Err(format_error(csv, &(named.join("; ") + &more)))
}

/// Where in a line what is.
struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
}

impl Columns {
    /// As a header says.
    fn named(header: &StringRecord) -> Option<Self> {
        let find = |name| header.iter().position(|field| field.eq_ignore_ascii_case(name));
        Some(Self { path: find("path")?, label: find("label")?, split: find("split") })
    }

    /// Without a header, of lines of so many fields.
    fn of(fields: usize) -> Self {
        Self { path: 0, label: 1, split: (fields > 2).then_some(2) }
    }

    fn read(&self, record: &StringRecord, line: u64, folder: &Path) -> Result<Labelled, String> {
        let field = |at: usize, what: &str| match record.get(at) {
            Some(field) if !field.is_empty() => Ok(field),
            _ => Err(format!("no {what}: path,label or path,label,split is expected")),
        };
        let path = Path::new(field(self.path, "path")?);
        let path = path.components().filter(|part| *part != Component::CurDir);
        let class = composed(field(self.label, "label")?).into_owned();
        let part = match self.split {
            None => None,
            Some(at) => {
                let given = field(at, "split")?;
                let known = [TRAIN, VAL, TEST].into_iter().find(|part| *part == given);
                Some(known.ok_or(format!("the split is train, val or test, not {given}"))?)
            }
        };
        Ok(Labelled { line, path: folder.join(path.collect::<PathBuf>()), class, part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Labelled>, String> {
        let dir = tempfile::tempdir().unwrap();
        let csv = dir.path().join("labels.csv");
        fs::write(&csv, text).unwrap();
        read(&csv, Path::new("a"))
            .map_err(|error| error.to_string().split_once("labels.csv: ").unwrap().1.to_owned())
    }

    fn labelled(line: u64, path: &str, class: &str, part: Option<&'static str>) -> Labelled {
        Labelled { line, path: path.into(), class: class.into(), part }
    }

    #[test]
    fn a_header_names_the_columns() {
        let plain = read_text("1.jpg,cat\n./b/2.jpg, big dog \n").unwrap();
        assert_eq!(plain[0], labelled(1, "a/1.jpg", "cat", None));
        assert_eq!(plain[1], labelled(2, "a/b/2.jpg", "big dog", None));
        let header = "\u{feff}Label,width,Path\r\ncat,9,\"1,5.jpg\"\r\n";
        assert_eq!(read_text(header).unwrap(), [labelled(2, "a/1,5.jpg", "cat", None)]);
        let split = read_text("path,label,split\n1.jpg,cat,val\n").unwrap();
        assert_eq!(split, [labelled(2, "a/1.jpg", "cat", Some(VAL))]);
        let split = read_text("1.jpg,cat,train\n\n\n/2.jpg,cat,test\n").unwrap();
        assert_eq!(split[1], labelled(4, "/2.jpg", "cat", Some(TEST)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let expected = "path,label or path,label,split is expected";
        let error = |text: &str| read_text(text).unwrap_err();
        assert_eq!(error("1.jpg,cat\n2.jpg\n"), format!("line 2: no label: {expected}"));
        assert_eq!(error("1.jpg,cat\n,cat\n"), format!("line 2: no path: {expected}"));
        assert_eq!(error("1.jpg,cat,val\n2.jpg,cat\n"), format!("line 2: no split: {expected}"));
        let split = "line 1: the split is train, val or test, not valid";
        assert_eq!(error("1.jpg,cat,valid\n"), split);
        let named = "line 1: its columns are filename, class, but must be path and label";
        assert_eq!(error("filename,class\n1.jpg,cat\n"), named);
        let header = "line 1: ; is between its fields, where , is expected";
        assert_eq!(error("path;label\n1.jpg;cat\n"), header);
        let fields = "line 1: a tab is between its fields, where , is expected";
        assert_eq!(error("1.jpg\tcat\n"), fields);
        let again = "line 3: ./1.jpg is in line 1, too";
        assert_eq!(error("1.jpg,cat\n2.jpg,cat\n./1.jpg,dog\n"), again);
        assert!(error(&"1.jpg,cat\n".repeat(9)).ends_with("; and 5 more"));
        assert!(error("").starts_with("no labels"));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("labels.csv"), b"1.jpg,cat\n2.jpg,\xff\n").unwrap();
        let error = read(&dir.path().join("labels.csv"), Path::new("")).unwrap_err().to_string();
        assert!(error.ends_with("labels.csv: line 2: this is no CSV in UTF-8"), "{error}");
    }
}
