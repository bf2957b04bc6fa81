//! What the user sees while the program works. All of it goes to standard error, and to the log.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Output, ProgressKind, When};
use crate::exit;
use crate::fields::Fields;
use crate::log::{SAID, now};
use crate::print::printable;

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

/// Standard error, with or without colour, a bar, or anything at all.
#[derive(Debug)]
pub(crate) struct Ui {
    quiet: bool,
    color: bool,
    progress: ProgressKind,
    /// Whether it is a screen, whose lines end somewhere.
    terminal: bool,
    /// The bar on the screen, which other output must not run into, and its columns.
    bar: RefCell<Option<(ProgressBar, usize)>>,
}

impl Ui {
    /// As the user asked, or as suits where standard error goes.
    pub(crate) fn new(output: Output, progress: ProgressKind) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let color = match output.color {
            When::Always => true,
            When::Never => false,
            When::Auto if set("NO_COLOR") => false,
            When::Auto => (terminal && !dumb) || (set("CLICOLOR_FORCE")),
        };
        let progress = match progress {
            _ if output.quiet => ProgressKind::None,
            ProgressKind::Auto if terminal && !dumb => ProgressKind::Bar,
            ProgressKind::Auto => ProgressKind::Plain,
            chosen => chosen,
        };
        Self { quiet: output.quiet, color, progress, terminal, bar: RefCell::new(None) }
    }

    /// One that says nothing but warnings, for work on the way to something else.
    pub(crate) fn silenced(&self) -> Self {
        let bar = RefCell::new(None);
        Self { quiet: true, progress: ProgressKind::None, bar, ..*self }
    }

    /// A fact or an event: `     Dataset fashion-mnist: 60000 train, 10000 test`.
    pub(crate) fn status(&self, verb: &str, text: &str) {
        let text = printable(text);
        tracing::info!(target: SAID, "{verb} {text}");
        if !self.quiet {
            let verb = self.paint("1;32", &format!("{verb:>12}"));
            self.print(&format!("{verb} {}", self.wrapped(&text)));
        }
    }

    /// More about what was said last.
    pub(crate) fn detail(&self, text: &str) {
        let text = printable(text);
        tracing::info!(target: SAID, "{text}");
        if !self.quiet {
            self.print(&format!("{:12} {}", "", self.wrapped(&text)));
        }
    }

    /// What may go wrong. Shown even if quiet.
    pub(crate) fn warn(&self, text: &str) {
        let text = printable(text);
        tracing::warn!(target: SAID, "{text}");
        self.print(&format!("{}: {text}", self.paint("1;33", "warning")));
    }

    /// What the user could do.
    pub(crate) fn help(&self, text: &str) {
        let text = printable(text);
        tracing::info!(target: SAID, "{text}");
        if !self.quiet {
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
        self.print(exit::render(error, self.color).trim_end());
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
        let size = rustix::termios::tcgetwinsize(std::io::stderr());
        size.map_or(COLUMNS, |size| match size.ws_col {
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

/// `1 image`, `2 images`.
pub(crate) fn count(n: u64, what: &str) -> String {
    let plural = match what {
        _ if n == 1 => "",
        what if what.ends_with("ss") => "es",
        _ => "s",
    };
    format!("{} {what}{plural}", grouped(n))
}

/// `1234567` as `1 234 567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `43 093 322` as `43.09 M`, and `7 546 544 128` as `7546.5 M`.
pub(crate) fn millions(n: u64) -> String {
    match n as f64 / 1e6 {
        n if n < 100.0 => format!("{n:.2} M"),
        n => format!("{n:.1} M"),
    }
}

/// Bytes in the unit that fits: `1.9 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// `5.9 s`, `12:03` or `3:04:05`.
pub(crate) fn clock(time: Duration) -> String {
    if time.as_secs_f64() < 59.95 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    let seconds = time.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
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

    #[test]
    fn one_is_not_many() {
        let counts =
            [count(1, "image"), count(2000, "image"), count(0, "class"), count(1, "class")];
        assert_eq!(counts, ["1 image", "2 000 images", "0 classes", "1 class"]);
    }

    #[test]
    fn numbers_are_readable() {
        let groups = [0, 999, 1000, 43_093_322].map(grouped);
        assert_eq!(groups, ["0", "999", "1 000", "43 093 322"]);
        let counts = [153_386, 43_093_322, 512_184_320].map(millions);
        assert_eq!(counts, ["0.15 M", "43.09 M", "512.2 M"]);
        let sizes = [512, 1 << 20, 1_900_000_000].map(bytes);
        assert_eq!(sizes, ["0.5 KiB", "1.0 MiB", "1.8 GiB"]);
        let times = [0.4, 54.0, 723.4, 11_045.0].map(|s| clock(Duration::from_secs_f64(s)));
        assert_eq!(times, ["0.4 s", "54.0 s", "12:03", "3:04:05"]);
    }
}
