//! Files that appear whole.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes a whole file; a reader sees the old contents or the new ones, nothing between.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A fixed name: what a killed process left behind is overwritten.
    let temp = path.with_file_name(format!(".{name}.tmp"));
    let written = std::fs::write(&temp, contents).and_then(|()| std::fs::rename(&temp, path));
    if written.is_err() {
        // A full disk has no room for leftovers.
        let _ = std::fs::remove_file(&temp);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}
