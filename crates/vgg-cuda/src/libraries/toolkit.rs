//! Which cuDNN and cuBLAS are used: two of the same CUDA, which the driver knows.
//!
//! Of cuDNN, one is asked for its version and no more: the parts that it opens for that stay in
//! memory, and those of another one would be mistaken for them. So which one goes with a cuBLAS is
//! guessed before, from what lies together. What somebody named is taken as it is.

use std::error::Error as _;
use std::ffi::c_int;
use std::fs;
use std::path::{Path, PathBuf};

use cudarc::cublas::sys::libraryPropertyType::{self, MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
use libloading::{Library, Symbol};

use super::places::{self, Place};
use super::{cublas, cudnn};

/// The versions of CUDA whose libraries can be used, the newest first.
pub(super) const MAJORS: [i32; 2] = [13, 12];

/// A library of a set, as it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cudnn,
    /// That of this version of CUDA.
    Cublas(i32),
}

impl Kind {
    pub(super) fn file(self) -> String {
        match self {
            Kind::Cudnn => "libcudnn.so.9".into(),
            Kind::Cublas(major) => format!("libcublas.so.{major}"),
        }
    }

    /// A function that it has: another library may go by its name.
    fn known_by(self) -> &'static str {
        match self {
            Kind::Cudnn => "cudnnGetVersion",
            Kind::Cublas(_) => "cublasGetProperty",
        }
    }
}

/// What was found.
#[derive(Default)]
pub(super) struct Toolkit {
    pub(super) cudnn: Option<Found>,
    /// Of cuDNN's CUDA, where there is a cuDNN.
    pub(super) cublas: Option<Found>,
    /// What is there but cannot be used, and why.
    pub(super) broken: Vec<(Kind, String)>,
    /// Stand-ins that programs are linked with: their functions do nothing but fail.
    pub(super) stubs: Vec<PathBuf>,
}

/// A library whose functions can be called.
pub(super) struct Found {
    pub(super) path: Option<PathBuf>,
    pub(super) version: [i32; 3],
    /// The version of CUDA that it is of.
    pub(super) cuda: i32,
}

/// A library that is open, and its file, where the system tells.
struct Open {
    library: Library,
    path: Option<PathBuf>,
}

impl Toolkit {
    /// Opens what a driver of this version of CUDA can use, or, without one, anything.
    pub(super) fn open(driver: Option<i32>) -> Self {
        let places = places::all();
        let majors = MAJORS.into_iter().filter(|major| driver.is_none_or(|known| *major <= known));
        let majors: Vec<i32> = majors.collect();
        let mut toolkit = Self::default();

        let with_cudnn = toolkit.having(Kind::Cudnn, &places);
        let fits = |toolkit: &mut Self, place: &Place| {
            let beside = |major: &i32| toolkit.look(Kind::Cublas(*major), place).is_some();
            matches!(place, Place::Named(_)) || majors.iter().any(beside)
        };
        let pair = with_cudnn.iter().find(|place| fits(&mut toolkit, place));
        let chosen = pair.or(with_cudnn.first()).copied();
        toolkit.cudnn = chosen.and_then(|place| toolkit.open_cudnn(place));

        let majors = toolkit.cudnn.as_ref().map_or(majors, |cudnn| vec![cudnn.cuda]);
        toolkit.cublas = majors.into_iter().find_map(|major| {
            let kind = Kind::Cublas(major);
            let beside = chosen.filter(|place| toolkit.look(kind, place).is_some());
            let place = beside.or_else(|| toolkit.having(kind, &places).first().copied());
            toolkit.open_cublas(major, place?)
        });
        toolkit
    }

    /// The places that have a library. One that was named but cannot be opened ends the search.
    fn having<'a>(&mut self, kind: Kind, places: &'a [Place]) -> Vec<&'a Place> {
        let mut having = Vec::new();
        for place in places {
            if self.look(kind, place).is_some() {
                having.push(place);
            } else if matches!(place, Place::Named(_)) && self.broken(kind).is_some() {
                break;
            }
        }
        having
    }

    /// Why a library cannot be used that is there.
    pub(super) fn broken(&self, kind: Kind) -> Option<&str> {
        self.broken.iter().find(|(broken, _)| *broken == kind).map(|(_, why)| &**why)
    }

    /// A library of a place. Unless it is kept, it is closed again.
    fn look(&mut self, kind: Kind, place: &Place) -> Option<Open> {
        let file = kind.file();
        for candidate in place.candidates(&file) {
            if let Ok(path) = fs::canonicalize(&candidate)
                && is_stub(&path)
            {
                self.pass_over(path);
                continue;
            }
            // SAFETY: loading a library runs its initialisers, as it does whoever loads it.
            let library = match unsafe { Library::new(&candidate) } {
                Ok(library) => library,
                Err(error) if is_missing(&linkers_words(&error), &file) => continue,
                Err(error) => {
                    self.broken.push((kind, linkers_words(&error)));
                    continue;
                }
            };
            // SAFETY: the function is looked for, but not called.
            let known = unsafe { library.get::<unsafe extern "C" fn()>(kind.known_by()) };
            let Ok(address) = known.map(|function| *function as usize) else {
                self.broken.push((kind, format!("{} is another library", candidate.display())));
                continue;
            };
            let path = super::mapped(address);
            match path {
                Some(path) if is_stub(&path) => self.pass_over(path),
                path => return Some(Open { library, path }),
            }
        }
        None
    }

    fn pass_over(&mut self, stub: PathBuf) {
        if !self.stubs.contains(&stub) {
            self.stubs.push(stub);
        }
    }

    fn open_cudnn(&mut self, place: &Place) -> Option<Found> {
        let Open { library, path } = self.look(Kind::Cudnn, place)?;
        let number = |name: &str| {
            // SAFETY: both functions are of this type in every cuDNN.
            let function: Symbol<unsafe extern "C" fn() -> usize> =
                unsafe { library.get(name) }.ok()?;
            // SAFETY: as above.
            Some(unsafe { function() } as i32)
        };
        let version = number("cudnnGetVersion")?;
        let cuda = number("cudnnGetCudartVersion").unwrap_or(0) / 1000;
        if let Err(error) = cudnn::load(library) {
            self.broken.push((Kind::Cudnn, linkers_words(&error)));
            return None;
        }
        let version = [version / 10_000, version % 10_000 / 100, version % 100];
        Some(Found { path, version, cuda })
    }

    fn open_cublas(&mut self, major: i32, place: &Place) -> Option<Found> {
        let kind = Kind::Cublas(major);
        let Open { library, path } = self.look(kind, place)?;
        let version = {
            type Get = unsafe extern "C" fn(libraryPropertyType, *mut c_int) -> u32;
            // SAFETY: the function is of this type in every cuBLAS.
            let get: Symbol<Get> = unsafe { library.get("cublasGetProperty") }.ok()?;
            [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].map(|part| {
                let mut value = 0;
                // SAFETY: `value` lives. Where it fails, the value stays zero.
                unsafe { get(part, &raw mut value) };
                value
            })
        };
        let loaded = match version {
            [found, ..] if found == major => {
                cublas::load(library).map_err(|error| linkers_words(&error))
            }
            [found, ..] => Err(format!("{} is version {found}", kind.file())),
        };
        match loaded {
            Ok(()) => Some(Found { path, version, cuda: major }),
            Err(why) => {
                self.broken.push((kind, why));
                None
            }
        }
    }
}

/// Toolkits keep stubs in a folder of this name.
pub(super) fn is_stub(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("stubs"))
}

/// What the dynamic linker says about an error.
pub(super) fn linkers_words(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether the linker's message says that there is no file of this name, rather than none of the name
/// of a library that it takes.
pub(super) fn is_missing(message: &str, file: &str) -> bool {
    message.starts_with(&format!("{file}: ")) && message.contains("No such file")
}
