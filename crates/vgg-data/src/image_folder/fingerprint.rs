//! Which files folders have, in a number.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};
use vgg_tensor::hex;

use super::{ImageFile, ImageFolder};
use crate::names::composed;

/// Of the files of one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    list: String,
    former: String,
}

impl Fingerprint {
    /// `name` of a file's path is what a file is called within its class.
    pub(super) fn new<'a>(
        files: impl Iterator<Item = &'a ImageFile>,
        classes: &[String],
        name: impl Fn(&'a Path) -> &'a Path,
    ) -> Self {
        let mut list = Sha256::new();
        let mut former = Sha256::new();
        for ImageFile { path, label, bytes, .. } in files {
            let class = &classes[*label as usize];
            let name = name(path).as_os_str();
            list.update(composed(class).as_bytes());
            list.update(b"/");
            match name.to_str() {
                Some(name) => list.update(composed(name).as_bytes()),
                None => list.update(name.as_encoded_bytes()),
            }
            list.update(format!("\t{bytes}\n"));
            // No name has a zero in it.
            for part in [class.as_bytes(), name.as_encoded_bytes()] {
                former.update(part);
                former.update([0]);
            }
            former.update(bytes.to_le_bytes());
        }
        let [list, former] = [list, former].map(|sha256| hex(&sha256.finalize()));
        Self { list, former }
    }
}

/// The SHA-256 of which files `folders` have: of a line a folder with the SHA-256 of its list, a line
/// a file with class, name and length (`cat/1.jpg`, a tab, `2048`).
pub fn fingerprint<'a>(folders: impl IntoIterator<Item = &'a ImageFolder>) -> String {
    let mut lines = String::new();
    for folder in folders {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{}", folder.fingerprint.list);
    }
    hex(&Sha256::digest(lines))
}

/// What stood for [`fingerprint`] in the configs of older runs: halves of two digests.
pub fn former_fingerprint<'a>(folders: impl IntoIterator<Item = &'a ImageFolder>) -> String {
    folders.into_iter().map(|folder| &folder.fingerprint.former[..32]).collect()
}
