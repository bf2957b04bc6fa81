//! The pictures of a run, drawn anew after each epoch: `curves.svg`.

use anyhow::Result;

use super::{Event, Reporter};
use crate::run::curves;
use crate::run::folder::{CURVES, RunDir};

pub(crate) struct Svg<'a> {
    run: &'a RunDir,
    /// The run's name.
    name: &'a str,
    /// What the images are called that each epoch is tested on.
    tested_on: &'a str,
}

impl<'a> Svg<'a> {
    pub(crate) fn new(run: &'a RunDir, name: &'a str, tested_on: &'a str) -> Self {
        Self { run, name, tested_on }
    }
}

impl Reporter for Svg<'_> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Epoch { epochs, .. } = event {
            self.run.write(CURVES, curves::picture(self.name, self.tested_on, epochs).file())?;
        }
        Ok(())
    }
}
