//! Which image is what, as a CSV file says: `path,label` or `path,label,split`, a line an image.
//!
//! A first line that has `path` and `label` in it, or other names that people give these, names the columns,
//! in any order and with others beside them; without it they are these. Paths begin in the folder of the
//! images. The split is `train`, `val` or `test`, or what people call these.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use csv::StringRecord;
use vgg_tensor::{Error, Result};

use super::list::format_error;
use super::part_called;
use crate::csv_lines::{other_separator, records};
use crate::names::composed;

/// Lines that an error names; it counts the others.
const NAMED: usize = 3;

/// What a column of paths is called, in any case: a name of an earlier line before those of later ones. Of two
/// columns with names of one line, nothing says which it is.
const PATHS: [&[&str]; 3] = [
    &["path"],
    &[
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "image_name",
        "img",
    ],
    &["image_id", "id"],
];

/// What a column of classes is called.
const LABELS: [&[&str]; 2] =
    [&["label"], &["class", "class_name", "category", "target", "breed", "species"]];

/// A line of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Labelled {
    pub line: u64,
    pub path: PathBuf,
    /// The name of its class, composed.
    pub class: String,
    /// As [`part_called`] has it, if there is a column for it.
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
    let mut fields = 0;
    let mut is_named = false;
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
                    let reason = format!("its columns are {names}, but {}", must_be_named());
                    return Err(format_error(csv, &format!("line {line}: {reason}")));
                }
                is_named = header.is_some();
                fields = record.len();
                let known = columns.insert(header.unwrap_or(Columns::of(record.len())));
                if is_named {
                    continue;
                }
                known
            }
        };
        if record.iter().skip(fields).any(|field| !field.is_empty()) {
            let n = record.len();
            let reason = format!(
                "line {line}: {n} fields, where the first line has {fields}: what has a comma in it must be in \
                 quotes, as \"a,b.jpg\",cat"
            );
            return Err(format_error(csv, &reason));
        }
        let wrong = |reason: String| format_error(csv, &format!("line {line}: {reason}"));
        let labelled = columns.read(&record, line, folder).map_err(|reason| {
            let path = folder.join(&record[0]);
            // Without names the first is the path.
            let is_first = !is_named && lines.is_empty() && record.len() > 1;
            wrong(if is_first && is_no_file(&path) { unknown_names(&path) } else { reason })
        })?;
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
    if !is_named && seems_header(&lines) {
        let Labelled { line, path, .. } = &lines[0];
        return Err(format_error(csv, &format!("line {line}: {}", unknown_names(path))));
    }
    Ok(lines)
}

/// Whether the first line seems to have names that are not known: it leads to no file, and its class is no
/// other line's.
fn seems_header(lines: &[Labelled]) -> bool {
    let [first, others @ ..] = lines else { return false };
    let is_alone = !others.is_empty() && others.iter().all(|line| line.class != first.class);
    is_alone && is_no_file(&first.path)
}

/// Whether nothing is there, nor has the path anything of a file's.
fn is_no_file(path: &Path) -> bool {
    path.extension().is_none() && !path.exists()
}

/// What is wrong with a first line that seems to have the names of columns.
fn unknown_names(path: &Path) -> String {
    format!(
        "there is no file {}; if the line has the names of the columns, {}",
        path.display(),
        must_be_named()
    )
}

/// Which names columns must have.
fn must_be_named() -> String {
    let any = |names: &[&[&str]]| {
        let (first, others) = (names[0][0], names[1..].concat().join(", "));
        format!("{first} (or {others})")
    };
    format!("one must be {} and one {}", any(&PATHS), any(&LABELS))
}

/// Whether a line is a header by names of which some are not known.
fn calls_paths_otherwise(header: &StringRecord) -> bool {
    // A class may be called `id`.
    let names = || PATHS[1].iter().chain(&["image_id"]);
    header.iter().any(|field| names().any(|name| field.eq_ignore_ascii_case(name)))
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
        let is =
            |field: &str, names: &[&str]| names.iter().any(|it| field.eq_ignore_ascii_case(it));
        let find = |names: &[&str]| -> Vec<usize> {
            (0..header.len()).filter(|at| is(&header[*at], names)).collect()
        };
        let first = |names: &[&[&str]]| {
            let found = names.iter().map(|names| find(names)).find(|found| !found.is_empty())?;
            // Of those called as ours are, the first was always taken.
            let is_clear = found.len() == 1 || is(&header[found[0]], names[0]);
            is_clear.then_some(found[0])
        };
        let split = find(&["split"]).first().copied();
        Some(Self { path: first(&PATHS)?, label: first(&LABELS)?, split })
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
                let known = part_called(given);
                Some(known.ok_or(format!("the split is train, val or test, not {given}"))?)
            }
        };
        Ok(Labelled { line, path: folder.join(path.collect::<PathBuf>()), class, part })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TEST, VAL};
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
        let split =
            read_text("1.jpg,cat,Training\n2.jpg,cat,valid\n3.jpg,dog,Validation\n").unwrap();
        assert_eq!(split[1].part, Some(VAL));
        assert_eq!(split[2].part, Some(VAL));
    }

    #[test]
    fn columns_are_called_as_people_call_them() {
        for header in ["filename,class", "id,breed", "Image,Category", "image_id,Species"] {
            let read = read_text(&format!("{header}\n1.jpg,cat\n")).unwrap();
            assert_eq!(read, [labelled(2, "a/1.jpg", "cat", None)], "{header}");
        }
        let read = read_text("id,class,image,label\n7,9,1.jpg,cat\n").unwrap();
        assert_eq!(read, [labelled(2, "a/1.jpg", "cat", None)]);
        // These are classes, and fields that are empty are none.
        let plain = read_text("1.jpg,id,\n2.jpg,breed,,\n3.jpg,id,\n").unwrap_err();
        assert!(plain.starts_with("line 1: no split"), "{plain}");
        assert_eq!(read_text("1.jpg,id\n2.jpg,breed,,\n").unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let expected = "path,label or path,label,split is expected";
        let error = |text: &str| read_text(text).unwrap_err();
        assert_eq!(error("1.jpg,cat\n2.jpg\n"), format!("line 2: no label: {expected}"));
        assert_eq!(error("1.jpg,cat\n,cat\n"), format!("line 2: no path: {expected}"));
        assert_eq!(error("1.jpg,cat,val\n2.jpg,cat\n"), format!("line 2: no split: {expected}"));
        let split = "line 1: the split is train, val or test, not 3";
        assert_eq!(error("1.jpg,cat,3\n"), split);
        let names = "one must be path (or file, filename, file_name, filepath, file_path, image, image_path, \
                     image_name, img, image_id, id) and one label (or class, class_name, category, target, \
                     breed, species)";
        let named = format!("line 1: its columns are filename, kind, but {names}");
        assert_eq!(error("filename,kind\n1.jpg,cat\n"), named);
        // Nothing says which of the two it is.
        let named = format!("line 1: its columns are image, filename, label, but {names}");
        assert_eq!(error("image,filename,label\n1,1.jpg,cat\n"), named);
        let unknown = format!(
            "line 1: there is no file a/photo; if the line has the names of the columns, {names}"
        );
        assert_eq!(error("photo,kind\n1.jpg,cat\n"), unknown);
        assert_eq!(error("photo,cat,dog\n1.jpg,1,0\n"), unknown);
        let comma = "line 3: 3 fields, where the first line has 2: what has a comma in it must be in quotes, \
                     as \"a,b.jpg\",cat";
        assert_eq!(error("path,label\n1.jpg,cat\n2,5.jpg,cat\n"), comma);
        assert_eq!(error("1.jpg,cat\n3.jpg,cat\n2,5.jpg,cat\n"), comma);
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
