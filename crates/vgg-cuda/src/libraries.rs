//! The libraries that the backend opens: which are there, and where to get those that are not.
//!
//! The crate that binds them panics where one or a function of it is missing, so everybody asks here
//! before.

use std::path::PathBuf;

use cudarc::{cublas, cudnn, driver};
use vgg_tensor::{Error, Result};

/// The oldest driver that loads our kernels, PTX of CUDA 12.0: its version of CUDA.
const DRIVER: [i32; 2] = [12, 0];

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its file.
    pub file: &'static str,
    /// Its version, if it is there. The driver's is that of the newest CUDA it knows.
    pub version: Option<String>,
    /// The file that was opened, where the system tells.
    pub path: Option<PathBuf>,
    /// What is wanted of it, as it follows the name.
    wanted: &'static str,
    /// What to do where it is missing or of another version.
    pub install: &'static str,
    /// Whether it is there, and of a version that can be used.
    pub usable: bool,
}

impl Library {
    /// Passes if it can be used.
    ///
    /// # Errors
    /// [`Error::Unavailable`], saying what to do.
    pub fn check(&self) -> Result<()> {
        if self.usable {
            return Ok(());
        }
        let Self { name, file, path, wanted, install, .. } = self;
        Err(match &self.version {
            None => {
                Error::Unavailable { what: format!("{name} ({file})"), hint: (*install).into() }
            }
            Some(version) => {
                // The right one may be there, too, but hidden: a name without a version is tried first.
                let place = path.as_ref().map(|path| format!(", {}", path.display()));
                let place = place.unwrap_or_default();
                Error::Unavailable {
                    what: format!("{name} {wanted}"),
                    hint: format!("{version} is here{place}; {install}"),
                }
            }
        })
    }
}

/// Whether a library is there and has the function of this name: another one may go by its name.
macro_rules! has {
    ($library:ident, $function:literal) => {
        // SAFETY: loading a library runs its initialisers, as it does whoever loads it. The function
        // is looked for, but not called.
        unsafe {
            $library::sys::is_culib_present()
                && $library::sys::culib().get::<unsafe extern "C" fn()>($function).is_ok()
        }
    };
}

/// The driver, cuDNN and cuBLAS.
pub fn libraries() -> [Library; 3] {
    [driver(), cudnn(), cublas()]
}

/// Passes if all are there.
///
/// # Errors
/// [`Error::Unavailable`] for the first that is missing or of another version.
pub(crate) fn check() -> Result<()> {
    libraries().iter().try_for_each(Library::check)
}

/// The driver alone.
pub(crate) fn driver() -> Library {
    let version = has!(driver, b"cuDriverGetVersion").then(|| {
        let mut version = 0;
        // SAFETY: the library has this function, and `version` lives.
        match unsafe { driver::sys::cuDriverGetVersion(&raw mut version) } {
            driver::sys::CUresult::CUDA_SUCCESS => Some([version / 1000, version % 1000 / 10]),
            _ => None, // the stand-in that programs are linked with where there is no driver
        }
    });
    let version = version.flatten();
    Library {
        name: "the NVIDIA driver",
        file: "libcuda.so.1",
        usable: version.is_some_and(|version| version >= DRIVER),
        version: version.map(|[major, minor]| format!("CUDA {major}.{minor}")),
        path: mapped("libcuda.so"),
        wanted: "for CUDA 12.0 or later",
        install: "install NVIDIA's driver, version 525 or later",
    }
}

fn cudnn() -> Library {
    let version = has!(cudnn, b"cudnnGetVersion").then(|| {
        // SAFETY: the library has this function.
        match unsafe { cudnn::sys::cudnnGetVersion() } {
            old @ ..90_000 => [old / 1000, old % 1000 / 100, old % 100],
            new => [new / 10_000, new % 10_000 / 100, new % 100],
        }
    });
    Library {
        name: "cuDNN",
        file: "libcudnn.so.9",
        usable: version.is_some_and(|[major, ..]| major == 9),
        version: version.map(|[major, minor, patch]| format!("{major}.{minor}.{patch}")),
        path: mapped("libcudnn.so"),
        wanted: "9",
        install: "install cuDNN 9 for CUDA 12: the package cudnn9-cuda-12 of NVIDIA's repositories, \
                  or `pip install nvidia-cudnn-cu12` with its folder nvidia/cudnn/lib in \
                  LD_LIBRARY_PATH",
    }
}

fn cublas() -> Library {
    use cublas::sys::libraryPropertyType::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    let version = has!(cublas, b"cublasGetProperty").then(|| {
        [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].map(|part| {
            let mut value = 0;
            // SAFETY: the library has this function, and `value` lives.
            // Where it fails, the value stays zero.
            let _ = unsafe { cublas::sys::cublasGetProperty(part, &raw mut value) };
            value
        })
    });
    Library {
        name: "cuBLAS",
        file: "libcublas.so.12",
        usable: version.is_some_and(|[major, ..]| major == 12),
        version: version.map(|[major, minor, patch]| format!("{major}.{minor}.{patch}")),
        path: mapped("libcublas.so"),
        wanted: "12",
        install: "install cuBLAS 12: the package libcublas-12-6 of NVIDIA's repositories, or \
                  `pip install nvidia-cublas-cu12` with its folder nvidia/cublas/lib in \
                  LD_LIBRARY_PATH",
    }
}

/// The file of this name, with any ending, that is in the process's memory.
fn mapped(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths
        .map(PathBuf::from)
        .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_another_version_is_named_with_its_file() {
        let file = "/opt/cuda/lib64/libcublas.so.13.0.0";
        let newer = Library {
            version: Some("13.0.0".into()),
            path: Some(file.into()),
            usable: false,
            ..cublas()
        };
        let error = newer.check().unwrap_err().to_string();
        let start =
            format!("cuBLAS 12 is not available: 13.0.0 is here, {file}; install cuBLAS 12:");
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains("nvidia-cublas-cu12"), "{error}");
    }
}
