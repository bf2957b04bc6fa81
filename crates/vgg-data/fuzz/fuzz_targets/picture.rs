//! Any bytes, as an image file: no panic, and a picture has the pixels of its size, which is that of
//! what is stored or the same on its side; it can be scaled, also where it is decoded at a part of its
//! size.
//!
//! Run with `cargo +nightly fuzz run picture fixtures/pictures -- -rss_limit_mb=4096` in
//! `crates/vgg-data`, best on a copy of the fixtures, beside which what is new is kept.
#![no_main]

use std::io::Write as _;
use std::path::Path;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use vgg_data::{Decoding, Images, Loader, Picture, Transform};

/// What libFuzzer hears of: panics that nobody catches.
static HOOK: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !vgg_data::is_panic_caught() {
                told(panic);
            }
        }));
    });
    let path = Path::new("fuzzed");
    let read = |decoding: Decoding| {
        let picture = Picture::decode(path, bytes, &decoding).ok()?;
        assert_eq!(picture.pixels.len(), picture.h * picture.w * decoding.channels);
        Some([picture.h, picture.w])
    };
    let stored = read(Decoding::stored(1));
    let turned = read(Decoding { background: Some([9, 99, 199]), ..Decoding::turned(3) });
    let on_its_side = stored.map(|[h, w]| [w, h]);
    assert!(turned == stored || turned == on_its_side, "{stored:?} {turned:?}");
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    let paths = [file.path().to_owned()];
    let scaled = |scaled| {
        let images = Images::from_files(&paths, Decoding { scaled, ..Decoding::turned(3) });
        let transform = Transform::scaled([3, 5, 5], [5, 5]).unwrap();
        let loader = Loader::new(images, transform, 1, 1).unwrap().passing_over();
        let mut batches = loader.epoch(0, 0);
        let batch = batches.next_batch().unwrap().unwrap();
        assert_eq!(batch.pixels.len(), 75);
        batch.unreadable.is_empty()
    };
    assert_eq!(scaled(false), stored.is_some());
    scaled(true);
});
