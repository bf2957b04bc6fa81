//! A file of events, as TensorBoard's `event.proto` has them.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use vgg_tensor::protobuf::Message;

use super::record::record;
use super::summary::Summary;
use crate::machine::host;
use crate::run::new_folder::make_folder;

/// How names of such files begin. A number of seconds follows, by which files are read in their order.
const NAME: &str = "events.out.tfevents.";

// Numbers of fields and values in TensorBoard's schema.
mod event {
    pub(super) const WALL_TIME: u64 = 1;
    pub(super) const STEP: u64 = 2;
    pub(super) const FILE_VERSION: u64 = 3;
    pub(super) const SUMMARY: u64 = 5;
    pub(super) const SESSION_LOG: u64 = 7;
}
mod session_log {
    pub(super) const STATUS: u64 = 1;
    pub(super) const START: i64 = 1;
}

/// An open file. Each event is written when it is told, so that a process that is killed leaves all of
/// them but, at most, a torn last one, which readers pass over.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    len: u64,
}

impl EventFile {
    /// Makes a file in `folder`, and the folder. What files before it tell of steps from `first` on
    /// counts no more.
    pub(super) fn create(folder: &Path, first: u64) -> Result<Self> {
        make_folder(folder)?;
        // Behind all that are there, even if the clock was set back or a process started just now.
        let seconds = (seconds() as u64).max(last(folder)?.map_or(0, |last| last + 1));
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let host: String = host::name().chars().filter(plain).collect();
        let path = folder.join(format!("{NAME}{seconds:010}.{host}.{}", std::process::id()));
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.with_context(|| cannot_write(&path))?;
        let mut events = Self { path, file, len: 0 };
        events.append(Message::default().text(event::FILE_VERSION, "brain.Event:2"))?;
        let start = Message::default().int(session_log::STATUS, session_log::START);
        events.append(of_step(first).message(event::SESSION_LOG, start))?;
        Ok(events)
    }

    /// Adds what is told of a step.
    pub(super) fn write(&mut self, step: u64, summary: Summary) -> Result<()> {
        self.append(of_step(step).message(event::SUMMARY, summary.into_message()))
    }

    fn append(&mut self, event: Message) -> Result<()> {
        let record =
            record(Message::default().double(event::WALL_TIME, seconds()).then(event).bytes());
        let written = self.file.write_all(&record);
        match written {
            Ok(()) => self.len += record.len() as u64,
            // Nothing would be found behind half a record.
            Err(_) => drop(self.file.set_len(self.len)),
        }
        written.with_context(|| cannot_write(&self.path))
    }
}

fn of_step(step: u64) -> Message {
    Message::default().int(event::STEP, step as i64)
}

/// Since 1970.
pub(super) fn seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |since| since.as_secs_f64())
}

/// The seconds in the name of the last file in `folder`.
fn last(folder: &Path) -> Result<Option<u64>> {
    let cannot_read = || format!("cannot read {}", folder.display());
    let mut last = None;
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let name = entry.with_context(cannot_read)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('.').next());
        last = last.max(number.and_then(|number| number.parse().ok()));
    }
    Ok(last)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
