//! What is fetched.

use std::fmt::Debug;
use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};

use vgg_tensor::{Error, Result};

use crate::fashion_mnist::File;
use crate::imagenet::{HOME, Pretrained};

/// A file that is fetched, and how the right one is told from others.
pub(super) trait Wanted: Debug + Sync {
    /// What mirrors call it, and what it is called where a mirror's is kept.
    fn name(&self) -> String;

    /// About how many bytes a mirror sends, to be shown.
    fn sent_bytes(&self) -> u64;

    /// What a mirror sends is not longer.
    fn most_bytes(&self) -> u64;

    /// Where it is in a folder.
    ///
    /// # Errors
    /// When it is not there.
    fn find(&self, folder: &Path) -> Result<PathBuf>;

    /// Fails unless what `reader` gives is the file. `path` is for messages only.
    fn verify(&self, path: &Path, reader: &mut dyn BufRead) -> Result<()>;

    /// What somebody looks for who gets it by hand: its name, length and checksum.
    fn described(&self) -> String;
}

impl Wanted for File {
    fn name(&self) -> String {
        self.gz_name()
    }

    fn sent_bytes(&self) -> u64 {
        self.gz_bytes
    }

    /// Compression never makes the files longer, so that their own length is a bound.
    fn most_bytes(&self) -> u64 {
        self.bytes
    }

    fn find(&self, folder: &Path) -> Result<PathBuf> {
        self.find(folder)
    }

    fn verify(&self, path: &Path, reader: &mut dyn BufRead) -> Result<()> {
        self.read_from(path, reader).map(drop)
    }

    fn described(&self) -> String {
        let (name, gz, raw, sha256) = (self.name, self.gz_bytes, self.bytes, self.sha256);
        format!("{name}.gz, about {gz} bytes; decompressed {raw} bytes, sha256 {sha256}")
    }
}

impl Wanted for Pretrained {
    fn name(&self) -> String {
        self.file.into()
    }

    fn sent_bytes(&self) -> u64 {
        self.bytes
    }

    /// The length is known to some thousand bytes.
    fn most_bytes(&self) -> u64 {
        self.bytes + (1 << 20)
    }

    fn find(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.file);
        match path.exists() {
            true => Ok(path),
            false => Err(Error::Io { path, source: ErrorKind::NotFound.into() }),
        }
    }

    fn verify(&self, path: &Path, reader: &mut dyn BufRead) -> Result<()> {
        self.verify_from(path, reader).map(drop)
    }

    fn described(&self) -> String {
        let Pretrained { file, bytes, .. } = self;
        let digits = self.digits();
        format!("{HOME}{file}, about {bytes} bytes, whose sha256 begins with {digits}")
    }
}
