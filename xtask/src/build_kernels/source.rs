//! The sources of kernels, and the mark they leave in what is made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use vgg_tensor::hex;

use super::wheel::NVRTC;
use crate::checkout;

/// What NVRTC is told of a module. Turing is the oldest GPU supported: PTX for it runs on all later
/// ones. Without the last one, each module would hold a list of GPUs from a header we do not use.
pub(super) fn options(module: &str) -> [String; 3] {
    let (major, minor) = vgg_kernels::capability(module);
    let architecture = format!("--gpu-architecture=compute_{major}{minor}");
    [architecture, "--std=c++17".into(), "--define-macro=__NV_TARGET_H".into()]
}

/// The package of the kernels.
pub(super) fn kernels_folder() -> PathBuf {
    checkout::root().join("kernels")
}

/// CUDA C, by the files' names.
pub(super) struct Sources {
    /// What the modules include. The names have their extension, as in `#include`.
    pub(super) headers: BTreeMap<String, String>,
    /// A file a module. The names have no extension.
    pub(super) modules: BTreeMap<String, String>,
}

impl Sources {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let headers = read_all(folder, "cuh")?;
        let headers = headers.into_iter().map(|(name, text)| (name + ".cuh", text)).collect();
        Ok(Self { headers, modules: read_all(folder, "cu")? })
    }

    /// The first lines of a module's PTX. They change with whatever may change the rest: compiler,
    /// options, headers (all of them, included or not) and the source.
    pub(super) fn first_lines(&self, module: &str) -> String {
        let (options, compiler) = (options(module).join(" "), NVRTC.to_string());
        let headers = self.headers.iter().flat_map(|(name, text)| [name.as_str(), text]);
        let mut hash = Sha256::new();
        for part in [options.as_str(), &compiler].into_iter().chain(headers) {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(&self.modules[module]);
        let digest = hex(&hash.finalize());
        format!(
            "// Generated from src/{module}.cu by `cargo xtask build-kernels`; do not edit.\n\
             // {options}; sha256 of all sources: {digest}\n"
        )
    }
}

/// All files of an extension in a folder, by their names without it.
pub(super) fn read_all(folder: &Path, extension: &str) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let name = path.file_stem().context("a file has a name")?;
            files.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    Ok(files)
}
