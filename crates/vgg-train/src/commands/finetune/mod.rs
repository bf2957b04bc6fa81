//! `finetune FOLDER`: a trained network for the classes of a folder of photographs.
//!
//! It writes a config, and trains it in two runs: the network's new last layer alone, with all that the
//! trained network knows left as it is, and from there on all layers at a lower rate. There is nothing in
//! these runs that the config and the two commands in it do not say.

mod plan;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use vgg_model::Arch;
use vgg_tensor::new_file;

use self::plan::Plan;
use super::train;
use crate::config::{self, Loaded, Override};
use crate::failure::{Code, Failure};
use crate::signals::Stop;
use crate::terminal::log::Log;
use crate::terminal::shell;
use crate::terminal::ui::Ui;
use crate::training::outcome::{self, End};
use crate::training::processes::Ranks;

/// What is fine-tuned, and how.
#[derive(Debug, Args)]
pub(crate) struct FinetuneOptions {
    /// Which of ImageNet's networks: vgg11, vgg13, vgg16 or vgg19
    #[arg(long, default_value = "vgg16", conflicts_with = "from")]
    arch: Arch,

    /// Network to start from instead: a run, a checkpoint, a file of another program's weights, or a
    /// name such as imagenet-vgg16_bn
    ///
    /// Its size, channels and normalisation are taken over.
    #[arg(long, value_name = "NETWORK", value_hint = ValueHint::AnyPath)]
    from: Option<PathBuf>,

    /// CSV file of labels, with lines path,label or path,label,split, instead of a folder a class
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    labels: Option<PathBuf>,

    /// Epochs of all layers; the new layer alone trains for a third as many before [default: 12 to 60,
    /// as make 500 steps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,

    /// Images a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,

    /// Config to write [default: FOLDER's name, with .toml]
    ///
    /// One that is there is trained if it is the one that would be written. One that was changed is
    /// never replaced: `vgg-train FILE` trains it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// Print what came out of training as JSON
    #[arg(long)]
    json: bool,
}

/// `finetune FOLDER`.
pub(crate) fn command(
    folder: &Path,
    options: &FinetuneOptions,
    overrides: Vec<Override>,
    out: &Path,
    ui: &Ui,
    log: &Log,
) -> Result<Code> {
    if let Some(rank) = vgg_comm::launched_rank() {
        if rank > 0 {
            // The first one says it.
            return Ok(Code::Success);
        }
        let message = "finetune trains in one process, and a launcher has started several";
        let help = "started alone it writes a config, which several processes can train";
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    let ranks = Ranks::Threads(1);
    let plan = Plan::new(folder, options, &overrides)?;
    let text = plan.text(out)?;
    // What is wrong with it is told before it is written.
    let loaded = config::load_text(&plan.file, &text, overrides.clone())?;
    let layers = plan.layers(loaded.config.vgg())?;
    keep(&plan.file, &text)?;
    ui.status("Config", &plan.file.display().to_string());
    plan.choices(&loaded.config, &layers).iter().for_each(|choice| ui.detail(choice));

    let head = plan.of_head(&loaded.config, &layers);
    let alone =
        if layers.new.len() > 1 { "the new layers alone" } else { "the new last layer alone" };
    ui.status("Part 1", alone);
    let overridden = overrides.iter().cloned().chain(head).collect();
    let (run, end) = train::run(&plan.file, overridden, out, &ranks, ui, log)?;
    let part_2 = || {
        let [run, file] = [&run, &plan.file].map(shell::word);
        format!("vgg-train {file} --set init.from={run} is part 2")
    };
    if let End::Stopped(code) = end {
        ui.help(&format!("vgg-train resume {} goes on; {}", shell::word(&run), part_2()));
        return Ok(code);
    }
    // As a signal may come when part 1 is done already.
    if let Some(code) = Stop::listen()?.requested() {
        ui.help(&part_2());
        return Ok(code);
    }
    log.start_again();
    ui.status("Part 2", "all layers");
    let from = Override::new("finetune", "init.from", run.to_string_lossy().into_owned());
    let overridden = overrides.into_iter().chain([from]).collect();
    let (_, end) = train::run(&plan.file, overridden, out, &ranks, ui, log)?;
    outcome::tell(end, options.json)
}

/// The config that `finetune FOLDER` writes.
pub(crate) fn config(
    folder: &Path,
    options: &FinetuneOptions,
    overrides: Vec<Override>,
    out: &Path,
) -> Result<Loaded> {
    let plan = Plan::new(folder, options, &overrides)?;
    config::load_text(&plan.file, &plan.text(out)?, overrides)
}

/// Writes the config, unless it is there.
///
/// # Errors
/// If there is another one.
fn keep(file: &Path, text: &str) -> Result<()> {
    match fs::read(file) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        Ok(_) => {
            let message = format!("{} is there, and is not what would be written", file.display());
            let config = shell::word(file);
            let help = format!(
                "`vgg-train {config}` trains it as it is; --config FILE writes another one"
            );
            Err(Failure::new(Code::Usage, message).help(help).into())
        }
        Err(_) => new_file::replace(file, |out| out.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", file.display())),
    }
}
