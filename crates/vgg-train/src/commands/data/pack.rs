//! `data pack DIR OUT`: the images of a folder in one file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use vgg_data::Decoding;
use vgg_data::image_folder::{Arrangement, OpenOptions, PartFolders};
use vgg_data::pack::{self, Contents};
use vgg_tensor::Error;

use crate::data::DAMAGED_OPTION_HELP;
use crate::data::folder::{Skipping, cached, explain_arranged, require_parts, tell_damaged};
use crate::failure::{Code, Failure};
use crate::run::output::Output;
use crate::terminal::numbers::{bytes, count, grouped};
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// What is packed.
#[derive(Debug, Args)]
pub(crate) struct PackOptions {
    /// Pack pixels, of images whose short side is at most this, instead of files
    ///
    /// Larger ones are scaled to it, as training would do it. Pixels need no decoding and take more
    /// room: height × width × channels bytes an image.
    #[arg(long, value_name = "SHORT_SIDE", value_parser = clap::value_parser!(u32).range(1..=16384))]
    pixels: Option<u32>,
    /// Channels of pixels: 3 (red, green, blue) or 1 (grey)
    #[arg(long, value_name = "N", default_value_t = 3, requires = "pixels")]
    channels: usize,
    /// Leave out damaged files
    #[arg(long)]
    skip_damaged: bool,
}

/// Writes the images of `dir` to `out`.
pub(crate) fn command(
    dir: &Path,
    out: &PathBuf,
    arrangement: &Arrangement,
    options: &PackOptions,
    ui: &Ui,
) -> Result<()> {
    let PackOptions { pixels, channels, skip_damaged } = *options;
    if channels != 1 && channels != 3 {
        let message = format!("--channels must be 1 or 3, not {channels}");
        return Err(Failure::new(Code::Usage, message).into());
    }
    require_parts(dir, arrangement)?;
    let labels: Vec<&Path> = arrangement.labels.iter().map(PathBuf::as_path).collect();
    let output = Output::new(out, &labels)?;
    let decoding = Decoding::turned(channels);
    let options = OpenOptions { skip_damaged, ..cached(decoding) };
    let open = || arrangement.open_all(dir, &arrangement.class_names(dir)?, &options);
    let parts =
        open().map_err(|error| explain_arranged(dir, arrangement, error, Skipping::Option))?;
    if parts.len() < 2 {
        let message = format!("the images of {} are not divided", dir.display());
        let help = "--split 0.2 holds out a fifth of each class, by the contents of the files";
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    parts.iter().for_each(|(_, part)| tell_damaged(part, ui));
    if let Some(path) = arrangement.part_folders(dir)?.as_ref().and_then(PartFolders::unlabelled) {
        ui.warn(&format!("left out: {}, which has no folders of classes", path.display()));
    }
    let contents = match pixels {
        Some(short_side) => Contents::Pixels { decoding, short_side: short_side as usize },
        None => Contents::Files,
    };
    let images: usize = parts.iter().map(|(_, part)| part.files().len()).sum();
    ui.status("Packing", &format!("{} of {}", count(images as u64, "image"), dir.display()));
    let mut wrong = None;
    let written = output.write(|file| {
        let done = pack::write(out, file, &parts, contents);
        done.map_err(|error| match error {
            // No fault of the images: the disk is full, say.
            Error::Io { path, source } if path == *out => source,
            error => {
                let told = std::io::Error::other(error.to_string());
                wrong = Some(error);
                told
            }
        })
    });
    if let Some(error) = wrong {
        let failure = Failure::new(Code::Data, format!("cannot pack {}", dir.display()));
        let failure = match &error {
            Error::Format { path, .. } if path.is_file() => failure.help(DAMAGED_OPTION_HELP),
            _ => failure,
        };
        return Err(anyhow::Error::new(error).context(failure));
    }
    written?;
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, part)| format!("{} {name}", grouped(part.files().len() as u64)))
        .collect();
    let parts = parts.join(", ");
    if output.is_standard_output() {
        ui.status("Packed", &parts);
        return Ok(());
    }
    // A pipe has no size that could be told.
    let size = std::fs::metadata(out).with_context(|| format!("cannot read {}", out.display()))?;
    let size = match size.is_file() {
        true => format!(", {}", bytes(size.len())),
        false => String::new(),
    };
    print::lines([format!("{}: {parts}{size}", out.display())])
}
