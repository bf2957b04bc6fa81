//! Threads that decode and transform images.

use rayon::{ThreadPool, ThreadPoolBuilder};
use vgg_tensor::{Error, Result};

/// A pool of `threads` threads (0: one a processor).
///
/// rayon's own pool would panic where its threads cannot be started.
///
/// # Errors
/// [`Error::Unavailable`] if one of them cannot be started.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("images-{i}"))
        .build()
        .map_err(|error| Error::Unavailable {
            what: "a thread for images".into(),
            hint: format!("{error}; a limit on processes or memory may be reached"),
        })
}
