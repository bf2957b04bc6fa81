//! What makes the program at home in a shell: completion and the manual.

use std::fs;
use std::process::Command;

use super::{Done, Workplace};

/// A bash that has read the completions of a program in its `PATH`, and what it makes of a line.
#[cfg(unix)]
fn completed_by_bash(place: &Workplace, words: &[&str]) -> Option<Vec<String>> {
    let ask = r#"source <(vgg-train completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        _clap_complete_vgg_train vgg-train "${COMP_WORDS[COMP_CWORD]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_vgg-train"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH")?);
    let mut bash = Command::new("bash");
    bash.args(["-c", ask, "bash"]).args(words).env("PATH", path);
    let done = Done::of(bash.current_dir(place.folder.path()).output().ok()?);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    Some(done.stdout.lines().map(String::from).collect())
}

#[test]
#[cfg(unix)]
fn bash_completes_commands_configs_and_options() {
    let place = Workplace::new();
    fs::write(place.path("my config.toml"), "").unwrap();
    fs::create_dir_all(place.path("runs/tiny-1")).unwrap();
    for (line, expected) in [
        ("vgg-train re", &["resume", "report"][..]),
        ("vgg-train resume runs/", &["runs/tiny-1/"]),
        ("vgg-train tiny.toml --thr", &["--threads"]),
        ("vgg-train tiny.toml --set train.ep", &["train.epochs="]),
        ("vgg-train my", &[r"my\ config.toml"]),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        // Where there is a bash.
        if let Some(completed) = completed_by_bash(&place, &words) {
            assert_eq!(completed, expected, "{line}");
        }
    }
}

#[test]
fn every_shell_has_a_script_that_names_the_program() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.ok(&format!("completions {shell}")).stdout;
        assert!(script.contains("VGG_COMPLETE") && script.contains("vgg-train"), "{script}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_of_completions_may_go() {
    let place = Workplace::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = place.command("completions zsh").stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[test]
fn the_manual_has_a_page_a_command() {
    let place = Workplace::new();
    let done = place.ok("man a/man1");
    assert!(done.stderr.contains("pages to a/man1"), "{}", done.stderr);
    let page = |name: &str| place.read(&format!("a/man1/{name}.1"));
    for command in ["", "-train", "-runs", "-data", "-data-check", "-man"] {
        let page = page(&format!("vgg-train{command}"));
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "ENVIRONMENT"]
        {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{command} {section}: {page}");
        }
    }
    assert!(!place.path("a/man1/vgg-train-help.1").exists());
    let first = page("vgg-train");
    for variable in ["VGG_DEVICE", "VGG_RUNS_DIR", "VGG_LOG", "NO_COLOR"] {
        assert!(first.contains(&format!("\n\\fB{variable}\\fR\n")), "{variable}: {first}");
    }
    assert!(first.contains(".TP\n\\fB75\\fR\nstopped by SIGTERM"), "{first}");
    assert!(!page("vgg-train-data").contains("VGG_DEVICE"), "only its own options' variables");
}
