//! Tells the program which commit it is built from.

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
    println!("cargo::rustc-env=VGG_TRAIN_COMMIT={}", commit().as_deref().unwrap_or("unknown"));
}

/// The first letters of the commit's hash.
fn commit() -> Option<String> {
    // Sources without a repository may lie in someone else's.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    git(&["rev-parse", "--short=9", "HEAD"])
}

/// What git answers, if there is a git, and a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| answer.trim().to_owned())
}
