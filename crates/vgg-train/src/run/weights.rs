//! Weights that are known by name: fetched once, and kept.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use vgg_data::fetch::{Fetch, Source};
use vgg_data::imagenet::{LICENCE, Pretrained};
use vgg_data::weights_dir;

use crate::config::{Loaded, pretrained};
use crate::failure::{Code, Failure};
use crate::terminal::fetching;
use crate::terminal::ui::Ui;

/// A file of weights, verified.
pub(crate) struct Verified {
    pub path: PathBuf,
    pub sha256: String,
}

/// The file of a network's weights, fetched if it is not there and `download` allows it; says which it
/// is, and whose.
///
/// # Errors
/// With [`Code::Data`]; the message says what was tried, and where to put the file by hand.
pub(crate) fn verified(
    pretrained: &'static Pretrained,
    download: bool,
    ui: &Ui,
) -> Result<Verified> {
    let folder = weights_dir();
    let path = folder.join(pretrained.file);
    let sha256 = pretrained.verify(&path).or_else(|_| {
        let sources = Source::of_weights(pretrained, !download);
        Fetch::pretrained(pretrained, folder, sources).run(&mut fetching::told(ui))?;
        pretrained.verify(&path)
    });
    let sha256 = sha256.with_context(|| {
        let message = format!("cannot get the weights of torchvision's {}", pretrained.name);
        let failure = Failure::new(Code::Data, message);
        match download {
            true => failure,
            false => failure.help("they are fetched without --offline and data.download = false"),
        }
    })?;
    ui.status("Weights", &format!("{}, sha256 {sha256}", path.display()));
    ui.detail(LICENCE);
    Ok(Verified { path, sha256 })
}

/// Notes in a config whose network starts from weights that are known by name which file they are, so
/// that a run that starts over has the same ones.
///
/// # Errors
/// As [`verified`], and if the config has another file's checksum.
pub(crate) fn note(loaded: &mut Loaded, ui: &Ui) -> Result<()> {
    let config = &mut loaded.config;
    let Some(pretrained) = config.starts_from().as_deref().and_then(pretrained) else {
        return Ok(());
    };
    let Verified { path, sha256 } = verified(pretrained, config.data.download, ui)?;
    match &config.init.from_sha256 {
        Some(expected) if *expected != sha256 => {
            let message = format!("{} has SHA-256 {sha256}, not {expected}", path.display());
            let help = "init.from_sha256 is that of the file that the run began with";
            Err(Failure::new(Code::Checkpoint, message).help(help).into())
        }
        Some(_) => Ok(()),
        None => {
            config.init.from_sha256 = Some(sha256);
            loaded.noted.push("init.from_sha256");
            Ok(())
        }
    }
}
