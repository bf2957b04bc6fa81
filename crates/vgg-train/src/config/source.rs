//! Where a config's text comes from: a file, or the program itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::nearest::nearest;
use super::shipped::{SHIPPED, Shipped};
use super::text::read_text;
use crate::failure::{Code, Failure};
use crate::terminal::shell;

/// The config of a run, in its folder.
pub(crate) const CONFIG: &str = "config.toml";

/// Whether `path` is the folder of a run.
pub(crate) fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file()
}

/// The folder of a run in which its checkpoints are.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// A config's text.
#[derive(Debug)]
pub(super) struct Source {
    /// What messages call it.
    pub label: String,
    pub text: String,
    /// What the run is called if the text does not say it.
    pub name: String,
    /// The folder of its file, if it has one.
    pub folder: Option<PathBuf>,
    /// Whether a run has written it.
    pub is_of_run: bool,
}

impl Source {
    /// The config `given`: a file, or the name of one that is part of the program. A file beats a
    /// name.
    pub(super) fn read(given: &Path) -> Result<Self, Failure> {
        let stem = |path: &Path| {
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
        };
        match read_text(given) {
            Ok(text) => Ok(Self {
                label: given.display().to_string(),
                text,
                name: stem(given),
                folder: Some(given.parent().unwrap_or(Path::new("")).to_owned()),
                is_of_run: given.ends_with(CONFIG) && given.with_file_name(CHECKPOINTS).is_dir(),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => match Shipped::find(given) {
                Some(Shipped { name, text }) => Ok(Self {
                    label: format!("the program's own {name}.toml"),
                    text: text.to_owned(),
                    name: stem(Path::new(name)),
                    folder: None,
                    is_of_run: false,
                }),
                None => Err(missing(given)),
            },
            Err(_) if given.is_dir() => Err(folder(given)),
            Err(error) => Err(unreadable(given, &error)),
        }
    }

    /// A text that is to be the file `path`.
    pub(super) fn to_be(path: &Path, text: &str) -> Self {
        Self {
            label: path.display().to_string(),
            text: text.to_owned(),
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            folder: Some(path.parent().unwrap_or(Path::new("")).to_owned()),
            is_of_run: false,
        }
    }

    /// Where a folder that the text names may be, the likelier first: beside the config's file, or
    /// where the program is started, as for what the command line names.
    pub(super) fn places(&self, folder: &Path) -> Vec<PathBuf> {
        let beside = self.folder.as_ref().map(|own| own.join(folder));
        let here = Some(folder.to_owned());
        let mut places: Vec<_> = [beside, here].into_iter().flatten().collect();
        places.dedup();
        places
    }
}

fn missing(given: &Path) -> Failure {
    let folder = match given.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        path.extension().is_some_and(|ending| ending == "toml").then_some(path)
    });
    let beside = beside.map(|path| path.strip_prefix("./").unwrap_or(&path).display().to_string());
    let beside: Vec<String> = beside.collect();
    let name = given.display().to_string();
    let shipped = SHIPPED.iter().map(|shipped| shipped.name);
    // A name that is meant may be written as a path, as in a checkout.
    let bare = name.strip_prefix("configs/").unwrap_or(&name);
    let bare = bare.strip_suffix(".toml").unwrap_or(bare);
    let near = nearest(&name, beside.iter().map(|path| &**path)).or_else(|| nearest(bare, shipped));
    let help = match near {
        _ if let Some(instead) = Shipped::instead_of(bare) => format!("it is `{instead}` now"),
        Some(near) => format!("did you mean `{near}`?"),
        None => "`vgg-train configs` lists those that are part of the program".to_owned(),
    };
    Failure::new(Code::Usage, format!("there is no config {name}")).help(help)
}

fn folder(given: &Path) -> Failure {
    let path = given.display();
    if is_run(given) {
        let message = format!("{path} is the folder of a run, where a config is asked for");
        let run = shell::word(given);
        let help =
            format!("`vgg-train resume {run}` goes on with it; {path}/config.toml is its config");
        return Failure::new(Code::Usage, message).help(help);
    }
    Failure::new(Code::Usage, format!("{path} is a folder, where a config is asked for"))
        .help("`vgg-train configs` lists the configs that are part of the program")
}

fn unreadable(given: &Path, error: &std::io::Error) -> Failure {
    let path = given.display();
    let ending = given.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ["safetensors", "pth", "pt", "onnx"].contains(&ending) {
        let message = format!("{path} is no config: it is a file of weights");
        let help = "predict and export take a run or its checkpoint, import the weights of others";
        return Failure::new(Code::Usage, message).help(help);
    }
    Failure::new(Code::Usage, format!("cannot read the config {path}: {error}"))
}
