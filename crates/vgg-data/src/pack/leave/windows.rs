//! By an exception.

use std::io::{Error, Result};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Foundation::EXCEPTION_IN_PAGE_ERROR;
use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE};
use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_CONTINUE_SEARCH, EXCEPTION_POINTERS,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};

use super::TOLD;

#[allow(unsafe_code)]
pub(super) fn listen() -> Result<()> {
    // SAFETY: the handler is there as long as the process.
    let handler = unsafe { AddVectoredExceptionHandler(1, Some(leave)) };
    if handler.is_null() { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Takes neither memory nor a lock. The first thread ends all others, which wait for that. Other
/// exceptions go on to whom they concern.
#[allow(unsafe_code)]
unsafe extern "system" fn leave(exception: *mut EXCEPTION_POINTERS) -> i32 {
    static LEAVING: AtomicBool = AtomicBool::new(false);
    // SAFETY: Windows gives a handler pointers to what it tells.
    let code = unsafe { (*(*exception).ExceptionRecord).ExceptionCode };
    if code != EXCEPTION_IN_PAGE_ERROR {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    if let Some((message, code)) = TOLD.get()
        && !LEAVING.swap(true, Ordering::Relaxed)
    {
        let mut written = 0;
        // SAFETY: the message lives as long as the process; a handle that is none is an error.
        unsafe {
            let len = message.len() as u32;
            let stderr = GetStdHandle(STD_ERROR_HANDLE);
            WriteFile(stderr, message.as_ptr(), len, &mut written, ptr::null_mut());
            TerminateProcess(GetCurrentProcess(), *code as u32);
        }
    }
    loop {
        std::hint::spin_loop();
    }
}
