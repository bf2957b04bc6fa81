//! One build serves all commands of the README: none asks for a crate with other features than
//! `cargo run -p vgg-train` has compiled it with.

use std::collections::BTreeSet;
use std::process::Command;

/// The crates that a command compiles for its packages, each as `NAME VERSION FEATURES`.
fn crates(packages: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--no-dedupe", "--format", "{p} {f}"])
        .args(packages)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Name and version.
fn package(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_build_serves_all_commands() {
    let run = crates(&["-p", "vgg-train", "--edges", "normal,build"]);
    assert!(run.iter().any(|line| line.starts_with("vgg-cpu ")), "{run:#?}");
    let compiled: BTreeSet<String> = run.iter().map(|line| package(line)).collect();
    for (command, packages) in [
        ("cargo xtask", &["-p", "xtask", "--edges", "normal,build"][..]),
        ("cargo run -p vgg-model --example", &["-p", "vgg-model"]),
        ("cargo test --workspace", &["--workspace"]),
    ] {
        let again: Vec<_> = crates(packages)
            .into_iter()
            .filter(|line| compiled.contains(&package(line)) && !run.contains(line))
            .collect();
        assert!(
            again.is_empty(),
            "`{command}` asks for other features than `cargo run -p vgg-train` of these; name them \
             in workspace-hack/Cargo.toml: {again:#?}"
        );
    }
}
