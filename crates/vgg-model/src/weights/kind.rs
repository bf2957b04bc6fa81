//! What a file is, by its first bytes.

/// A file that may have weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A zip archive, as `torch.save` and Keras 3 write it.
    Zip,
    /// Pickles, as `torch.save` wrote them before.
    Legacy,
    Safetensors,
    Onnx,
    /// As Keras writes it.
    Hdf5,
}

/// Bytes that decide.
pub(super) const HEAD: u64 = 512;

impl Kind {
    /// What a file is that begins with `head`.
    ///
    /// # Errors
    /// What it is if it has no weights that are read here, and what to do.
    pub(super) fn of(head: &[u8]) -> Result<Self, &'static str> {
        let text = head.trim_ascii_start();
        let begins = |start: &[u8]| {
            text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
        };
        if head.is_empty() {
            return Err("the file is empty");
        }
        // A header's length goes before it, of which these would be absurd ones.
        if begins(b"version https://git-lfs") {
            return Err(
                "a pointer of Git LFS, not the weights themselves: `git lfs pull` fetches them",
            );
        }
        if begins(b"<!doctype") || begins(b"<html") || begins(b"<?xml") {
            return Err("a web page, which a server sent in place of the weights: fetch them anew");
        }
        let reason = match head {
            [b'P', b'K', 3, 4, ..] => return Ok(Kind::Zip),
            [_, _, _, _, _, _, _, _, b'{', ..] => return Ok(Kind::Safetensors),
            [0x80, ..] => return Ok(Kind::Legacy),
            [0x89, b'H', b'D', b'F', ..] => return Ok(Kind::Hdf5),
            // The format's version, then any other field of a model.
            [8, 1..=32, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72, ..] => {
                return Ok(Kind::Onnx);
            }
            [0x1f, 0x8b, ..] => "compressed by gzip: unpack it first",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed by zstd: unpack it first",
            [0xfd, b'7', b'z', b'X', b'Z', ..] => "compressed by xz: unpack it first",
            [b'B', b'Z', b'h', ..] => "compressed by bzip2: unpack it first",
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
                "an array of NumPy, which has no names: write all of them to safetensors"
            }
            _ if begins(b"{") => {
                "JSON, not weights; if it lists the files that a network is divided into, write all \
                 their tensors to one"
            }
            _ if head.get(257..262) == Some(b"ustar") => "a tar archive: unpack it first",
            _ => "neither a safetensors file nor one of torch.save or Keras, or damaged",
        };
        Err(reason)
    }
}

/// What an archive is that has no `data.pkl`, by its entries.
pub(super) fn of_archive<'a>(mut entries: impl Iterator<Item = &'a str>) -> &'static str {
    if entries.any(|name| name.ends_with(".npy")) {
        "an archive of NumPy, which is not read: write its arrays to safetensors"
    } else {
        "a zip archive, but none of torch.save or Keras: it has no data.pkl and no model.weights.h5"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_what_they_are() {
        let says = |head: &[u8], expected: &str| {
            let reason = Kind::of(head).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        };
        says(b"", "empty");
        says(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS");
        says(b"\n <!DOCTYPE html><html>", "a web page");
        says(b"<HTML>", "a web page");
        says(b"<?xml version=\"1.0\"?><Error>", "a web page");
        says(b"{\n  \"metadata\": {}, \"weight_map\": {}}", "JSON, not weights");
        says(b"\x1f\x8b\x08", "gzip");
        says(b"\x93NUMPY\x01\0", "NumPy");
        says(&[&[b'a'; 257][..], b"ustar\0"].concat(), "tar");
        says(b"Hello, world", "neither");
        assert_eq!(Kind::of(b"PK\x03\x04"), Ok(Kind::Zip));
        assert_eq!(Kind::of(b"\x80\x02\x8a\x0a"), Ok(Kind::Legacy));
        assert_eq!(Kind::of(b"\x08\x08\x12\x07pytorch"), Ok(Kind::Onnx));
        assert_eq!(Kind::of(b"\x89HDF\r\n\x1a\n"), Ok(Kind::Hdf5));
        assert_eq!(Kind::of(b"\x80\0\0\0\0\0\0\0{"), Ok(Kind::Safetensors));
        assert!(of_archive(["a.npy"].into_iter()).contains("NumPy"));
        assert!(of_archive(["a.txt"].into_iter()).contains("no data.pkl"));
    }
}
