//! The IDX file format of MNIST and its relatives, read strictly.
//!
//! All numbers are big-endian `u32`. Images: magic `0x00000803`, count, height, width, then one
//! byte a pixel in row-major order. Labels: magic `0x00000801`, count, then one byte a label.
//! Nothing may follow. Files may be gzip-compressed.
//!
//! Every error names the file, and the offset in the *decompressed* bytes where it shows.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use vgg_tensor::{Error, Result};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Grey images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The number of images.
    pub n: usize,
    /// The height of each, in pixels.
    pub h: usize,
    /// The width of each, in pixels.
    pub w: usize,
    /// `[n, h, w]`, 0 to 255.
    pub pixels: Vec<u8>,
}

/// The bytes of the file `path`, decompressed if they are gzip.
///
/// # Errors
/// As [`read_from`], and when the file cannot be opened.
pub fn read(path: &Path, max_len: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    read_from(path, BufReader::new(file), max_len)
}

/// The bytes that `reader` gives, decompressed if they are gzip. `path` is for messages only.
///
/// # Errors
/// When there are more than `max_len` bytes after decompression (no more than that is ever held,
/// so a gzip bomb costs nothing), when the gzip stream is damaged, cut short, or followed by
/// anything, and when reading fails.
pub fn read_from(path: &Path, mut reader: impl BufRead, max_len: u64) -> Result<Vec<u8>> {
    let io_error = |source| Error::Io { path: path.into(), source };
    let start = reader.fill_buf().map_err(io_error)?;
    if !start.starts_with(&GZIP_MAGIC) {
        return read_bounded(path, reader, max_len);
    }
    let mut decoder = GzDecoder::new(reader);
    let bytes = read_bounded(path, &mut decoder, max_len)?;
    if !decoder.into_inner().fill_buf().map_err(io_error)?.is_empty() {
        return Err(format_error(path, bytes.len(), "bytes follow the end of the gzip stream"));
    }
    Ok(bytes)
}

fn read_bounded(path: &Path, reader: impl Read, max_len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match reader.take(max_len.saturating_add(1)).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > max_len => {
            let reason = format!("more than the {max_len} bytes that are expected");
            Err(format_error(path, bytes.len() - 1, &reason))
        }
        Ok(_) => Ok(bytes),
        // What the gzip decoder reports; anything else comes from the operating system.
        Err(error) => match error.kind() {
            ErrorKind::UnexpectedEof => {
                Err(format_error(path, bytes.len(), "the gzip stream is cut short"))
            }
            ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                let reason = format!("the gzip stream is damaged ({error})");
                Err(format_error(path, bytes.len(), &reason))
            }
            _ => Err(Error::Io { path: path.into(), source: error }),
        },
    }
}

/// The images of the decompressed file `bytes`. `path` is for messages only.
///
/// # Errors
/// When the magic number is another, a side is 0, or the length does not match the header.
pub fn parse_images(path: &Path, mut bytes: Vec<u8>) -> Result<Images> {
    check_magic(path, &bytes, IMAGES_MAGIC)?;
    let [n, h, w] = [4, 8, 12].map(|offset| read_u32(path, &bytes, offset));
    let (n, h, w) = (n? as usize, h? as usize, w? as usize);
    if h == 0 || w == 0 {
        let offset = if h == 0 { 8 } else { 12 };
        return Err(format_error(path, offset, &format!("images of {h}×{w} pixels")));
    }
    // A product of three `u32` fits `u128`, so that no header can make this wrap.
    check_len(path, &bytes, 16, n as u128 * h as u128 * w as u128)?;
    bytes.drain(..16);
    Ok(Images { n, h, w, pixels: bytes })
}

/// The labels of the decompressed file `bytes`, each below `classes`. `path` is for messages only.
///
/// # Errors
/// When the magic number is another, the length does not match the header, or a label is
/// `classes` or more.
pub fn parse_labels(path: &Path, bytes: &[u8], classes: usize) -> Result<Vec<u32>> {
    check_magic(path, bytes, LABELS_MAGIC)?;
    let n = read_u32(path, bytes, 4)?;
    check_len(path, bytes, 8, u128::from(n))?;
    let labels = &bytes[8..];
    if let Some(i) = labels.iter().position(|&label| usize::from(label) >= classes) {
        let reason = format!("label {} of {classes} classes (label number {i})", labels[i]);
        return Err(format_error(path, 8 + i, &reason));
    }
    Ok(labels.iter().map(|&label| u32::from(label)).collect())
}

/// The IDX file of `pixels`, which are `[n, h, w]`: the inverse of [`parse_images`].
///
/// # Panics
/// When there are not whole images, or more than 2³² − 1.
pub fn encode_images(h: usize, w: usize, pixels: &[u8]) -> Vec<u8> {
    assert_eq!(pixels.len() % (h * w), 0, "whole images");
    encode(IMAGES_MAGIC, &[pixels.len() / (h * w), h, w], pixels)
}

/// The IDX file of `labels`: the inverse of [`parse_labels`].
///
/// # Panics
/// When there are more than 2³² − 1.
pub fn encode_labels(labels: &[u8]) -> Vec<u8> {
    encode(LABELS_MAGIC, &[labels.len()], labels)
}

fn encode(magic: u32, dims: &[usize], data: &[u8]) -> Vec<u8> {
    let dims = dims.iter().map(|&dim| u32::try_from(dim).expect("IDX counts are 32-bit"));
    let header = std::iter::once(magic).chain(dims).flat_map(u32::to_be_bytes);
    header.chain(data.iter().copied()).collect()
}

fn check_magic(path: &Path, bytes: &[u8], expected: u32) -> Result<()> {
    let magic = read_u32(path, bytes, 0)?;
    if magic == expected {
        return Ok(());
    }
    let what = |magic| match magic {
        IMAGES_MAGIC => " (IDX images)",
        LABELS_MAGIC => " (IDX labels)",
        _ => "",
    };
    let (found, wanted) = (what(magic), what(expected));
    let reason = format!("magic number {magic:#010x}{found}, should be {expected:#010x}{wanted}");
    Err(format_error(path, 0, &reason))
}

fn read_u32(path: &Path, bytes: &[u8], offset: usize) -> Result<u32> {
    match bytes.get(offset..).and_then(|rest| rest.first_chunk()) {
        Some(&word) => Ok(u32::from_be_bytes(word)),
        None => Err(format_error(path, bytes.len(), "the file ends inside its header")),
    }
}

fn check_len(path: &Path, bytes: &[u8], header_len: usize, data_len: u128) -> Result<()> {
    let len = bytes.len() as u128;
    let expected = header_len as u128 + data_len;
    if len < expected {
        let reason = format!("the file ends here, its header promises {expected} bytes");
        return Err(format_error(path, bytes.len(), &reason));
    }
    if len > expected {
        let reason = format!("{} bytes too many follow", len - expected);
        return Err(format_error(path, expected as usize, &reason));
    }
    Ok(())
}

fn format_error(path: &Path, offset: usize, reason: &str) -> Error {
    Error::Format { path: path.into(), reason: format!("byte {offset}: {reason}") }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
        read_from(Path::new("file.gz"), bytes, LIMIT)
    }

    fn images(bytes: &[u8]) -> Result<Images> {
        parse_images(Path::new("images"), bytes.to_vec())
    }

    fn labels(bytes: &[u8]) -> Result<Vec<u32>> {
        parse_labels(Path::new("labels"), bytes, 10)
    }

    fn check<T: std::fmt::Debug>(result: Result<T>, message: &str) {
        assert_eq!(result.unwrap_err().to_string(), message);
    }

    #[test]
    fn well_formed_files_are_read() {
        let file = encode_images(2, 3, &(0..12).collect::<Vec<u8>>());
        let expected = Images { n: 2, h: 2, w: 3, pixels: (0..12).collect() };
        assert_eq!(file[..16], [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(images(&file).unwrap(), expected);
        assert_eq!(unpack(&gzip(&file)).unwrap(), file);
        assert_eq!(unpack(&file).unwrap(), file);
        assert_eq!(labels(&encode_labels(&[9, 0, 3])).unwrap(), [9, 0, 3]);
    }

    #[test]
    fn headers_are_checked() {
        check(images(b""), "images: byte 0: the file ends inside its header");
        check(images(&[0, 0, 8, 3, 0, 0, 0]), "images: byte 7: the file ends inside its header");
        check(
            images(&encode_labels(&[1; 20])),
            "images: byte 0: magic number 0x00000801 (IDX labels), should be 0x00000803 (IDX images)",
        );
        check(
            labels(b"<html>\n<body>"),
            "labels: byte 0: magic number 0x3c68746d, should be 0x00000801 (IDX labels)",
        );
        let zero_width = encode(IMAGES_MAGIC, &[1, 2, 0], &[]);
        check(images(&zero_width), "images: byte 12: images of 2×0 pixels");
        let huge = encode(IMAGES_MAGIC, &[u32::MAX as usize; 3], &[0; 5]);
        let message = "images: byte 21: the file ends here, its header promises \
                       79228162458924105385300197391 bytes";
        check(images(&huge), message);
    }

    #[test]
    fn lengths_and_labels_are_checked() {
        let file = encode_images(2, 2, &[7; 8]);
        check(
            images(&file[..20]),
            "images: byte 20: the file ends here, its header promises 24 bytes",
        );
        let long = [&file[..], &[0; 3]].concat();
        check(images(&long), "images: byte 24: 3 bytes too many follow");
        check(
            labels(&encode_labels(&[1, 2, 10])),
            "labels: byte 10: label 10 of 10 classes (label number 2)",
        );
    }

    #[test]
    fn gzip_is_checked() {
        let packed = gzip(&[5; 1000]);
        check(
            unpack(&packed[..packed.len() - 1]),
            "file.gz: byte 1000: the gzip stream is cut short",
        );
        let trailing = [&packed[..], b"x"].concat();
        check(unpack(&trailing), "file.gz: byte 1000: bytes follow the end of the gzip stream");
        let mut damaged = packed.clone();
        let checksum = packed.len() - 8;
        damaged[checksum] ^= 1;
        let message = unpack(&damaged).unwrap_err().to_string();
        assert!(message.starts_with("file.gz: byte 1000: the gzip stream is damaged"), "{message}");
    }

    #[test]
    fn a_gzip_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![0; 16 << 20]);
        check(
            unpack(&bomb),
            "file.gz: byte 1048576: more than the 1048576 bytes that are expected",
        );
        // Exactly at the limit is still fine.
        assert_eq!(unpack(&gzip(&vec![0; LIMIT as usize])).unwrap().len(), LIMIT as usize);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("no/such/file"), LIMIT).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path == Path::new("no/such/file")));
    }

    proptest! {
        /// Whatever the bytes, there is an answer, and it fits the bytes.
        #[test]
        fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(images) = images(&bytes) {
                prop_assert_eq!(images.pixels.len(), images.n * images.h * images.w);
            }
            let _ = labels(&bytes);
            let _ = unpack(&bytes);
            let _ = unpack(&[&GZIP_MAGIC[..], &[8], &bytes].concat());
        }

        /// A header or length that was changed is refused. (Changed pixels are the checksum's job.)
        #[test]
        fn mutated_images_are_refused(offset in 0..16_usize, flip in 1..=255_u8, cut in 0..48_usize) {
            let file = encode_images(4, 2, &[9; 32]);
            let mut mutated = file.clone();
            mutated[offset] ^= flip;
            prop_assert!(images(&mutated).is_err());
            prop_assert!(images(&file[..cut]).is_err());
        }

        #[test]
        fn mutated_labels_are_refused(offset in 0..8_usize, flip in 1..=255_u8, cut in 0..28_usize) {
            let file = encode_labels(&[3; 20]);
            let mut mutated = file.clone();
            mutated[offset] ^= flip;
            prop_assert!(labels(&mutated).is_err());
            prop_assert!(labels(&file[..cut]).is_err());
        }

        /// Compressed bytes that were changed either still mean the same (unused header bits do)
        /// or are refused: damaged contents never get through.
        #[test]
        fn mutated_gzip_never_gives_other_bytes(
            data in prop::collection::vec(any::<u8>(), 1..200),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let packed = gzip(&data);
            let mut mutated = packed.clone();
            mutated[at.index(packed.len())] ^= flip;
            // Without the gzip magic the bytes are no longer a gzip file but an unpacked one.
            if mutated.starts_with(&GZIP_MAGIC) && let Ok(bytes) = unpack(&mutated) {
                prop_assert_eq!(bytes, data);
            }
            prop_assert!(unpack(&packed[..at.index(packed.len() - 2) + 2]).is_err());
        }
    }
}
