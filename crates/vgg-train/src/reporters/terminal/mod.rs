//! Training on the screen: a bar or dated lines, an epoch a line, and how it ended.

mod lines;
mod long_run;
mod ticker;

use std::time::Instant;

use anyhow::Result;

use self::lines::{epoch_line, step_line, test_line, times};
use self::long_run::LongRunHint;
use self::ticker::Ticker;
use super::{Event, Reporter, Work};
use crate::config::{Config, TaskName};
use crate::run::folder::{CONFUSION, RunDir};
use crate::scores::confusion::Confusion;
use crate::terminal::fields::Fields;
use crate::terminal::shell;
use crate::terminal::throughput::Throughput;
use crate::terminal::ui::Ui;

pub(crate) struct Terminal<'a> {
    ui: &'a Ui,
    config: &'a Config,
    run: &'a RunDir,
    /// Names of the tested classes.
    classes: &'a [String],
    work: Work,
    /// Whether another process did some of the steps.
    resumed: bool,
    ticker: Ticker,
    hint: LongRunHint,
    /// The best epoch so far, if this process tested it.
    best: Option<(u64, Confusion)>,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(
        ui: &'a Ui,
        config: &'a Config,
        run: &'a RunDir,
        classes: &'a [String],
        work: Work,
        resumed: bool,
    ) -> Self {
        let (ticker, hint) = (Ticker::default(), LongRunHint::new(resumed));
        Self { ui, config, run, classes, work, resumed, ticker, hint, best: None }
    }

    /// Moves the bar.
    fn show(&self, done: u64, line: &Fields) {
        self.ui.bar(done, self.work.steps(), line);
    }

    fn finish(&self, epochs: u64, early: Option<&str>, done: &Throughput) {
        if let Some((epoch, confusion)) = &self.best {
            if *epoch != epochs {
                self.ui.detail(&format!("of epoch {epoch}, the best one:"));
            }
            let all = format!("all are in {}", self.run.file(CONFUSION).display());
            for line in confusion.per_class(self.classes, &all) {
                self.ui.detail(&line);
            }
        }
        if let Some(why) = early {
            self.ui.status("Stopped", &format!("early: {why}"));
        }
        self.ui.status("Finished", &times(epochs, self.resumed, done));
        if self.config.data.has_any_size() && self.config.data.hold_out.is_none() {
            let help = "the best epoch is the best on the test images, which flatters it: \
                        data.hold_out keeps training images apart to choose by";
            self.ui.help(help);
        }
        let run = shell::word(self.run.path());
        let does = match self.config.model.task {
            TaskName::Classification => "classifies image files",
            TaskName::Localisation => "says where objects are in image files",
        };
        self.ui.help(&format!("vgg-train predict {run} IMAGE… {does}"));
    }
}

impl Reporter for Terminal<'_> {
    fn report(&mut self, event: &Event<'_>) -> Result<()> {
        match *event {
            Event::Started { .. } => {}
            Event::Step { record, batch, done, eta, .. } => {
                let line = step_line(record, batch, &self.work, eta);
                if self.ticker.is_due(Instant::now(), record.step, self.work.steps_per_epoch) {
                    self.ui.progress_tick(&line);
                }
                self.show(done, &line);
                self.hint.step(self.ui, eta, &self.config.quicker);
            }
            Event::Doubt { text, help } => {
                self.ui.warn(text);
                self.ui.help(help);
            }
            Event::Testing { epoch, images, done } => {
                self.show(done, &test_line(epoch, images, &self.work));
            }
            Event::Epoch { record, tested, is_best, .. } => {
                if is_best {
                    let confusion = tested.evaluation().map(|it| it.confusion.clone());
                    self.best = confusion.map(|confusion| (record.epoch, confusion));
                }
                self.ui.end_bar();
                self.ui.progress_line(&epoch_line(
                    record,
                    &self.work,
                    self.config.train.best_by,
                    is_best,
                ));
            }
            Event::Stopped { epoch, batch } => {
                self.ui.end_bar();
                let at = format!("in epoch {epoch} after step {batch}; state saved");
                self.ui.status("Stopped", &at);
                let run = shell::word(self.run.path());
                self.ui.help(&format!("vgg-train resume {run} goes on"));
            }
            Event::Finished { epochs, early, done, .. } => self.finish(epochs, early, &done),
        }
        Ok(())
    }
}
