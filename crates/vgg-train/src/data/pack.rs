//! Packs.

use std::path::Path;
use std::sync::Arc;
#[cfg(any(unix, windows))]
use std::sync::Once;

use anyhow::Result;
use vgg_data::Images;
use vgg_data::image_folder::{TEST, TRAIN, VAL};
#[cfg(any(unix, windows))]
use vgg_data::pack::leave_when_unreadable;
use vgg_data::pack::{Contents, Pack};

use crate::config::{self, Decode};
use crate::failure::{Code, Failure};
#[cfg(any(unix, windows))]
use crate::terminal::error::render;
use crate::terminal::ui::Ui;

/// The name of the pack, and its images to train and to test on.
pub(super) fn open(data: &config::Data, ui: &Ui) -> Result<(String, [Images; 2])> {
    let pack = read(data)?;
    ui.detail(&format!("the pack has the parts {}", parts(&pack)));
    images_of(pack, data)
}

/// As [`open`], without a word.
pub(super) fn images(data: &config::Data) -> Result<(String, [Images; 2])> {
    images_of(read(data)?, data)
}

/// Those of a pack, which must be the one that the run began with.
fn images_of(pack: Pack, data: &config::Data) -> Result<(String, [Images; 2])> {
    let pack = Arc::new(pack);
    let found = pack.sha256();
    if let Some(expected) = data.files_sha256.as_ref().filter(|expected| **expected != found) {
        let message = format!(
            "the run began with another pack: its index has SHA-256 {expected}, not {found}"
        );
        let help = format!("restore it, or accept it with --set data.files_sha256={found}");
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    let has = |part| pack.parts().any(|found| found == part);
    let tested_on = data.test_part.map_or(if has(VAL) { VAL } else { TEST }, |part| part.name());
    let images = |part| {
        if !has(part) {
            let message = format!("{} has no part {part}", pack.path().display());
            let help =
                format!("it has {}; `vgg-train data pack` with --split divides", parts(&pack));
            return Err(Failure::new(Code::Data, message).help(help).into());
        }
        Ok::<_, anyhow::Error>(Images::from_pack(&pack, part, data.decoding())?)
    };
    Ok((pack.path().display().to_string(), [images(TRAIN)?, images(tested_on)?]))
}

/// Notes what a run keeps of a pack.
pub(super) fn note(data: &mut config::Data, noted: &mut Vec<&'static str>) -> Result<()> {
    if data.classes.is_empty() || data.files_sha256.is_none() {
        let pack = read(data)?;
        if data.classes.is_empty() {
            data.classes = pack.classes().to_vec();
            noted.push("data.classes");
        }
        if data.files_sha256.is_none() {
            data.files_sha256 = Some(pack.sha256());
            noted.push("data.files_sha256");
        }
    }
    Ok(())
}

/// Opens the pack, which must have been made as the config wants images decoded.
fn read(data: &config::Data) -> Result<Pack> {
    let path = data.pack.as_deref().unwrap_or(Path::new(""));
    #[cfg(any(unix, windows))]
    tell_when_it_is_cut(path);
    let pack = Pack::open(path).map_err(|error| {
        let failure = Failure::new(Code::Data, format!("cannot open the pack {}", path.display()));
        let help = "`vgg-train data pack FOLDER OUT` makes one";
        anyhow::Error::new(error).context(failure.help(help))
    })?;
    if let Contents::Pixels { decoding, .. } = pack.contents() {
        let wanted = data.decoding();
        let problem = if data.decode == Decode::Scaled {
            Some("data.decode = \"scaled\" has no effect: the pack has pixels")
        } else if wanted.turned != decoding.turned {
            Some("the pack's images are turned otherwise than data.orientation says")
        } else if wanted.background != decoding.background {
            Some("the pack's images are on another background than data.background")
        } else {
            None
        };
        if let Some(problem) = problem {
            let help = "set the key as it was when the pack was made, or make another pack";
            return Err(Failure::new(Code::Usage, problem).help(help).into());
        }
    }
    if data.classes.is_empty() || vgg_data::names::same(&data.classes, pack.classes()) {
        return Ok(pack);
    }
    let message = format!("{} has other classes than data.classes", path.display());
    Err(Failure::new(Code::Data, message).into())
}

/// A pack is read where it is, which is no system call that could fail.
#[cfg(any(unix, windows))]
fn tell_when_it_is_cut(path: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let path = path.display();
        let message = format!("{path} was cut while it was read, or its disk failed");
        let help = "restore it; `vgg-train resume RUN` takes a run up where it was last saved";
        let failure = Failure::new(Code::Data, message).help(help);
        let told = render(&failure.into(), false);
        if let Err(error) = leave_when_unreadable(told, Code::Data as i32) {
            tracing::debug!("that a pack is cut will not be told: {error}");
        }
    });
}

fn parts(pack: &Pack) -> String {
    pack.parts().collect::<Vec<_>>().join(", ")
}
