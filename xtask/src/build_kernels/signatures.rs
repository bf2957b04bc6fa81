//! The kernels' signatures, from CUDA C to Rust.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::source::Sources;

/// A kernel as the host sees it.
pub(super) struct Signature {
    /// With `T` for the type where there are several.
    pub(super) name: String,
    /// Names and types, in Rust.
    pub(super) parameters: Vec<(String, &'static str)>,
}

/// Where the package of the kernels has them.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("src/signatures.rs")
}

/// That file.
pub(super) fn file(sources: &Sources) -> Result<String> {
    let mut text = String::from(
        "// Generated from src/*.cu by `cargo xtask build-kernels`; do not edit.\n\
         //! All kernels with their parameters, by modules.\n\n\
         use crate::kernel::kernels;\nuse crate::{Address, Updates};\n\nkernels! {\n",
    );
    for (module, source) in &sources.modules {
        writeln!(text, "    // {module}.cu")?;
        for Signature { name, parameters } in read(source).context(module.clone())? {
            writeln!(text, "    {} = \"{name}\" {{", camel_case(&name))?;
            for (parameter, of) in parameters {
                writeln!(text, "        {parameter}: {of},")?;
            }
            writeln!(text, "    }}")?;
        }
    }
    Ok(text + "}\n")
}

/// The kernels of a module: what follows the word that `common.cuh` defines.
pub(super) fn read(source: &str) -> Result<Vec<Signature>> {
    let kernel = |text: &str| -> Result<Signature> {
        let (name, rest) = text.split_once('(').context("a kernel without parameters")?;
        let (parameters, _) = rest.split_once(')').context("parameters without an end")?;
        // Within a macro, lines go on.
        let parameters = parameters.replace('\\', " ");
        let parameters = parameters.split(',').map(parameter).collect::<Result<_>>()?;
        Ok(Signature { name: name.replace("##NAME", "T"), parameters })
    };
    source.split("KERNEL ").skip(1).map(kernel).collect()
}

fn parameter(text: &str) -> Result<(String, &'static str)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let of = match words[..] {
        [.., of, _] if of.ends_with('*') => "Address",
        ["u32", _] => "u32",
        ["u64", _] => "u64",
        ["float", _] => "f32",
        ["double", _] => "f64",
        [.., "Updates", _] => "Updates",
        _ => bail!("a parameter of no known type: {text}"),
    };
    Ok((words[words.len() - 1].into(), of))
}

/// The name of a type: without the one that numbers are stored as.
fn camel_case(name: &str) -> String {
    let words = name.strip_suffix("_T").unwrap_or(name).split('_');
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}
