//! Reading a file, checked before anything in it is believed.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError};
use sha2::{Digest, Sha256};
use vgg_tensor::{Error, Result, Tensor, hex, zeros};

use super::keys::repeated_key;
use super::{
    DIGEST_END, DIGEST_START, Own, PIECE, PREFIX, SCHEMA, Tensors, format_error, io_error,
};

/// A network's header has some ten thousand bytes. What one makes can take many times its own length
/// in memory, so that the format's own limit, 100 MB, is too much for files that nobody trusts.
const MAX_HEADER_LEN: u64 = 4 << 20;

/// The header of any safetensors file, and the byte where the tensors begin. A file of ours is one
/// whose checksum is right.
pub(crate) fn locate(path: &Path) -> Result<(Metadata, u64)> {
    let mut file = Reader::open(path)?;
    file.verify()?;
    let metadata = file.metadata()?;
    let start = file.file.stream_position().map_err(io_error(path))?;
    Ok((metadata, start))
}

/// Whether a file is one of ours, intact, that says more than its tensors.
pub(crate) fn has_header(path: &Path) -> Result<bool> {
    let mut file = Reader::open(path)?;
    if !file.is_own()? {
        return Ok(false);
    }
    file.verify()?;
    let metadata = file.metadata()?;
    let header = metadata.metadata().as_ref().and_then(|map| map.get("vgg.header"));
    Ok(header.is_some_and(|header| !header.is_empty()))
}

/// Reads a file that must be one of ours.
pub(crate) fn read_own(path: &Path) -> Result<(Own, Tensors)> {
    let mut file = Reader::open(path)?;
    let Some(sha256) = file.verify()? else {
        let reason = "no checksum where a checkpoint has it: this is no checkpoint, or damaged";
        return Err(format_error(path, reason.into()));
    };
    let metadata = file.metadata()?;
    let fields = metadata.metadata().as_ref();
    let field = |key: &str| fields.and_then(|map| map.get(key)).cloned().unwrap_or_default();
    let schema = field("vgg.schema");
    if schema != SCHEMA {
        let reason = format!("its schema is {schema:?}, and only {SCHEMA:?} is known here");
        return Err(format_error(path, reason));
    }
    Ok((Own { header: field("vgg.header"), sha256 }, file.tensors(&metadata)?))
}

/// A file that is read in pieces: as a whole, beside its tensors, it would take as much memory
/// again.
struct Reader<'a> {
    path: &'a Path,
    file: File,
    len: u64,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let open = || -> io::Result<_> {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok(Self { path, file, len })
        };
        open().map_err(io_error(path))
    }

    /// Whether it begins as a file of ours.
    fn is_own(&mut self) -> Result<bool> {
        let mut start = Vec::new();
        let mut head = self.start()?.take(DIGEST_START as u64);
        head.read_to_end(&mut start).map_err(io_error(self.path))?;
        Ok(start.get(8..) == Some(PREFIX.as_bytes()))
    }

    /// The digest, if the file is ours and it is the right one; `None` if the file is not ours.
    fn verify(&mut self) -> Result<Option<String>> {
        let mut start = Vec::new();
        self.start()?
            .take(DIGEST_END as u64)
            .read_to_end(&mut start)
            .map_err(io_error(self.path))?;
        if start.get(8..DIGEST_START) != Some(PREFIX.as_bytes()) {
            return Ok(None);
        }
        let mut sha256 = Sha256::new();
        sha256.update(&start[..DIGEST_START]);
        sha256.update([b'0'; 64]);
        let (mut piece, mut more) = (Vec::new(), true);
        while more {
            piece.clear();
            let mut next = (&self.file).take(PIECE as u64);
            more = next.read_to_end(&mut piece).map_err(io_error(self.path))? > 0;
            sha256.update(&piece);
        }
        let digest = hex(&sha256.finalize());
        if start.get(DIGEST_START..) == Some(digest.as_bytes()) {
            Ok(Some(digest))
        } else {
            let reason = "the checksum does not match: the file is damaged or cut short";
            Err(format_error(self.path, reason.into()))
        }
    }

    /// The header, checked; the tensors are next.
    fn metadata(&mut self) -> Result<Metadata> {
        let mut len = [0; 8];
        if self.len < len.len() as u64 {
            return Err(not_safetensors(self.path, SafeTensorError::HeaderTooSmall));
        }
        self.start()?.read_exact(&mut len).map_err(io_error(self.path))?;
        let (len, rest) = (u64::from_le_bytes(len), self.len - len.len() as u64);
        if len > rest {
            return Err(not_safetensors(self.path, SafeTensorError::InvalidHeaderLength));
        }
        if len > MAX_HEADER_LEN {
            let reason = format!("its header of {len} bytes is too long for a network's");
            return Err(format_error(self.path, reason));
        }
        let mut header = zeros(len as usize)?;
        self.file.read_exact(&mut header).map_err(io_error(self.path))?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| {
            not_safetensors(self.path, SafeTensorError::InvalidHeaderDeserialization(e))
        })?;
        if let Some(name) = repeated_key(&header) {
            let reason = format!("its header has {name:?} twice: it is damaged");
            return Err(format_error(self.path, reason));
        }
        // So no tensor is longer than the file.
        let (told, there) = (metadata.data_len() as u64, rest - len);
        if told != there {
            let what = if told > there { "it is cut short" } else { "something was appended" };
            let reason = format!("its tensors should take {told} bytes and take {there}: {what}");
            return Err(format_error(self.path, reason));
        }
        Ok(metadata)
    }

    /// The tensors, which follow the header.
    fn tensors(&mut self, metadata: &Metadata) -> Result<Tensors> {
        let mut piece = vec![0; PIECE];
        let mut tensors = Vec::new();
        for name in metadata.offset_keys() {
            let info = metadata.info(&name).expect("the header has what its keys name");
            let (start, end) = info.data_offsets;
            if info.dtype != Dtype::F32 {
                let reason = format!("{name} is {}, but checkpoints have F32", info.dtype);
                return Err(format_error(self.path, reason));
            }
            let mut data = zeros::<f32>((end - start) / size_of::<f32>())?;
            for numbers in data.chunks_mut(PIECE / size_of::<f32>()) {
                let bytes = &mut piece[..size_of_val(numbers)];
                self.file.read_exact(bytes).map_err(io_error(self.path))?;
                for (number, word) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                    *number = f32::from_le_bytes(*word);
                }
            }
            tensors.push((name, Tensor::new(&info.shape[..], data)?));
        }
        Ok(tensors)
    }

    /// The file, to be read from its start.
    fn start(&mut self) -> Result<&mut File> {
        self.file.rewind().map_err(io_error(self.path))?;
        Ok(&mut self.file)
    }
}

fn not_safetensors(path: &Path, error: SafeTensorError) -> Error {
    format_error(path, format!("not a safetensors file, or damaged: {error}"))
}
