//! Ctrl-C and the signals of schedulers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Code;

/// Whether the user or the system asked the program to stop.
///
/// From [`Stop::listen`] on, the first signal is a request that the training loop honours after
/// the running step; the second ends the program at once.
#[derive(Debug, Default)]
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

impl Stop {
    /// Starts to listen for SIGINT, SIGTERM and, where there is one, SIGUSR1.
    pub(crate) fn listen() -> Result<Self> {
        let stop = Self::default();
        let asked_before = Arc::new(AtomicBool::new(false));
        let signals = [
            (SIGINT, Code::Interrupted),
            (SIGTERM, Code::Terminated),
            #[cfg(unix)]
            (signal_hook::consts::SIGUSR1, Code::Terminated),
        ];
        for (signal, code) in signals {
            // The order matters: the second signal finds the flag that the first one set.
            flag::register_conditional_shutdown(signal, code as i32, asked_before.clone())
                .and_then(|_| flag::register(signal, asked_before.clone()))
                .and_then(|_| flag::register_usize(signal, stop.signal.clone(), code as usize))
                .context("cannot listen for signals")?;
        }
        Ok(stop)
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
