//! Everything that the check takes, in a folder that can be carried to another machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vgg_data::fashion_mnist;

use super::programs;
use crate::checkout::data_dir;
use crate::{child, status};

/// Starts the check where it was carried to.
const RUN: &str = "#!/bin/sh\nexec \"$(dirname \"$0\")/bin/xtask\" gpu-check \"$@\"\n";

/// What is copied as it is, if it is there: what programs are given, and what tests compare with.
const FILES: [(&str, &[&str]); 2] =
    [("configs", &["toml"]), ("tests/golden", &["safetensors", "pth", "onnx"])];

/// Makes the folder.
pub(super) fn pack(folder: &Path) -> Result<()> {
    let is_free = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    ensure!(is_free, "{} has something in it: name a folder to be made", folder.display());
    let root = programs::root();
    let data = fashion_mnist::folder(&data_dir(None));
    ensure!(data.is_dir(), "the data are not there: `cargo xtask fetch-data` fetches them");
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    let this = std::env::current_exe().context("the path of this program")?;
    let programs =
        [("xtask", this), ("vgg-train", programs::vgg_train()?), ("tests", programs::tests()?)];
    for (name, from) in programs {
        let to = bin.join(name);
        copy(&from, &to)?;
        strip(&to);
    }
    for (name, endings) in FILES {
        copy_all(&root.join(name), &folder.join(name), endings)?;
    }
    copy_all(&data, &fashion_mnist::folder(&folder.join(programs::DATA)), &["gz"])?;
    let commit = programs::commit().unwrap_or_else(|| "unknown".into());
    write(&folder.join(programs::COMMIT), &commit)?;
    let run = folder.join("run");
    write(&run, RUN)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", run.display()))?;
    }
    let megabytes = size(folder)? as f64 / 1e6;
    status("Packed", format_args!("{}, {megabytes:.1} MB: start its `run`", folder.display()));
    Ok(())
}

/// Takes out what debuggers need. It works as well with it, so that it is no failure if it stays.
fn strip(program: &Path) {
    let mut strip = Command::new("strip");
    let _ = child::run(strip.arg(program), "", programs::SHORT);
}

/// Copies files with these endings, and those of folders in the folder.
fn copy_all(from: &Path, to: &Path, endings: &[&str]) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let from = entry.with_context(|| format!("cannot read {}", from.display()))?.path();
        let Some(name) = from.file_name() else { continue };
        let to = to.join(name);
        if from.is_dir() {
            copy_all(&from, &to, endings)?;
        } else if from.extension().is_some_and(|ending| endings.iter().any(|e| ending == *e)) {
            copy(&from, &to)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Bytes of all files.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry.context("cannot read a folder")?.path();
        bytes += match path.is_dir() {
            true => size(&path)?,
            false => fs::metadata(&path).map_or(0, |data| data.len()),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_taken_is_packed_and_nothing_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::create_dir_all(from.join("weights")).unwrap();
        for file in ["a.toml", "b.py", "weights/c.toml"] {
            fs::write(from.join(file), file).unwrap();
        }
        copy_all(&from, &to, &["toml"]).unwrap();
        assert_eq!(fs::read_to_string(to.join("weights/c.toml")).unwrap(), "weights/c.toml");
        assert!(to.join("a.toml").exists() && !to.join("b.py").exists());
        assert_eq!(size(&to).unwrap(), 20);
        let error = pack(&from).unwrap_err().to_string();
        assert!(error.contains("has something in it"), "{error}");
    }
}
