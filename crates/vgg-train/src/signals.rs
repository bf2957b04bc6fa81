//! Ctrl-C, the signals of schedulers, a terminal that closes, and limits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Code;

/// How often it is looked whether a signal came, where nothing waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// From so long after a signal on, a Ctrl-C is another one, of somebody who does not want to wait. Within
/// that time it is the same: `timeout` sends a signal to a process and to its group, which it is in.
const INSISTS: Duration = Duration::from_secs(1);

/// Whether the user or the system asked the program to stop.
///
/// From [`Stop::listen`] on, a signal is a request that the training loop honours after the running step; a
/// Ctrl-C that comes [later](INSISTS) ends the program at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    signal: Arc<AtomicUsize>,
}

/// Leaves with [`Code::Memory`] where there is no memory for something small: Rust says so and aborts.
/// What is large is asked for first, and is an error.
///
/// Bugs abort, too. Once there is a panic, `no_bug` is false, and an abort is one.
pub(crate) fn leave_without_memory(no_bug: Arc<AtomicBool>) {
    // Without it, such an abort is a signal's.
    let _ = flag::register_conditional_shutdown(SIGABRT, Code::Memory as i32, no_bug);
}

/// Makes a file that grows beyond the process's limit (`ulimit -f`) an error of whoever writes it, as
/// a full disk is, instead of a signal that ends the program.
pub(crate) fn survive_file_size_limit() {
    // A signal that is handled is not fatal, whatever the handler does.
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

impl Stop {
    /// Starts to listen for SIGINT and SIGTERM and, where there are such, SIGUSR1 and SIGHUP, and on
    /// Windows for Ctrl-Break. Under `nohup`, SIGHUP stays ignored.
    ///
    /// Who listens later is told of the same signals, those before included: a request counts until the
    /// program's end.
    pub(crate) fn listen() -> Result<Self> {
        static LISTENING: Mutex<Option<Stop>> = Mutex::new(None);
        let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = &*listening {
            return Ok(stop.clone());
        }
        Ok(listening.insert(Self::register()?).clone())
    }

    fn register() -> Result<Self> {
        let (stop, insists) = (Self::default(), Arc::new(AtomicBool::new(false)));
        flag::register_conditional_shutdown(SIGINT, Code::Interrupted as i32, insists.clone())
            .context("cannot listen for signals")?;
        let signals = [
            (SIGINT, Code::Interrupted),
            (SIGTERM, Code::Terminated),
            #[cfg(unix)]
            (signal_hook::consts::SIGUSR1, Code::Terminated),
            // `SIGBREAK` of Windows' C library.
            #[cfg(windows)]
            (21, Code::Terminated),
        ];
        for (signal, code) in signals {
            flag::register_usize(signal, stop.signal.clone(), code as usize)
                .context("cannot listen for signals")?;
        }
        // A terminal that closes may send several, through the shell and without.
        #[cfg(unix)]
        if is_ignored(signal_hook::consts::SIGHUP) == Some(false) {
            let (hang_up, code) = (signal_hook::consts::SIGHUP, Code::Terminated as usize);
            flag::register_usize(hang_up, stop.signal.clone(), code)
                .context("cannot listen for signals")?;
        }
        let asked = stop.clone();
        let wait = move || {
            while asked.requested().is_none() {
                thread::sleep(LOOK);
            }
            thread::sleep(INSISTS);
            insists.store(true, Ordering::Relaxed);
        };
        let waits = thread::Builder::new().name("signals".into()).spawn(wait);
        waits.map(|_| stop).context("cannot listen for signals")
    }

    /// The exit code that is asked for, if any.
    pub(crate) fn requested(&self) -> Option<Code> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            code if code == Code::Terminated as usize => Some(Code::Terminated),
            _ => Some(Code::Interrupted),
        }
    }
}

/// The file or folder that a signal removes, if there is one.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// While this lives, a signal that ends the program removes a file first, or a folder that the program has
/// made, with all that is in it. There is one at a time.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unfinished(());

impl Unfinished {
    /// Where signals cannot be listened for, the file would stay.
    pub(crate) fn new(path: &Path) -> Self {
        // To the end of the program: what a signal does is not set back.
        static LISTEN: Once = Once::new();
        LISTEN.call_once(|| drop(remove_by_signals()));
        *unfinished() = Some(path.into());
        Self(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        *unfinished() = None;
    }
}

fn unfinished() -> MutexGuard<'static, Option<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove_unfinished(path: &PathBuf) {
    let _ = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
}

/// Starts to listen for signals that end the program, unless it was started with them ignored.
#[cfg(unix)]
fn remove_by_signals() -> std::io::Result<()> {
    use signal_hook::consts::SIGHUP;
    use signal_hook::iterator::Signals;

    let ending = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let mut signals = Signals::new(ending.filter(|signal| is_ignored(*signal) != Some(true)))?;
    let remove = move || {
        for signal in signals.forever() {
            unfinished().take().iter().for_each(remove_unfinished);
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(remove).map(drop)
}

/// The same without a thread that signals wake: it looks whether one came. A program that ends by it has
/// the code of a program that stops by it.
#[cfg(not(unix))]
fn remove_by_signals() -> std::io::Result<()> {
    let ended = Arc::new(AtomicUsize::new(0));
    for (signal, code) in [(SIGINT, Code::Interrupted), (SIGTERM, Code::Terminated)] {
        flag::register_usize(signal, ended.clone(), code as usize)?;
    }
    let remove = move || {
        while ended.load(Ordering::Relaxed) == 0 {
            thread::sleep(LOOK);
        }
        unfinished().take().iter().for_each(remove_unfinished);
        std::process::exit(ended.load(Ordering::Relaxed) as i32);
    };
    thread::Builder::new().name("signals".into()).spawn(remove).map(drop)
}

/// Whether the process was started with this signal ignored; `None` where the system does not tell.
#[cfg(unix)]
fn is_ignored(signal: i32) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal that comes between two of a program's trainings is one that the second hears of.
    #[test]
    fn all_listen_to_the_same_signals() {
        let [first, second] = [Stop::listen().unwrap(), Stop::listen().unwrap()];
        assert!(Arc::ptr_eq(&first.signal, &second.signal));
        assert_eq!(second.requested(), None);
    }
}
