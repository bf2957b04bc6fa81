//! Any bytes, as a pack and as the index of one whose checksums are right: no panic, no excess of
//! memory, and an image that is read has the pixels of its size.
//!
//! Run with `cargo +nightly fuzz run pack -- -rss_limit_mb=4096` in `crates/vgg-data`.
#![no_main]

use std::io::Write as _;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use vgg_data::pack::Pack;
use vgg_data::{Decoding, Images};

/// What comes before the index, and may be an image's contents.
const CONTENTS: &[u8; 64] = b"................................................................";

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let places = [80_u64.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
    let sha256 = Sha256::new().chain_update(bytes).chain_update(&places).finalize();
    let header = b"VGG pack\x01\0\0\0\0\0\0\0";
    read(&[&header[..], CONTENTS, bytes, &places, &sha256, b"VGG pack"].concat());
});

fn read(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    let Ok(pack) = Pack::open(file.path()) else { return };
    let pack = Arc::new(pack);
    for part in pack.parts() {
        let images = Images::from_pack(&pack, part, Decoding::turned(3)).unwrap();
        for i in 0..images.len() {
            assert!(images.file(i).is_some() && images.size(i).is_ok());
            assert!((images.labels()[i] as usize) < images.classes().len());
            if let Ok(picture) = images.picture(i) {
                assert_eq!(picture.pixels.len(), picture.h * picture.w * 3);
            }
        }
    }
}
