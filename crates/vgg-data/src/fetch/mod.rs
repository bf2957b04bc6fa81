//! Getting data sets and weights: from folders and HTTPS mirrors, and for programs that ask for it
//! from the distribution's package.
//!
//! [`Fetch::run`] tries one [`Source`] after the other until every file is in the folder and
//! verified. It prints nothing: what happens is told as [`Event`]s.

mod debian;
mod event;
mod mirror;
mod source;
mod wanted;

use std::fs;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use event::Event;
pub use source::{Source, WEIGHTS_MIRROR_VARIABLE};
use vgg_tensor::new_file::sync_folder;
use vgg_tensor::{Error, Result};

use crate::fashion_mnist;
use crate::imagenet::Pretrained;
use mirror::{Client, Download};
use source::INSTALLED;
use wanted::Wanted;

/// How long finding and reaching a server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a server may send nothing, in seconds, if [`PATIENCE_VARIABLE`] does not say it.
const PATIENCE: u64 = 30;

/// The environment variable that says how many seconds a server may send nothing.
pub const PATIENCE_VARIABLE: &str = "VGG_FETCH_PATIENCE";

/// What [`Fetch::run`] found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was there and verified.
    UpToDate,
    /// This many files were missing or damaged, and are now there and verified.
    Fetched(usize),
}

/// The job of having verified files in a folder.
#[derive(Debug)]
pub struct Fetch {
    /// What the files are together.
    what: String,
    dir: PathBuf,
    files: Vec<&'static dyn Wanted>,
    sources: Vec<Source>,
    client: Client,
}

impl Fetch {
    /// Fashion-MNIST in the folder `dir`, which is made if need be, from `sources`.
    ///
    /// Proxies come from the usual environment variables (`HTTPS_PROXY`, `NO_PROXY` …), trusted
    /// certificates from the system, or from `SSL_CERT_FILE` and `SSL_CERT_DIR`. A server that sends
    /// nothing is given up after 30 seconds, or as many as [`PATIENCE_VARIABLE`] says.
    pub fn fashion_mnist(dir: PathBuf, sources: Vec<Source>) -> Self {
        let files = fashion_mnist::FILES.iter().map(|file| file as &dyn Wanted).collect();
        Fetch { what: "Fashion-MNIST".into(), dir, files, sources, client: client() }
    }

    /// The weights of a network, likewise.
    pub fn pretrained(pretrained: &'static Pretrained, dir: PathBuf, sources: Vec<Source>) -> Self {
        let what = format!("torchvision's {}", pretrained.name);
        Fetch { what, dir, files: vec![pretrained], sources, client: client() }
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

        let mut missing: Vec<&dyn Wanted> = Vec::new();
        for &file in &self.files {
            match in_folder(file, &self.dir) {
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
        if self.sources.is_empty() {
            return Err(self.unavailable(&failures));
        }
        let fetched = missing.len();
        let bytes = missing.iter().map(|file| file.sent_bytes()).sum();
        on_event(&Event::Started { what: &self.what, dir: &self.dir, files: fetched, bytes });
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
        Err(self.unavailable(&failures))
    }

    fn unavailable(&self, failures: &[String]) -> Error {
        Error::Unavailable { what: self.what.clone(), hint: self.advice(failures) }
    }

    /// Takes from `source` whatever is `missing`, up to the first file that it does not have.
    fn try_source(
        &self,
        source: &Source,
        missing: &mut Vec<&dyn Wanted>,
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
        missing: &mut Vec<&dyn Wanted>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), String> {
        if !folder.is_dir() {
            return Err("there is no such folder".into());
        }
        while let Some(&file) = missing.first() {
            let start = Instant::now();
            let found = file.find(folder).map_err(|_| format!("{} is not there", file.name()))?;
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
        missing: &mut Vec<&dyn Wanted>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), String> {
        while let Some(&file) = missing.first() {
            let start = Instant::now();
            let name = file.name();
            let url = format!("{base}{name}");
            let place = self.dir.join(&name);
            let part = part_of(&place);
            let mut on_progress = |done, total| {
                on_event(&Event::Progress { file: &name, done, total });
            };
            let mut fetch =
                || self.client.download(&url, &part, file.most_bytes(), &mut on_progress);
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
    fn accept(
        &self,
        file: &dyn Wanted,
        part: &Path,
        place: &Path,
        origin: &Path,
    ) -> Result<(), String> {
        let reason = |error: std::io::Error| format!("{}: {error}", place.display());
        let mut reader = BufReader::new(fs::File::open(part).map_err(reason)?);
        if let Err(error) = file.verify(origin, &mut reader) {
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
        let mut advice = match failures {
            [] => "it is not here, and may not be fetched".to_owned(),
            _ => "no source has all of it; tried:".to_owned(),
        };
        for failure in failures {
            advice += &format!("\n  {failure}");
        }
        let (dir, name) = (self.dir.display(), |file: &&dyn Wanted| file.described());
        match &self.files[..] {
            [file] => advice += &format!("\nput this file into {dir} by hand:\n  {}", name(file)),
            files => {
                advice += &format!("\nput these files into {dir} by hand, compressed or not:");
                files.iter().for_each(|file| advice += &format!("\n  {}", name(file)));
            }
        }
        advice
    }
}

fn client() -> Client {
    let seconds = std::env::var(PATIENCE_VARIABLE).ok().and_then(|seconds| seconds.parse().ok());
    let patience = Duration::from_secs(seconds.filter(|it| *it > 0).unwrap_or(PATIENCE));
    Client::new(CONNECT, patience, ureq::Proxy::try_from_env())
}

/// Verifies a file that is to be in a folder.
fn in_folder(file: &dyn Wanted, folder: &Path) -> Result<()> {
    let path = file.find(folder)?;
    let found = fs::File::open(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    file.verify(&path, &mut BufReader::new(found))
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
