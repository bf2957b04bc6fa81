//! From folders to a pack.

use std::io::Write;
use std::path::Path;

use rayon::prelude::*;
use vgg_tensor::{Error, Result};

use super::{Contents, Entry, Index, format};
use crate::image_folder::ImageFile;
use crate::picture::{Header, Look, look, read_file};
use crate::rescale::at_most;
use crate::threads::pool;
use crate::{ImageFolder, Picture};

/// Images that are read at a time.
const AT_ONCE: usize = 64;

/// Writes the images of `parts`, which have names and the same classes, to `out`. The file `path` that
/// this goes to is for messages only.
///
/// # Errors
/// When an image cannot be read or is damaged, or writing fails.
pub fn write(
    path: &Path,
    out: &mut dyn Write,
    parts: &[(&str, ImageFolder)],
    contents: Contents,
) -> Result<()> {
    let io = |source| Error::Io { path: path.into(), source };
    let pool = pool(0)?;
    let mut place = format::HEADER_LEN as u64;
    let mut entries = Vec::new();
    out.write_all(&format::header()).map_err(io)?;
    for (_, part) in parts {
        let names: Vec<_> = (0..part.files().len()).map(|i| part.name(i)).collect();
        for (files, names) in part.files().chunks(AT_ONCE).zip(names.chunks(AT_ONCE)) {
            let packed: Vec<Result<Packed>> =
                pool.install(|| files.par_iter().map(|file| pack(file, &contents)).collect());
            for ((file, name), packed) in files.iter().zip(names).zip(packed) {
                let Packed { bytes, header } = packed?;
                out.write_all(&bytes).map_err(io)?;
                entries.push(Entry {
                    start: place,
                    len: bytes.len() as u32,
                    crc32: crc32fast::hash(&bytes),
                    size: header.stored,
                    label: file.label,
                    orientation: header.orientation,
                    name: (*name).into(),
                });
                place += bytes.len() as u64;
            }
        }
    }
    let index = Index {
        contents,
        classes: parts.first().map_or(&[][..], |(_, part)| part.classes()).to_vec(),
        parts: parts.iter().map(|(name, part)| ((*name).to_owned(), part.files().len())).collect(),
        entries,
    };
    let index = index.encode();
    out.write_all(&index).map_err(io)?;
    out.write_all(&format::footer(place, &index)).map_err(io)
}

/// What is written of an image.
struct Packed {
    bytes: Vec<u8>,
    header: Header,
}

fn pack(file: &ImageFile, contents: &Contents) -> Result<Packed> {
    match contents {
        Contents::Files => {
            let bytes = read_file(&file.path)?;
            match look(&file.path)? {
                Look::Image(header) => Ok(Packed { bytes, header }),
                Look::Foreign(foreign) => {
                    Err(Error::Format { path: file.path.clone(), reason: foreign.to_string() })
                }
            }
        }
        Contents::Pixels { decoding, short_side } => {
            let Picture { pixels, h, w, .. } =
                at_most(Picture::read(&file.path, decoding)?, *short_side);
            // Turned, if at all, when it was decoded.
            let header = Header { stored: [h, w], orientation: 1, animated: false };
            Ok(Packed { bytes: pixels, header })
        }
    }
}
