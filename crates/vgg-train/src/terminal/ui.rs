//! What the user sees while the program works. All of it goes to standard error, and to the log.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::render;
use super::fields::Fields;
use super::log::{SAID, now};
use super::print::printable;

/// How often a bar is drawn anew.
const REDRAWS_PER_SECOND: u8 = 5;

/// Columns of a screen that does not tell.
const COLUMNS: usize = 80;

/// Columns that a line of all fields takes: a bar has more than the least only beside it.
const ALL_FIELDS: usize = 110;

/// Columns of a bar, least and most.
const BAR: [usize; 2] = [10, 60];

/// Columns before a fact.
const INDENT: usize = 13;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    Auto,
    Bar,
    Plain,
    None,
}

/// How much is said, and how.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct UiOptions {
    /// Say nothing but warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more; VGG_LOG has finer control, such as VGG_LOG=vgg_cpu=trace
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// Whether to colour messages; NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, value_enum, global = true, default_value = "auto", value_name = "WHEN")]
    pub color: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

/// What of all that is said gets to standard error. The log has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Nothing,
    Warnings,
    All,
}

/// Standard error, with or without colour, a bar, or anything at all.
#[derive(Debug)]
pub(crate) struct Ui {
    says: Says,
    color: bool,
    progress: ProgressKind,
    /// Whether it is a screen, whose lines end somewhere.
    terminal: bool,
    /// The bar on the screen, which other output must not run into, and its columns.
    bar: RefCell<Option<(ProgressBar, usize)>>,
}

impl Ui {
    /// As the user asked, or as suits where standard error goes.
    pub(crate) fn new(options: UiOptions, progress: ProgressKind) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let color = match options.color {
            When::Always => true,
            When::Never => false,
            When::Auto if set("NO_COLOR") => false,
            When::Auto => (terminal && !dumb) || (set("CLICOLOR_FORCE")),
        };
        let progress = match progress {
            _ if options.quiet => ProgressKind::None,
            ProgressKind::Auto if terminal && !dumb => ProgressKind::Bar,
            ProgressKind::Auto => ProgressKind::Plain,
            chosen => chosen,
        };
        let says = if options.quiet { Says::Warnings } else { Says::All };
        Self { says, color, progress, terminal, bar: RefCell::new(None) }
    }

    /// One that says nothing but warnings, for work on the way to something else.
    pub(crate) fn silenced(&self) -> Self {
        let bar = RefCell::new(None);
        Self { says: Says::Warnings, progress: ProgressKind::None, bar, ..*self }
    }

    /// One that says nothing, for work that another process tells of.
    pub(crate) fn silent() -> Self {
        let (color, terminal, bar) = (false, false, RefCell::new(None));
        Self { says: Says::Nothing, color, progress: ProgressKind::None, terminal, bar }
    }

    /// A fact or an event: `     Dataset fashion-mnist: 60000 train, 10000 test`.
    pub(crate) fn status(&self, verb: &str, text: &str) {
        let text = printable(text);
        tracing::info!(target: SAID, "{verb} {text}");
        if self.says == Says::All {
            let verb = self.paint("1;32", &format!("{verb:>12}"));
            self.print(&format!("{verb} {}", self.wrapped(&text)));
        }
    }

    /// More about what was said last.
    pub(crate) fn detail(&self, text: &str) {
        let text = printable(text);
        tracing::info!(target: SAID, "{text}");
        if self.says == Says::All {
            self.print(&format!("{:12} {}", "", self.wrapped(&text)));
        }
    }

    /// What may go wrong. Shown even if quiet.
    pub(crate) fn warn(&self, text: &str) {
        let text = printable(text);
        tracing::warn!(target: SAID, "{text}");
        if self.says >= Says::Warnings {
            self.print(&format!("{}: {text}", self.paint("1;33", "warning")));
        }
    }

    /// What the user could do.
    pub(crate) fn help(&self, text: &str) {
        let text = printable(text);
        tracing::info!(target: SAID, "{text}");
        if self.says == Says::All {
            self.print(&format!("{}: {text}", self.paint("1;36", "help")));
        }
    }

    /// A line of progress, dated where it is not on a screen.
    pub(crate) fn progress_line(&self, line: &Fields) {
        tracing::info!(target: SAID, "{line}");
        match self.progress {
            ProgressKind::None => {}
            ProgressKind::Plain => self.print(&format!("{}  {line}", now())),
            ProgressKind::Bar | ProgressKind::Auto => self.print(&line.fit(self.columns())),
        }
    }

    /// A line of progress that a bar shows anyway.
    pub(crate) fn progress_tick(&self, line: &Fields) {
        match self.progress {
            ProgressKind::Bar => tracing::info!(target: SAID, "{line}"),
            _ => self.progress_line(line),
        }
    }

    /// What ends the program.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.end_bar();
        self.print(render(error, self.color).trim_end());
    }

    /// Moves the bar to `done` of `total`, with `text` beside it; makes it if there is none.
    pub(crate) fn bar(&self, done: u64, total: u64, text: &Fields) {
        if self.progress != ProgressKind::Bar {
            return;
        }
        let columns = self.columns();
        let width = columns.saturating_sub(ALL_FIELDS).clamp(BAR[0], BAR[1]);
        let mut bar = self.bar.borrow_mut();
        let (bar, styled_for) = bar.get_or_insert_with(|| {
            let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
            (ProgressBar::with_draw_target(Some(total), target), 0)
        });
        if *styled_for != columns {
            let style = ProgressStyle::with_template(&format!("[{{bar:{width}}}] {{wide_msg}}"));
            bar.set_style(style.expect("the template is well formed").progress_chars("=> "));
            *styled_for = columns;
        }
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(text.fit(columns.saturating_sub(width + "[] ".len())));
    }

    /// Takes the bar off the screen.
    pub(crate) fn end_bar(&self) {
        if let Some((bar, _)) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    /// How wide the screen is.
    fn columns(&self) -> usize {
        let size = terminal_size::terminal_size_of(std::io::stderr());
        size.map_or(COLUMNS, |(width, _)| match width.0 {
            0 => COLUMNS,
            columns => columns.into(),
        })
    }

    /// A fact on a screen, on more lines if one has no room for it.
    fn wrapped<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.terminal {
            true => wrapped(text, self.columns().saturating_sub(INDENT)),
            false => text.into(),
        }
    }

    fn print(&self, line: &str) {
        // Nobody is left to tell if standard error is gone.
        let print = || {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        };
        match &*self.bar.borrow() {
            Some((bar, _)) => bar.suspend(print),
            None => print(),
        }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Breaks a fact between what punctuation divides, into lines of so many columns where they can be.
fn wrapped(text: &str, columns: usize) -> Cow<'_, str> {
    if text.chars().count() <= columns {
        return text.into();
    }
    let (mut lines, mut width) = (String::new(), 0);
    for part in text.split_inclusive([',', ';', ':']) {
        let length = part.chars().count();
        // No break within a word, as in a path or a time.
        let breaks = part.starts_with(' ') && width > 0 && width + length > columns;
        let part = if breaks { part.trim_start() } else { part };
        if breaks {
            lines += &format!("\n{:INDENT$}", "");
            width = 0;
        }
        lines += part;
        width += length;
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_broken_where_they_pause() {
        let fact = "fashion-mnist: 60 000 train, 10 000 test, 10 classes, 1×28×28";
        assert_eq!(wrapped(fact, 61), fact);
        let lines = "fashion-mnist: 60 000 train, 10 000 test,\n             10 classes, 1×28×28";
        assert_eq!([52, 41].map(|columns| wrapped(fact, columns)), [lines, lines]);
        let path = "/a/path:with/colons,and/commas that is long";
        assert_eq!(wrapped(path, 10), path);
    }
}
