//! `export RUN`: a run's network for other programs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use vgg_model::onnx;

use crate::run::checkpoints;
use crate::run::folder::Which;
use crate::run::output::Output;
use crate::terminal::ui::Ui;

/// What is written, and where.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// Format of the file
    #[arg(long, value_enum)]
    format: ExportFormat,

    /// File to write, over an older one; a pipe or /dev/stdout will do
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Which checkpoint of the run: that of the best epoch (train.best_by) or the last one
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: Which,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// The weights, with torchvision's names; `predict` takes the file as it takes a checkpoint
    Safetensors,
    /// The network: it takes normalised images of its own size, gives logits, and says in its
    /// metadata how to normalise
    Onnx,
}

/// `export RUN`.
pub(crate) fn command(run: &Path, options: &ExportOptions, download: bool, ui: &Ui) -> Result<()> {
    let path = checkpoints::network(run, options.checkpoint, download, ui)?;
    let output = Output::new(&options.output, &[&path])?;
    let checkpoint = checkpoints::load(&path)?;
    match options.format {
        ExportFormat::Safetensors => output.write(|out| checkpoint.write_network(out))?,
        ExportFormat::Onnx => {
            let model = onnx::Model::new(&checkpoint)?;
            output.write(|out| model.write(out))?;
        }
    }
    ui.status("Exported", &format!("{} to {}", path.display(), options.output.display()));
    Ok(())
}
