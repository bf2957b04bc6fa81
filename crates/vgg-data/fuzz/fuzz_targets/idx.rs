//! Any bytes, as a file that may be gzip and may be IDX: no panic, no excess of memory, and what
//! is accepted is what its header says.
//!
//! Run with `cargo +nightly fuzz run idx` in `crates/vgg-data`.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vgg_data::idx;

const MAX_LEN: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzzed");
    let Ok(contents) = idx::read_from(path, bytes, MAX_LEN) else { return };
    assert!(contents.len() as u64 <= MAX_LEN);
    if let Ok(labels) = idx::parse_labels(path, &contents, 10) {
        assert!(labels.iter().all(|&label| label < 10));
        let labels: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
        assert_eq!(idx::encode_labels(&labels), contents);
    }
    if let Ok(images) = idx::parse_images(path, contents.clone()) {
        assert_eq!(idx::encode_images(images.h, images.w, &images.pixels), contents);
    }
});
