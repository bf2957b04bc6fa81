//! The bytes of files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use vgg_tensor::{Error, Result};

use super::MAX_BYTES;

/// Opens a file that may be an image.
pub(super) fn open(path: &Path) -> Result<File> {
    if path.is_dir() {
        let reason = "this is a folder; name the image files in it".into();
        return Err(Error::Format { path: path.into(), reason });
    }
    File::open(path).map_err(|source| Error::Io { path: path.into(), source })
}

/// The contents of a file, unless it is larger than any image should be.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_start(path, MAX_BYTES + 1)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("the file has more than {MAX_BYTES} bytes");
        return Err(Error::Format { path: path.into(), reason });
    }
    Ok(bytes)
}

/// The first `len` bytes of a file, or all if there are fewer.
pub(super) fn read_start(path: &Path, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(len).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { path: path.into(), source })?;
    Ok(bytes)
}
