//! What happens during a fetch, for whoever shows it.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Source;

/// A step of [`Fetch::run`](super::Fetch::run), told as it happens.
///
/// [`verb`](Event::verb) and the `Display` form make a line in the manner of cargo's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Files are missing, and the search begins.
    Started {
        /// What the files are together.
        what: &'a str,
        /// The folder that the files go to.
        dir: &'a Path,
        /// How many files are missing.
        files: usize,
        /// Their length, as they come.
        bytes: u64,
    },
    /// A source that takes seconds before its first file comes.
    Trying {
        /// The source.
        source: &'a Source,
    },
    /// Some more of a file has been downloaded. There are many of these: show only a few.
    Progress {
        /// The file's name.
        file: &'a str,
        /// The bytes that are there.
        done: u64,
        /// The bytes that there will be, if the server says so.
        total: Option<u64>,
    },
    /// A file is verified and in its place.
    Stored {
        /// Its place.
        path: &'a Path,
        /// Its length there.
        bytes: u64,
        /// How long it took.
        elapsed: Duration,
    },
    /// A source failed and the next is tried, or a file already there is not the right one.
    Failed {
        /// The source or the file.
        source: &'a str,
        /// Why.
        reason: &'a str,
    },
}

impl<'a> Event<'a> {
    pub(super) fn stored(path: &'a Path, start: Instant) -> Self {
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        Event::Stored { path, bytes, elapsed: start.elapsed() }
    }

    /// What is being done, in one word.
    pub fn verb(&self) -> &'static str {
        match self {
            Event::Started { .. } => "Fetching",
            Event::Trying { .. } => "Trying",
            Event::Progress { .. } => "Downloading",
            Event::Stored { .. } => "Stored",
            Event::Failed { .. } => "Skipped",
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { what, dir, files, bytes } => {
                let plural = if *files == 1 { "" } else { "s" };
                write!(f, "{what} ({files} file{plural}, {}) into {}", size(*bytes), dir.display())
            }
            Event::Trying { source } => write!(f, "{source}"),
            Event::Progress { file, done, total: Some(total) } => {
                write!(f, "{file}  {} of {}", size(*done), size(*total))
            }
            Event::Progress { file, done, total: None } => write!(f, "{file}  {}", size(*done)),
            Event::Stored { path, bytes, elapsed } => {
                let seconds = elapsed.as_secs_f64();
                write!(f, "{}  {} in {seconds:.1} s  sha256 ok", path.display(), size(*bytes))
            }
            Event::Failed { source, reason } => write!(f, "{source}: {reason}"),
        }
    }
}

/// A length for people: `28.8 KiB`, `25.2 MiB`.
fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / 1024.0) }
}
