use std::fs;

use image::{DynamicImage, GrayImage, RgbImage};
use tempfile::TempDir;
use vgg_tensor::hex;

use super::*;

mod parts;

/// `train` and `val` with two images of cats and one of a dog each, of different sizes.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for part in [TRAIN, VAL] {
        for (i, name) in ["cat/b.png", "cat/a.JPG", "dog/c.jpeg"].iter().enumerate() {
            let path = dir.path().join(part).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = RgbImage::from_pixel(3 + i as u32, 5, image::Rgb([10 * i as u8; 3]));
            image.save(path).unwrap();
        }
    }
    dir
}

fn names() -> Vec<String> {
    ["cat", "dog"].map(String::from).to_vec()
}

/// The folders of a tree: an image in each class.
fn folders(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, name) in names.iter().enumerate() {
        let path = dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        GrayImage::from_pixel(4, 4, image::Luma([i as u8])).save(path.join("a.png")).unwrap();
    }
    dir
}

fn options() -> OpenOptions {
    OpenOptions::of(Decoding::turned(3))
}

fn open(dir: &TempDir) -> Result<ImageFolder> {
    let train = dir.path().join(TRAIN);
    ImageFolder::open(&train, &class_names(&train)?, &options())
}

fn picture(folder: &ImageFolder, i: usize) -> Result<Picture> {
    Picture::read(&folder.files()[i].path, &folder.decoding())
}

fn error(dir: &TempDir) -> String {
    let message = open(dir).unwrap_err().to_string();
    message.replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn images_are_sorted_by_class_and_name() {
    let dir = tree();
    let folder = open(&dir).unwrap();
    assert_eq!(folder.classes(), names());
    let name = |file: &ImageFile| file.path.file_name().unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> = folder.files().iter().map(|file| (name(file), file.label)).collect();
    assert_eq!(files, [("a.JPG".into(), 0), ("b.png".into(), 0), ("c.jpeg".into(), 1)]);
    assert_eq!(folder.sizes(), [[5, 4], [5, 3], [5, 5]]);
    assert_eq!(picture(&folder, 1).unwrap().pixels, [0; 45]);
}

#[test]
fn labels_follow_the_given_order_of_the_classes() {
    let dir = tree();
    let turned = ["dog", "cat"].map(String::from);
    let folder = ImageFolder::open(&dir.path().join(VAL), &turned, &options()).unwrap();
    assert!(folder.files()[0].path.ends_with("dog/c.jpeg"));
    assert_eq!(folder.files()[0].label, 0);
}

#[test]
fn other_classes_are_named() {
    let dir = tree();
    fs::rename(dir.path().join("val/dog"), dir.path().join("val/wolf")).unwrap();
    let val = dir.path().join(VAL);
    let error = ImageFolder::open(&val, &names(), &options()).unwrap_err().to_string();
    assert!(error.ends_with("val: other classes: missing dog; not expected wolf"), "{error}");
}

#[test]
fn folders_that_are_not_as_expected_are_named() {
    let dir = tree();
    let train = dir.path().join(TRAIN);
    fs::create_dir(train.join("empty")).unwrap();
    fs::write(train.join("empty/notes.txt"), "text").unwrap();
    let no_images = "no images in this class (JPEG, PNG, WebP, TIFF, BMP or GIF)";
    assert_eq!(error(&dir), format!("DIR/train/empty: {no_images}"));
    fs::remove_dir_all(train.join("empty")).unwrap();

    fs::remove_dir_all(&train).unwrap();
    assert!(error(&dir).starts_with("DIR/train: No such file"), "{}", error(&dir));
    fs::create_dir(&train).unwrap();
    fs::write(train.join("a.png"), "").unwrap();
    let no_classes = "no classes: a folder is expected for each, with its images";
    assert_eq!(error(&dir), format!("DIR/train: {no_classes}"));
}

#[test]
fn hidden_and_other_files_are_passed_over() {
    let dir = tree();
    let train = dir.path().join(TRAIN);
    fs::create_dir(train.join(".git")).unwrap();
    fs::write(train.join("cat/._b.png"), "x").unwrap();
    fs::write(train.join("cat/Thumbs.db"), "x").unwrap();
    let folder = open(&dir).unwrap();
    assert_eq!((folder.files().len(), folder.ignored()), (3, 1));
}

#[test]
fn damaged_files_are_named_or_skipped() {
    let dir = tree();
    let cats = dir.path().join("train/cat");
    fs::write(cats.join("text.jpg"), "not an image").unwrap();
    assert_eq!(
        error(&dir),
        "DIR/train/cat/text.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image"
    );
    fs::write(cats.join("empty.jpg"), "").unwrap();
    assert!(error(&dir).ends_with("(and 1 more files are damaged)"), "{}", error(&dir));
    fs::remove_file(cats.join("empty.jpg")).unwrap();

    // Its header is good.
    let gradient = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    gradient.save(cats.join("cut.jpg")).unwrap();
    let whole = fs::read(cats.join("cut.jpg")).unwrap();
    fs::write(cats.join("cut.jpg"), &whole[..whole.len() - 100]).unwrap();
    let skip = OpenOptions { skip_damaged: true, ..options() };
    let folder = ImageFolder::open(&dir.path().join(TRAIN), &names(), &skip).unwrap();
    assert_eq!(folder.files().len(), 3);
    let damaged: Vec<_> = folder.damaged().iter().map(Error::to_string).collect();
    assert!(damaged[0].contains("cut.jpg: the image is damaged: "), "{damaged:?}");
    assert!(
        damaged[1].ends_with("text.jpg: this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image"),
        "{damaged:?}"
    );

    fs::remove_file(cats.join("text.jpg")).unwrap();
    let folder = open(&dir).unwrap();
    let error = picture(&folder, 2).unwrap_err().to_string();
    assert!(error.contains("cut.jpg: the image is damaged: "), "{error}");
}

#[test]
fn a_second_start_reads_what_is_new() {
    let dir = tree();
    let cache = tempfile::tempdir().unwrap();
    let open = |skip_damaged| {
        let cache = Some(cache.path().to_owned());
        let options = OpenOptions { skip_damaged, cache, ..options() };
        ImageFolder::open(&dir.path().join(TRAIN), &names(), &options).unwrap()
    };
    let first = open(false);
    assert_eq!(first.read(), 3);
    let second = open(false);
    assert_eq!((second.read(), second.sizes()), (0, first.sizes()));
    assert_eq!(second.fingerprint, first.fingerprint);
    // Headers alone do not show all damage.
    assert_eq!((open(true).read(), open(true).read(), open(false).read()), (3, 0, 0));

    let cats = dir.path().join("train/cat");
    GrayImage::new(7, 9).save(cats.join("new.png")).unwrap();
    let third = open(false);
    assert_eq!((third.read(), third.sizes()[2]), (1, [9, 7]));
    assert_ne!(third.fingerprint, first.fingerprint);
    GrayImage::new(70, 90).save(cats.join("new.png")).unwrap();
    assert_eq!((open(false).read(), open(false).sizes()[2]), (1, [90, 70]));

    // What is wrong with a file is kept, too.
    fs::write(cats.join("text.png"), "a\tb\nc").unwrap();
    let reason = |folder: ImageFolder| folder.damaged()[0].to_string();
    assert_eq!(open(true).read(), 1 + 1, "the new image has been seen by its header alone");
    assert_eq!(reason(open(true)), reason(open(true)));
    for file in fs::read_dir(cache.path()).unwrap() {
        fs::write(file.unwrap().path(), "nonsense\n\t\t\t\n").unwrap();
    }
    assert_eq!(open(true).read(), 5);
}

#[cfg(unix)]
#[test]
fn links_cannot_form_a_loop() {
    let dir = tree();
    let train = dir.path().join(TRAIN);
    std::os::unix::fs::symlink(train.join("cat"), train.join("wolf")).unwrap();
    assert_eq!(open(&dir).unwrap().files().len(), 5, "a linked class is a class");
    std::os::unix::fs::symlink("self.png", train.join("cat/self.png")).unwrap();
    assert!(error(&dir).starts_with("DIR/train/cat/self.png: "), "{}", error(&dir));
    let skipping = OpenOptions { skip_damaged: true, ..options() };
    let folder = ImageFolder::open(&train, &[&names()[..], &["wolf".into()]].concat(), &skipping);
    assert_eq!(folder.unwrap().damaged().len(), 2, "it is in both classes");
    fs::remove_file(train.join("cat/self.png")).unwrap();
    std::os::unix::fs::symlink(&train, train.join("cat/up")).unwrap();
    assert_eq!(error(&dir), "DIR/train/cat/up: a link to a folder that it is in");
}

#[cfg(unix)]
#[test]
fn names_may_be_any_bytes_but_those_of_classes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tree();
    let train = dir.path().join(TRAIN);
    let odd = OsStr::from_bytes(b"\xff\t\n.png");
    fs::copy(train.join("cat/b.png"), train.join("cat").join(odd)).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let options = OpenOptions { cache: Some(cache.path().to_owned()), ..options() };
    for read in [4, 0] {
        let folder = ImageFolder::open(&train, &names(), &options).unwrap();
        assert_eq!((folder.read(), folder.files().len()), (read, 4));
        assert!((0..4).all(|i| picture(&folder, i).is_ok()));
    }
    fs::create_dir(train.join(OsStr::from_bytes(b"\xff"))).unwrap();
    let error = error(&dir);
    assert!(error.ends_with("the name of a class must be UTF-8: rename this folder"), "{error}");
}

#[test]
fn grey_images_and_single_pixels_are_images() {
    let dir = tree();
    let cats = dir.path().join("train/cat");
    DynamicImage::ImageLuma8(GrayImage::from_pixel(1, 1, image::Luma([7])))
        .save(cats.join("one.png"))
        .unwrap();
    let folder = open(&dir).unwrap();
    assert_eq!(picture(&folder, 2).unwrap().pixels, [7; 3]);
}

#[test]
fn copies_have_equal_digests() {
    let dir = tree();
    let cats = dir.path().join("train/cat");
    fs::copy(cats.join("b.png"), dir.path().join("train/dog/copy.png")).unwrap();
    let train = dir.path().join(TRAIN);
    let options = OpenOptions { digests: true, ..options() };
    let folder = ImageFolder::open(&train, &names(), &options).unwrap();
    let digests = folder.digests();
    assert_eq!(digests[1], digests[3]);
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn names_are_the_same_in_any_unicode_form() {
    let dir = tempfile::tempdir().unwrap();
    let [train, val] = [TRAIN, VAL].map(|part| dir.path().join(part));
    // As Linux has them, and as a Mac decomposes them: é is the last letter, and the first.
    for (part, [class, z, e]) in [
        (&train, ["caf\u{e9}", "z.png", "\u{e9}.png"]),
        (&val, ["cafe\u{301}", "z.png", "e\u{301}.png"]),
    ] {
        fs::create_dir_all(part.join(class)).unwrap();
        for (name, level) in [(z, 1), (e, 2)] {
            let image = GrayImage::from_pixel(4, 4, image::Luma([level]));
            image.save(part.join(class).join(name)).unwrap();
        }
    }
    let classes = class_names(&val).unwrap();
    assert_eq!(classes, ["caf\u{e9}"]);
    let open = |part, classes: &[&str]| {
        let classes: Vec<_> = classes.iter().map(|name| (*name).to_owned()).collect();
        ImageFolder::open(part, &classes, &options())
    };
    let [train, val] = [&train, &val].map(|part| open(part, &["cafe\u{301}"]).unwrap());
    let levels = |part: &ImageFolder| [0, 1].map(|i| picture(part, i).unwrap().pixels[0]);
    assert_eq!((levels(&train), levels(&val)), ([1, 2], [1, 2]));
    assert_eq!(fingerprint(&[train]), fingerprint(&[val]));

    fs::create_dir(dir.path().join(VAL).join("caf\u{e9}")).unwrap();
    let error = class_names(&dir.path().join(VAL)).unwrap_err().to_string();
    assert!(error.contains("differ in their Unicode form alone"), "{error}");
}

/// A folder tells its files in an order of its own.
#[test]
fn names_that_differ_in_their_form_alone_are_in_order_too() {
    for turn in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("a");
        fs::create_dir(&class).unwrap();
        let mut names = ["e\u{301}.png", "\u{e9}.png"];
        if turn {
            names.reverse();
        }
        names.iter().for_each(|name| fs::write(class.join(name), name).unwrap());
        let files = list::list(dir.path(), &["a".to_owned()], &options()).unwrap().files;
        let found: Vec<_> = files.iter().map(|file| file.path.file_name().unwrap()).collect();
        assert_eq!(found, ["e\u{301}.png", "\u{e9}.png"]);
    }
}

#[test]
fn a_fingerprint_is_a_sha_256_and_what_stood_for_it_is_known() {
    let dir = tree();
    let parts = [TRAIN, VAL]
        .map(|part| ImageFolder::open(&dir.path().join(part), &names(), &options()).unwrap());
    let lengths: Vec<_> = parts[0].files().iter().map(|file| file.bytes).collect();
    let [a, b, c] = lengths[..] else { panic!("{lengths:?}") };
    let list = format!("cat/a.JPG\t{a}\ncat/b.png\t{b}\ndog/c.jpeg\t{c}\n");
    let list = hex(&Sha256::digest(list));
    assert_eq!(fingerprint(&parts), hex(&Sha256::digest(format!("{list}\n{list}\n"))));
    let former = former_fingerprint(&parts);
    assert_eq!((former.len(), &former[..32]), (64, &former[32..]));
}

/// Images of 40 levels a class, below folders of their classes.
fn undivided() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (class, first) in [("cat", 0), ("dog", 100)] {
        for level in 0..40 {
            let path = dir.path().join(class).join(["", "a", "a/b"][level % 3]);
            fs::create_dir_all(&path).unwrap();
            let image = GrayImage::from_pixel(4, 4, image::Luma([(first + level) as u8]));
            image.save(path.join(format!("{level}.png"))).unwrap();
        }
    }
    dir
}

fn arranged(
    dir: &TempDir,
    arrangement: &Arrangement,
    options: &OpenOptions,
) -> Result<Vec<(&'static str, ImageFolder)>> {
    arrangement.open(dir.path(), &arrangement.class_names(dir.path())?, options)
}

fn split(share: f64) -> Arrangement {
    Arrangement { split: Some(share), ..Arrangement::default() }
}

fn names_of((_, part): &(&str, ImageFolder)) -> Vec<String> {
    (0..part.files().len()).map(|i| part.name(i).display().to_string()).collect()
}

/// What is known of a folder's files is kept in one place, whatever part they are of.
#[test]
fn parts_of_labels_are_looked_at_once() {
    let dir = undivided();
    let [cache, csv] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let options = OpenOptions { cache: Some(cache.path().into()), ..options() };
    let all = arranged(&dir, &split(0.25), &options).unwrap();
    let lines = all.iter().flat_map(|part| {
        let class = |name: &str| name.split('/').next().unwrap().to_owned();
        names_of(part).into_iter().map(move |name| format!("{name},{},{}", class(&name), part.0))
    });
    let csv = csv.path().join("labels.csv");
    fs::write(&csv, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let labels = Arrangement { labels: Some(csv), ..Arrangement::default() };
    let fresh = tempfile::tempdir().unwrap();
    let options = OpenOptions { cache: Some(fresh.path().into()), ..options };
    let read = || {
        let parts = arranged(&dir, &labels, &options).unwrap();
        parts.iter().map(|(_, part)| part.read()).collect::<Vec<_>>()
    };
    assert_eq!([read(), read()], [vec![80, 0], vec![0, 0]]);
}

#[test]
fn a_folder_is_divided_by_contents() {
    let dir = undivided();
    let cache = tempfile::tempdir().unwrap();
    let options = OpenOptions { cache: Some(cache.path().into()), ..options() };
    let parts = arranged(&dir, &split(0.25), &options).unwrap();
    assert_eq!([parts[0].0, parts[1].0], [TRAIN, VAL]);
    let [train, val] = [&parts[0], &parts[1]].map(names_of);
    assert_eq!((train.len() + val.len(), parts[0].1.read()), (80, 80));
    for class in ["cat", "dog"] {
        let of_class = val.iter().filter(|name| name.starts_with(class)).count();
        assert!((4..=16).contains(&of_class), "{of_class}");
    }
    assert!(train.iter().any(|name| name.starts_with("cat/a/b/")), "{train:?}");

    // Names decide nothing; a copy goes with what it is of, in another class, too.
    let (first, copy) = (&val[0], "dog/copy of one.png");
    fs::copy(dir.path().join(first), dir.path().join(copy)).unwrap();
    fs::rename(dir.path().join(&val[1]), dir.path().join("cat/other name.png")).unwrap();
    let again = arranged(&dir, &split(0.25), &options).unwrap();
    assert_eq!(again[0].1.read(), 2, "what is known is not read again");
    let now = names_of(&again[1]);
    for name in [first, copy, "cat/other name.png"] {
        assert!(now.iter().any(|found| found == name), "{name}: {now:?}");
    }
    assert_eq!(names_of(&again[0]), train);
    let of = |parts: Vec<(_, ImageFolder)>| {
        fingerprint(&parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>())
    };
    assert_ne!(of(parts), of(again));

    let whole = arranged(&dir, &Arrangement::default(), &options).unwrap();
    assert_eq!((whole.len(), whole[0].0, whole[0].1.files().len()), (1, ALL, 81));
}

/// Whether damage is found in a header or later changes nothing of what the files are.
#[test]
fn damaged_files_have_their_part() {
    let dir = undivided();
    for level in 0..9 {
        let path = dir.path().join("cat").join(format!("cut {level}.png"));
        let image = GrayImage::from_pixel(40, 40, image::Luma([200 + level]));
        image.save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    }
    let open = |skip_damaged| {
        let parts = arranged(&dir, &split(0.3), &OpenOptions { skip_damaged, ..options() });
        parts.unwrap().into_iter().map(|(_, part)| part).collect::<Vec<_>>()
    };
    let (by_headers, whole) = (open(false), open(true));
    assert_eq!([whole[0].damaged().len(), whole[1].damaged().len()], [9, 0]);
    assert_eq!(by_headers.iter().map(|part| part.files().len()).sum::<usize>(), 89);
    assert_eq!(fingerprint(&by_headers), fingerprint(&whole));
}

#[test]
fn labels_are_those_of_a_file() {
    let dir = undivided();
    let csv = dir.path().join("labels.csv");
    let labels = |split| Arrangement { labels: Some(csv.clone()), split, test_part: None };
    let lines = |parts: [&str; 3]| {
        let line = |level: usize| {
            let folder = ["", "a/", "a/b/"][level % 3];
            let split = parts[level % 3];
            format!("cat/{folder}{level}.png,{}{split}\n", ["odd", "even"][level % 2])
        };
        (0..40).map(line).collect::<String>()
    };
    fs::write(&csv, lines([""; 3])).unwrap();
    let parts = arranged(&dir, &labels(Some(0.3)), &options()).unwrap();
    assert_eq!(parts[0].1.classes(), ["even", "odd"]);
    assert_eq!([parts[0].0, parts[1].0], [TRAIN, VAL]);
    let by_labels = names_of(&parts[1]);
    assert_eq!(parts[0].1.files().len() + by_labels.len(), 40);
    assert_eq!(arranged(&dir, &labels(None), &options()).unwrap()[0].0, ALL);

    // The order of the lines changes nothing.
    let turned: Vec<_> = lines([""; 3]).lines().rev().map(|line| format!("{line}\n")).collect();
    fs::write(&csv, turned.concat()).unwrap();
    let again = arranged(&dir, &labels(Some(0.3)), &options()).unwrap();
    assert_eq!(names_of(&again[1]), by_labels);

    fs::write(&csv, lines([",train", ",val", ",test"])).unwrap();
    let parts = arranged(&dir, &labels(None), &options()).unwrap();
    let counts: Vec<_> = parts.iter().map(|(name, part)| (*name, part.files().len())).collect();
    assert_eq!(counts, [(TRAIN, 14), (VAL, 13), (TEST, 13)]);
    assert!(names_of(&parts[2]).iter().all(|name| name.starts_with("cat/a/b/")));
    let error = |split| {
        let message = arranged(&dir, &labels(split), &options()).unwrap_err().to_string();
        message.replace(&dir.path().display().to_string(), "DIR")
    };
    let both = "DIR/labels.csv: it has a column split, so that no share is to be held out";
    assert_eq!(error(Some(0.1)), both);

    fs::write(&csv, "cat/0.png,x\ncat/nowhere.png,y\ncat/3.png,y\n").unwrap();
    let missing = "line 2: DIR/cat/nowhere.png: No such file or directory (os error 2)";
    assert_eq!(error(None), format!("DIR/labels.csv: {missing}"));
    let skip = OpenOptions { skip_damaged: true, ..options() };
    let parts = arranged(&dir, &labels(None), &skip).unwrap();
    assert_eq!((parts[0].1.files().len(), parts[0].1.damaged().len()), (2, 1));
    fs::write(&csv, "cat/0.png,x,val\n").unwrap();
    assert_eq!(error(None), "DIR/labels.csv: no line has the split train");
}

#[test]
fn folders_of_network_drives_are_passed_over() {
    let dir = folders(&["cat", "dog", "@eaDir/cat", "cat/@eaDir/a.png", "cat/.@__thumb"]);
    fs::copy(dir.path().join("cat/a.png"), dir.path().join("cat/@ home.png")).unwrap();
    let parts = arranged(&dir, &Arrangement::default(), &options()).unwrap();
    assert_eq!(parts[0].1.classes(), names());
    assert_eq!(names_of(&parts[0]), ["cat/@ home.png", "cat/a.png", "dog/a.png"]);
}

#[test]
fn folders_that_are_in_each_class_are_told() {
    let repeated = |names: &[&str]| {
        let dir = folders(names);
        Arrangement::default().repeated_in_classes(dir.path())
    };
    assert_eq!(repeated(&["one/a", "one/b", "two/a", "two/b"]), ["a", "b"]);
    for others in [
        &["one/a", "two/a"][..],
        &["one/a", "one/b", "two/a", "two/c"],
        &["one/a", "one/b"],
        &["train/a", "train/b", "val/a", "val/b"],
    ] {
        assert_eq!(repeated(others), [""; 0], "{others:?}");
    }
}

#[cfg(unix)]
#[test]
fn all_but_a_class_whose_name_is_no_text_is_opened_where_all_is_listed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = folders(&["cat", "dog"]);
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    let arrangement = Arrangement::default();
    let classes = arrangement.all_class_names(dir.path()).unwrap();
    assert_eq!(classes, names());
    let options = OpenOptions { tolerant: true, skip_damaged: true, ..options() };
    let parts = arrangement.open_all(dir.path(), &classes, &options).unwrap();
    assert_eq!(parts[0].1.files().len(), 2);
    let damaged: Vec<_> = parts[0].1.damaged().iter().map(Error::to_string).collect();
    assert_eq!(damaged.len(), 1);
    assert!(
        damaged[0].ends_with("the name of a class must be UTF-8: rename this folder"),
        "{damaged:?}"
    );
}

#[test]
fn what_labels_lack_is_told_once_where_they_are() {
    let dir = folders(&["images"]);
    let csv = dir.path().join("labels.csv");
    let labels = Arrangement { labels: Some(csv.clone()), ..Arrangement::default() };
    fs::write(&csv, "path,label\nimages/a.png,cat\nimages/b.png,dog\nimages/a,cow\n").unwrap();
    let tolerant = OpenOptions { tolerant: true, skip_damaged: true, ..options() };
    let told = |split| {
        let labels = Arrangement { split, ..labels.clone() };
        let parts = arranged(&dir, &labels, &tolerant).unwrap();
        let told = parts[0].1.damaged().iter().map(Error::to_string);
        told.map(|it| it.replace(&format!("{}/", dir.path().display()), "")).collect::<Vec<_>>()
    };
    let expected = [
        "labels.csv: no images of the class cow: its files are missing or damaged",
        "labels.csv: no images of the class dog: its files are missing or damaged",
        "images/b.png: No such file or directory (os error 2)",
        "images/a: no such file, but a.png: a path has its ending",
    ];
    assert_eq!(told(None), expected);
    assert_eq!(told(Some(0.5)), expected);
}
