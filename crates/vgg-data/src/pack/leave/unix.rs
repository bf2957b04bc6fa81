//! By a signal.

use std::io::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

use super::TOLD;

#[allow(unsafe_code)]
pub(super) fn listen() -> Result<()> {
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
