//! CSV files with the numbers of their lines.

use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord, Trim};
use vgg_tensor::{Error, Result};

/// The records of a CSV file in UTF-8, of any numbers of fields without blanks around them, each with the
/// number of its line. `path` is for messages.
///
/// An item is an error where a record is not UTF-8.
pub(crate) fn records<'a>(
    path: &'a Path,
    text: &'a [u8],
) -> impl Iterator<Item = Result<(u64, StringRecord)>> {
    let reader =
        ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text);
    let mut numbers = LineNumbers { text, at: 0, line: 1 };
    reader.into_records().map(move |record| match record {
        Ok(record) => Ok((numbers.of(record.position()), record)),
        Err(error) => {
            let line = numbers.of(error.position());
            let reason = format!("line {line}: this is no CSV in UTF-8");
            Err(Error::Format { path: path.into(), reason })
        }
    })
}

/// What seems to be between the fields of a line without a comma: spreadsheets of many countries write it so.
pub(crate) fn other_separator(record: &StringRecord) -> Option<&'static str> {
    let of =
        |field: &str| [(';', ";"), ('\t', "a tab")].into_iter().find(|it| field.contains(it.0));
    match record.len() {
        1 => Some(of(record.get(0)?)?.1),
        _ => None,
    }
}

/// The numbers of lines: what the reader calls a record's position is before the line's end that is
/// left of the record before it.
struct LineNumbers<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl LineNumbers<'_> {
    /// The line of a record, none of which may be before the last that was asked for.
    fn of(&mut self, position: Option<&Position>) -> u64 {
        let start = position.map_or(0, |position| position.byte() as usize).min(self.text.len());
        let ends = self.text[start..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let passed = self.text[self.at..(start + ends).max(self.at)].iter();
        self.line += passed.filter(|byte| **byte == b'\n').count() as u64;
        self.at = self.at.max(start + ends);
        self.line
    }
}
