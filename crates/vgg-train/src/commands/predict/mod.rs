//! `predict RUN FILES…`: what a trained network sees in image files.

mod pictures;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use self::pictures::Pictures;
use crate::config::{self, Override};
use crate::data;
use crate::failure::{Code, Failure};
use crate::machine::device;
use crate::passes::classify::{Classified, Classify, class_names, predictions, rank, unreadable};
use crate::run::checkpoints::{self, LinearWeights, NetworkOptions};
use crate::terminal::print;
use crate::terminal::ui::Ui;

/// What is asked for.
pub(crate) struct PredictRequest<'a> {
    pub run: &'a Path,
    pub files: &'a [PathBuf],
    pub network: NetworkOptions,
    pub top: usize,
    pub json: bool,
    /// A folder for pictures.
    pub explain: Option<&'a Path>,
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
    let path = checkpoints::find(request.run, checkpoint)?;
    let checkpoint = checkpoints::load(&path)?;
    let pictures = request.explain.map(|folder| Pictures::new(folder, request.files, &path));
    let pictures = pictures.transpose()?;
    let classes = class_names(&checkpoint);
    let (input, transform) = data::prediction(request.run, &checkpoint)?;
    let described = data::describe(&input, checkpoint.vgg.input);
    let (device, files) = (&device, request.files);
    let tell = |Classified { file, probabilities, picture }: Classified<'_>| {
        let ranked = rank(probabilities, request.top);
        let picture = match (&pictures, picture) {
            (Some(pictures), Some(picture)) => Some(pictures.write(file, &picture)?),
            _ => None,
        };
        let file = &files[file];
        match request.json {
            true => print::json(&to_json(file, &ranked, &classes, picture)),
            false => print::lines(to_text(file, &ranked, &classes, picture)),
        }
    };
    let job = Classify {
        device,
        checkpoint,
        linear_weights,
        files,
        decoding: data::decoding(&input),
        transform,
        described,
        explain: pictures.is_some(),
        tell: &tell,
        ui,
    };
    unreadable(device::run(device, job)?, files.len())
}

fn to_text(
    file: &Path,
    ranked: &[(usize, f32)],
    classes: &[String],
    picture: Option<&Path>,
) -> Vec<String> {
    let mut lines = vec![file.display().to_string()];
    lines.extend(
        ranked.iter().map(|(class, p)| format!("  {:5.1} %  {}", 100.0 * p, classes[*class])),
    );
    lines.extend(picture.map(|picture| format!("  explained in {}", picture.display())));
    lines
}

fn to_json(
    file: &Path,
    ranked: &[(usize, f32)],
    classes: &[String],
    picture: Option<&Path>,
) -> Value {
    // JSON has no other names than those in Unicode.
    let file = file.to_string_lossy();
    let mut told = json!({ "file": file, "predictions": predictions(ranked, classes) });
    if let Some(picture) = picture {
        told["explanation"] = json!(picture.to_string_lossy());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_as_text_and_json() {
        let classes = ["Bag", "Shirt"].map(String::from);
        let ranked = [(1, 0.75), (0, 0.25)];
        let file = Path::new("a.png");
        let text = |picture| to_text(file, &ranked, &classes, picture).join("\n");
        assert_eq!(text(None), "a.png\n   75.0 %  Shirt\n   25.0 %  Bag");
        let picture = Some(Path::new("x/a.png"));
        assert_eq!(text(picture), text(None) + "\n  explained in x/a.png");
        let json = |picture| to_json(file, &ranked[..1], &classes, picture).to_string();
        let predictions = r#""predictions":[{"class":"Shirt","label":1,"probability":0.75}]"#;
        assert_eq!(json(None), format!(r#"{{"file":"a.png",{predictions}}}"#));
        let explanation = r#""explanation":"x/a.png""#;
        assert_eq!(json(picture), format!(r#"{{{explanation},"file":"a.png",{predictions}}}"#));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_unicode_have_a_substitute() {
        use std::os::unix::ffi::OsStrExt as _;
        let file = Path::new(std::ffi::OsStr::from_bytes(b"\xff.png"));
        let told = to_json(file, &[], &[], Some(file));
        assert_eq!([&told["file"], &told["explanation"]], ["\u{fffd}.png"; 2]);
    }
}
