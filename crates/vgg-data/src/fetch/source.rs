//! Where files may be.

use std::path::{Path, PathBuf};

use super::debian;
use crate::imagenet::{HOME, Pretrained};

/// Where Debian's package puts the files.
pub(super) const INSTALLED: &str = "/usr/share/datasets/fashion-mnist";

/// The environment variable that names mirrors of weights, URLs with spaces between them, which are
/// asked instead of [`imagenet::HOME`](HOME).
pub const WEIGHTS_MIRROR_VARIABLE: &str = "VGG_WEIGHTS_MIRROR";

/// Fashion-MNIST's. The first two are the authors' repository, the last their bucket. It speaks plain HTTP only,
/// which is safe here: the checksums decide what is accepted.
const MIRRORS: [&str; 3] = [
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
];

/// A place that may have the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A URL that ends in a slash; the files are below it, those of data sets compressed.
    Mirror(String),
    /// Debian's and Ubuntu's package, downloaded and unpacked without installing it. `apt-get` and
    /// `dpkg-deb` are started for that, so it is not among [`Source::all`]: it is for a program to
    /// say that other programs are started in its name.
    DebianPackage,
}

impl Source {
    /// All places of Fashion-MNIST that this library reaches by itself, in the order in which to try them: `folder`
    /// first, if the user names one, and those on the network last, if at all.
    pub fn all(folder: Option<PathBuf>, offline: bool) -> Vec<Source> {
        let mut sources: Vec<Source> = folder.into_iter().map(Source::Folder).collect();
        sources.push(Source::Folder(INSTALLED.into()));
        if !offline {
            sources.extend(MIRRORS.map(|url| Source::Mirror(url.into())));
        }
        sources
    }

    /// The places of a network's weights, in the order in which to try them: torchvision's own cache if
    /// it has them and, unless `offline`, the mirrors that `VGG_WEIGHTS_MIRROR` names, or their home.
    pub fn of_weights(pretrained: &Pretrained, offline: bool) -> Vec<Source> {
        let cached = torch_cache().filter(|cache| cache.join(pretrained.file).is_file());
        let mut sources: Vec<Source> = cached.into_iter().map(Source::Folder).collect();
        if !offline {
            let mirrors = std::env::var(WEIGHTS_MIRROR_VARIABLE).unwrap_or_default();
            let mut mirrors: Vec<_> = mirrors.split_whitespace().collect();
            if mirrors.is_empty() {
                mirrors = vec![HOME];
            }
            sources.extend(mirrors.into_iter().map(Self::mirror));
        }
        sources
    }

    fn mirror(url: &str) -> Self {
        Source::Mirror(format!("{}/", url.trim_end_matches('/')))
    }

    /// [`Source::all`] and, on the network, [`Source::DebianPackage`] at last.
    pub fn all_and_package(folder: Option<PathBuf>, offline: bool) -> Vec<Source> {
        let mut sources = Self::all(folder, offline);
        if !offline {
            sources.push(Source::DebianPackage);
        }
        sources
    }
}

impl Source {
    /// Why there is no need to try a place that not every system has.
    pub(super) fn cannot_be_here(&self) -> Option<&'static str> {
        match self {
            Source::Folder(path) if path == Path::new(INSTALLED) && !path.is_dir() => {
                Some("there is no such folder")
            }
            Source::DebianPackage if !debian::is_here() => Some("this system has no apt-get"),
            _ => None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Folder(path) => path.display().fmt(f),
            Source::Mirror(url) => url.fmt(f),
            Source::DebianPackage => write!(f, "package {}", debian::PACKAGE),
        }
    }
}

/// Where PyTorch keeps the weights that torchvision has loaded.
fn torch_cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = || {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")))
    };
    let torch = variable("TORCH_HOME").map(PathBuf::from).or_else(|| Some(cache()?.join("torch")));
    Some(torch?.join("hub/checkpoints"))
}
