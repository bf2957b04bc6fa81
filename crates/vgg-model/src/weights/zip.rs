//! Where the entries of a zip archive are.
//!
//! PyTorch and Keras store their archives' entries uncompressed, so that a tensor's numbers lie in the
//! file as they are: all that is needed of the format is its directory. A general reader would unpack
//! entries, and hide where they are.

use std::collections::HashMap;

use vgg_tensor::Result;

use super::source::{Entry, Source};

const END: &[u8] = b"PK\x05\x06";
const END_LEN: u64 = 22;
const MAX_COMMENT: u64 = 0xffff;
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
const ZIP64_LOCATOR_LEN: u64 = 20;
const ZIP64_END: &[u8] = b"PK\x06\x06";
const ZIP64_END_LEN: u64 = 56;
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
const DIRECTORY_ENTRY_LEN: usize = 46;
const LOCAL_ENTRY: &[u8] = b"PK\x03\x04";
const LOCAL_ENTRY_LEN: u64 = 30;
/// The extra field with what does not fit into 32 bits.
const ZIP64_EXTRA: u16 = 1;

/// What an archive is that has Python's code, in `code/__torch__` beside its data.
const SCRIPT: &str = "a program of TorchScript, which is not read: save its weights, as `torch.save(torch.jit.load(FILE).state_dict(), ...)`";

fn is_of_script(entry: &str) -> bool {
    let within = |path: &str| path.starts_with("code/__torch__");
    within(entry) || entry.split_once('/').is_some_and(|(_, path)| within(path))
}

/// The entries by name.
pub(super) fn entries(source: &Source) -> Result<HashMap<String, Entry>> {
    let (start, len) = directory(source)?;
    let directory = source.bytes(start, len)?;
    let mut rest = Fields(&directory);
    let (mut entries, mut places) = (HashMap::new(), Vec::new());
    while !rest.0.is_empty() {
        let (name, method, crc, header, len) =
            directory_entry(&mut rest).ok_or_else(|| damaged(source))?;
        if is_of_script(&name) {
            return Err(source.error(SCRIPT));
        }
        if method != 0 {
            return Err(source.error(format!(
                "{name:?} is compressed or encrypted in it, which neither PyTorch's nor Keras's files are"
            )));
        }
        // The lengths in the local header count: its extra field is another one.
        let local = source.bytes(header, LOCAL_ENTRY_LEN)?;
        let mut fields = Fields(&local[26..]);
        let (Some(name_len), Some(extra_len)) = (fields.u16(), fields.u16()) else {
            return Err(damaged(source));
        };
        let start = header + LOCAL_ENTRY_LEN + u64::from(name_len) + u64::from(extra_len);
        let within = start.checked_add(len).is_some_and(|end| end <= source.len());
        if !local.starts_with(LOCAL_ENTRY) || !within {
            return Err(damaged(source));
        }
        places.push((header, start + len));
        if entries
            .insert(name.clone(), Entry { start, len, crc: (crc != 0).then_some(crc) })
            .is_some()
        {
            return Err(source.error(format!("the zip archive is damaged: it has {name:?} twice")));
        }
    }
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(source.error("the zip archive is damaged: entries of it overlap"));
    }
    Ok(entries)
}

/// Start and length of the directory.
fn directory(source: &Source) -> Result<(u64, u64)> {
    let tail_len = source.len().min(END_LEN + MAX_COMMENT);
    let tail_start = source.len() - tail_len;
    let tail = source.bytes(tail_start, tail_len)?;
    let end = tail.windows(END_LEN as usize).rposition(|window| window.starts_with(END));
    let Some(end) = end else {
        return Err(source.error("its end is missing: it is cut short"));
    };
    let mut fields = Fields(&tail[end + 12..]);
    let (len, start) = fields.u32().zip(fields.u32()).ok_or_else(|| damaged(source))?;
    let locator = (tail_start + end as u64).checked_sub(ZIP64_LOCATOR_LEN);
    let locator = locator.map(|at| source.bytes(at, ZIP64_LOCATOR_LEN)).transpose()?;
    let Some(locator) = locator.filter(|locator| locator.starts_with(ZIP64_LOCATOR)) else {
        return Ok((u64::from(start), u64::from(len)));
    };
    let zip64_end = Fields(&locator[8..]).u64().ok_or_else(|| damaged(source))?;
    let zip64_end = source.bytes(zip64_end, ZIP64_END_LEN)?;
    let mut fields = Fields(&zip64_end[40..]);
    match fields.u64().zip(fields.u64()) {
        Some((len, start)) if zip64_end.starts_with(ZIP64_END) => Ok((start, len)),
        _ => Err(damaged(source)),
    }
}

/// Name, method (0 if neither compressed nor encrypted), checksum, place of the local header, and
/// length of an entry.
fn directory_entry(rest: &mut Fields<'_>) -> Option<(String, u16, u32, u64, u64)> {
    let mut fields = Fields(rest.take(DIRECTORY_ENTRY_LEN)?);
    if fields.take(4)? != DIRECTORY_ENTRY {
        return None;
    }
    fields.take(4)?; // versions
    let encrypted = fields.u16()? & 1;
    let method = fields.u16()? | encrypted;
    fields.take(4)?; // time
    let crc = fields.u32()?;
    let (packed, len) = (fields.u32()?, fields.u32()?);
    let (name_len, extra_len, comment_len) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.take(8)?; // disk, attributes
    let header = fields.u32()?;
    let name = String::from_utf8_lossy(rest.take(name_len.into())?).into_owned();
    let extra = zip64_extra(rest.take(extra_len.into())?);
    rest.take(comment_len.into())?;
    // The extra field has, in this order, what is all ones in the entry.
    let mut extra = Fields(extra);
    let mut wide = |field: u32| match field {
        u32::MAX => extra.u64(),
        _ => Some(u64::from(field)),
    };
    let (len, packed, header) = (wide(len)?, wide(packed)?, wide(header)?);
    let method = if packed == len { method } else { u16::MAX };
    Some((name, method, crc, header, len))
}

fn zip64_extra(extra: &[u8]) -> &[u8] {
    let mut rest = Fields(extra);
    while let Some((id, len)) = rest.u16().zip(rest.u16()) {
        match rest.take(len.into()) {
            Some(field) if id == ZIP64_EXTRA => return field,
            Some(_) => {}
            None => break,
        }
    }
    &[]
}

fn damaged(source: &Source) -> vgg_tensor::Error {
    source.error("the zip archive is damaged")
}

/// Little-endian numbers one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
