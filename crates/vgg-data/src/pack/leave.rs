//! A pack that cannot be read any more.

use std::io::{Error, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What to leave with.
static TOLD: OnceLock<(String, i32)> = OnceLock::new();

/// From now on, where this process reads a pack that was cut meanwhile, or whose disk fails, it writes
/// `message` to standard error and ends with the exit status `code`. Otherwise the signal SIGBUS ends it.
/// The first call counts.
///
/// # Errors
/// When the signal cannot be handled.
#[allow(unsafe_code)]
pub fn leave_when_unreadable(message: String, code: i32) -> Result<()> {
    TOLD.get_or_init(|| (message, code));
    // Not beside the handler that is there, the standard library's: that one lets the signal end the
    // process when another thread reads there, too.
    // SAFETY: a mask and flags of zeros are valid, and the handler does what a handler may.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = leave as *const () as usize;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Takes neither memory nor a lock. The first thread ends all others, which wait for that.
#[allow(unsafe_code)]
extern "C" fn leave(_signal: libc::c_int) {
    static LEAVING: AtomicBool = AtomicBool::new(false);
    if let Some((message, code)) = TOLD.get()
        && !LEAVING.swap(true, Ordering::Relaxed)
    {
        // SAFETY: the message lives as long as the process, and both calls may be made by a handler.
        unsafe {
            libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
            libc::_exit(*code);
        }
    }
    loop {
        std::hint::spin_loop();
    }
}
