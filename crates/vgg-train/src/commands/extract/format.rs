//! Descriptors as files: a matrix of `f32`, a row an image.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use vgg_model::safetensors_header;

use crate::failure::{Code, Failure};

/// A format, which the end of a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DescriptorFormat {
    /// NumPy's: `numpy.load` reads it.
    Npy,
    /// With the tensor `features`, and the files' names as a JSON array in the metadata.
    Safetensors,
}

impl DescriptorFormat {
    pub(super) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("npy") => Ok(DescriptorFormat::Npy),
            Some("safetensors") => Ok(DescriptorFormat::Safetensors),
            _ => {
                let message = format!("--output {} has no known format", path.display());
                let help = "the name of the file ends in .npy or .safetensors";
                Err(Failure::new(Code::Usage, message).help(help).into())
            }
        }
    }
}

/// What a file says before the numbers, which follow in little-endian order.
pub(super) struct Header<'a> {
    /// Images, and numbers of each.
    pub dims: [usize; 2],
    pub files: &'a [PathBuf],
    /// How they were made, by name.
    pub about: &'a [(&'a str, String)],
}

impl Header<'_> {
    pub(super) fn to_bytes(&self, format: DescriptorFormat) -> io::Result<Vec<u8>> {
        match format {
            DescriptorFormat::Npy => Ok(self.npy()),
            DescriptorFormat::Safetensors => self.safetensors(),
        }
    }

    /// Version 1.0: a Python dictionary, padded so that the numbers start at a multiple of 64 bytes.
    fn npy(&self) -> Vec<u8> {
        const START: usize = 10;
        let [n, d] = self.dims;
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {d}), }}");
        let len = (START + header.len() + 1).next_multiple_of(64) - START;
        header += &" ".repeat(len - 1 - header.len());
        header.push('\n');
        let len = (len as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes()].concat()
    }

    fn safetensors(&self) -> io::Result<Vec<u8>> {
        let names: Vec<_> = self.files.iter().map(|file| file.to_string_lossy()).collect();
        let mut metadata: BTreeMap<_, _> = self.about.iter().cloned().collect();
        metadata.insert("files", json!(names).to_string());
        safetensors_header(&metadata, [("features", &self.dims[..])])
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    const NUMBERS: [f32; 6] = [0.5, -1.0, 2.0, 0.0, 3.25, 1e-3];

    /// A file of [`NUMBERS`].
    fn file(format: DescriptorFormat, files: &[PathBuf], about: &[(&str, String)]) -> Vec<u8> {
        let mut bytes = Header { dims: [2, 3], files, about }.to_bytes(format).unwrap();
        bytes.extend(NUMBERS.iter().flat_map(|x| x.to_le_bytes()));
        bytes
    }

    #[test]
    fn npy_is_what_numpy_writes() {
        let bytes = file(DescriptorFormat::Npy, &[], &[]);
        // numpy.save of this matrix: its first bytes, and its length.
        let start =
            b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(bytes[..start.len()], start[..]);
        assert!(bytes[start.len()..127].iter().all(|byte| *byte == b' ') && bytes[127] == b'\n');
        let numbers: Vec<u8> = NUMBERS.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(bytes[128..], numbers);
    }

    #[test]
    fn safetensors_reads_the_other_format() {
        let files = ["a.png", "b \"c\".jpg"].map(PathBuf::from);
        let about = [("layer", "fc7".to_owned())];
        let bytes = file(DescriptorFormat::Safetensors, &files, &about);
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let features = read.tensor("features").unwrap();
        assert_eq!((features.dtype(), features.shape()), (safetensors::Dtype::F32, &[2, 3][..]));
        assert_eq!(features.data(), bytes[bytes.len() - 24..].to_vec());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!(metadata["files"], r#"["a.png","b \"c\".jpg"]"#);
        assert_eq!(metadata["layer"], "fc7");
    }

    #[test]
    fn the_name_of_the_file_says_the_format() {
        assert_eq!(DescriptorFormat::of(Path::new("a/b.npy")).unwrap(), DescriptorFormat::Npy);
        let error = DescriptorFormat::of(Path::new("b.csv")).unwrap_err().to_string();
        assert_eq!(error, "--output b.csv has no known format");
    }
}
