//! The images: where they are, and how they are presented.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vgg_data::image_folder::{Arrangement, TEST, VAL};
use vgg_data::{Decoding, fashion_mnist};

use super::augment::Augment;
use super::limits::{at_least_one, in_f32};
use super::one_or_more::one_or_more;

/// The images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    pub dataset: DatasetName,
    /// Where the files of Fashion-MNIST are or go; the usual place if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Whether missing files may be fetched.
    pub download: bool,
    /// The folder of an image folder, with `train` and `val` or `test` in it; that of `labels` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// A CSV file with a line an image of the folder: path,label or path,label,split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// A file, or a folder of files, that say where the objects in the folder's images are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<PathBuf>,
    /// The number of the first pixel in Pascal VOC's files of boxes: 1 if left out, or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_pixel: Option<u32>,
    /// The file of a pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<PathBuf>,
    /// The share of an undivided image folder's images that is tested on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<f64>,
    /// Which of the parts of a folder, of `labels` or of a pack is tested on; `val`, if there is one, if left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_part: Option<TestPart>,
    /// How the training images of an epoch are chosen.
    pub sampler: Sampler,
    /// The channels that an image folder's files are decoded to.
    pub channels: usize,
    /// Leave out damaged files of an image folder.
    pub skip_damaged: bool,
    /// Whether image files are turned as their EXIF data say.
    pub orientation: Orientation,
    /// The colour that transparent pixels of image files are put over: red, green, blue. Without one,
    /// transparency is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 3]>,
    /// Whether JPEG files that are scaled down may be decoded at a part of their size.
    pub decode: Decode,
    /// Use only so many images of the training set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use only so many images of the test set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Test on so many images of the training set, which are not trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<usize>,
    /// The short side that an image folder's images are tested at; without a data set, that images
    /// to predict are scaled to, which are stretched if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_short_side: Option<usize>,
    pub normalize: Normalize,
    /// Subtracted from pixels on the scale 0 to 1, one number or one a channel.
    #[serde(deserialize_with = "one_or_more")]
    pub mean: Vec<f64>,
    /// Divides them after that, one number or one a channel.
    #[serde(deserialize_with = "one_or_more")]
    pub std: Vec<f64>,
    /// The classes of an image folder, or of a network without a data set, in the order of their
    /// labels. The program notes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The SHA-256 of the lists of an image folder's files. The program notes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_sha256: Option<String>,
    /// The SHA-256 of the objects in an image folder's images. The program notes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes_sha256: Option<String>,
    pub augment: Augment,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dataset: DatasetName::FashionMnist,
            dir: None,
            download: true,
            folder: None,
            labels: None,
            boxes: None,
            first_pixel: None,
            pack: None,
            split: None,
            test_part: None,
            sampler: Sampler::Shuffled,
            channels: 3,
            skip_damaged: false,
            orientation: Orientation::Exif,
            background: None,
            decode: Decode::Full,
            train_limit: None,
            test_limit: None,
            hold_out: None,
            test_short_side: None,
            normalize: Normalize::Given,
            mean: vec![0.0],
            std: vec![1.0],
            classes: Vec::new(),
            files_sha256: None,
            boxes_sha256: None,
            augment: Augment::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DatasetName {
    FashionMnist,
    /// A few hundred of its images, part of the program.
    FashionMnistSample,
    /// Image files in a folder a class.
    ImageFolder,
    /// Image files that `data pack` made one file of.
    Pack,
    /// There is none: the network was imported without one, and can predict.
    None,
}

/// How the training images of an epoch are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sampler {
    /// All, in random order.
    Shuffled,
    /// As many as there are, each class as often as any other.
    Balanced,
}

/// A split that is not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TestPart {
    Val,
    Test,
}

impl TestPart {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Val => VAL,
            Self::Test => TEST,
        }
    }
}

/// How image files lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Orientation {
    /// As their EXIF data say, and viewers show them.
    Exif,
    /// As they are stored.
    Stored,
}

/// At which size JPEG files are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decode {
    /// At their own.
    Full,
    /// At a half, a quarter or an eighth of it, where that is no smaller than what they are scaled to.
    Scaled,
}

/// Where mean and standard deviation come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Normalize {
    /// From the config.
    Given,
    /// From the training images.
    Data,
}

impl Data {
    /// What the images are called that a network is tested on.
    pub(crate) fn tested_on(&self) -> &'static str {
        if self.hold_out.is_some() { "held-out" } else { "test" }
    }

    /// What the data set is called: the data set's own name, or that of the folder.
    pub(crate) fn called(&self) -> Cow<'_, str> {
        match (self.dataset, &self.folder) {
            (DatasetName::FashionMnist, _) => "fashion-mnist".into(),
            (DatasetName::FashionMnistSample, _) => "fashion-mnist-sample".into(),
            (DatasetName::ImageFolder, Some(folder)) => {
                folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy()
            }
            (DatasetName::ImageFolder, None) => "image-folder".into(),
            (DatasetName::Pack, _) => match self.pack.as_deref().and_then(Path::file_stem) {
                Some(name) => name.to_string_lossy(),
                None => "pack".into(),
            },
            (DatasetName::None, _) => "none".into(),
        }
    }

    /// Whether images are files in folders.
    pub(crate) fn is_folder(&self) -> bool {
        self.dataset == DatasetName::ImageFolder
    }

    /// Whether images are files of any size, in folders or in a pack.
    pub(crate) fn has_any_size(&self) -> bool {
        matches!(self.dataset, DatasetName::ImageFolder | DatasetName::Pack)
    }

    /// Whether images are Fashion-MNIST's, or a sample of them.
    pub(crate) fn is_fashion(&self) -> bool {
        matches!(self.dataset, DatasetName::FashionMnist | DatasetName::FashionMnistSample)
    }

    /// The files that it names: what they say is there once.
    pub(crate) fn files(&self) -> Vec<&Path> {
        [&self.labels, &self.boxes, &self.pack]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect()
    }

    /// How the files of an image folder are labelled and divided.
    pub(crate) fn arrangement(&self) -> Arrangement {
        let test_part = self.test_part.map(TestPart::name);
        Arrangement { labels: self.labels.clone(), split: self.split, test_part }
    }

    /// How image files are decoded.
    pub(crate) fn decoding(&self) -> Decoding {
        Decoding {
            channels: self.channels,
            turned: self.orientation == Orientation::Exif,
            background: self.background,
            scaled: self.decode == Decode::Scaled,
        }
    }

    /// Channels, height and width of the images that a network with inputs of `side` is fed with.
    pub(crate) fn image_shape(&self, side: usize) -> [usize; 3] {
        match self.is_fashion() {
            true => [1, fashion_mnist::SIDE, fashion_mnist::SIDE],
            false => [self.channels, side, side],
        }
    }

    /// The names of the classes; of an image folder, once they are noted.
    pub(crate) fn class_names(&self) -> Vec<String> {
        match self.is_fashion() {
            true => fashion_mnist::CLASSES.map(String::from).to_vec(),
            false => self.classes.clone(),
        }
    }

    /// How a network of inputs of `side` is shown images of any size: scaled to this short side, or
    /// stretched.
    pub(crate) fn short_side_of_network(&self, side: usize) -> Option<usize> {
        match self.dataset {
            DatasetName::ImageFolder | DatasetName::Pack => Some(self.test_short_side(side)),
            DatasetName::None => self.test_short_side,
            DatasetName::FashionMnist | DatasetName::FashionMnistSample => None,
        }
    }

    /// The first and last short side that training images are scaled to.
    pub(crate) fn train_short_side(&self, side: usize) -> [usize; 2] {
        match self.augment.short_side[..] {
            [] => [side, side],
            [one] => [one, one],
            [least, most, ..] => [least, most],
        }
    }

    /// The short side that test images are scaled to: in the middle of those of training, as in
    /// the paper, unless it is given.
    pub(crate) fn test_short_side(&self, side: usize) -> usize {
        let [least, most] = self.train_short_side(side);
        self.test_short_side.unwrap_or(least.midpoint(most))
    }

    /// The first value out of its limits: its key, and what is wrong with it.
    pub(super) fn out_of_limits(&self, side: usize) -> Option<(&'static str, String)> {
        let limit = |n: Option<usize>| n.and_then(|n| at_least_one(n as u64));
        let [channels, ..] = self.image_shape(side);
        let per_channel = |numbers: &[f64]| {
            (numbers.len() != channels && numbers.len() != 1)
                .then(|| format!("must have a number a channel, {channels}, not {}", numbers.len()))
        };
        let mean = |x: &f64| {
            (!(-1e9..=1e9).contains(x))
                .then(|| format!("must be from -1e9 to 1e9, not {x}"))
                .or_else(|| in_f32(*x))
        };
        let std = |x: &f64| {
            (!(1e-9..=1e9).contains(x)).then(|| format!("must be from 1e-9 to 1e9, not {x}"))
        };
        let check = [
            ("data.train_limit", limit(self.train_limit)),
            ("data.test_limit", limit(self.test_limit)),
            ("data.hold_out", limit(self.hold_out)),
            ("data.mean", per_channel(&self.mean)),
            ("data.mean", self.mean.iter().find_map(mean)),
            ("data.std", per_channel(&self.std)),
            ("data.std", self.std.iter().find_map(std)),
        ];
        let problem = check.into_iter().find_map(|(key, problem)| Some((key, problem?)));
        problem
            .or_else(|| self.out_of_place())
            .or_else(|| self.augment.out_of_limits(self.image_shape(side)))
            .or_else(|| self.too_small(side))
    }

    /// A key that the data set has no use for, or that it needs.
    fn out_of_place(&self) -> Option<(&'static str, String)> {
        let of = |is: bool, what: &str| (!is).then(|| format!("is for {what} alone"));
        let of_folder = of(self.is_folder(), "dataset = \"image-folder\"");
        let of_files = of(self.has_any_size(), "dataset = \"image-folder\" and \"pack\"");
        let of_pack = of(self.dataset == DatasetName::Pack, "dataset = \"pack\"");
        let not_of_fashion = self.is_fashion().then(|| of_files.clone()).flatten();
        let augment = &self.augment;
        let given = |is: bool, problem: &Option<String>| problem.clone().filter(|_| is);
        let no_images = match self.dataset {
            DatasetName::ImageFolder if self.folder.is_none() && self.labels.is_none() => {
                Some("needs data.folder, with train and val")
            }
            DatasetName::Pack if self.pack.is_none() => Some("needs data.pack"),
            _ => None,
        };
        let share = |share: f64| {
            let is_share = share > 0.0 && share < 1.0;
            (!is_share).then(|| format!("must be above 0 and below 1, not {share}"))
        };
        let has_parts =
            self.dataset == DatasetName::Pack || self.is_folder() && self.split.is_none();
        let test_part = of(
            has_parts,
            "image folders with val and test, data.labels with a column split, and packs",
        );
        let check = [
            ("data.dataset", no_images.map(str::to_owned)),
            (
                "data.channels",
                (self.channels != 1 && self.channels != 3)
                    .then(|| format!("must be 1 or 3, not {}", self.channels)),
            ),
            ("data.test_short_side", given(self.test_short_side.is_some(), &not_of_fashion)),
            ("data.folder", given(self.folder.is_some(), &of_folder)),
            ("data.labels", given(self.labels.is_some(), &of_folder)),
            ("data.split", given(self.split.is_some(), &of_folder)),
            ("data.split", self.split.and_then(share)),
            (
                "data.first_pixel",
                self.first_pixel
                    .filter(|first| *first > 1)
                    .map(|n| format!("must be 0 or 1, not {n}")),
            ),
            ("data.test_part", given(self.test_part.is_some(), &test_part)),
            ("data.pack", given(self.pack.is_some(), &of_pack)),
            ("data.skip_damaged", given(self.skip_damaged, &of_folder)),
            ("data.augment.short_side", given(!augment.short_side.is_empty(), &of_files)),
            ("data.augment.random_crop", given(augment.random_crop, &of_files)),
        ];
        check.into_iter().find_map(|(key, problem)| Some((key, problem?)))
    }

    /// A short side that images of a network's side cannot be cut from.
    fn too_small(&self, side: usize) -> Option<(&'static str, String)> {
        let [least, _] = self.train_short_side(side);
        let sizes = [
            ("data.test_short_side", self.test_short_side(side)),
            ("data.augment.short_side", least),
        ];
        let (key, size) = sizes.into_iter().find(|(_, size)| !self.is_fashion() && *size < side)?;
        Some((key, format!("must be at least model.image_size, {side}, not {size}")))
    }
}
