//! Where the checkout is that this program is of.

use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is a folder of the checkout")
}

/// The folder of all data sets: what the user has named, or else `data` in the checkout.
pub(crate) fn data_dir(explicit: Option<&Path>) -> PathBuf {
    let is_here = std::env::current_dir().is_ok_and(|current| current == root());
    // Shown to the user, `data` reads better than the same folder spelled from the root.
    let data = if is_here { "data".into() } else { root().join("data") };
    vgg_data::data_dir(explicit, Some(&data))
}
