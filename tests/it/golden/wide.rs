//! Every network at the sizes it is used with, where `golden/wide.py` wrote their files. They take
//! gigabytes and minutes, so that only those who say where they are try them.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vgg_cpu::{Config, Cpu};
use vgg_model::VggConfig;
use vgg_tensor::Result;
use vgg_testkit::Golden;

use super::nets::{Errors, Net};

/// The folder of the files.
const FOLDER: &str = "VGG_WIDE_GOLDENS";

/// Largest error, as a share of the largest logit.
const LOGITS: f64 = 1e-4;
/// Largest error of a gradient, or of running statistics, as a share of its norm.
const GRADIENT: f64 = 1e-3;

/// What a file says of its network.
#[derive(Deserialize)]
struct Generator {
    config: VggConfig,
    std: f32,
    images: usize,
    /// How far PyTorch's own `f32` is off.
    float32_strays: Strays,
}

#[derive(Deserialize)]
struct Strays {
    logits: f64,
    gradient: f64,
}

#[test]
#[expect(clippy::print_stdout, reason = "the table, for whoever asks with --nocapture")]
fn wide_networks() -> Result<()> {
    let Some(folder) = env::var_os(FOLDER) else {
        println!("skipped: {FOLDER} is not set to the folder that golden/wide.py wrote");
        return Ok(());
    };
    println!("{:22} {:>9} {:>9}  {:22} (PyTorch's f32)", "network", "logits", "gradient", "of");
    let mut far = Vec::new();
    for path in files(Path::new(&folder)) {
        let name = path.file_stem().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
        let golden = Golden::open(&path);
        let Generator { config, std, images, float32_strays: strays } =
            serde_json::from_str(golden.generator()).expect("wide.py wrote the file");
        let net = Net { prefix: String::new(), config, images, std };
        let cpu = || Cpu::new(Config::default());
        let Errors { logits, gradient, worst } = net.errors(cpu()?, cpu()?, &golden)?;
        let Strays { logits: theirs, gradient: their_worst } = strays;
        println!(
            "{name:22} {logits:9.1e} {gradient:9.1e}  {worst:22} ({theirs:.1e} {their_worst:.1e})"
        );
        if logits.is_nan() || logits > LOGITS || gradient.is_nan() || gradient > GRADIENT {
            far.push(name);
        }
    }
    assert!(far.is_empty(), "too far off: {far:?}");
    Ok(())
}

/// The golden files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension() == Some("safetensors".as_ref())).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no golden files in {}", folder.display());
    paths
}
