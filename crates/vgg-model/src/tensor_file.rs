//! A safetensors file that carries its own checksum.
//!
//! The format is 8 bytes of header length, a JSON header, and the tensors' bytes; every safetensors
//! reader takes our files. Their header begins with the SHA-256 of the whole file, the digest
//! itself read as zeros, so a change of any byte is found before anything else is believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};
use vgg_tensor::new_file::{NewFile, WholeFile};
use vgg_tensor::{Error, Result, Tensor, hex};

mod keys;
mod read;

pub(crate) use read::{has_header, locate, read_own};

/// The version of what `header` means.
const SCHEMA: &str = "1";
/// How the header of our files begins, up to the digest.
const PREFIX: &str = r#"{"__metadata__":{"vgg.sha256":""#;
const DIGEST_START: usize = 8 + PREFIX.len();
const DIGEST_END: usize = DIGEST_START + 64;

/// Bytes that are read or written at once.
pub(crate) const PIECE: usize = 1 << 18;

/// Tensors by name.
pub(crate) type Tensors = Vec<(String, Tensor)>;

/// What files of this crate say beside their tensors.
pub(crate) struct Own {
    pub(crate) header: String,
    pub(crate) sha256: String,
}

/// Writes a file that is to be `path`, to its last byte on the disk, and returns it to be renamed,
/// with its digest.
pub(crate) fn write(
    path: &Path,
    header: &str,
    tensors: &[(String, Tensor)],
) -> Result<(WholeFile, String)> {
    let write = || {
        let new = NewFile::beside(path)?;
        let sha256 = write_to(new.file(), header, tensors)?;
        Ok((new.finish()?, sha256))
    };
    write().map_err(io_error(path))
}

pub(crate) fn io_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { path: path.into(), source }
}

pub(crate) fn format_error(path: &Path, reason: String) -> Error {
    Error::Format { path: path.into(), reason }
}

/// Turns a shape error into one that names the file it is about.
pub(crate) fn error_in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Shape(reason) => format_error(path, reason),
        other => other,
    }
}

#[derive(Serialize)]
struct Head<'a, M> {
    #[serde(rename = "__metadata__")]
    metadata: &'a M,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, Entry<'a>>,
}

/// In the order of the file: the digest first, where [`PREFIX`] expects it.
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "vgg.sha256")]
    sha256: &'a str,
    #[serde(rename = "vgg.schema")]
    schema: &'a str,
    #[serde(rename = "vgg.header")]
    header: &'a str,
    /// Some readers of PyTorch's world refuse files without it.
    format: &'a str,
}

#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'a str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

fn write_to(file: &File, header: &str, tensors: &[(String, Tensor)]) -> io::Result<String> {
    let mut out = Hashing { out: file, sha256: Sha256::new() };
    write_pieces(&mut out, &"0".repeat(64), header, tensors)?;
    let Hashing { out: mut file, sha256 } = out;
    let digest = hex(&sha256.finalize());
    file.seek(SeekFrom::Start(DIGEST_START as u64))?;
    file.write_all(digest.as_bytes())?;
    Ok(digest)
}

/// Writes the same bytes to what cannot be gone back in, such as a pipe: they are hashed first.
pub(crate) fn write_stream(
    out: &mut dyn Write,
    header: &str,
    tensors: &[(String, Tensor)],
) -> io::Result<()> {
    let mut hashing = Hashing { out: io::sink(), sha256: Sha256::new() };
    write_pieces(&mut hashing, &"0".repeat(64), header, tensors)?;
    write_pieces(out, &hex(&hashing.sha256.finalize()), header, tensors)
}

/// A whole file, whose digest is `sha256`.
fn write_pieces(
    out: &mut (impl Write + ?Sized),
    sha256: &str,
    header: &str,
    tensors: &[(String, Tensor)],
) -> io::Result<()> {
    let metadata = Metadata { sha256, schema: SCHEMA, header, format: "pt" };
    let shapes = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims()));
    out.write_all(&safetensors_header(&metadata, shapes)?)?;
    let mut bytes = Vec::new();
    for (_, tensor) in tensors {
        for numbers in tensor.data().chunks(PIECE / size_of::<f32>()) {
            bytes.clear();
            bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// How a safetensors file begins: all its bytes before the numbers. These are `f32`, little-endian,
/// tensor after tensor in the order given here as names and shapes.
///
/// ```
/// let metadata = std::collections::BTreeMap::from([("made_by", "me")]);
/// let mut file = vgg_model::safetensors_header(&metadata, [("x", &[2][..])])?;
/// file.extend([0.5_f32, 1.0].iter().flat_map(|x| x.to_le_bytes()));
/// # assert_eq!(safetensors::SafeTensors::deserialize(&file).unwrap().tensor("x").unwrap().shape(), [2]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If `metadata` is no map of strings.
pub fn safetensors_header<'a>(
    metadata: &impl Serialize,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let entries = tensors.into_iter().map(|(name, shape)| {
        let start = end;
        end += size_of::<f32>() * shape.iter().product::<usize>();
        (name, Entry { dtype: "F32", shape, data_offsets: [start, end] })
    });
    let mut head = serde_json::to_vec(&Head { metadata, tensors: entries.collect() })?;
    head.resize(head.len().next_multiple_of(8), b' ');
    Ok([&(head.len() as u64).to_le_bytes()[..], &head].concat())
}

/// What is hashed as it is written.
struct Hashing<W> {
    out: W,
    sha256: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
