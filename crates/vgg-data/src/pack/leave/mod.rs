//! A pack that cannot be read any more.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io::Result;
use std::sync::OnceLock;

#[cfg(unix)]
use unix::listen;
#[cfg(windows)]
use windows::listen;

/// What to leave with.
static TOLD: OnceLock<(String, i32)> = OnceLock::new();

/// From now on, where this process reads a pack that was cut meanwhile, or whose disk fails, it writes
/// `message` to standard error and ends with the exit status `code`. Otherwise the system ends it, by the
/// signal SIGBUS or, on Windows, by the exception `EXCEPTION_IN_PAGE_ERROR`. The first call counts.
///
/// # Errors
/// When the system takes no handler for that.
pub fn leave_when_unreadable(message: String, code: i32) -> Result<()> {
    TOLD.get_or_init(|| (message, code));
    listen()
}
