//! Who is told how training goes, and what they make of it: a reporter is a file.
//!
//! The loop of training tells each [`Event`] to a list of reporters, and knows none of them; where
//! training starts, the list is put together. What one of them returns as an error ends training:
//! a run without records is none. What a run can do without is wrapped in a [`BestEffort`].

mod best_effort;
pub(crate) mod csv;
mod event;
pub(crate) mod jsonl;
pub(crate) mod predictions;
pub(crate) mod svg;
pub(crate) mod tensorboard;
pub(crate) mod terminal;

use std::fs::File;
use std::path::PathBuf;

use anyhow::Result;

pub(crate) use self::best_effort::BestEffort;
pub(crate) use self::event::{Event, LayerNorms, Work};

/// Takes what happens in training.
pub(crate) trait Reporter {
    /// Takes one event, in the order of their happening, on the thread that trains: training waits.
    ///
    /// # Errors
    /// What ends training.
    fn report(&mut self, event: &Event<'_>) -> Result<()>;

    /// The file of what it has recorded of steps, and its path, if a checkpoint that counts those
    /// steps must not be on the disk before it.
    ///
    /// # Errors
    /// If the system has no second handle of the file.
    fn records(&self) -> Result<Option<(PathBuf, File)>> {
        Ok(None)
    }
}

/// All who are told, in their order.
#[derive(Default)]
pub(crate) struct Reporters<'a>(Vec<Box<dyn Reporter + 'a>>);

impl<'a> Reporters<'a> {
    /// These and one more, who is told last.
    #[must_use]
    pub(crate) fn with(mut self, reporter: impl Reporter + 'a) -> Self {
        self.0.push(Box::new(reporter));
        self
    }

    /// Tells them all.
    ///
    /// # Errors
    /// That of the first who has one; those after are not told.
    pub(crate) fn report(&mut self, event: &Event<'_>) -> Result<()> {
        self.0.iter_mut().try_for_each(|reporter| reporter.report(event))
    }

    /// The files that must be on the disk before a checkpoint ([`Reporter::records`]).
    pub(crate) fn records(&self) -> Result<Vec<(PathBuf, File)>> {
        self.0.iter().filter_map(|reporter| reporter.records().transpose()).collect()
    }
}
