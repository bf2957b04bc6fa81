//! Where data sets are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of all data sets.
pub const DATA_DIR_VARIABLE: &str = "VGG_DATA_DIR";

/// The folder that holds one folder per data set (`fashion-mnist` …).
///
/// The first of these that is there:
/// 1. `explicit`, what the user named on the command line or in a configuration;
/// 2. the environment variable `VGG_DATA_DIR`;
/// 3. `data` in the checkout of this workspace that encloses the current folder;
/// 4. `$XDG_CACHE_HOME/vgg/datasets`;
/// 5. `$HOME/.cache/vgg/datasets`;
/// 6. `data` in the current folder.
///
/// The folder need not exist.
pub fn data_dir(explicit: Option<&Path>) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let current = std::env::current_dir().unwrap_or_default();
    let checkout = current.ancestors().find(|dir| dir.join("crates/vgg-data/Cargo.toml").is_file());
    // Shown to the user, `data` reads better than the same folder spelled from the root.
    let checkout = checkout.map(|dir| if dir == current { Path::new("") } else { dir });
    resolve(explicit, checkout, variable)
}

fn resolve(
    explicit: Option<&Path>,
    checkout: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> PathBuf {
    let cache = || {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))
    };
    explicit
        .map(Path::to_path_buf)
        .or_else(|| variable(DATA_DIR_VARIABLE).map(PathBuf::from))
        .or_else(|| checkout.map(|dir| dir.join("data")))
        .or_else(|| cache().map(|dir| dir.join("vgg/datasets")))
        .unwrap_or_else(|| PathBuf::from("data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_wish_wins() {
        let all = [("VGG_DATA_DIR", "/env"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/me")];
        let check =
            |explicit: Option<&str>, checkout: Option<&str>, skip: usize, expected: &str| {
                let variable = |name: &str| {
                    all[skip..].iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
                };
                let found = resolve(explicit.map(Path::new), checkout.map(Path::new), variable);
                assert_eq!(found, Path::new(expected));
            };
        check(Some("/named"), Some("/repo"), 0, "/named");
        check(None, Some("/repo"), 0, "/env");
        check(None, Some("/repo"), 1, "/repo/data");
        check(None, Some(""), 1, "data");
        check(None, None, 1, "/xdg/vgg/datasets");
        check(None, None, 2, "/me/.cache/vgg/datasets");
        check(None, None, 3, "data");
    }
}
