//! Files that appear whole.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::exit::{Code, Failure};

/// Refuses a file that has no folder: before what is to be written is computed, not after.
pub(crate) fn check_folder(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            let (path, folder) = (path.display(), folder.display());
            let message = format!("cannot write {path}: there is no folder {folder}");
            Err(Failure::new(Code::Usage, message).into())
        }
        _ => Ok(()),
    }
}

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
