//! Results, on standard output; and what a screen is spared.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, StdoutLock, Write as _};

use anyhow::{Context as _, Result};
use terminal_size::{Width, terminal_size_of};

/// The reader of standard output has gone, as `head` does: no failure, but there is no more to do.
/// Of any other output it is one.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of standard output has gone")
    }
}

impl std::error::Error for ReaderGone {}

/// Prints lines.
///
/// # Errors
/// [`ReaderGone`], or another if standard output takes no more.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
    written(|out| {
        lines.into_iter().try_for_each(|line| writeln!(out, "{}", printable(line.as_ref())))
    })
}

/// Prints what is for a program, as it is.
///
/// # Errors
/// As [`lines`].
pub(crate) fn raw(bytes: &[u8]) -> Result<()> {
    written(|out| out.write_all(bytes))
}

fn written(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> Result<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if is_gone(&error, is_device()) => Err(ReaderGone.into()),
        printed => printed.context("cannot write to standard output"),
    }
}

/// Whether it is the reader that has gone. A terminal that was closed says so in other words than a
/// pipe.
fn is_gone(error: &io::Error, is_device: bool) -> bool {
    /// `EIO`, of a disk a failure.
    const INPUT_OUTPUT: i32 = 5;
    error.kind() == io::ErrorKind::BrokenPipe
        || is_device && error.raw_os_error() == Some(INPUT_OUTPUT)
}

/// Whether standard output is a device, as terminals are. One that was closed is none any more if
/// asked whether it is a terminal.
fn is_device() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use std::os::unix::fs::FileTypeExt as _;
        let file = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let metadata = file.and_then(|file| file.metadata());
        metadata.is_ok_and(|metadata| metadata.file_type().is_char_device())
    }
    #[cfg(not(unix))]
    false
}

/// How wide the screen is that results go to, if it is one.
pub(crate) fn columns() -> Option<usize> {
    let (Width(columns), _) = terminal_size_of(io::stdout())?;
    (columns > 0).then(|| columns.into())
}

/// Prints a value on a line.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    let mut text = String::new();
    for char in value.to_string().chars() {
        match char {
            // All that do not fit into one unit of four digits are harmless.
            char if is_control(char) => write!(text, "\\u{:04x}", u32::from(char))?,
            char => text.push(char),
        }
    }
    lines([text])
}

/// A line as it may go to a screen: names of files, classes and tensors are other people's, and a
/// character that moves the cursor, changes colours or the order of letters could forge a line. Such
/// characters are escaped; files have all names as they are.
pub(crate) fn printable(line: &str) -> Cow<'_, str> {
    match line.contains(is_control) {
        true => escaped(line, &[]).into(),
        false => line.into(),
    }
}

/// As [`printable`], of several lines, which may be indented with tabs.
pub(crate) fn printable_lines(text: &str) -> String {
    escaped(text, &['\n', '\t'])
}

fn escaped(text: &str, but: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match is_control(char) && !but.contains(&char) {
            true => escaped.extend(char.escape_debug()),
            false => escaped.push(char),
        }
    }
    escaped
}

/// Control characters, and those that start a line or turn the direction of writing.
fn is_control(char: char) -> bool {
    let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || turns || matches!(char, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_terminal_is_a_reader_that_has_gone() {
        let gone = |code, is_device| is_gone(&io::Error::from_raw_os_error(code), is_device);
        assert!(gone(5, true));
        assert!(!gone(5, false), "a disk that fails");
        assert!(!gone(28, true));
    }

    #[test]
    fn a_screen_gets_no_control_characters() {
        let name = "a\u{1b}[31m\n\u{9b}2K\r\u{202e}é 猫\\";
        let shown = r"a\u{1b}[31m\n\u{9b}2K\r\u{202e}é 猫\";
        assert_eq!(printable(name), shown);
        assert_eq!(printable(shown), shown, "what is printable stays");
        assert_eq!(printable_lines("a\n\tb\r"), "a\n\tb\\r");
    }
}
