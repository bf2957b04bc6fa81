//! What the program keeps to be quicker the next time.

use std::path::PathBuf;

/// Where the fastest of cuDNN's algorithms are remembered: with other things that can be made again.
pub(crate) fn tuning_file() -> PathBuf {
    cache_dir().join("cudnn-algorithms.txt")
}

/// Where the program keeps what it would otherwise find out again.
pub(crate) fn cache_dir() -> PathBuf {
    vgg_data::cache_dir().unwrap_or_else(|| std::env::temp_dir().join("vgg"))
}
