//! The log: `log.txt` in the run folder, and standard error with `--verbose`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::{Code, Failure};

/// The target of what is said to the user: it is in the log file, and on standard error already.
pub(crate) const SAID: &str = "vgg_train::said";

/// Where the log goes: memory until there is a run folder, then its file.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    sink: Arc<Mutex<Sink>>,
    on_screen: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(File),
}

impl Log {
    /// Starts to log. `VGG_LOG` filters, as `RUST_LOG` does elsewhere.
    pub(crate) fn start(verbose: bool) -> Result<Self> {
        let log = Self {
            sink: Arc::new(Mutex::new(Sink::Memory(Vec::new()))),
            on_screen: Arc::new(AtomicBool::new(verbose)),
        };
        let given = std::env::var("VGG_LOG").unwrap_or_default();
        let filter = |default: &str| {
            let targets = if given.is_empty() { default } else { &given };
            targets.parse::<Targets>().map_err(|error| {
                let message = format!("VGG_LOG = {targets:?}: {error}");
                Failure::new(Code::Usage, message).help("for example: debug, or vgg_cpu=debug,info")
            })
        };
        // Whatever font a letter is from, it is there.
        let file = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(log.clone())
            .with_filter(filter("info,usvg=error")?.with_target(SAID, LevelFilter::INFO));
        let of_screen = filter("debug,vgg_train=warn")?.with_target(SAID, LevelFilter::OFF);
        let on_screen = log.on_screen.clone();
        let screen = verbose.then(|| {
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(io::stderr.with_filter(move |_| on_screen.load(Ordering::Relaxed)))
                .with_filter(of_screen)
        });
        tracing_subscriber::registry().with(file).with(screen).init();
        Ok(log)
    }

    /// Moves the log to the end of a file, with all that was logged so far.
    pub(crate) fn move_to(&self, path: &Path) -> Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|file| self.move_into(file))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn move_into(&self, mut file: File) -> io::Result<()> {
        let mut sink = self.sink();
        if let Sink::Memory(bytes) = &*sink {
            file.write_all(bytes)?;
        }
        *sink = Sink::File(file);
        Ok(())
    }

    /// From here on another process has the screen.
    pub(crate) fn leave_screen(&self) {
        self.on_screen.store(false, Ordering::Relaxed);
    }

    /// Keeps what is logged from here on for another file.
    pub(crate) fn start_again(&self) {
        *self.sink() = Sink::Memory(Vec::new());
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.sink() {
            Sink::Memory(memory) => memory.write(bytes),
            Sink::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Date and time (UTC) to the second: `2026-08-21 12:30:05`.
pub(crate) fn now() -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text.truncate("2026-08-21T12:30:05".len());
    text.replace('T', " ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_to_the_second() {
        let now = super::now();
        let shape: String = now.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00");
    }
}
