//! Getting the data set: from folders and HTTPS mirrors, and for programs that ask for it from the
//! distribution's package.
//!
//! [`Fetch::run`] tries one [`Source`] after the other until every file is in the folder and
//! verified. It prints nothing: what happens is told as [`Event`]s.

mod debian;
mod event;
mod mirror;

use std::fs;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use event::Event;
use vgg_tensor::new_file::sync_folder;
use vgg_tensor::{Error, Result};

use crate::fashion_mnist::{self, File};
use mirror::{Client, Download};

/// Where Debian's package puts the files.
const INSTALLED: &str = "/usr/share/datasets/fashion-mnist";

/// The first two are the authors' repository, the last their bucket. It speaks plain HTTP only,
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
    /// A URL that ends in a slash; the compressed files are below it.
    Mirror(String),
    /// Debian's and Ubuntu's package, downloaded and unpacked without installing it. `apt-get` and
    /// `dpkg-deb` are started for that, so it is not among [`Source::all`]: it is for a program to
    /// say that other programs are started in its name.
    DebianPackage,
}

impl Source {
    /// All places that this library reaches by itself, in the order in which to try them: `folder`
    /// first, if the user names one, and those on the network last, if at all.
    pub fn all(folder: Option<PathBuf>, offline: bool) -> Vec<Source> {
        let mut sources: Vec<Source> = folder.into_iter().map(Source::Folder).collect();
        sources.push(Source::Folder(INSTALLED.into()));
        if !offline {
            sources.extend(MIRRORS.map(|url| Source::Mirror(url.into())));
        }
        sources
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
    fn cannot_be_here(&self) -> Option<&'static str> {
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

/// What [`Fetch::run`] found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was there and verified.
    UpToDate,
    /// This many files were missing or damaged, and are now there and verified.
    Fetched(usize),
}

/// The job of having a data set's verified files in a folder.
#[derive(Debug)]
pub struct Fetch {
    dir: PathBuf,
    files: &'static [File],
    sources: Vec<Source>,
    client: Client,
}

impl Fetch {
    /// Fashion-MNIST in the folder `dir`, which is made if need be, from `sources`.
    ///
    /// Proxies come from the usual environment variables (`HTTPS_PROXY`, `NO_PROXY` …), trusted
    /// certificates from the system, or from `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    pub fn fashion_mnist(dir: PathBuf, sources: Vec<Source>) -> Self {
        let proxy = ureq::Proxy::try_from_env();
        let client = Client::new(Duration::from_secs(5), Duration::from_secs(30), proxy);
        Fetch { dir, files: &fashion_mnist::FILES, sources, client }
    }

    /// Verifies what is in the folder, and gets what is missing or damaged.
    ///
    /// A file is downloaded beside its place, under a name that ends in `.part`, and moved there
    /// once it is verified; an interrupted download goes on where it stopped. A wrong file that is
    /// in the way is kept under a name that ends in `.bad`.
    ///
    /// # Errors
    /// When the folder cannot be made, or no source has all files. The message then says what was
    /// tried and how to put the files there by hand.
    pub fn run(&self, on_event: &mut dyn FnMut(&Event)) -> Result<Outcome> {
        let mut failures = Vec::new();
        let fail = |source: String, reason: String, on_event: &mut dyn FnMut(&Event)| {
            on_event(&Event::Failed { source: &source, reason: &reason });
            format!("{source}: {reason}")
        };

        let mut missing: Vec<&File> = Vec::new();
        for file in self.files {
            match file.read(&self.dir) {
                Ok(_) => continue,
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    let (source, reason) = split(error);
                    failures.push(fail(source, reason, on_event));
                }
            }
            missing.push(file);
        }
        if missing.is_empty() {
            return Ok(Outcome::UpToDate);
        }
        let fetched = missing.len();
        let bytes = missing.iter().map(|file| file.gz_bytes).sum();
        on_event(&Event::Started { dir: &self.dir, files: fetched, bytes });
        fs::create_dir_all(&self.dir)
            .map_err(|source| Error::Io { path: self.dir.clone(), source })?;

        for source in &self.sources {
            if let Some(reason) = source.cannot_be_here() {
                // No news, unless all others fail.
                failures.push(format!("{source}: {reason}"));
                continue;
            }
            if let Err(reason) = self.try_source(source, &mut missing, on_event) {
                failures.push(fail(source.to_string(), reason, on_event));
            }
            if missing.is_empty() {
                return Ok(Outcome::Fetched(fetched));
            }
        }
        Err(Error::Unavailable { what: "Fashion-MNIST".into(), hint: self.advice(&failures) })
    }

    /// Takes from `source` whatever is `missing`, up to the first file that it does not have.
    fn try_source(
        &self,
        source: &Source,
        missing: &mut Vec<&File>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), String> {
        match source {
            Source::Folder(folder) => self.copy(folder, missing, on_event),
            Source::Mirror(url) => self.download(url, missing, on_event),
            Source::DebianPackage => {
                on_event(&Event::Trying { source });
                let unpacked = debian::unpack()?;
                // `INSTALLED`, below the temporary folder instead of the root.
                let below_root = INSTALLED.trim_start_matches('/');
                self.copy(&unpacked.path().join(below_root), missing, on_event)
            }
        }
    }

    fn copy(
        &self,
        folder: &Path,
        missing: &mut Vec<&File>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), String> {
        if !folder.is_dir() {
            return Err("there is no such folder".into());
        }
        while let Some(file) = missing.first() {
            let start = Instant::now();
            let found =
                file.find(folder).map_err(|_| format!("{} is not there", file.gz_name()))?;
            let place = self.dir.join(found.file_name().expect("`find` adds a name"));
            let part = part_of(&place);
            fs::copy(&found, &part)
                .map_err(|error| format!("copying {}: {error}", found.display()))?;
            self.accept(file, &part, &place, &found)?;
            missing.remove(0);
            on_event(&Event::stored(&place, start));
        }
        Ok(())
    }

    fn download(
        &self,
        base: &str,
        missing: &mut Vec<&File>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), String> {
        while let Some(file) = missing.first() {
            let start = Instant::now();
            let name = file.gz_name();
            let url = format!("{base}{name}");
            let place = self.dir.join(&name);
            let part = part_of(&place);
            let mut on_progress = |done, total| {
                on_event(&Event::Progress { file: &name, done, total });
            };
            // Compression never makes the files larger, so that their own length is a bound.
            let mut fetch = || self.client.download(&url, &part, file.bytes, &mut on_progress);
            let download = fetch()?;
            let mut accepted = self.accept(file, &part, &place, Path::new(&name));
            if accepted.is_err() && download == Download::Resumed {
                // The beginning may have come from elsewhere, compressed in another way.
                fetch()?;
                accepted = self.accept(file, &part, &place, Path::new(&name));
            }
            accepted?;
            missing.remove(0);
            on_event(&Event::stored(&place, start));
        }
        Ok(())
    }

    /// Moves `part` to `place`, once it is on the disk, if its contents are those of `file`, and deletes it otherwise.
    /// `origin` is for messages only.
    fn accept(&self, file: &File, part: &Path, place: &Path, origin: &Path) -> Result<(), String> {
        let reason = |error: std::io::Error| format!("{}: {error}", place.display());
        let reader = BufReader::new(fs::File::open(part).map_err(reason)?);
        if let Err(error) = file.read_from(origin, reader) {
            fs::remove_file(part).map_err(reason)?;
            return Err(error.to_string());
        }
        if let Ok(wrong) = file.find(&self.dir) {
            fs::rename(&wrong, with_suffix(&wrong, ".bad")).map_err(reason)?;
        }
        let keep = || {
            fs::File::options().write(true).open(part)?.sync_all()?;
            fs::rename(part, place)?;
            sync_folder(place)
        };
        keep().map_err(reason)
    }

    /// What was tried, and how to help oneself.
    fn advice(&self, failures: &[String]) -> String {
        let mut advice = String::from("no source has all of it; tried:");
        for failure in failures {
            advice += &format!("\n  {failure}");
        }
        let dir = self.dir.display();
        advice += &format!("\nput these files into {dir} by hand, compressed or not:");
        for file in self.files {
            let (name, gz, raw, sha256) = (file.name, file.gz_bytes, file.bytes, file.sha256);
            advice += &format!(
                "\n  {name}.gz, about {gz} bytes; decompressed {raw} bytes, sha256 {sha256}"
            );
        }
        advice
    }
}

fn part_of(place: &Path) -> PathBuf {
    with_suffix(place, ".part")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

/// The file that an error names, and the rest of its message.
fn split(error: Error) -> (String, String) {
    match error {
        Error::Format { path, reason } => (path.display().to_string(), reason),
        Error::Io { path, source } => (path.display().to_string(), source.to_string()),
        other => ("the files already there".into(), other.to_string()),
    }
}

#[cfg(test)]
mod tests;
