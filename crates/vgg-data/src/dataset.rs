//! A labelled set of images in memory.

use vgg_tensor::{Error, Result};

use crate::order::balanced;

/// Images of one size as bytes, with their labels and the names of the classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    c: usize,
    h: usize,
    w: usize,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Dataset {
    /// A data set of `labels.len()` images.
    ///
    /// # Shapes
    /// `pixels`: `[n, c, h, w]`, 0 to 255; `labels`: `[n]`, each below `classes.len()`.
    ///
    /// # Errors
    /// When a side is 0, the lengths do not fit together, or a label names no class.
    pub fn new(
        [c, h, w]: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Result<Self> {
        let n = labels.len();
        let image_len = c.checked_mul(h).and_then(|len| len.checked_mul(w)).filter(|&len| len > 0);
        if image_len.and_then(|len| len.checked_mul(n)) != Some(pixels.len()) {
            let message = format!("{} bytes are not {n} images of {c}×{h}×{w}", pixels.len());
            return Err(Error::Shape(message));
        }
        if let Some(i) = labels.iter().position(|&label| label as usize >= classes.len()) {
            let (label, classes) = (labels[i], classes.len());
            return Err(Error::Shape(format!("image {i}: label {label} of {classes} classes")));
        }
        Ok(Dataset { c, h, w, pixels, labels, classes })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The channels, height and width of every image.
    pub fn image_shape(&self) -> [usize; 3] {
        [self.c, self.h, self.w]
    }

    /// The number of bytes of an image, `c · h · w`.
    fn image_len(&self) -> usize {
        self.c * self.h * self.w
    }

    /// All pixels, `[n, c, h, w]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels of image `i`, `[c, h, w]`.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.image_len()..][..self.image_len()]
    }

    /// All labels, `[n]`.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// A subset of `n` images, or all if there are fewer: as far as possible the same number of
    /// every class, of each class the first ones, in stored order.
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        let chosen = balanced(&self.labels, self.classes.len(), n);
        Dataset {
            pixels: chosen.iter().flat_map(|&i| self.image(i)).copied().collect(),
            labels: chosen.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    /// Image `i` is the two bytes `i, i`.
    fn dataset(labels: &[u32]) -> Dataset {
        let pixels = (0..labels.len() as u8).flat_map(|i| [i, i]).collect();
        Dataset::new([1, 2, 1], pixels, labels.to_vec(), classes()).unwrap()
    }

    #[test]
    fn lengths_and_labels_must_fit() {
        let check = |shape, len, labels: &[u32], message: &str| {
            let error = Dataset::new(shape, vec![0; len], labels.to_vec(), classes()).unwrap_err();
            assert_eq!(error.to_string(), message);
        };
        check([1, 2, 2], 7, &[0, 1], "7 bytes are not 2 images of 1×2×2");
        check([1, 0, 2], 0, &[0], "0 bytes are not 1 images of 1×0×2");
        check([1, 2, 2], 8, &[0, 3], "image 1: label 3 of 3 classes");
    }

    #[test]
    fn take_balances_the_classes_and_keeps_the_order() {
        let all = dataset(&[0, 0, 0, 1, 0, 2, 1, 2]);
        let check = |n, labels: &[u32], images: &[u8]| {
            let subset = all.take(n);
            assert_eq!(subset.labels(), labels);
            let firsts: Vec<u8> = (0..subset.len()).map(|i| subset.image(i)[0]).collect();
            assert_eq!(firsts, images);
        };
        check(0, &[], &[]);
        check(3, &[0, 1, 2], &[0, 3, 5]);
        check(4, &[0, 0, 1, 2], &[0, 1, 3, 5]);
        // Classes 1 and 2 have only two images each: class 0 fills up.
        check(7, &[0, 0, 0, 1, 2, 1, 2], &[0, 1, 2, 3, 5, 6, 7]);
        assert_eq!(all.take(100), all);
    }
}
