//! What users may write shorter: `vgg-train CONFIG …` for `vgg-train train CONFIG …`, and options in
//! front of a command.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Command;

use crate::config::{Shipped, nearest};

/// The arguments with the command first: the one that stands among them, or `train`.
pub(super) fn command_first(command: &Command, mut args: Vec<OsString>) -> Vec<OsString> {
    let Some(first) = first_word(command, &args) else { return args };
    let name = args[first].clone();
    if is_command(command, &name) || is_mistyped_command(command, &name) {
        // Options before a command are its own, too.
        let name = args.remove(first);
        args.insert(1, name);
    } else {
        args.insert(1, "train".into());
    }
    args
}

pub(super) fn is_command(command: &Command, word: &OsStr) -> bool {
    word == "help" || command.find_subcommand(word).is_some()
}

/// Whether a word is near a command's name, and no config: clap then says which command may be meant.
fn is_mistyped_command(command: &Command, word: &OsStr) -> bool {
    let is_config = Path::new(word).exists() || Shipped::find(Path::new(word)).is_some();
    let names = command.get_subcommands().map(Command::get_name);
    !is_config && word.to_str().and_then(|word| nearest(word, names)).is_some()
}

/// The index of the first argument after the program's name that is neither an option nor the value
/// of one.
pub(super) fn first_word(command: &Command, args: &[OsString]) -> Option<usize> {
    let mut i = 1;
    while i < args.len() {
        let arg = args[i].to_string_lossy();
        if !arg.starts_with('-') || arg == "-" {
            return Some(i);
        }
        if arg == "--" {
            return None;
        }
        i += if takes_next(command, OsStr::new(&*arg)) { 2 } else { 1 };
    }
    None
}

/// Whether the argument after this option is its value. An option means the same in all commands.
fn takes_next(command: &Command, option: &OsStr) -> bool {
    let Some(name) = option.to_str().and_then(|option| option.strip_prefix("--")) else {
        return false;
    };
    let own = |command: &Command| {
        command.get_arguments().any(|arg| {
            let takes = arg.get_action().takes_values() && !arg.is_require_equals_set();
            arg.get_long() == Some(name) && takes
        })
    };
    own(command) || command.get_subcommands().any(own)
}
