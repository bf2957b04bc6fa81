//! A pack that cannot be read any more.

use std::fs::File;
use std::io::{Result, Write as _};
use std::os::fd::AsFd as _;

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;

/// From now on, where this process reads a pack that was cut meanwhile, or whose disk fails, it writes
/// `message` to standard error and ends with the exit status `code`. Otherwise the signal SIGBUS ends it.
///
/// # Errors
/// When signals cannot be listened for.
pub fn leave_when_unreadable(message: String, code: i32) -> Result<()> {
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let leave = move || {
        // Whether or not it can be written.
        let _ = (&stderr).write_all(message.as_bytes());
        low_level::exit(code);
    };
    // SAFETY: the handler makes two system calls, and takes neither memory nor a lock.
    #[allow(unsafe_code)]
    unsafe { low_level::register(SIGBUS, leave) }.map(drop)
}
