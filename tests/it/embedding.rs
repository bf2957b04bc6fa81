//! `vgg-model` as another program uses it: a crate outside of this workspace, with path
//! dependencies and default features.

use std::fs;
use std::path::Path;
use std::process::Command;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(folder)
        // Kept between test runs, so that only the first one compiles the dependencies.
        .env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/embedding"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn another_program_trains_and_classifies() {
    let folder = tempfile::tempdir().unwrap();
    let dependency = |name: &str| format!("{name} = {{ path = '{WORKSPACE}/crates/{name}' }}\n");
    let manifest = format!(
        "[package]\nname = 'embed'\nedition = '2024'\n[dependencies]\n{}{}",
        dependency("vgg-cpu"),
        dependency("vgg-model"),
    );
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    // The same versions as here, so that no network is needed.
    let copy = |from: &str, to: &str| {
        fs::copy(Path::new(WORKSPACE).join(from), folder.path().join(to)).unwrap();
    };
    copy("Cargo.lock", "Cargo.lock");
    copy("crates/vgg-model/examples/embed.rs", "src/main.rs");
    let output = cargo(folder.path(), &["run", "--offline", "--quiet"]);
    for line in ["step 20  loss 0.", "image 0: class 0 standing", "image 1: class 1 lying"] {
        assert!(output.contains(line), "{line:?} is not in\n{output}");
    }
}

#[test]
fn the_library_has_none_of_the_programs_dependencies() {
    let tree = ["tree", "--offline", "-p", "vgg-model", "-e", "normal", "--prefix", "none"];
    let tree = cargo(Path::new(WORKSPACE), &tree);
    assert!(tree.contains("safetensors"), "{tree}");
    for name in ["clap", "indicatif", "plotters", "image", "ureq", "toml", "tracing", "anyhow"] {
        let found = tree.lines().find(|line| line.split(' ').next() == Some(name));
        assert_eq!(found, None, "{name}");
    }
}
