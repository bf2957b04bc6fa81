//! What users may write shorter: `vgg-train CONFIG …` for `vgg-train train CONFIG …`, and options in
//! front of a command.

use std::ffi::{OsStr, OsString};

use clap::Command;

/// The arguments with the command first: the one that stands among them, or `train`.
pub(super) fn command_first(command: &Command, mut args: Vec<OsString>) -> Vec<OsString> {
    let Some(first) = first_word(command, &args) else { return args };
    let name = args[first].clone();
    let is_help = name == "help";
    if is_help || command.find_subcommand(&name).is_some() {
        // Options before a command are its own, too.
        let name = args.remove(first);
        args.insert(1, name);
    } else {
        args.insert(1, "train".into());
    }
    args
}

/// The index of the first argument after the program's name that is neither an option nor the value
/// of one.
fn first_word(command: &Command, args: &[OsString]) -> Option<usize> {
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
