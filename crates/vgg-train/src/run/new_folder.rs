//! Folders that are made for results.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::failure::{Code, Failure};

/// Makes the folder `path`, and those that it is in, where they are not there.
///
/// # Errors
/// A [`Failure`] with [`Code::Usage`] if one of them is a file, or an error if it cannot be made.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let Err(error) = fs::create_dir_all(path) else { return Ok(()) };
    let message = format!("cannot make the folder {}", path.display());
    match path.ancestors().find(|place| place.exists() && !place.is_dir()) {
        Some(file) => {
            let what = if file == path { "it".into() } else { file.display().to_string() };
            let message = format!("{message}: {what} is a file");
            Err(Failure::new(Code::Usage, message).help("name another folder").into())
        }
        None => Err(error).context(message),
    }
}
