//! Texts that the user wrote.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Reads a text in UTF-8. The byte-order mark that some editors put in front is no part of it.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let message = "the text is in UTF-16; save it as UTF-8";
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|b| *b == b'\n');
        let message = format!("line {} is not UTF-8; save the text as UTF-8", line.count());
        io::Error::new(ErrorKind::InvalidData, message)
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_begins_after_its_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let read = |bytes: &[u8]| {
            let path = folder.path().join("text");
            fs::write(&path, bytes).unwrap();
            read_text(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read("\u{feff}é\n\u{feff}".as_bytes()).unwrap(), "é\n\u{feff}");
        assert_eq!(read(b"a\nb\xe9").unwrap_err(), "line 2 is not UTF-8; save the text as UTF-8");
        assert_eq!(read(b"\xff\xfea\0").unwrap_err(), "the text is in UTF-16; save it as UTF-8");
    }
}
