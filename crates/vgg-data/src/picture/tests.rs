use std::path::PathBuf;

use image::{GrayAlphaImage, ImageBuffer, Luma, RgbImage, RgbaImage};
use tempfile::TempDir;

use super::*;

/// A file that is deleted with the returned folder.
fn file(name: &str, write: impl FnOnce(&Path)) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write(&path);
    (dir, path)
}

fn check_pixels(image: impl Into<DynamicImage>, channels: usize, expected: &[u8]) {
    let image: DynamicImage = image.into();
    let (_dir, path) = file("image.png", |path| image.save(path).unwrap());
    assert_eq!(Picture::read(&path, &Decoding::stored(channels)).unwrap().pixels, expected);
}

fn check_error(name: &str, contents: &[u8], reason: &str) {
    let (_dir, path) = file(name, |path| std::fs::write(path, contents).unwrap());
    let message = Picture::read(&path, &Decoding::stored(1)).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: {reason}", path.display())), "{message}");
}

#[test]
fn colours_stay_or_become_grey() {
    let colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 255, 255, 255, 1, 2, 3];
    let image = RgbImage::from_raw(3, 2, colours.into()).unwrap();
    check_pixels(image.clone(), 3, &colours);
    // 19595 · 10 + 38470 · 20 + 7471 · 30 = 1,189,480, which is 18.15 · 65,536.
    check_pixels(image.clone(), 1, &[76, 150, 29, 18, 255, 2]);
    let (_dir, path) = file("image.png", |path| image.save(path).unwrap());
    let decoded = Picture::read(&path, &Decoding::stored(1)).unwrap();
    assert_eq!((decoded.h, decoded.w), (2, 3));
}

#[test]
fn transparency_is_dropped_and_16_bits_are_rounded() {
    check_pixels(GrayAlphaImage::from_raw(2, 1, vec![9, 0, 200, 128]).unwrap(), 1, &[9, 200]);
    check_pixels(RgbaImage::from_raw(1, 1, vec![1, 2, 3, 0]).unwrap(), 3, &[1, 2, 3]);
    let deep: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_raw(4, 1, vec![0, 257, 65535, 300]).unwrap();
    check_pixels(deep.clone(), 1, &[0, 1, 255, 1]);
    check_pixels(deep, 3, &[[0; 3], [1; 3], [255; 3], [1; 3]].concat());
}

#[test]
fn the_contents_decide_not_the_name() {
    let image = RgbImage::from_pixel(8, 8, image::Rgb([128; 3]));
    let write = |path: &Path| image.save_with_format(path, image::ImageFormat::Jpeg).unwrap();
    let (_dir, path) = file("image.png", write);
    assert_eq!(Picture::read(&path, &Decoding::stored(1)).unwrap().pixels, [128; 64]);
}

#[test]
fn other_files_are_refused() {
    check_error(
        "notes.txt",
        b"hello, world",
        "this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image",
    );
    check_error("empty.png", b"", "the file is empty");
    let mut png = Vec::new();
    let image = RgbImage::from_pixel(8, 8, image::Rgb([128; 3]));
    image.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    check_error("cut.png", &png[..png.len() - 20], "the image is damaged: ");
    // The width in the header of a PNG, made enormous: refused before anything is allocated.
    png[16] = 0x7f;
    check_error("huge.png", &png, "the image is ");
    assert!(Picture::read(Path::new("no/such/file.png"), &Decoding::stored(1)).is_err());
}

/// Such files are not damaged, whatever their decoder says of them.
#[test]
fn jpegs_of_rare_kinds_are_no_damage() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures/grey.jpg");
    let jpeg = std::fs::read(fixture).unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (at, byte, kind) in [
        (1, 0xc3, "a lossless JPEG"),
        (1, 0xc5, "a hierarchical JPEG"),
        (1, 0xc9, "a JPEG with arithmetic coding"),
        (1, 0xca, "a JPEG with arithmetic coding"),
        (4, 12, "a JPEG with 12 bits a colour"),
    ] {
        let mut rare = jpeg.clone();
        rare[frame + at] = byte;
        check_error("a.jpg", &rare, &format!("{RARE}: {kind}"));
        let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &rare).unwrap());
        let error = look(&path).unwrap_err().to_string();
        assert!(error.ends_with(&format!("{RARE}: {kind}")), "{error}");
    }
}

/// Of 8 bits: one row of grey levels with transparency, and one of colours of a palette.
#[test]
fn tiffs_of_rare_kinds_are_no_damage() {
    let tiff = |samples: u8, photometric: u8| {
        let mut tiff = b"II*\0\x0a\0\0\0\x07\x09".to_vec();
        let [one, eight] = [1, 8];
        let fields = [
            (0x100, one),
            (0x101, one),
            (0x102, eight),
            (0x103, one),
            (0x106, photometric),
            (0x111, eight),
            (0x115, samples),
            (0x116, one),
            (0x117, samples),
        ];
        tiff.extend((fields.len() as u16).to_le_bytes());
        for (tag, value) in fields {
            // A number of 16 bits, once.
            tiff.extend([(tag & 255) as u8, (tag >> 8) as u8, 3, 0, 1, 0, 0, 0, value, 0, 0, 0]);
        }
        tiff.extend([0; 4]);
        tiff
    };
    let (_dir, path) = file("a.tif", |path| std::fs::write(path, tiff(1, 1)).unwrap());
    assert_eq!(Picture::read(&path, &Decoding::stored(1)).unwrap().pixels, [7]);
    check_error("a.tif", &tiff(2, 1), RARE);
    check_error("a.tif", &tiff(1, 3), RARE);
}

#[test]
fn a_wrong_checksum_is_told_in_words() {
    let (_dir, path) = file("a.png", |path| RgbImage::new(9, 9).save(path).unwrap());
    let mut png = std::fs::read(path).unwrap();
    let end = png.windows(4).position(|name| name == b"IEND").unwrap();
    // Before it is the length of the last part.
    png[end - 5] ^= 1;
    check_error("a.png", &png, "the image is damaged: the checksum of its part IDAT is wrong");
}

#[test]
fn what_decoders_say_is_told_in_words() {
    for name in ["a.bmp", "a.tif", "a.gif", "a.png"] {
        let (_dir, path) = file(name, |path| RgbImage::new(40, 40).save(path).unwrap());
        let bytes = std::fs::read(path).unwrap();
        check_error(
            name,
            &bytes[..bytes.len() * 2 / 3],
            "the image is damaged: the file is cut short",
        );
    }
    let told = "Format error decoding Png: Unknown filter method 250.";
    assert_eq!(super::in_words(told), "Unknown filter method 250.");
}

#[test]
fn other_channel_counts_are_refused() {
    let error = Picture::read(Path::new("image.png"), &Decoding::stored(2)).unwrap_err();
    assert_eq!(error.to_string(), "images have 1 or 3 channels, not 2");
}

/// A JPEG with EXIF data that asks for a turn, and a preview in it that ends before the image.
fn turned(image: &RgbImage) -> Vec<u8> {
    let mut jpeg = Vec::new();
    image.write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
    let mut exif =
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    exif.extend([0xff, 0xda, 0xff, 0xd9]);
    let mut segment = vec![0xff, 0xe1, 0, exif.len() as u8 + 2];
    segment.extend(exif);
    jpeg.splice(2..2, segment);
    jpeg
}

#[test]
fn orientation_is_ignored_and_cut_files_are_found() {
    let bytes = turned(&RgbImage::from_pixel(24, 8, image::Rgb([90; 3])));
    let path = Path::new("a.jpg");
    let picture = Picture::decode(path, &bytes, &Decoding::stored(1)).unwrap();
    assert_eq!((picture.h, picture.w, picture.pixels[0]), (8, 24, 90));
    for cut in [2, 10, bytes.len() / 2] {
        let error =
            Picture::decode(path, &bytes[..bytes.len() - cut], &Decoding::stored(1)).unwrap_err();
        assert!(error.to_string().starts_with("a.jpg: the image is damaged"), "{error}");
    }
    let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &bytes).unwrap());
    assert_eq!(read_size(&path, false).unwrap(), [8, 24]);
    let Look::Image(header) = look(&path).unwrap() else { panic!("this is an image") };
    assert_eq!((header.orientation, header.size(true)), (6, [24, 8]));
}

#[test]
fn what_follows_a_jpeg_is_no_part_of_it() {
    let image = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 15, 7]));
    let path = Path::new("a.jpg");
    let mut jpeg = Vec::new();
    image.write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
    let alone = Picture::decode(path, &jpeg, &Decoding::stored(3)).unwrap();
    // A film whose bytes look like the start of a scan.
    jpeg.extend(b"\0\0\0\x18ftypmp42\x01\x02\xff\xda\x03\x04\xff\xda");
    assert_eq!(Picture::decode(path, &jpeg, &Decoding::stored(3)).unwrap(), alone);
    let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &jpeg).unwrap());
    assert!(
        matches!(look(&path).unwrap(), Look::Image(header) if header.orientation == turn::UPRIGHT)
    );
}

#[test]
fn four_printing_colours_become_three() {
    let bytes = include_bytes!("../../fixtures/cmyk.jpg");
    let picture = Picture::decode(Path::new("cmyk.jpg"), bytes, &Decoding::stored(3)).unwrap();
    let close = |x: usize, y: usize, expected: [u8; 3]| {
        let pixel = &picture.pixels[3 * (y * 16 + x)..][..3];
        let off = pixel.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
        assert!(off <= Some(3), "{pixel:?} for {expected:?}");
    };
    close(2, 2, [51, 207, 180]);
    close(13, 5, [150, 63, 100]);
}

#[test]
fn a_header_may_be_behind_a_long_preview() {
    let mut jpeg = turned(&RgbImage::new(24, 8));
    let segment = [&[0xff, 0xe2, 0xff, 0xff][..], &vec![0; 0xfffd]].concat();
    jpeg.splice(2..2, segment);
    let (_dir, path) = file("a.jpg", |path| std::fs::write(path, &jpeg).unwrap());
    assert_eq!(read_size(&path, false).unwrap(), [8, 24]);
}

/// A fuzzer found what this did to the decoder.
#[test]
fn a_palette_of_parts_of_colours_is_damage() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures/palette_alpha.png");
    let png = std::fs::read(&path).unwrap();
    let at = png.windows(4).position(|name| name == b"PLTE").unwrap();
    let len = png[at - 1];
    let mut longer = png.clone();
    longer[at - 1] = len + 1;
    let end = at + 4 + usize::from(len);
    let contents = [&png[at..end], &[7]].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&contents);
    longer.splice(at..end + 4, contents.into_iter().chain(sum.sum().to_be_bytes()));
    let error = Picture::decode(Path::new("a.png"), &longer, &Decoding::turned(3)).unwrap_err();
    assert_eq!(error.to_string(), "a.png: the image is damaged: its palette has parts of colours");
}

/// A fuzzer found one, too: nothing can be scaled from it.
#[test]
fn an_image_without_pixels_is_damage() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures/animated.gif");
    let mut gif = std::fs::read(path).unwrap();
    gif[6..8].fill(0);
    let path = Path::new("a.gif");
    let told = "a.gif: the image is damaged: it has no pixels: 0×21";
    let error = Picture::decode(path, &gif, &Decoding::turned(3)).unwrap_err();
    assert_eq!(error.to_string(), told);
    let error = Header::of(path, ImageFormat::Gif, Cursor::new(&gif)).unwrap_err();
    assert_eq!(error.to_string(), told);
}

/// Any damage to a file is an error or a picture of its size; none is a panic.
mod damage {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// Files of each kind.
    static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let files = paths.iter().filter(|path| path.is_file());
        files.map(|path| std::fs::read(path).unwrap()).collect()
    });

    #[derive(Clone, Debug)]
    enum Edit {
        Set(Index, u8),
        Cut(Index),
        Repeat(Index, Index, u8),
        Remove(Index, u8),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            8 => (any::<Index>(), prop_oneof![any::<u8>(), Just(0), Just(255)])
                .prop_map(|(at, byte)| Edit::Set(at, byte)),
            1 => any::<Index>().prop_map(Edit::Cut),
            1 => (any::<Index>(), any::<Index>(), any::<u8>())
                .prop_map(|(from, to, len)| Edit::Repeat(from, to, len)),
            1 => (any::<Index>(), 0..16_u8).prop_map(|(at, len)| Edit::Remove(at, len)),
        ]
    }

    fn apply(edit: &Edit, bytes: &mut Vec<u8>) {
        let Some(last) = bytes.len().checked_sub(1) else { return };
        let to = |at: usize, len: u8| at..(at + usize::from(len)).min(last + 1);
        match edit {
            Edit::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Edit::Cut(at) => bytes.truncate(at.index(last + 1)),
            Edit::Repeat(from, at, len) => {
                let piece = bytes[to(from.index(last + 1), *len)].to_vec();
                let at = at.index(last + 1);
                bytes.splice(at..at, piece);
            }
            Edit::Remove(at, len) => drop(bytes.drain(to(at.index(last + 1), *len))),
        }
    }

    fn check(bytes: &[u8], decoding: &Decoding, wanted: [usize; 2]) {
        let path = Path::new("damaged");
        let wanted = |own: [usize; 2]| [own[0].min(wanted[0]), own[1].min(wanted[1])];
        let picture = Picture::decode_for(path, bytes, decoding, &wanted);
        let header = {
            let mut source = Cursor::new(bytes);
            let kind = Kind::of(&mut source).unwrap();
            Kind::format(kind, path, || false).and_then(|format| Header::of(path, format, source))
        };
        // Another decoder does not mind the same damage.
        if header.is_err() && decoding.scaled {
            return;
        }
        if let Ok(sampled) = picture {
            let own = header.unwrap().size(decoding.turned);
            let size = wanted(own);
            assert_eq!(sampled.wanted, size);
            let View { h, w, .. } = sampled.view();
            assert!(size[0] <= h && h <= own[0] && size[1] <= w && w <= own[1]);
            assert!(decoding.scaled || [h, w] == own);
            for (part, side) in sampled.extent.iter().zip([h, w]) {
                assert!(0.0 <= part.start && part.start < part.end && part.end <= side as f64);
            }
            let Picture { pixels, h, w, c } = sampled.into_picture();
            assert_eq!(pixels.len(), h * w * c);
        }
    }

    proptest! {
        #[test]
        fn is_no_panic(
            file: Index,
            edits in proptest::collection::vec(edit(), 0..8),
            turned: bool,
            scaled: bool,
            background: Option<[u8; 3]>,
            channels in prop_oneof![Just(1), Just(3)],
            wanted in prop_oneof![Just([1, 1]), Just([9, 9]), Just([99, 99])],
        ) {
            let mut bytes = file.get(&FILES).clone();
            edits.iter().for_each(|edit| apply(edit, &mut bytes));
            check(&bytes, &Decoding { channels, turned, background, scaled }, wanted);
        }
    }
}

/// Elsewhere than on AVX2 its decoder may make something of it, or find the damage.
#[test]
fn a_panic_of_a_decoder_is_damage() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/panic.jpg");
    for scaled in [false, true] {
        let decoding = Decoding { scaled, ..Decoding::turned(3) };
        if let Err(error) = Picture::read(&path, &decoding) {
            let error = error.to_string();
            assert!(error.contains("panic.jpg: the image is damaged: "), "{error}");
        }
        assert!(!is_panic_caught());
    }
}
