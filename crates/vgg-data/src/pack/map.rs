//! A file as memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use memmap2::Mmap;

/// All of a file; `None` of an empty one, which systems do not map.
#[derive(Debug)]
pub(super) struct Map(Option<Mmap>);

impl Map {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            let kind =
                if found.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
            return Err(Error::new(kind, "not a file"));
        }
        if found.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: a pack is written under another name, and nothing here writes to one. Whoever does
        // that meanwhile gives other levels of pixels, on which no memory access depends: the index
        // was copied.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Some(map)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
