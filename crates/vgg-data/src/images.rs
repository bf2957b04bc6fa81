//! Labelled images, wherever they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vgg_tensor::{Draw, Error, Result};

use crate::boxes::{BoundingBox, Object};
use crate::image_folder::ImageFile;
use crate::order::{balanced, shuffled};
use crate::pack::Pack;
use crate::picture::{Sampled, read_size};
use crate::{Dataset, Decoding, ImageFolder, Picture};

/// The random stream that chooses the images to hold out. It is drawn from with seed 0, so that runs
/// of different seeds are compared on the same images.
const HOLD_OUT_STREAM: u32 = 0x3001;

/// Images that can be read one at a time: a data set in memory, the files of an image folder or any
/// others, or some of them.
#[derive(Clone, Debug)]
pub struct Images {
    stored: Stored,
    /// The channels that pictures come with.
    channels: usize,
    /// Which of those stored, in this order.
    chosen: Arc<[u32]>,
    labels: Arc<[u32]>,
    /// The objects in each, if they are known.
    objects: Option<Arc<[Arc<[Object]>]>>,
}

#[derive(Clone, Debug)]
enum Stored {
    Memory(Arc<Dataset>),
    Folder(Arc<ImageFolder>),
    Files(Arc<Files>),
    Pack(Arc<Pack>, Decoding),
}

#[derive(Debug)]
struct Files {
    paths: Vec<PathBuf>,
    decoding: Decoding,
    classes: [String; 1],
}

impl From<Dataset> for Images {
    fn from(dataset: Dataset) -> Self {
        let (labels, [channels, ..]) = (dataset.labels().into(), dataset.image_shape());
        Self::all(Stored::Memory(Arc::new(dataset)), channels, labels)
    }
}

impl From<ImageFolder> for Images {
    fn from(folder: ImageFolder) -> Self {
        let labels = folder.files().iter().map(|file| file.label).collect();
        let channels = folder.decoding().channels;
        Self::all(Stored::Folder(Arc::new(folder)), channels, labels)
    }
}

impl Images {
    fn all(stored: Stored, channels: usize, labels: Arc<[u32]>) -> Self {
        let chosen = (0..labels.len() as u32).collect();
        Self { stored, channels, chosen, labels, objects: None }
    }

    /// Image files as [`Picture::read`] has them. Nobody says what they show: all are of one class,
    /// which has no name. None is opened before it is asked for.
    pub fn from_files(paths: &[PathBuf], decoding: Decoding) -> Self {
        let files = Files { paths: paths.to_vec(), decoding, classes: [String::new()] };
        let labels = vec![0; paths.len()].into();
        Self::all(Stored::Files(Arc::new(files)), decoding.channels, labels)
    }

    /// The images of a part of a pack. Of pixels nothing but the channels of `decoding` matters.
    ///
    /// # Errors
    /// When the pack has no such part.
    pub fn from_pack(pack: &Arc<Pack>, part: &str, decoding: Decoding) -> Result<Self> {
        let Some(range) = pack.range(part) else {
            let reason = format!("the pack has no part {part}");
            return Err(Error::Format { path: pack.path().into(), reason });
        };
        let labels = pack.labels().collect();
        let all = Self::all(Stored::Pack(pack.clone(), decoding), decoding.channels, labels);
        Ok(all.subset(&range.collect::<Vec<_>>()))
    }

    /// The same images with another number of channels: 1 (grey) or 3 (red, green, blue), converted
    /// as [`Picture::read`] does.
    ///
    /// # Errors
    /// When there is no such conversion.
    pub fn with_channels(&self, channels: usize) -> Result<Self> {
        if channels != self.channels
            && [channels, self.channels].iter().any(|c| ![1, 3].contains(c))
        {
            let message = format!("images of {} channels do not become {channels}", self.channels);
            return Err(Error::Shape(message));
        }
        Ok(Self { channels, ..self.clone() })
    }

    /// The same images with the objects in each, in their order; an image may have none.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are others than one list an image, an object's label names no class, or
    /// its box goes beyond its image. When the size of an image cannot be read.
    pub fn with_objects(&self, objects: Vec<Vec<Object>>) -> Result<Self> {
        if objects.len() != self.len() {
            let message = format!("objects of {} images, of {}", objects.len(), self.len());
            return Err(Error::Shape(message));
        }
        for (i, objects) in objects.iter().enumerate().filter(|(_, objects)| !objects.is_empty()) {
            let size = self.size(i)?;
            for Object { label, bounds } in objects {
                if *label as usize >= self.classes().len() {
                    let classes = self.classes().len();
                    let message =
                        format!("an object in image {i}: label {label} of {classes} classes");
                    return Err(Error::Shape(message));
                }
                if !BoundingBox::whole(size).contains(bounds) {
                    let ([h, w], corners) = (size, bounds.corners());
                    let message = format!("the box {corners:?} in image {i} of {h}×{w}");
                    return Err(Error::Shape(message));
                }
            }
        }
        let objects = objects.into_iter().map(Arc::from).collect();
        Ok(Self { objects: Some(objects), ..self.clone() })
    }

    /// The objects in image `i`; none if they are not known.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn objects(&self, i: usize) -> &[Object] {
        assert!(i < self.len(), "image {i} of {}", self.len());
        self.objects.as_ref().map_or(&[], |objects| &objects[i])
    }

    /// Where the objects of image `i` are that are of its own class.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn own_objects(&self, i: usize) -> impl Iterator<Item = &BoundingBox> + Clone {
        let own = move |object: &&Object| object.label == self.labels[i];
        self.objects(i).iter().filter(own).map(|object| &object.bounds)
    }

    /// Whether the objects in images are known.
    pub fn has_objects(&self) -> bool {
        self.objects.is_some()
    }

    /// The images in which there is an object of their class, in stored order.
    #[must_use]
    pub fn located(&self) -> Self {
        let is_there = |i: &usize| self.own_objects(*i).next().is_some();
        self.subset(&(0..self.len()).filter(is_there).collect::<Vec<_>>())
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The label of each image.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        match &self.stored {
            Stored::Memory(dataset) => dataset.classes(),
            Stored::Folder(folder) => folder.classes(),
            Stored::Files(files) => &files.classes,
            Stored::Pack(pack, _) => pack.classes(),
        }
    }

    /// The channels of every image.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width of image `i`, which is not decoded for that.
    ///
    /// # Errors
    /// When its file cannot be read, or its header is not that of an image.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn size(&self, i: usize) -> Result<[usize; 2]> {
        let at = self.chosen[i] as usize;
        match &self.stored {
            Stored::Memory(dataset) => {
                let [_, h, w] = dataset.image_shape();
                Ok([h, w])
            }
            Stored::Folder(folder) => Ok(folder.sizes()[at]),
            Stored::Files(files) => read_size(&files.paths[at], files.decoding.turned),
            Stored::Pack(pack, decoding) => Ok(pack.size(at, decoding.turned)),
        }
    }

    /// The file of image `i`, if it is one: of an image folder [its name](ImageFolder::name), as
    /// `val/cat/1.png`, and of other files the path that was given.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn file(&self, i: usize) -> Option<&Path> {
        let at = self.chosen[i] as usize;
        match &self.stored {
            Stored::Memory(_) => None,
            Stored::Folder(folder) => Some(folder.name(at)),
            Stored::Files(files) => Some(&files.paths[at]),
            Stored::Pack(pack, _) => Some(pack.name(at)),
        }
    }

    /// The folder that the images are files of.
    pub fn folder(&self) -> Option<&ImageFolder> {
        match &self.stored {
            Stored::Memory(_) | Stored::Files(_) | Stored::Pack(..) => None,
            Stored::Folder(folder) => Some(folder),
        }
    }

    /// Bytes of host memory that they take: images in memory, or what is known of files.
    pub fn bytes(&self) -> u64 {
        let of_a_path = |path: &Path| (size_of::<PathBuf>() + path.as_os_str().len()) as u64;
        let known = 2 * size_of::<u32>() as u64;
        let of_objects =
            |objects: &Arc<[Object]>| (size_of::<Arc<[Object]>>() + size_of_val(&**objects)) as u64;
        let objects = self.objects.iter().flat_map(|objects| objects.iter().map(of_objects));
        let objects: u64 = objects.sum();
        objects
            + match &self.stored {
                Stored::Memory(dataset) => (dataset.pixels().len() + 8 * dataset.len()) as u64,
                Stored::Folder(folder) => {
                    let own =
                        size_of::<ImageFile>() - size_of::<PathBuf>() + size_of::<[usize; 2]>();
                    let own = own as u64 + known;
                    folder.files().iter().map(|file| own + of_a_path(&file.path)).sum()
                }
                Stored::Files(files) => {
                    files.paths.iter().map(|path| known + of_a_path(path)).sum()
                }
                Stored::Pack(pack, _) => pack.bytes(),
            }
    }

    /// [`Images::bytes`] of these and others, which may be another part of the same.
    pub fn bytes_with(&self, other: &Self) -> u64 {
        let same = match (&self.stored, &other.stored) {
            (Stored::Memory(a), Stored::Memory(b)) => Arc::ptr_eq(a, b),
            (Stored::Folder(a), Stored::Folder(b)) => Arc::ptr_eq(a, b),
            (Stored::Files(a), Stored::Files(b)) => Arc::ptr_eq(a, b),
            (Stored::Pack(a, _), Stored::Pack(b, _)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        self.bytes() + if same { 0 } else { other.bytes() }
    }

    /// Bytes of the largest image's pixels that are decoded when it is read, as far as sizes are
    /// known; none if all are in memory.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        let size = |at: &u32| match &self.stored {
            Stored::Memory(_) | Stored::Files(_) => [0, 0],
            Stored::Folder(folder) => folder.sizes()[*at as usize],
            Stored::Pack(pack, decoding) => pack.size(*at as usize, decoding.turned),
        };
        let sizes = self.chosen.iter().map(size);
        sizes.map(|[h, w]| (h * w * self.channels) as u64).max().unwrap_or(0)
    }

    /// Image `i` at its own size.
    ///
    /// # Errors
    /// When its file cannot be read or is damaged.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn picture(&self, i: usize) -> Result<Picture> {
        self.picture_for(i, &|own| own).map(Sampled::into_picture)
    }

    /// Image `i` to be scaled to what `wanted` makes of its own height and width: at its own size, or
    /// at a smaller one that will do, if its decoding lets it.
    ///
    /// # Errors
    /// As [`Images::picture`].
    ///
    /// # Panics
    /// When there is no image `i`.
    pub(crate) fn picture_for(
        &self,
        i: usize,
        wanted: &dyn Fn([usize; 2]) -> [usize; 2],
    ) -> Result<Sampled<'_>> {
        let at = self.chosen[i] as usize;
        let read = |path: &Path, decoding: Decoding| {
            Picture::read_for(path, &Decoding { channels: self.channels, ..decoding }, wanted)
        };
        match &self.stored {
            Stored::Folder(folder) => read(&folder.files()[at].path, folder.decoding()),
            Stored::Files(files) => read(&files.paths[at], files.decoding),
            Stored::Pack(pack, decoding) => {
                pack.picture_for(at, &Decoding { channels: self.channels, ..*decoding }, wanted)
            }
            Stored::Memory(dataset) => {
                let [c, h, w] = dataset.image_shape();
                let planes = dataset.image(at);
                let pixels = (0..h * w).flat_map(|p| (0..c).map(move |c| planes[c * h * w + p]));
                let whole = Sampled::whole(pixels.collect::<Vec<_>>(), [h, w], c);
                Ok(whole.with_channels(self.channels).scaled_to(wanted([h, w])))
            }
        }
    }

    /// Whether all images are in memory as `shape`, channels × height × width.
    pub(crate) fn are_stored_as(&self, shape: [usize; 3]) -> bool {
        match &self.stored {
            Stored::Memory(dataset) => dataset.image_shape() == shape && self.channels == shape[0],
            Stored::Folder(_) | Stored::Files(_) | Stored::Pack(..) => false,
        }
    }

    /// The pixels of image `i`, `[c, h, w]`, as they are in memory.
    pub(crate) fn stored_pixels(&self, i: usize) -> Option<&[u8]> {
        match &self.stored {
            Stored::Memory(dataset) => Some(dataset.image(self.chosen[i] as usize)),
            Stored::Folder(_) | Stored::Files(_) | Stored::Pack(..) => None,
        }
    }

    /// A subset of `n` images, or all if there are fewer: as far as possible the same number of
    /// every class, of each class the first ones, in stored order.
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        self.subset(&balanced(&self.labels, self.classes().len(), n))
    }

    /// All images but `n`, and those `n`, chosen at random and always the same.
    ///
    /// # Errors
    /// When no image would be left.
    pub fn hold_out(&self, n: usize) -> Result<(Self, Self)> {
        if n >= self.len() {
            let message = format!("{n} images of {} cannot be held out", self.len());
            return Err(Error::Shape(message));
        }
        let mut order = shuffled(self.len(), Draw { seed: 0, stream: HOLD_OUT_STREAM, step: 0 });
        order[..n].sort_unstable();
        order[n..].sort_unstable();
        let subset =
            |part: &[u32]| self.subset(&part.iter().map(|&i| i as usize).collect::<Vec<_>>());
        Ok((subset(&order[n..]), subset(&order[..n])))
    }

    /// The images with these numbers, in this order.
    ///
    /// # Panics
    /// When there is no image of such a number.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            stored: self.stored.clone(),
            channels: self.channels,
            chosen: indices.iter().map(|&i| self.chosen[i]).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            objects: self
                .objects
                .as_ref()
                .map(|objects| indices.iter().map(|&i| objects[i].clone()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_folder::OpenOptions;

    fn images(n: usize) -> Images {
        let labels = (0..n as u32).map(|i| i % 2).collect();
        let classes = ["a", "b"].map(String::from).to_vec();
        Dataset::new([1, 1, 1], (0..n as u8).collect(), labels, classes).unwrap().into()
    }

    fn pixels(images: &Images) -> Vec<u8> {
        (0..images.len()).map(|i| images.picture(i).unwrap().pixels[0]).collect()
    }

    #[test]
    fn held_out_images_are_not_trained_on() {
        let (rest, held) = images(100).hold_out(20).unwrap();
        assert_eq!((rest.len(), held.len()), (80, 20));
        let mut all = [pixels(&rest), pixels(&held)].concat();
        // Labels go with their images.
        assert!(pixels(&held).iter().zip(held.labels()).all(|(p, l)| u32::from(p % 2) == *l));
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<u8>>());
        assert_eq!(pixels(&images(100).hold_out(20).unwrap().1), pixels(&held));
        assert_ne!(pixels(&held), (0..20).collect::<Vec<u8>>());
        let error = images(3).hold_out(3).unwrap_err().to_string();
        assert_eq!(error, "3 images of 3 cannot be held out");
        // A part of a part.
        assert_eq!(pixels(&rest.take(4)).len(), 4);
    }

    #[test]
    fn objects_go_with_their_images() {
        let bounds = BoundingBox::whole([1, 1]);
        let object = |label| Object { label, bounds };
        let all = images(4);
        assert!(!all.has_objects() && all.objects(3).is_empty());
        let objects = vec![vec![object(1)], vec![object(0), object(1)], vec![], vec![object(1)]];
        let known = all.with_objects(objects).unwrap();
        assert_eq!(known.objects(1), [object(0), object(1)]);
        assert_eq!(known.subset(&[2, 1]).objects(1), known.objects(1));
        assert_eq!(pixels(&known.located()), [1, 3], "of their own class");
        assert!(known.located().has_objects() && known.bytes() > all.bytes());
        let error = |objects| all.with_objects(objects).unwrap_err().to_string();
        assert_eq!(error(vec![]), "objects of 0 images, of 4");
        let of_the_second = |object| vec![vec![], vec![object], vec![], vec![]];
        assert_eq!(error(of_the_second(object(2))), "an object in image 1: label 2 of 2 classes");
        let bounds = BoundingBox::new([0.0, 0.0, 1.0, 1.5]).unwrap();
        let beyond = "the box [0.0, 0.0, 1.0, 1.5] in image 1 of 1×1";
        assert_eq!(error(of_the_second(Object { label: 0, bounds })), beyond);
    }

    #[test]
    fn planes_become_pixels() {
        let classes = vec!["a".to_owned()];
        let dataset = Dataset::new([3, 1, 2], vec![1, 2, 3, 4, 5, 6], vec![0], classes).unwrap();
        let picture = Images::from(dataset).picture(0).unwrap();
        assert_eq!(picture.pixels, [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn files_are_images() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.png", "b.jpg"].map(|name| dir.path().join(name));
        image::GrayImage::new(7, 9).save(&paths[0]).unwrap();
        image::RgbImage::new(5, 4).save(&paths[1]).unwrap();
        let images = Images::from_files(&paths, Decoding::turned(3));
        assert_eq!((images.len(), images.labels()), (2, &[0, 0][..]));
        assert_eq!([images.size(0).unwrap(), images.size(1).unwrap()], [[9, 7], [4, 5]]);
        assert_eq!(images.subset(&[1]).file(0), Some(&*paths[1]));
        let picture = images.subset(&[1]).picture(0).unwrap();
        assert_eq!([picture.h, picture.w, picture.c], [4, 5, 3]);
        std::fs::write(&paths[1], "text").unwrap();
        let error = images.size(1).unwrap_err();
        assert!(error.is_of_a_file());
        let error = error.to_string();
        assert!(
            error.ends_with("b.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image"),
            "{error}"
        );
    }

    #[test]
    fn files_of_a_folder_are_named_from_its_part_on() {
        let dir = tempfile::tempdir().unwrap();
        let val = dir.path().join("val");
        for class in ["cat", "dog"] {
            std::fs::create_dir_all(val.join(class)).unwrap();
            image::GrayImage::new(1, 1).save(val.join(class).join("1.png")).unwrap();
        }
        let options = OpenOptions::of(Decoding::turned(1));
        let classes = ["cat", "dog"].map(String::from);
        let folder = Images::from(ImageFolder::open(&val, &classes, &options).unwrap());
        let turned = folder.subset(&[1, 0, 1]);
        let files = [0, 1, 2].map(|i| turned.file(i).unwrap());
        assert_eq!(files, ["val/dog/1.png", "val/cat/1.png", "val/dog/1.png"].map(Path::new));
        assert_eq!(images(1).file(0), None);
    }

    #[test]
    fn channels_are_converted() {
        let grey = images(2).with_channels(3).unwrap();
        assert_eq!((grey.channels(), grey.size(1).unwrap()), (3, [1, 1]));
        assert_eq!(grey.picture(1).unwrap().pixels, [1, 1, 1]);
        let classes = vec!["a".to_owned()];
        let colour = Dataset::new([3, 1, 1], vec![255, 0, 0], vec![0], classes).unwrap();
        let colour = Images::from(colour).with_channels(1).unwrap();
        assert_eq!(colour.picture(0).unwrap().pixels, [76]);
        assert_eq!(grey.with_channels(1).unwrap().picture(1).unwrap().pixels, [1]);
        let error = colour.with_channels(2).unwrap_err().to_string();
        assert_eq!(error, "images of 1 channels do not become 2");
    }
}
