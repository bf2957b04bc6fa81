//! How long other processes are waited for.
//!
//! A process that has ended is the launcher's to notice, which ends the others. One that hangs, or whose machine
//! is cut off, nobody notices but who waits for it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::signals::Stop;
use crate::terminal::log::SAID;
use crate::terminal::shell;

/// Before the first step, when images are fetched and counted and weights are read.
const AT_FIRST: Duration = Duration::from_secs(600);

/// Later, beyond [`TIMES`] the longest time that this process has taken itself from one call to the next.
const BEYOND: Duration = Duration::from_secs(10);
const TIMES: u32 = 3;

/// Once it is to stop, what it waits for is told after so long.
const SILENT: Duration = Duration::from_millis(500);

/// Calls up to the first one of the first step, in whose midst ranks begin to exchange: the vote before it,
/// which comes after what is no step, and that one.
const CALLS_AT_FIRST: usize = 2;

/// What is known of the time that ranks take.
#[derive(Default)]
pub(super) struct Patience {
    run: OnceLock<Running>,
    /// Calls since training began.
    calls: AtomicUsize,
    /// In nanoseconds.
    longest: AtomicU64,
    told: AtomicBool,
}

/// A run that has begun.
struct Running {
    rank: usize,
    folder: PathBuf,
    stop: Stop,
}

impl Patience {
    /// Training begins.
    pub(super) fn begin(&self, rank: usize, folder: &Path, stop: &Stop) {
        let _ = self.run.set(Running { rank, folder: folder.into(), stop: stop.clone() });
    }

    /// What to do once the run has ended before its time, if it has begun.
    pub(super) fn how_to_go_on(&self) -> Option<String> {
        let Running { folder, .. } = self.run.get()?;
        let run = shell::word(folder);
        Some(format!("`vgg-train resume {run}` goes on from the last checkpoint"))
    }

    fn limit(&self) -> Duration {
        match self.calls.load(Ordering::Relaxed) <= CALLS_AT_FIRST {
            true => AT_FIRST,
            false => BEYOND + TIMES * Duration::from_nanos(self.longest.load(Ordering::Relaxed)),
        }
    }

    /// Says which rank is missing, once, where this one is to stop.
    fn tell(&self, missing: usize) {
        let Some(Running { rank, stop, .. }) = self.run.get() else { return };
        // One of them is enough to say it.
        let speaks = *rank == usize::from(missing == 0);
        if !speaks || stop.requested().is_none() || self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let go_on = self.how_to_go_on().unwrap_or_default();
        let text = format!("rank {rank} waits for rank {missing} to stop; if it has gone, {go_on}");
        tracing::warn!(target: SAID, "{text}");
        let _ = writeln!(std::io::stderr(), "warning: {text}");
    }
}

impl vgg_comm::Patience for Patience {
    fn took(&self, time: Duration) {
        if self.run.get().is_none() {
            return;
        }
        if self.calls.fetch_add(1, Ordering::Relaxed) > 0 {
            let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.longest.fetch_max(time, Ordering::Relaxed);
        }
    }

    fn waits(&self, rank: usize, time: Duration) -> bool {
        if time > SILENT {
            self.tell(rank);
        }
        time < self.limit()
    }
}

#[cfg(test)]
mod tests {
    use vgg_comm::Patience as _;

    use super::*;

    #[test]
    fn who_takes_long_is_patient() {
        let patience = Patience::default();
        let limit = |patience: &Patience| {
            let mut seconds = 0..2000;
            seconds.find(|s| !patience.waits(1, Duration::from_secs(*s))).unwrap()
        };
        patience.took(Duration::from_secs(1000));
        assert_eq!(limit(&patience), 600, "what is before the first step does not count");
        patience.begin(0, Path::new("runs/a-1"), &Stop::default());
        patience.took(Duration::from_secs(100));
        patience.took(Duration::from_secs(1));
        assert_eq!(limit(&patience), 600);
        patience.took(Duration::from_secs(0));
        assert_eq!(limit(&patience), 13);
        patience.took(Duration::from_secs(4));
        patience.took(Duration::from_secs(2));
        assert_eq!(limit(&patience), 22);
    }
}
