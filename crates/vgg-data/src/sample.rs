//! A few hundred real Fashion-MNIST images inside the library, for tests and first steps that need
//! neither network nor files. `sample/README.md` says how they were chosen.

use std::path::Path;

use vgg_tensor::Result;

use crate::fashion_mnist::{self, Split};
use crate::{Dataset, idx};

/// The number of training images in the sample.
pub const TRAIN_LEN: usize = 512;

/// The number of test images in the sample.
pub const TEST_LEN: usize = 256;

/// One part of the sample: [`TRAIN_LEN`] or [`TEST_LEN`] images, the classes balanced.
///
/// # Errors
/// When the embedded files are damaged, which a test rules out.
pub fn load(split: Split) -> Result<Dataset> {
    let (images_name, images, labels_name, labels): (_, &[u8], _, &[u8]) = match split {
        Split::Train => (
            "sample/train-images-idx3-ubyte.gz",
            include_bytes!("../sample/train-images-idx3-ubyte.gz"),
            "sample/train-labels-idx1-ubyte.gz",
            include_bytes!("../sample/train-labels-idx1-ubyte.gz"),
        ),
        Split::Test => (
            "sample/t10k-images-idx3-ubyte.gz",
            include_bytes!("../sample/t10k-images-idx3-ubyte.gz"),
            "sample/t10k-labels-idx1-ubyte.gz",
            include_bytes!("../sample/t10k-labels-idx1-ubyte.gz"),
        ),
    };
    let (images_path, labels_path) = (Path::new(images_name), Path::new(labels_name));
    let images = idx::read_from(images_path, images, 1 << 20)?;
    let labels = idx::read_from(labels_path, labels, 1 << 20)?;
    fashion_mnist::dataset(images_path, images, labels_path, &labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_whole_and_balanced() {
        for (split, len) in [(Split::Train, TRAIN_LEN), (Split::Test, TEST_LEN)] {
            let sample = load(split).unwrap();
            assert_eq!(sample.len(), len);
            assert_eq!(sample.image_shape(), [1, 28, 28]);
            for class in 0..10 {
                let count = sample.labels().iter().filter(|&&label| label == class).count();
                assert!(count == len / 10 || count == len / 10 + 1, "class {class}: {count}");
            }
            assert_eq!(sample.take(len), sample);
        }
    }

    /// The first labels of the data set begin the sample too, as no class is full that early.
    #[test]
    fn the_sample_starts_as_the_data_set_does() {
        let check = |split, labels| assert_eq!(load(split).unwrap().labels()[..16], labels);
        check(Split::Train, [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9]);
        check(Split::Test, [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5, 7, 3, 4, 1]);
    }
}
