//! Decoders of others, some of whose loops end in a panic where a file is damaged.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in a decoder whose panic becomes an error: a panic hook need not tell of it.
pub fn is_panic_caught() -> bool {
    IS_GUARDED.get()
}

/// What `decode` gives, or nothing if it panics. What it has changed by then must not be used.
pub(super) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    IS_GUARDED.set(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    IS_GUARDED.set(false);
    decoded.ok()
}
