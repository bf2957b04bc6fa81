//! `man FOLDER`: the program's manual, a page a command.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use vgg_tensor::new_file;

use crate::failure::Code;
use crate::run::new_folder::make_folder;
use crate::terminal::numbers::count;
use crate::terminal::ui::Ui;
use crate::version::DATE;

/// Variables that stand beside no option.
const VARIABLES: [(&str, &str); 3] = [
    ("CLICOLOR_FORCE", "Colour messages where standard error is no terminal, too."),
    ("NO_COLOR", "Colour nothing."),
    (
        "VGG_LOG",
        "What is logged, such as debug or vgg_cpu=trace,info; with --verbose on standard error, too.",
    ),
];

/// Writes the pages of the command line `program` into `folder`.
pub(crate) fn command(folder: &Path, program: Command, ui: &Ui) -> Result<()> {
    make_folder(folder)?;
    let mut program = program.disable_help_subcommand(true).subcommand_help_heading("COMMANDS");
    program.build();
    let mut written = 0;
    for command in all(&program) {
        let page = Page { program: &program, command };
        let path = folder.join(page.file());
        new_file::replace(&path, |out| page.write(out))
            .with_context(|| format!("cannot write {}", path.display()))?;
        written += 1;
    }
    ui.status("Wrote", &format!("{} to {}", count(written, "page"), folder.display()));
    ui.help(&format!("man -l {} shows the first one", folder.join("vgg-train.1").display()));
    Ok(())
}

/// A command and those below it.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(all);
    [command].into_iter().chain(below).collect()
}

/// The page of a command.
struct Page<'a> {
    program: &'a Command,
    command: &'a Command,
}

impl Page<'_> {
    fn file(&self) -> String {
        format!("{}.1", name(self.command))
    }

    fn write(&self, mut out: &mut dyn Write) -> io::Result<()> {
        let man = Man::new(self.command.clone())
            .date(DATE)
            .source(concat!("vgg-train ", env!("CARGO_PKG_VERSION")))
            .manual("User Commands");
        man.render_title(out)?;
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
        if self.command.has_subcommands() {
            man.render_subcommands_section(out)?;
        }
        let mut rest = Roff::new();
        self.exit_status(&mut rest);
        self.environment(&mut rest);
        if !std::ptr::eq(self.command, self.program) {
            rest.control("SH", ["SEE ALSO"]);
            rest.text([bold(self.program.get_name()), roman("(1)")]);
        }
        rest.to_writer(&mut out)
    }

    fn exit_status(&self, page: &mut Roff) {
        page.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in Code::ALL {
            page.control("TP", []);
            page.text([bold((code as u8).to_string())]);
            page.text([roman(meaning)]);
        }
    }

    /// The variables of the command's options, of those of all commands on the program's own page.
    fn environment(&self, page: &mut Roff) {
        let mut variables: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for argument in all(self.command).into_iter().flat_map(Command::get_arguments) {
            if let Some(variable) = argument.get_env() {
                let stands_for = match argument.get_long() {
                    Some(long) => bold(format!("--{long}")),
                    None => italic(value_name(argument)),
                };
                let all = variables.entry(variable.to_string_lossy().into_owned()).or_default();
                if !all.contains(&stands_for) {
                    all.push(stands_for);
                }
            }
        }
        let of_options = variables.into_iter().map(|(variable, options)| {
            let mut text = vec![roman("Stands for ")];
            for (i, option) in options.into_iter().enumerate() {
                text.extend((i > 0).then(|| roman(" or ")));
                text.push(option);
            }
            text.push(roman(" where it is not given."));
            (variable, text)
        });
        let others = VARIABLES.map(|(name, text)| (name.to_owned(), vec![roman(text)]));
        page.control("SH", ["ENVIRONMENT"]);
        for (variable, text) in of_options.chain(others) {
            page.control("TP", []);
            page.text([bold(variable)]);
            page.text(text);
        }
    }
}

/// `vgg-train-data-check`.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.first().map(ToString::to_string).unwrap_or_default()
}
