//! The libraries that the backend opens: which are there, and where to get those that are not.
//!
//! The driver is opened by the crate that binds it, which panics where it or a function of it is
//! missing, so everybody asks here before. cuDNN and cuBLAS are found and opened by `toolkit.rs`.

pub(crate) mod codes;
pub(crate) mod functions;
mod nccl;
mod places;
mod proposal;
mod stubs;
mod toolkit;

use std::path::PathBuf;
use std::sync::OnceLock;

use cudarc::driver;
use vgg_tensor::{Error, Result};

pub(crate) use codes::{CublasError, CudnnError, Enum};
pub(crate) use functions::{cublas, cudnn};
pub(crate) use nccl::is_nccl_named;
pub use nccl::{common_nccl, nccl};
pub(crate) use proposal::Perf;
pub use stubs::start_again_without_stubs;
use toolkit::{Found, Kind, MAJORS, Toolkit, is_stub};

/// The oldest driver that loads our kernels, PTX of CUDA 12.0: its version of CUDA.
const DRIVER: [i32; 2] = [12, 0];

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its file.
    pub file: String,
    /// Its version, if it is there. The driver's is that of the newest CUDA it knows.
    pub version: Option<String>,
    /// The version of CUDA that it is of, if it is there.
    pub cuda: Option<i32>,
    /// The file that was opened, where the system tells.
    pub path: Option<PathBuf>,
    /// Files under its name that were passed over, as they are stubs: programs are linked with them.
    pub stubs: Vec<PathBuf>,
    /// Why it cannot be used, if so.
    pub problem: Option<Problem>,
}

/// Why a library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is not there: the library, or one of another version.
    what: String,
    /// What is there instead, and what to do.
    pub hint: String,
}

impl Library {
    /// Passes if it can be used.
    ///
    /// # Errors
    /// [`Error::Unavailable`], saying what to do.
    pub fn check(&self) -> Result<()> {
        match self.problem.clone() {
            None => Ok(()),
            Some(Problem { what, hint }) => Err(Error::Unavailable { what, hint }),
        }
    }
}

/// The driver, cuDNN and cuBLAS. The last two are looked for once in a process.
pub fn libraries() -> [Library; 3] {
    let mut driver = driver();
    let known = driver.cuda.filter(|_| driver.problem.is_none());
    let toolkit = toolkit(known);
    if known.is_none()
        && let Some(problem) = &mut driver.problem
        && toolkit.cudnn.as_ref().is_none_or(|cudnn| cudnn.cuda > DRIVER[0])
    {
        problem.hint = problem.hint.replace(OLD_DRIVER, NEW_DRIVER);
    }
    let (cudnn, cublas) = (cudnn_of(toolkit, &driver), cublas_of(toolkit, &driver));
    [driver, cudnn, cublas]
}

/// Passes if all are there.
///
/// # Errors
/// [`Error::Unavailable`] for the first that is missing or of another version.
pub(crate) fn check() -> Result<()> {
    driver().check()?; // without one, nothing else is looked for
    libraries().iter().try_for_each(Library::check)
}

fn toolkit(driver: Option<i32>) -> &'static Toolkit {
    static TOOLKIT: OnceLock<Toolkit> = OnceLock::new();
    TOOLKIT.get_or_init(|| Toolkit::open(driver))
}

/// The oldest driver's version, of CUDA 12 and of 13.
const OLD_DRIVER: &str = "version 525 or later";
const NEW_DRIVER: &str = "version 580 or later, for CUDA 13";

/// The driver alone.
pub(crate) fn driver() -> Library {
    // SAFETY: loading a library runs its initialisers, as it does whoever loads it. The function is
    // looked for, but not called.
    let known = unsafe {
        driver::sys::is_culib_present()
            .then(|| driver::sys::culib().get::<unsafe extern "C" fn()>("cuDriverGetVersion").ok())
    };
    let address = known.flatten().map(|function| *function as usize);
    let path = address.and_then(mapped);
    let stub = path.as_deref().is_some_and(is_stub);
    let version = address.and_then(|_| {
        let mut version = 0;
        // SAFETY: the library has this function, and `version` lives.
        match unsafe { driver::sys::cuDriverGetVersion(&raw mut version) } {
            driver::sys::CUresult::CUDA_SUCCESS if !stub => {
                Some([version / 1000, version % 1000 / 10])
            }
            _ => None, // a stub
        }
    });
    let (name, file) = ("the NVIDIA driver", "libcuda.so.1");
    let place = path.as_ref().map(|path| path.display().to_string());
    let install = format!("install NVIDIA's driver, {OLD_DRIVER}");
    let problem = match (version, &place) {
        (Some(version), _) if version >= DRIVER => None,
        (Some([major, minor]), place) => Some(Problem {
            what: format!("{name} for CUDA 12.0 or later"),
            hint: format!("CUDA {major}.{minor} is here{}; {install}", after_comma(place)),
        }),
        (None, Some(stub)) => Some(Problem {
            what: format!("{name} ({file})"),
            hint: format!(
                "{stub} is a stub to link programs with, and hides it: take its folder out of \
                 LD_LIBRARY_PATH, or {install}"
            ),
        }),
        (None, None) => Some(Problem { what: format!("{name} ({file})"), hint: install }),
    };
    Library {
        name,
        file: file.into(),
        version: version.map(|[major, minor]| format!("CUDA {major}.{minor}")),
        cuda: version.map(|[major, _]| major),
        path,
        stubs: Vec::new(),
        problem,
    }
}

fn cudnn_of(toolkit: &Toolkit, driver: &Library) -> Library {
    let cublas = toolkit.cublas.as_ref().map(|cublas| cublas.cuda);
    let wanted = wanted(driver).or(cublas).unwrap_or(MAJORS[0]);
    let install = format!(
        "install cuDNN 9 for CUDA {wanted}: `pip install nvidia-cudnn-cu{wanted}` in the Python \
         environment that is active, or the package cudnn9-cuda-{wanted} of NVIDIA's repositories"
    );
    let name = "cuDNN";
    let problem = match &toolkit.cudnn {
        None => Some(missing(toolkit, name, Kind::Cudnn, &install)),
        Some(cudnn)
            if MAJORS.contains(&cudnn.cuda) && driver.cuda.is_none_or(|d| cudnn.cuda <= d) =>
        {
            None
        }
        Some(cudnn) => {
            let place = cudnn.path.as_ref().map(|path| path.display().to_string());
            let driver =
                driver.version.as_ref().map(|version| format!("; the driver knows {version}"));
            Some(Problem {
                what: format!("cuDNN for CUDA {wanted}"),
                hint: format!(
                    "{} for CUDA {} is here{}{}; {install}",
                    dotted(cudnn.version),
                    cudnn.cuda,
                    after_comma(&place),
                    driver.unwrap_or_default()
                ),
            })
        }
    };
    library(name, Kind::Cudnn, toolkit, toolkit.cudnn.as_ref(), problem)
}

fn cublas_of(toolkit: &Toolkit, driver: &Library) -> Library {
    let cudnn = toolkit.cudnn.as_ref().map(|cudnn| cudnn.cuda).filter(|cuda| MAJORS.contains(cuda));
    let wanted = cudnn.or(wanted(driver)).unwrap_or(MAJORS[0]);
    let (pip, package) = match wanted {
        12 => ("nvidia-cublas-cu12", "libcublas-12-6"),
        _ => ("\"nvidia-cublas<14\"", "libcublas-13-0"),
    };
    let install = format!(
        "install cuBLAS {wanted}: `pip install {pip}` in the Python environment that is active, or \
         the package {package} of NVIDIA's repositories"
    );
    let (name, kind) = ("cuBLAS", Kind::Cublas(wanted));
    let found = toolkit.cublas.as_ref();
    let kind = found.map_or(kind, |cublas| Kind::Cublas(cublas.cuda));
    let problem = found.is_none().then(|| missing(toolkit, name, kind, &install));
    library(name, kind, toolkit, found, problem)
}

/// The version of CUDA whose libraries are to be installed for a driver.
fn wanted(driver: &Library) -> Option<i32> {
    let cuda = driver.cuda?;
    MAJORS.into_iter().find(|major| *major <= cuda)
}

fn missing(toolkit: &Toolkit, name: &str, kind: Kind, install: &str) -> Problem {
    let why = toolkit.broken(kind).map(|why| format!("{why}; "));
    Problem { what: format!("{name} ({})", kind.file()), hint: why.unwrap_or_default() + install }
}

fn library(
    name: &'static str,
    kind: Kind,
    toolkit: &Toolkit,
    found: Option<&Found>,
    problem: Option<Problem>,
) -> Library {
    let file = kind.file();
    // A stub may have no number behind its name, unlike the file that is looked for.
    let stem = file.split(".so").next().unwrap_or(&file).to_owned() + ".";
    let is_this = |path: &&PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&stem))
    };
    Library {
        name,
        file,
        version: found.map(|found| dotted(found.version)),
        cuda: found.map(|found| found.cuda),
        path: found.and_then(|found| found.path.clone()),
        stubs: toolkit.stubs.iter().filter(is_this).cloned().collect(),
        problem,
    }
}

fn dotted([major, minor, patch]: [i32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

fn after_comma(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(", {text}")).unwrap_or_default()
}

/// The file that the process has in its memory at this address, where the system tells.
fn mapped(address: usize) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        let bounds = range.and_then(|(begin, end)| Some((number(begin)?, number(end)?)));
        bounds.is_some_and(|(begin, end)| (begin..end).contains(&address))
    })?;
    line.find('/').map(|at| line[at..].into())
}
