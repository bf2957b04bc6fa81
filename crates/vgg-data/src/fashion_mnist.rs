//! Fashion-MNIST: 60,000 + 10,000 grey 28×28 images of ten kinds of clothing.
//!
//! Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
//! machine learning algorithms" (2017), in the version without duplicates of 31 August 2017.
//!
//! The files carry the names of plain MNIST's files and have the same sizes, so that only their
//! contents tell the two apart. Distributors compress them anew, so the checksums are those of the
//! decompressed contents.

use std::fs::File as DiskFile;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vgg_tensor::{Error, Result, hex};

use crate::{Dataset, idx};

/// The name of the data set's folder in the [folder of all data sets](crate::data_dir).
pub const FOLDER: &str = "fashion-mnist";

/// The height and width of the images.
pub const SIDE: usize = 28;

/// The names of the classes, in the order of the labels.
pub const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The four files of the data set.
pub const FILES: [File; 4] = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS];

const TRAIN_IMAGES: File = File {
    name: "train-images-idx3-ubyte",
    bytes: 47_040_016,
    gz_bytes: 26_421_880,
    sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    mnist: Excerpt {
        offset: 16 + 5 * SIDE + 12,
        bytes: &[3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127],
    },
};
const TRAIN_LABELS: File = File {
    name: "train-labels-idx1-ubyte",
    bytes: 60_008,
    gz_bytes: 29_515,
    sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    mnist: Excerpt { offset: 8, bytes: &[5, 0, 4, 1, 9, 2, 1, 3, 1, 4] },
};
const TEST_IMAGES: File = File {
    name: "t10k-images-idx3-ubyte",
    bytes: 7_840_016,
    gz_bytes: 4_422_102,
    sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    mnist: Excerpt { offset: 16 + 7 * SIDE + 6, bytes: &[84, 185, 159, 151, 60, 36] },
};
const TEST_LABELS: File = File {
    name: "t10k-labels-idx1-ubyte",
    bytes: 10_008,
    gz_bytes: 5_148,
    sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    mnist: Excerpt { offset: 8, bytes: &[7, 2, 1, 0, 4, 1, 4, 9, 5, 9] },
};

/// One of the two parts of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 60,000 images to train on.
    Train,
    /// 10,000 images to test on.
    Test,
}

/// A file of the data set: its name, and what must be in it.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// The name of the decompressed file; compressed, it ends in `.gz`.
    pub name: &'static str,
    /// The length of the decompressed file.
    pub bytes: u64,
    /// The length of the compressed file as its authors publish it, for display.
    pub gz_bytes: u64,
    /// The SHA-256 of the decompressed file, in hexadecimal.
    pub sha256: &'static str,
    /// What only plain MNIST's file of the same name has.
    pub(crate) mnist: Excerpt,
}

/// Some bytes of a file, and where they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excerpt {
    pub(crate) offset: usize,
    pub(crate) bytes: &'static [u8],
}

impl File {
    /// The name of the compressed file.
    pub(crate) fn gz_name(&self) -> String {
        format!("{}.gz", self.name)
    }

    /// Where this file is in the folder `dir`: compressed, or else as it is.
    ///
    /// # Errors
    /// When neither is there.
    pub fn find(&self, dir: &Path) -> Result<PathBuf> {
        let [gz, raw] = [dir.join(self.gz_name()), dir.join(self.name)];
        if gz.exists() {
            Ok(gz)
        } else if raw.exists() {
            Ok(raw)
        } else {
            Err(Error::Io { path: gz, source: ErrorKind::NotFound.into() })
        }
    }

    /// The decompressed and verified contents of the file in the folder `dir`.
    ///
    /// # Errors
    /// When the file is missing, cannot be read, or is not this file.
    pub fn read(&self, dir: &Path) -> Result<Vec<u8>> {
        let path = self.find(dir)?;
        let file =
            DiskFile::open(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        self.read_from(&path, BufReader::new(file))
    }

    /// The decompressed and verified contents of what `reader` gives. `path` is for messages only.
    ///
    /// # Errors
    /// When reading fails, or this is not this file.
    pub(crate) fn read_from(&self, path: &Path, reader: impl BufRead) -> Result<Vec<u8>> {
        let contents = idx::read_from(path, reader, self.bytes)?;
        let sha256 = hex(&Sha256::digest(&contents));
        if sha256 == self.sha256 {
            return Ok(contents);
        }
        let reason = if self.is_plain_mnist(&contents) {
            "this is plain MNIST (handwritten digits), not Fashion-MNIST".to_string()
        } else {
            format!(
                "not Fashion-MNIST's {}: {} bytes (decompressed) with sha256 {sha256}, \
                 should be {} bytes with sha256 {}",
                self.name,
                contents.len(),
                self.bytes,
                self.sha256
            )
        };
        Err(Error::Format { path: path.into(), reason })
    }

    fn is_plain_mnist(&self, contents: &[u8]) -> bool {
        let Excerpt { offset, bytes } = self.mnist;
        contents.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
    }
}

/// The folder of this data set, given that of all data sets ([`data_dir`](crate::data_dir)):
/// [`FOLDER`] in it, or itself if the user has named one with the four files in it.
pub fn folder(data_dir: &Path) -> PathBuf {
    let has_files = FILES.iter().all(|file| file.find(data_dir).is_ok());
    if has_files { data_dir.into() } else { data_dir.join(FOLDER) }
}

/// Reads one part of the data set from the folder `dir`, which holds the four files, compressed or
/// not.
///
/// # Errors
/// When a file is missing, cannot be read, or is not Fashion-MNIST's.
pub fn load(dir: &Path, split: Split) -> Result<Dataset> {
    let (images, labels) = match split {
        Split::Train => (TRAIN_IMAGES, TRAIN_LABELS),
        Split::Test => (TEST_IMAGES, TEST_LABELS),
    };
    // Labels first: they are small, and so a wrong folder is found out at once.
    let label_bytes = labels.read(dir)?;
    let image_bytes = images.read(dir)?;
    dataset(&dir.join(images.name), image_bytes, &dir.join(labels.name), &label_bytes)
}

/// Joins decompressed images and labels. The paths are for messages only.
pub(crate) fn dataset(
    images_path: &Path,
    images: Vec<u8>,
    labels_path: &Path,
    labels: &[u8],
) -> Result<Dataset> {
    let images = idx::parse_images(images_path, images)?;
    let labels = idx::parse_labels(labels_path, labels, CLASSES.len())?;
    let classes = CLASSES.map(String::from).to_vec();
    Dataset::new([1, images.h, images.w], images.pixels, labels, classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the right length whose contents start like plain MNIST's.
    fn plain_mnist(file: &File) -> Vec<u8> {
        let mut contents = vec![0; file.bytes as usize];
        let Excerpt { offset, bytes } = file.mnist;
        contents[offset..][..bytes.len()].copy_from_slice(bytes);
        contents
    }

    #[test]
    fn plain_mnist_is_refused_by_name() {
        for file in FILES {
            let contents = plain_mnist(&file);
            let error = file.read_from(Path::new(file.name), &contents[..]).unwrap_err();
            let expected = format!(
                "{}: this is plain MNIST (handwritten digits), not Fashion-MNIST",
                file.name
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn other_contents_are_refused_with_both_checksums() {
        let error = TEST_LABELS.read_from(Path::new("labels"), &b"hello"[..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "labels: not Fashion-MNIST's t10k-labels-idx1-ubyte: 5 bytes (decompressed) with \
             sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, \
             should be 10008 bytes with \
             sha256 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        );
        let too_long = vec![0; 10_009];
        let error = TEST_LABELS.read_from(Path::new("labels"), &too_long[..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "labels: byte 10008: more than the 10008 bytes that are expected"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("train-labels-idx1-ubyte.gz: "), "{message}");
    }

    #[test]
    fn a_folder_with_the_files_is_taken_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for file in FILES {
            assert_eq!(folder(dir.path()), dir.path().join(FOLDER));
            std::fs::write(dir.path().join(file.name), "").unwrap();
        }
        assert_eq!(folder(dir.path()), dir.path());
    }

    #[test]
    fn the_compressed_file_is_preferred() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path(TEST_LABELS.name), "").unwrap();
        assert_eq!(TEST_LABELS.find(dir.path()).unwrap(), path("t10k-labels-idx1-ubyte"));
        std::fs::write(path("t10k-labels-idx1-ubyte.gz"), "").unwrap();
        assert_eq!(TEST_LABELS.find(dir.path()).unwrap(), path("t10k-labels-idx1-ubyte.gz"));
    }
}
