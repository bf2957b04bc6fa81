//! `export RUN`: a run's network for other programs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use vgg_model::{Checkpoint, onnx};

use crate::failure::{Code, Failure};
use crate::run::checkpoints;
use crate::run::folder::Which;
use crate::run::output::Output;
use crate::terminal::ui::Ui;

/// What is written, and where.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// Format of the file [default: as its name ends, .safetensors or .onnx]
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,

    /// File to write, over an older one; a pipe or /dev/stdout will do
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Which checkpoint of the run: that of the best epoch (train.best_by) or the last one
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: Which,

    /// Of a run that locates objects, write this run's network, too, which says their classes, into the same
    /// ONNX file; it must take the same images
    #[arg(long, value_name = "RUN")]
    classifier: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// The weights, with torchvision's names; `predict` takes the file as it takes a checkpoint
    Safetensors,
    /// The network: it takes normalised images of its own size, gives logits or boxes, and says in its
    /// metadata how to normalise
    Onnx,
}

impl ExportOptions {
    fn format(&self) -> Result<ExportFormat> {
        let ending = self.output.extension().unwrap_or_default().to_string_lossy();
        let of_name = || ExportFormat::from_str(&ending, true).ok();
        self.format.or_else(of_name).ok_or_else(|| {
            let file = self.output.display();
            let message = format!("{file} ends with neither .safetensors nor .onnx");
            let help = "--format says what is written; PyTorch's load_file reads safetensors";
            Failure::new(Code::Usage, message).help(help).into()
        })
    }
}

/// `export RUN`.
pub(crate) fn command(run: &Path, options: &ExportOptions, download: bool, ui: &Ui) -> Result<()> {
    let format = options.format()?;
    let open = |run: &Path| checkpoints::network(run, options.checkpoint, download, ui);
    let path = open(run)?;
    let classifier = options.classifier.as_deref().map(open).transpose()?;
    let read: Vec<&Path> =
        [Some(&path), classifier.as_ref()].into_iter().flatten().map(|path| &**path).collect();
    let output = Output::new(&options.output, &read)?;
    let checkpoint = checkpoints::load(&path)?;
    match (format, &classifier) {
        (ExportFormat::Safetensors, None) => output.write(|out| checkpoint.write_network(out))?,
        (ExportFormat::Safetensors, Some(_)) => {
            let message = "--classifier is for --format onnx: a file of weights has one network";
            let help = "leave it out, and export the other run to a file of its own";
            return Err(Failure::new(Code::Usage, message).help(help).into());
        }
        (ExportFormat::Onnx, None) => {
            let model = onnx::Model::new(&checkpoint)?;
            output.write(|out| model.write(out))?;
        }
        (ExportFormat::Onnx, Some(path)) => {
            let own = checkpoints::load(path)?;
            let model = both(&checkpoint, run, &own, path)?;
            output.write(|out| model.write(out))?;
        }
    }
    let with = classifier.map(|path| format!(" and {}", path.display())).unwrap_or_default();
    let (from, to) = (path.display(), options.output.display());
    ui.status("Exported", &format!("{from}{with} to {to}"));
    Ok(())
}

/// The model of a network that locates, of `run`, and of the one at `path` that says classes.
fn both<'a>(
    locator: &'a Checkpoint,
    run: &Path,
    classifier: &'a Checkpoint,
    path: &Path,
) -> Result<onnx::Model<'a>> {
    if locator.vgg.task.is_classification() {
        let message = format!(
            "--classifier is for a run that locates objects, and {} classifies",
            run.display()
        );
        return Err(Failure::new(Code::Usage, message).help("leave it out").into());
    }
    checkpoints::require_classifier(&classifier.vgg, path)?;
    checkpoints::require_classes(classifier, &locator.classes, "the run that locates", path)?;
    let failure = || {
        let message = format!("{} and {} cannot be in one file", path.display(), run.display());
        let help = "the run that the network started from takes the same images";
        Failure::new(Code::Checkpoint, message).help(help)
    };
    onnx::Model::of_both(classifier, locator).with_context(failure)
}
