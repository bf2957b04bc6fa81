//! The one error type of the libraries.

use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong that is not a bug of ours: bad shapes, bad files, missing hardware.
///
/// Messages are lower case, name the value and the file, and say what to do where that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network or layer whose sizes do not fit together.
    #[error("{0}")]
    Shape(String),

    /// A device, instruction set or library that this machine does not have.
    #[error("{what} is not available: {hint}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What the user can do about it.
        hint: String,
    },

    /// A program whose commands or memory make no sense: a bug of ours, found before it ran.
    #[error("a wrong program: {0}")]
    Program(String),

    /// Memory that could not be allocated.
    #[error("out of memory: {bytes} bytes could not be allocated")]
    OutOfMemory {
        /// The size of the allocation that failed.
        bytes: u64,
    },

    /// A device call that failed.
    #[error("{op} failed on the device")]
    Device {
        /// The operation that failed.
        op: &'static str,
        /// The device library's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Another rank that trains together with this one, and has left it.
    #[error("rank {rank}: {reason}")]
    Rank {
        /// Which one, from 0.
        rank: usize,
        /// Why it left.
        reason: String,
    },

    /// A thread of ours that panicked: a bug, reported where its result is missed.
    #[error("{task}: a thread panicked: {reason}")]
    Worker {
        /// What the thread was doing.
        task: &'static str,
        /// The panic's message.
        reason: String,
    },

    /// A file whose contents are not what they should be.
    #[error("{}: {reason}", in_line(path))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },

    /// A file that could not be read or written.
    #[error("{}: {source}", in_line(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error. It is part of the message, so it is no `source()` as well:
        /// whoever prints the whole chain would print it twice. (`r#` tells thiserror so.)
        r#source: std::io::Error,
    },
}

impl Error {
    /// Whether a file is at fault: it cannot be read, or it is not what it should be. Another one may
    /// be better.
    pub fn is_of_a_file(&self) -> bool {
        match self {
            Error::Io { source, .. } => source.kind() != std::io::ErrorKind::OutOfMemory,
            Error::Format { .. } => true,
            _ => false,
        }
    }

    /// Puts `name: ` in front of a shape error's message, so that it says which layer is meant.
    /// Other errors stay as they are.
    #[must_use]
    pub fn in_layer(self, name: &str) -> Self {
        match self {
            Error::Shape(message) => Error::Shape(format!("{name}: {message}")),
            other => other,
        }
    }
}

/// A name of a file that cannot pass for a second line of a message.
fn in_line(path: &Path) -> String {
    path.display().to_string().replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_in_one_line() {
        let error = Error::Format { path: "a\nerror: b".into(), reason: "damaged".into() };
        assert_eq!(error.to_string(), "a\\nerror: b: damaged");
    }
}
