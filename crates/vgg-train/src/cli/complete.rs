//! What a shell is told when the user presses the tab key: it starts the program with what was typed
//! so far, and with a variable that says which shell it is.

use std::ffi::{OsStr, OsString};

use clap::Command;
use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use clap_complete::env::Shells;

use super::arrange::{first_word, is_command};
use crate::commands::completions::VARIABLE;
use crate::config::{self, SHIPPED};

/// What bash would not take as a part of a word.
const SPECIAL: &str = " \t\n'\"`$&;|<>()*?[]{}#~!\\";

/// The answer to a shell that asks what may follow the words in `args`; none if nobody asks.
pub(super) fn answer(program: impl Fn() -> Command, args: &[OsString]) -> Option<Vec<u8>> {
    let shell = std::env::var(VARIABLE).ok()?;
    let shells = Shells::builtins();
    let completer = shells.completer(&shell)?;
    let words = args.iter().position(|arg| arg == "--")? + 1;
    let mut words = args[words..].to_vec();
    let is_bash = completer.name() == "bash";
    if is_bash {
        words.iter_mut().for_each(|word| *word = unquoted(word));
    }
    let (mut command, words) = arranged(program(), words);
    let folder = std::env::current_dir().ok();
    let mut answer = Vec::new();
    completer.write_complete(&mut command, words, folder.as_deref(), &mut answer).ok()?;
    Some(if is_bash { quoted(&answer) } else { answer })
}

/// The command that the last of `words` belongs to, and the words as it takes them, of which there
/// are as many: what follows a config is what may follow `train`.
fn arranged(program: Command, mut words: Vec<OsString>) -> (Command, Vec<OsString>) {
    let train = program.find_subcommand("train").expect("it is a command").clone();
    let before = &words[..words.len().saturating_sub(1)];
    match first_word(&program, before) {
        Some(first) if is_command(&program, &words[first]) => {
            words[1..=first].rotate_right(1);
            (program, words)
        }
        Some(_) => (train, words),
        // A command or a config is next, or an option of either.
        None => {
            let options = train.get_arguments().cloned().collect::<Vec<_>>();
            (program.args(options), words)
        }
    }
}

/// A config: a file, or one of the program's own.
pub(super) fn config(typed: &OsStr) -> Vec<CompletionCandidate> {
    let files = PathCompleter::any().filter(|path| path.extension().is_some_and(|it| it == "toml"));
    shipped(typed).into_iter().chain(files.complete(typed)).collect()
}

/// A network: one that is known by name, a run's folder or a file.
pub(super) fn network(typed: &OsStr) -> Vec<CompletionCandidate> {
    let word = typed.to_string_lossy();
    let named = config::pretrained_names().filter(|name| name.starts_with(&*word));
    named.map(CompletionCandidate::new).chain(PathCompleter::any().complete(typed)).collect()
}

/// A config of the program's own.
pub(super) fn shipped(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let named = SHIPPED.iter().filter(|shipped| shipped.name.starts_with(&*typed));
    named
        .map(|shipped| CompletionCandidate::new(shipped.name).help(Some(shipped.about().into())))
        .collect()
}

/// A key of a config, with what is between it and its value.
pub(super) fn key(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let keys = config::keys().into_iter().filter(|key| key.starts_with(&*typed));
    keys.map(|key| CompletionCandidate::new(key + "=")).collect()
}

/// A key of its table `device`.
pub(super) fn key_of_device(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut keys = key(typed);
    keys.retain(|key| key.get_value().to_string_lossy().starts_with("device."));
    keys
}

/// A word as it is meant that is typed with backslashes.
fn unquoted(word: &OsStr) -> OsString {
    let Some(word) = word.to_str() else { return word.to_owned() };
    let mut chars = word.chars();
    let mut unquoted = String::new();
    while let Some(char) = chars.next() {
        unquoted.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    unquoted.into()
}

/// Answers as bash would have to have them typed; other shells do so themselves.
fn quoted(answers: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::new();
    for byte in answers {
        if SPECIAL.as_bytes().contains(byte) {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Cli;
    use super::*;

    /// What may follow a line.
    fn after(line: &str) -> Vec<String> {
        let words = line.split(' ').map(OsString::from).collect();
        let (mut command, words) = arranged(Cli::command(), words);
        let last = words.len() - 1;
        let found = clap_complete::engine::complete(&mut command, words, last, None).unwrap();
        found.iter().map(|it| it.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn commands_options_and_values() {
        assert_eq!(after("vgg-train re"), ["resume", "report"]);
        assert_eq!(after("vgg-train -q re"), ["resume", "report"]);
        assert_eq!(after("vgg-train predict run --linear"), ["--linear-weights"]);
        assert_eq!(after("vgg-train --checkpoint best predict run --linear"), ["--linear-weights"]);
        assert_eq!(after("vgg-train runs --sort l"), ["loss"]);
        assert_eq!(after("vgg-train summary imag"), ["imagenet", "imagenet_modern"]);
        assert_eq!(after("vgg-train predict run a.png --set device.k"), ["device.kind="]);
        assert_eq!(
            after("vgg-train predict imagenet-vgg19"),
            ["imagenet-vgg19", "imagenet-vgg19_bn"]
        );
        assert_eq!(after("vgg-train predict run a.png --set train"), [""; 0]);
    }

    #[test]
    fn a_config_alone_is_completed_as_what_is_trained() {
        assert_eq!(after("vgg-train vgg11_"), ["vgg11_small_quick", "vgg11_small"]);
        for line in ["--thr", "x.toml --thr", "-q x.toml --offline --thr", "train x.toml --thr"] {
            assert_eq!(after(&format!("vgg-train {line}")), ["--threads"], "{line}");
        }
        assert_eq!(after("vgg-train x.toml --set train.ep"), ["train.epochs="]);
        assert_eq!(after("vgg-train x.toml --precision b"), ["bf16"]);
        assert_eq!(after("vgg-train x.toml re"), [""; 0], "the config is there");
    }

    #[test]
    fn bash_has_names_as_they_are_typed() {
        assert_eq!(unquoted(OsStr::new(r"my\ file\\")), r"my file\");
        assert_eq!(quoted("a;b 'é'\u{b}c".as_bytes()), "a\\;b\\ \\'é\\'\u{b}c".as_bytes());
    }
}
