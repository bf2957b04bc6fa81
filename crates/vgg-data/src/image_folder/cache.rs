//! What is known of the files of a folder from an earlier time.
//!
//! A text file for each folder: a line says what the file is, then there is a line an image, whose
//! key is its path in the folder, length and time of writing. A file that was rewritten with the same
//! length within the file system's tick passes for the old one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use vgg_tensor::hex;
use vgg_tensor::new_file::NewFile;

use super::{Digest, Found, ImageFile, Verdict};
use crate::picture::{Foreign, Header, Look};

const HEADER: &str = "images of a folder, as vgg-data found them; 4";

/// What is said of an image with one frame, and with more.
const STILL: &str = "still";
const MOVING: &str = "animated";

/// A file's digest, where it is not known.
const UNKNOWN: &str = "-";

/// What is known of a file.
struct Entry {
    /// Whether all of it was looked at, or just its header.
    whole: bool,
    verdict: Verdict,
    digest: Option<Digest>,
}

pub(super) struct Cache {
    /// The folder of the images.
    dir: PathBuf,
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
        Self { dir: dir.into(), path, entries }
    }

    /// What is known of `file`, if it is as it was; if asked for, after a look at all of it.
    pub(super) fn verdict(&self, file: &ImageFile, whole: bool) -> Option<Verdict> {
        let entry = self.entries.get(&self.key(file))?;
        // What damages a header damages the whole.
        (entry.whole || entry.verdict.is_err() || !whole).then(|| entry.verdict.clone())
    }

    /// The path in the folder, length and time. Names may be any bytes but need not be restored, so
    /// that only those that would end a field are written otherwise.
    fn key(&self, ImageFile { path, bytes, modified, .. }: &ImageFile) -> String {
        let mut key = String::new();
        for name in path.strip_prefix(&self.dir).unwrap_or(path).components() {
            for &byte in name.as_os_str().as_encoded_bytes() {
                match byte {
                    b'%' | 0x00..0x20 | 0x7f.. => key += &format!("%{byte:02x}"),
                    byte => key.push(char::from(byte)),
                }
            }
            key.push('/');
        }
        key + &format!("\t{bytes}\t{modified}")
    }

    /// The digest of the contents of `file`, if it is known and the file is as it was.
    pub(super) fn digest(&self, file: &ImageFile) -> Option<Digest> {
        self.entries.get(&self.key(file))?.digest
    }

    /// Keeps what was found. That it cannot be written costs time at the next start, no more.
    pub(super) fn store(&mut self, found: &[Found], whole: bool) {
        let Some(path) = &self.path else { return };
        let mut text = format!("{HEADER}\n");
        for Found { file, verdict, digest } in found {
            let key = self.key(file);
            let known = self.entries.get(&key);
            let whole = whole || known.is_some_and(|known| known.whole);
            let depth = if whole { "whole" } else { "header" };
            let digest = digest.or(known.and_then(|known| known.digest));
            let digest = digest.map_or(UNKNOWN.into(), |digest| hex(&digest));
            let mut line = |kind: &str, what: &str| {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{key}\t{depth}\t{digest}\t{kind}\t{what}");
            };
            match verdict {
                Ok(Look::Image(Header { stored: [h, w], orientation, animated })) => {
                    let frames = if *animated { MOVING } else { STILL };
                    line("image", &format!("{h} {w} {orientation} {frames}"));
                }
                Ok(Look::Foreign(kind)) => line("foreign", kind.name),
                Err(reason) => line("damaged", &reason.replace(['\n', '\t'], " ")),
            }
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

fn parse(line: &str) -> Option<(String, Entry)> {
    let (key_end, _) = line.match_indices('\t').nth(2)?;
    let (key, rest) = line.split_at(key_end);
    let mut fields = rest[1..].splitn(4, '\t');
    let whole = match fields.next()? {
        "whole" => true,
        "header" => false,
        _ => return None,
    };
    let digest = match fields.next()? {
        UNKNOWN => None,
        digits => Some(parse_digest(digits)?),
    };
    let verdict = match (fields.next()?, fields.next()?) {
        ("image", header) => Ok(Look::Image(parse_header(header)?)),
        ("foreign", name) => Ok(Look::Foreign(Foreign::called(name)?)),
        ("damaged", reason) => Err(reason.to_owned()),
        _ => return None,
    };
    Some((key.to_owned(), Entry { whole, verdict, digest }))
}

fn parse_digest(digits: &str) -> Option<Digest> {
    let bytes = digits.as_bytes().chunks(2).map(|pair| {
        // Otherwise a sign would pass for a digit.
        let digits = pair.iter().all(u8::is_ascii_hexdigit).then_some(pair)?;
        u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
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
