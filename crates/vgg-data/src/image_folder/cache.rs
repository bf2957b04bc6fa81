//! What is known of the files of a folder from an earlier time.
//!
//! A text file for each folder: a line says what the file is, then there is a line an image, whose
//! key is its class and name, length and time of writing. A file that was rewritten with the same
//! length within the file system's tick passes for the old one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vgg_tensor::hex;
use vgg_tensor::new_file::NewFile;

use super::{ImageFile, Verdict};
use crate::picture::{Foreign, Header, Look};

const HEADER: &str = "images of a folder, as vgg-data found them; 3";

/// What is said of an image with one frame, and with more.
const STILL: &str = "still";
const MOVING: &str = "animated";

/// A file, and whether all of it was looked at or just its header.
type Entry = (bool, Verdict);

pub(super) struct Cache {
    path: Option<PathBuf>,
    entries: HashMap<String, Entry>,
}

impl Cache {
    /// The cache of the images in `dir`, kept in the folder `caches` if there is to be one.
    pub(super) fn open(caches: Option<&Path>, dir: &Path) -> Self {
        let whole = fs::canonicalize(dir).unwrap_or_else(|_| dir.into());
        let name = hex(&Sha256::digest(whole.as_os_str().as_encoded_bytes()));
        let path = caches.map(|caches| caches.join(format!("{}.txt", &name[..32])));
        let text = path.as_deref().and_then(|path| fs::read_to_string(path).ok());
        let mut lines = text.as_deref().unwrap_or_default().lines();
        let entries = match lines.next() {
            // A line that makes no sense is a file that is read again.
            Some(HEADER) => lines.filter_map(parse).collect(),
            _ => HashMap::new(),
        };
        Self { path, entries }
    }

    /// What is known of `file`, if it is as it was; if asked for, after a look at all of it.
    pub(super) fn get(&self, file: &ImageFile, whole: bool) -> Option<Verdict> {
        let (looked_at_all, verdict) = self.entries.get(&key(file))?;
        // What damages a header damages the whole.
        (*looked_at_all || verdict.is_err() || !whole).then(|| verdict.clone())
    }

    /// Keeps what was found. That it cannot be written costs time at the next start, no more.
    pub(super) fn store(&mut self, files: &[ImageFile], verdicts: &[Verdict], whole: bool) {
        let Some(path) = &self.path else { return };
        let mut text = format!("{HEADER}\n");
        for (file, verdict) in files.iter().zip(verdicts) {
            let key = key(file);
            let whole = whole || self.entries.get(&key).is_some_and(|(whole, _)| *whole);
            let depth = if whole { "whole" } else { "header" };
            // Writing to a string cannot fail.
            let _ = match verdict {
                Ok(Look::Image(Header { stored: [h, w], orientation, animated })) => {
                    let frames = if *animated { MOVING } else { STILL };
                    writeln!(text, "{key}\t{depth}\timage\t{h} {w} {orientation} {frames}")
                }
                Ok(Look::Foreign(kind)) => {
                    writeln!(text, "{key}\t{depth}\tforeign\t{}", kind.name)
                }
                Err(reason) => {
                    writeln!(text, "{key}\t{depth}\tdamaged\t{}", reason.replace(['\n', '\t'], " "))
                }
            };
        }
        if let Err(error) = write(path, &text) {
            log::warn!("cannot keep the list of images in {}: {error}", path.display());
        }
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let new = NewFile::beside_others(path)?;
    new.write(|out| out.write_all(text.as_bytes()))?;
    new.finish()?.rename(path)
}

/// Class and name, length and time. Names may be any bytes but need not be restored, so that only
/// those that would end a field are written otherwise.
fn key(ImageFile { path, bytes, modified, .. }: &ImageFile) -> String {
    let mut key = String::new();
    let names = [path.parent().and_then(Path::file_name), path.file_name()];
    for name in names.into_iter().flatten() {
        for &byte in name.as_encoded_bytes() {
            match byte {
                b'%' | 0x00..0x20 | 0x7f.. => key += &format!("%{byte:02x}"),
                byte => key.push(char::from(byte)),
            }
        }
        key.push('/');
    }
    key + &format!("\t{bytes}\t{modified}")
}

fn parse(line: &str) -> Option<(String, Entry)> {
    let (key_end, _) = line.match_indices('\t').nth(2)?;
    let (key, rest) = line.split_at(key_end);
    let mut fields = rest[1..].splitn(3, '\t');
    let whole = match fields.next()? {
        "whole" => true,
        "header" => false,
        _ => return None,
    };
    let verdict = match (fields.next()?, fields.next()?) {
        ("image", header) => Ok(Look::Image(parse_header(header)?)),
        ("foreign", name) => Ok(Look::Foreign(Foreign::called(name)?)),
        ("damaged", reason) => Err(reason.to_owned()),
        _ => return None,
    };
    Some((key.to_owned(), (whole, verdict)))
}

fn parse_header(text: &str) -> Option<Header> {
    let mut words = text.split(' ');
    let stored = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
    let orientation = words.next()?.parse().ok()?;
    let animated = match words.next()? {
        STILL => false,
        MOVING => true,
        _ => return None,
    };
    Some(Header { stored, orientation, animated })
}
