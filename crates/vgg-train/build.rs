//! Tells the program which commit it is built from, and of which day that is.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Git writes a line there whenever another commit is checked out or made: only then is the
    // program, and nothing below it, built again.
    for file in ["logs/HEAD", "HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file])
            && Path::new(&path).is_file()
        {
            println!("cargo::rerun-if-changed={path}");
            break;
        }
    }
    let of_commit = |format| commit(format).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=VGG_TRAIN_COMMIT={}", of_commit("%h"));
    println!("cargo::rustc-env=VGG_TRAIN_DATE={}", of_commit("%cs"));
}

/// What git says of the commit: the first letters of its hash (`%h`), or its day (`%cs`).
fn commit(format: &str) -> Option<String> {
    // Sources without a repository may lie in someone else's.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    git(&["show", "--no-patch", "--abbrev=9", &format!("--format={format}"), "HEAD"])
}

/// What git answers, if there is a git, and a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| answer.trim().to_owned())
}
