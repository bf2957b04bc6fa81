//! Networks that were trained on ImageNet's photographs (ILSVRC 2012, 1,000 classes): torchvision's
//! VGGs, by name.
//!
//! They are shown the 224×224 pixels in the centre of an image whose short side is scaled to 256, less
//! ImageNet's mean colour and divided by its deviation, as whoever reads files of torchvision's knows
//! (`vgg_model::weights::Convention::TORCHVISION`).

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use vgg_tensor::{Error, Result, hex};

/// Where torchvision's authors keep the files: a URL that ends in a slash.
pub const HOME: &str = "https://download.pytorch.org/models/";

/// Whose the weights are, and what may be done with them, in a line.
pub const LICENCE: &str = "torchvision's weights (BSD-3-Clause), trained on ImageNet, whose own terms \
                           allow non-commercial research and teaching alone";

/// The 1,000 classes in the order of the networks' outputs, by torchvision's names.
pub fn classes() -> Vec<String> {
    include_str!("imagenet_classes.txt").lines().map(String::from).collect()
}

/// A network, and the file that has its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pretrained {
    /// What torchvision calls it: its configuration, and `_bn` behind it if it has batch normalisations.
    pub name: &'static str,
    /// The name of the file. It ends in the first eight digits of the file's SHA-256.
    pub file: &'static str,
    /// About how long the file is, to be shown.
    pub bytes: u64,
}

/// All of them.
pub const PRETRAINED: [Pretrained; 8] = [
    Pretrained { name: "vgg11", file: "vgg11-8a719046.pth", bytes: 531_460_000 },
    Pretrained { name: "vgg13", file: "vgg13-19584684.pth", bytes: 532_200_000 },
    Pretrained { name: "vgg16", file: "vgg16-397923af.pth", bytes: 553_434_000 },
    Pretrained { name: "vgg19", file: "vgg19-dcbb9e9d.pth", bytes: 574_673_000 },
    Pretrained { name: "vgg11_bn", file: "vgg11_bn-6002323d.pth", bytes: 531_503_000 },
    Pretrained { name: "vgg13_bn", file: "vgg13_bn-abd245e5.pth", bytes: 532_247_000 },
    Pretrained { name: "vgg16_bn", file: "vgg16_bn-6c64b313.pth", bytes: 553_508_000 },
    Pretrained { name: "vgg19_bn", file: "vgg19_bn-c79401a0.pth", bytes: 574_770_000 },
];

impl Pretrained {
    /// The network that torchvision calls `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRETRAINED.iter().find(|pretrained| pretrained.name == name)
    }

    /// The network whose file `path` is, by the file's name.
    pub fn of_file(path: &Path) -> Option<&'static Self> {
        PRETRAINED.iter().find(|pretrained| path.file_name() == Some(pretrained.file.as_ref()))
    }

    /// The first eight digits of the file's SHA-256, in hexadecimal: they find damage, and a mistaken
    /// file. A file that is made to have them is weights, all the same: nothing in it is run.
    pub fn digits(&self) -> &'static str {
        let (_, digits) = self.file.rsplit_once('-').expect("the names in the table have them");
        digits.trim_end_matches(".pth")
    }

    /// The SHA-256 of the file `path`, which must be this network's, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is another file.
    pub fn verify(&self, path: &Path) -> Result<String> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        self.verify_from(path, BufReader::new(file))
    }

    /// As [`Pretrained::verify`], of what `reader` gives. `path` is for messages only.
    pub(crate) fn verify_from(&self, path: &Path, mut reader: impl Read) -> Result<String> {
        let (mut sha256, mut piece, mut bytes) = (Sha256::new(), vec![0; 1 << 18], 0);
        loop {
            let read = match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Io { path: path.into(), source }),
            };
            sha256.update(&piece[..read]);
            bytes += read;
        }
        let sha256 = hex(&sha256.finalize());
        if sha256.starts_with(self.digits()) {
            return Ok(sha256);
        }
        let reason = format!(
            "not {}: {bytes} bytes with sha256 {sha256}, which should begin with {}",
            self.file,
            self.digits()
        );
        Err(Error::Format { path: path.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_torchvisions() {
        for Pretrained { name, file, .. } in PRETRAINED {
            let pretrained = Pretrained::find(name).unwrap();
            assert_eq!(Pretrained::of_file(&Path::new("a/b").join(file)), Some(pretrained));
            let digits = pretrained.digits();
            assert_eq!(file, format!("{name}-{digits}.pth"));
            assert!(digits.len() == 8 && u32::from_str_radix(digits, 16).is_ok(), "{digits}");
        }
        assert_eq!(Pretrained::find("vgg12"), None);
        assert_eq!(Pretrained::of_file(Path::new("vgg16.pth")), None);
    }

    #[test]
    fn the_classes_are_torchvisions() {
        let classes = classes();
        assert_eq!(classes.len(), 1000);
        assert_eq!(classes.iter().collect::<HashSet<_>>().len(), 1000);
        for (label, name) in
            [(0, "tench"), (258, "Samoyed"), (817, "sports car"), (999, "toilet tissue")]
        {
            assert_eq!(classes[label], name);
        }
    }
}
