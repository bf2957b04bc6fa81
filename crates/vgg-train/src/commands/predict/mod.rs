//! `predict RUN FILES…`: what a trained network sees in image files.

mod boxes;
pub(super) mod paths;
mod pictures;
mod told;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::paths::Paths;
use self::pictures::Pictures;
pub(crate) use self::told::Format;
use self::told::{Told, header, print_row};
use crate::config::{self, Override};
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::classify::{Classified, Classify, class_names, rank, unreadable};
use crate::passes::shown::Views;
use crate::run::checkpoints::{self, LinearWeights, NetworkOptions};
use crate::terminal::ui::Ui;

/// What is asked for.
pub(crate) struct PredictRequest<'a> {
    pub run: &'a Path,
    /// Files, folders, and `-` for what standard input names.
    pub files: &'a [PathBuf],
    /// Whether a zero byte ends each name in standard input, not a line's end.
    pub null: bool,
    pub network: NetworkOptions,
    /// What probabilities are averaged over.
    pub views: Views,
    pub top: usize,
    pub format: Format,
    /// A folder for pictures of where the network looks.
    pub explain: Option<&'a Path>,
    /// A folder for pictures of where a network that locates sees objects.
    pub draw: Option<&'a Path>,
    /// Which says the classes of which such a network gives boxes.
    pub classifier: Option<&'a Path>,
}

/// Pictures of `files` in a folder, if there is to be one: no picture may replace any of them, so these are
/// found first.
fn pictures_in(
    folder: Option<&Path>,
    files: &mut Paths<'_>,
    checkpoint: &Path,
) -> Result<Option<Pictures>> {
    let Some(folder) = folder else { return Ok(None) };
    let all: Vec<_> = files.collect();
    let known: Vec<_> = all.iter().flatten().cloned().collect();
    *files = Box::new(all.into_iter());
    Ok(Some(Pictures::new(folder, &known, checkpoint)?))
}

/// `predict RUN FILES…`.
pub(crate) fn command(request: &PredictRequest<'_>, overrides: &[Override], ui: &Ui) -> Result<()> {
    // A run's config need not be there: a checkpoint alone will do.
    let device = config::device(overrides)?;
    let NetworkOptions { checkpoint, linear_weights } = request.network;
    if request.explain.is_some() && linear_weights == LinearWeights::F16 {
        let message = "--explain computes gradients, which take the weights in f32";
        let failure = Failure::new(Code::Usage, message);
        return Err(failure.help("leave out --linear-weights f16").into());
    }
    if request.null && !request.files.iter().any(|file| paths::is_input(file)) {
        let message = "--null is for names in standard input, which none of the files is";
        return Err(Failure::new(Code::Usage, message).help("- stands for standard input").into());
    }
    let download = config::may_download(overrides);
    let path = checkpoints::network(request.run, checkpoint, download, ui)?;
    let checkpoint = checkpoints::load(&path)?;
    if !checkpoint.vgg.task.is_classification() {
        return boxes::command(request, &path, checkpoint, overrides, ui);
    }
    if request.draw.is_some() || request.classifier.is_some() {
        let message = "--draw and --classifier are for runs that locate objects";
        let help = "--explain FOLDER shows where a network looks that classifies";
        return Err(Failure::new(Code::Usage, message).help(help).into());
    }
    let separator = if request.null { b'\0' } else { b'\n' };
    let mut files = paths::files(request.files, separator);
    let pictures = pictures_in(request.explain, &mut files, &path)?;
    let classes = class_names(&checkpoint);
    let (input, transform) = data::prediction(request.run, &checkpoint)?;
    let views = request.views;
    let transform = views.of(transform)?;
    let described = data::describe(&input, checkpoint.vgg.input) + &views.describe();
    let top = request.top.min(classes.len());
    let begun = Cell::new(false);
    let tell = |Classified { place, file, probabilities, picture }: Classified<'_>| {
        if !begun.replace(true) {
            request.format.begin(top, pictures.is_some(), views)?;
        }
        let picture = match (&pictures, picture) {
            (Some(pictures), Some(picture)) => Some(pictures.write(place, &picture)?),
            _ => None,
        };
        let probabilities = match probabilities {
            Ok(probabilities) => probabilities,
            Err(reason) => {
                let columns = header(top, pictures.is_some(), views).len();
                return request.format.tell_unreadable(file, reason, columns);
            }
        };
        let ranked = rank(probabilities, top);
        request.format.tell(&Told { file, ranked: &ranked, classes: &classes, picture, views })
    };
    let job = Classify {
        device: &device,
        checkpoint,
        linear_weights,
        files: &mut files,
        decoding: data::decoding(&input),
        transform,
        described,
        explain: pictures.is_some(),
        tell: &tell,
        ui,
    };
    let tally = device::run(&device, job)?;
    if tally.files == 0 {
        let message = "there is no image to classify";
        let help = "name image files, or a folder that has some";
        return Err(Failure::new(Code::Data, message).help(help).into());
    }
    if tally.without > 0 {
        let message =
            format!("the network has no prediction for {} of {} files", tally.without, tally.files);
        let failure = Failure::new(Code::Checkpoint, message);
        let help = "its training diverged, its weights are too large, or it is fed with others than its \
                    images; in f16 numbers above 65504 are infinite, and not in --precision f32";
        return Err(failure.help(help).into());
    }
    unreadable(tally.unreadable, tally.files)
}
