//! Results, on standard output.

use std::io::Write as _;

use anyhow::Result;

/// Prints lines. A reader that has gone is an error that [`crate::exit::is_broken_pipe`] knows.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    Ok(out.flush()?)
}

/// Prints a value on a line.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    lines([value.to_string()])
}
