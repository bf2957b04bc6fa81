use std::fs;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::image_folder::{Arrangement, OpenOptions, TRAIN, VAL};
use crate::{Augment, ImageFolder, Images, Loader, Transform};

type Parts = Vec<(&'static str, ImageFolder)>;

/// `train` with 12 images and `val` with 6, PNG and JPEG of 20 to 31 pixels.
fn folder() -> (TempDir, Parts) {
    let dir = tempfile::tempdir().unwrap();
    for (part, n) in [(TRAIN, 6), (VAL, 3)] {
        for (class, tint) in [("cat", 3), ("dog", 90)] {
            let folder = dir.path().join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..n {
                let level = |x, y| (x * 31 + y * 17 + i * 7 + tint) as u8;
                let image = RgbImage::from_fn(20 + 2 * i, 31 - i, |x, y| {
                    Rgb([level(x, y), level(y, x), i as u8])
                });
                image.save(folder.join(format!("{i}.{}", ["png", "jpg"][i as usize % 2]))).unwrap();
            }
        }
    }
    let (arrangement, options) = (Arrangement::default(), OpenOptions::of(Decoding::turned(3)));
    let classes = arrangement.class_names(dir.path()).unwrap();
    let parts = arrangement.open(dir.path(), &classes, &options).unwrap();
    (dir, parts)
}

fn packed(contents: Contents) -> (TempDir, Parts, Vec<u8>) {
    let (dir, parts) = folder();
    let mut bytes = Vec::new();
    write(Path::new("a.pack"), &mut bytes, &parts, contents).unwrap();
    (dir, parts, bytes)
}

/// Opens these bytes as a file.
fn open(bytes: &[u8]) -> Result<(TempDir, Arc<Pack>)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pack");
    fs::write(&path, bytes).unwrap();
    Ok((dir, Arc::new(Pack::open(&path)?)))
}

fn error(bytes: &[u8]) -> String {
    let message = open(bytes).unwrap_err().to_string();
    message.split_once("a.pack: ").unwrap().1.to_owned()
}

fn pixels(short_side: usize) -> Contents {
    Contents::Pixels { decoding: Decoding::turned(3), short_side }
}

/// All batches of two epochs, the second from its third batch on.
fn batches(images: Images, threads: usize) -> Vec<crate::Batch> {
    let augment = Augment { random_crop: true, flip: true, pad_crop: 2, ..Augment::default() };
    let transform = Transform::scaled([3, 16, 16], [20, 20]).unwrap().with(augment).unwrap();
    let loader = Loader::new(images, transform, 5, threads).unwrap().shuffled(9);
    let mut all = Vec::new();
    for (epoch, first) in [(0, 0), (1, 2)] {
        let mut epoch = loader.epoch(epoch, first);
        while let Some(batch) = epoch.next_batch().unwrap() {
            all.push(batch.clone());
        }
    }
    all
}

#[test]
fn a_pack_is_seen_as_its_folder_is() {
    for contents in [Contents::Files, pixels(20), pixels(1000)] {
        let (_folder, parts, bytes) = packed(contents);
        let (_dir, pack) = open(&bytes).unwrap();
        assert_eq!((pack.contents(), pack.classes()), (contents, parts[0].1.classes()));
        assert_eq!(pack.parts().collect::<Vec<_>>(), [TRAIN, VAL]);
        for (name, part) in parts {
            let of_folder = Images::from(part);
            let of_pack = Images::from_pack(&pack, name, Decoding::turned(3)).unwrap();
            assert_eq!(of_pack.labels(), of_folder.labels());
            for i in 0..of_pack.len() {
                assert_eq!(of_pack.file(i), of_folder.file(i));
                let same_size = of_pack.size(i).unwrap() == of_folder.size(i).unwrap();
                let same = of_pack.picture(i).unwrap() == of_folder.picture(i).unwrap();
                let is_small = of_folder.size(i).unwrap().contains(&20);
                assert!(same_size == same && (same || contents == pixels(20) && !is_small));
            }
            assert_eq!(batches(of_pack, 3), batches(of_folder, 1), "{contents:?}");
        }
        let error = Images::from_pack(&pack, "test", Decoding::turned(3)).unwrap_err().to_string();
        assert!(error.ends_with("a.pack: the pack has no part test"), "{error}");
    }
}

#[test]
fn grey_is_made_of_colours_as_of_files() {
    let (_folder, parts, bytes) = packed(pixels(1000));
    let (_dir, pack) = open(&bytes).unwrap();
    let of_pack = Images::from_pack(&pack, TRAIN, Decoding::turned(1)).unwrap();
    let (_, train) = parts.into_iter().next().unwrap();
    let of_folder = Images::from(train).with_channels(1).unwrap();
    // Decoders may make grey of a JPEG's own luma; a PNG has colours alone.
    assert_eq!(of_pack.picture(0).unwrap(), of_folder.picture(0).unwrap());
}

#[test]
fn what_is_cut_is_refused_wherever_it_is_cut() {
    let (.., bytes) = packed(Contents::Files);
    for len in (0..bytes.len()).step_by(97).chain(bytes.len() - 100..bytes.len()) {
        let error = error(&bytes[..len]);
        let expected = match len {
            0..12 => "this is no pack of images",
            _ => "the pack is cut short, or was never finished: pack the images again",
        };
        assert_eq!(error, expected, "{len}");
    }
    assert!(error(&[&bytes[..], b"x"].concat()).starts_with("the pack is cut short"));
}

#[test]
fn each_byte_that_changes_is_noticed() {
    for contents in [Contents::Files, pixels(8)] {
        let (.., bytes) = packed(contents);
        for at in (0..bytes.len()).step_by(61).chain(bytes.len() - 60..bytes.len()) {
            // Four bytes of the header mean nothing.
            if (12..16).contains(&at) {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            let read = open(&damaged).and_then(|(_dir, pack)| {
                for part in [TRAIN, VAL] {
                    let images = Images::from_pack(&pack, part, Decoding::turned(3))?;
                    (0..images.len()).try_for_each(|i| images.picture(i).map(drop))?;
                }
                Ok(())
            });
            assert!(read.is_err(), "{at} of {}", bytes.len());
        }
    }
}

#[test]
fn other_files_and_versions_are_told() {
    let (.., bytes) = packed(Contents::Files);
    assert_eq!(error(b"\x89PNG\r\n\x1a\n0123456789"), "this is no pack of images");
    let mut newer = bytes.clone();
    newer[8] = 2;
    let version = "a pack of version 2, where version 1 is read: pack the images again";
    assert_eq!(error(&newer), version);

    // An index that is whole and makes no sense.
    let place = format::index_place(&bytes[bytes.len() - 56..], bytes.len()).unwrap();
    let (start, index) = (place.start as u64, &bytes[place]);
    let mut other = index.to_vec();
    *other.last_mut().unwrap() = 0xff;
    for index in [&index[..9], &[index, b"x"].concat(), &other] {
        let file = [&bytes[..start as usize], index, &format::footer(start, index)].concat();
        assert_eq!(error(&file), "the pack is damaged: its index makes no sense");
    }
    let mut index = Index::decode(index, start).unwrap();
    index.contents = pixels(9);
    index.entries[0].size = [0xffff_ffff; 2];
    assert_eq!(Index::decode(&index.encode(), start), None);
    assert!(Pack::open(Path::new("nowhere.pack")).unwrap_err().is_of_a_file());
}

#[test]
fn a_damaged_image_is_named() {
    let (.., mut bytes) = packed(Contents::Files);
    bytes[format::HEADER_LEN + 30] ^= 1;
    let (_dir, pack) = open(&bytes).unwrap();
    let images = Images::from_pack(&pack, TRAIN, Decoding::turned(3)).unwrap();
    let error = images.picture(0).unwrap_err().to_string();
    assert!(error.ends_with("a.pack: the pack is damaged: train/cat/0.png has another checksum"));
    images.picture(1).unwrap();
}
