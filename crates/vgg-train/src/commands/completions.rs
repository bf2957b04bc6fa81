//! `completions SHELL`: what makes a shell complete the command line.

use anyhow::{Context as _, Result};
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::terminal::print;

/// Where this variable has the name of a shell, the program is asked for completions.
pub(crate) const VARIABLE: &str = "VGG_COMPLETE";

/// Prints what `shell` reads when it starts: that it is to ask the program.
pub(crate) fn command(shell: Shell) -> Result<()> {
    const NAME: &str = "vgg-train";
    let shells = Shells::builtins();
    let shell = shells.completer(&shell.to_string()).context("the shell is not known")?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    print::raw(&script)
}
