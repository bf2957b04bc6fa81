//! Where data sets and weights are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of all data sets.
pub const DATA_DIR_VARIABLE: &str = "VGG_DATA_DIR";

/// The folder that holds one folder per data set (`fashion-mnist` …).
///
/// The first of these that is there:
/// 1. `explicit`, what the user named on the command line or in a configuration;
/// 2. the environment variable `VGG_DATA_DIR`;
/// 3. `default`, what the program has for its users;
/// 4. `$XDG_CACHE_HOME/vgg/datasets`;
/// 5. `$HOME/.cache/vgg/datasets`;
/// 6. `data` in the current folder.
///
/// The folder need not exist.
pub fn data_dir(explicit: Option<&Path>, default: Option<&Path>) -> PathBuf {
    resolve(explicit, default, variable)
}

/// The environment variable that names the folder of weights that are known by name.
pub const WEIGHTS_DIR_VARIABLE: &str = "VGG_WEIGHTS_DIR";

/// The folder that holds the files of weights that are known by name.
///
/// The first of these that is there:
/// 1. the environment variable `VGG_WEIGHTS_DIR`;
/// 2. `$XDG_CACHE_HOME/vgg/weights`;
/// 3. `$HOME/.cache/vgg/weights`;
/// 4. `weights` in the current folder.
///
/// The folder need not exist.
pub fn weights_dir() -> PathBuf {
    resolve_weights(variable)
}

/// The folder of what a program would otherwise fetch or find out again: `$XDG_CACHE_HOME/vgg`, or
/// `$HOME/.cache/vgg`, if there is either.
pub fn cache_dir() -> Option<PathBuf> {
    cache_of(variable)
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn cache_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))?;
    Some(cache.join("vgg"))
}

fn resolve(
    explicit: Option<&Path>,
    default: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> PathBuf {
    explicit
        .map(Path::to_path_buf)
        .or_else(|| variable(DATA_DIR_VARIABLE).map(PathBuf::from))
        .or_else(|| default.map(Path::to_path_buf))
        .or_else(|| cache_of(&variable).map(|dir| dir.join("datasets")))
        .unwrap_or_else(|| PathBuf::from("data"))
}

fn resolve_weights(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    variable(WEIGHTS_DIR_VARIABLE)
        .map(PathBuf::from)
        .or_else(|| cache_of(&variable).map(|dir| dir.join("weights")))
        .unwrap_or_else(|| PathBuf::from("weights"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_wish_wins() {
        let all = [("VGG_DATA_DIR", "/env"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/me")];
        let check = |explicit: Option<&str>, default: Option<&str>, skip: usize, expected: &str| {
            let variable = |name: &str| {
                all[skip..].iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            };
            let found = resolve(explicit.map(Path::new), default.map(Path::new), variable);
            assert_eq!(found, Path::new(expected));
        };
        check(Some("/named"), Some("/program"), 0, "/named");
        check(None, Some("/program"), 0, "/env");
        check(None, Some("/program"), 1, "/program");
        check(None, None, 1, "/xdg/vgg/datasets");
        check(None, None, 2, "/me/.cache/vgg/datasets");
        check(None, None, 3, "data");
    }

    #[test]
    fn weights_have_a_folder_of_their_own() {
        let all = [("VGG_WEIGHTS_DIR", "/env"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/me")];
        let found = |skip: usize| {
            resolve_weights(|name| {
                all[skip..].iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        let expected = ["/env", "/xdg/vgg/weights", "/me/.cache/vgg/weights", "weights"];
        assert_eq!([0, 1, 2, 3].map(found), expected.map(PathBuf::from));
    }
}
