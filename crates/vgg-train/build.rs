//! Tells the program which commit it is built from, of which day that is, and where the configs are that
//! become part of it.

use std::path::{Path, PathBuf};
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
    println!("cargo::rustc-env=VGG_TRAIN_CONFIGS={}", configs().display());
    let of_commit = |format| commit(format).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=VGG_TRAIN_COMMIT={}", of_commit("%h"));
    println!("cargo::rustc-env=VGG_TRAIN_DATE={}", of_commit("%cs"));
}

/// The folder of the workspace or, in a package, its copy, which Cargo makes of the link here. In a
/// checkout the link may be a file: Windows makes links only for those who may.
fn configs() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_workspace = here.join("../../configs");
    if of_workspace.is_dir() { of_workspace } else { here.join("configs") }
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
