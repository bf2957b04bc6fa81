//! NCCL, by which ranks exchange numbers from GPU to GPU. Who has none does it by way of the host.

use std::env;
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::Symbol;

use super::places::{self, Place};
use super::toolkit::{is_missing, is_stub, linkers_words};
use super::{Library, Problem, dotted, functions, mapped};

/// The variable that names its file.
const VARIABLE: &str = "VGG_NCCL";

const NAME: &str = "NCCL";
const FILE: &str = "libnccl.so.2";

/// The oldest one whose calls can return before they are done, 2.14.
const OLDEST: c_int = 21_400;

/// NCCL, which is looked for once in a process: as [`super::libraries`] are, or where `VGG_NCCL` says.
pub fn nccl() -> &'static Library {
    static NCCL: OnceLock<Library> = OnceLock::new();
    NCCL.get_or_init(open)
}

/// The version of NCCL that all ranks have, whose own are `versions`; if it does not join them, why.
///
/// # Errors
/// In words: one has none, or they differ.
pub fn common_nccl<'a>(versions: &[Option<&'a str>]) -> Result<&'a str, String> {
    match (versions.iter().position(Option::is_none), versions[0]) {
        (None, Some(version)) if versions.iter().all(|other| *other == Some(version)) => {
            Ok(version)
        }
        (None, _) => Err("ranks have several versions of NCCL".into()),
        (Some(0), _) => Err("NCCL is not installed".into()),
        (Some(rank), _) => Err(format!("rank {rank} has no NCCL")),
    }
}

/// Whether somebody said where it is.
pub(crate) fn is_nccl_named() -> bool {
    named().is_some()
}

fn named() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from)
}

fn open() -> Library {
    let (candidates, install) = match named() {
        Some(file) => (vec![file], format!("set {VARIABLE} to the file of another one")),
        None => {
            let places = places::all();
            let candidates = places.iter().flat_map(|place: &Place| place.candidates(FILE));
            let install = format!(
                "`pip install nvidia-nccl-cu12`, or -cu13, in the Python environment that is \
                 active, or set {VARIABLE} to its file"
            );
            (candidates.collect(), install)
        }
    };
    let mut library = Library {
        name: NAME,
        file: FILE.into(),
        version: None,
        cuda: None,
        path: None,
        stubs: Vec::new(),
        problem: None,
    };
    let mut why = String::new();
    for candidate in candidates.into_iter().filter(|path| !is_stub(path)) {
        match load(&candidate) {
            Ok((version, path)) => return Library { version: Some(version), path, ..library },
            Err(message) if is_missing(&message, FILE) => {}
            // What is there but cannot be used is told, not passed over.
            Err(message) => {
                why = format!("{message}; ");
                break;
            }
        }
    }
    library.problem = Some(Problem { what: format!("{NAME} ({FILE})"), hint: why + &install });
    library
}

/// Takes the functions of a file: its version, and where it is, where the system tells.
fn load(file: &PathBuf) -> Result<(String, Option<PathBuf>), String> {
    type GetVersion = unsafe extern "C" fn(*mut c_int) -> c_int;
    // SAFETY: loading a library runs its initialisers, as it does whoever loads it.
    let library = unsafe { libloading::Library::new(file) };
    let library = library.map_err(|error| linkers_words(&error))?;
    let (version, path) = {
        // SAFETY: the function is of this type in every NCCL.
        let get: Result<Symbol<GetVersion>, _> = unsafe { library.get("ncclGetVersion") };
        let get = get.map_err(|error| linkers_words(&error))?;
        let mut version = 0;
        // SAFETY: `version` lives.
        unsafe { get(&raw mut version) };
        (version, mapped(*get as usize))
    };
    let text = dotted([version / 10_000, version % 10_000 / 100, version % 100]);
    if version < OLDEST {
        return Err(format!("{} is version {text}, and 2.14 or later is needed", file.display()));
    }
    functions::nccl::load(library).map_err(|error| linkers_words(&error))?;
    Ok((text, path))
}
