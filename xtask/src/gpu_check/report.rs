//! The report: Markdown, with a summary of all checks before the details.

use std::fmt::{Display, Write};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::status;

/// What was found so far.
pub(super) struct Report {
    path: PathBuf,
    /// What was checked, and why it failed.
    checks: Vec<(String, Result<String, String>)>,
    details: String,
}

impl Report {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, checks: Vec::new(), details: String::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn failures(&self) -> usize {
        self.checks.iter().filter(|(_, result)| result.is_err()).count()
    }

    /// Does a part of the checks. An error that ends it is a failed check.
    pub(super) fn part(&mut self, name: &str, part: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = part(self) {
            self.failed(name, format!("{error:#}"));
        }
    }

    pub(super) fn section(&mut self, title: &str) {
        self.add(format_args!("\n## {title}\n\n"));
    }

    /// A line of text.
    pub(super) fn text(&mut self, text: impl Display) {
        self.add(format_args!("{text}\n"));
    }

    /// What a program printed.
    pub(super) fn output(&mut self, title: &str, text: &str) {
        self.add(format_args!("\n{title}:\n\n```\n{}\n```\n", text.trim_end()));
    }

    /// A check that passed, with what is worth knowing.
    pub(super) fn passed(&mut self, name: &str, what: impl Display) {
        status("Passed", format_args!("{name}: {what}"));
        self.checks.push((name.into(), Ok(what.to_string())));
    }

    pub(super) fn failed(&mut self, name: &str, why: impl Display) {
        status("Failed", format_args!("{name}: {why}"));
        self.checks.push((name.into(), Err(why.to_string())));
    }

    /// Writes the file.
    pub(super) fn save(&self) -> Result<()> {
        fs::write(&self.path, self.to_markdown())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn to_markdown(&self) -> String {
        let mut checks = String::from("| check | | |\n|---|---|---|\n");
        for (name, result) in &self.checks {
            let (mark, what) = match result {
                Ok(what) => ("passed", what),
                Err(why) => ("**failed**", why),
            };
            let line = what.lines().next().unwrap_or_default().replace('|', "\\|");
            checks += &format!("| {name} | {mark} | {line} |\n");
        }
        let mut long = String::new();
        for (name, result) in &self.checks {
            if let Err(why) = result
                && why.trim().lines().count() > 1
            {
                long += &format!("\n{name}:\n\n```\n{}\n```\n", why.trim_end());
            }
        }
        if !long.is_empty() {
            long.insert_str(0, "\n## Failures\n");
        }
        format!("# GPU check\n\n{checks}{}{long}", self.details)
    }

    fn add(&mut self, text: impl Display) {
        let _ = write!(self.details, "{text}"); // to a string: cannot fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_comes_first_and_long_failures_last() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::new(folder.path().join("report.md"));
        report.section("Speed");
        report.passed("copy", "3 TB/s");
        report.failed("product", "a | b\nand more");
        report.part("other", |_| anyhow::bail!("lost"));
        report.output("what it said", "12\n");
        report.save().unwrap();
        let text = fs::read_to_string(report.path()).unwrap();
        let expected = "# GPU check\n\n| check | | |\n|---|---|---|\n| copy | passed | 3 TB/s |\n\
                        | product | **failed** | a \\| b |\n| other | **failed** | lost |\n\n\
                        ## Speed\n\n\nwhat it said:\n\n```\n12\n```\n\n## Failures\n\nproduct:\n\n\
                        ```\na | b\nand more\n```\n";
        assert_eq!(text, expected);
        assert_eq!(report.failures(), 2);
    }
}
