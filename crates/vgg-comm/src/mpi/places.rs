//! Where an MPI may be installed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

use super::launcher::Launcher;

/// The variable that names a library.
pub(super) const VARIABLE: &str = "VGG_MPI";

/// Open MPI 4's and 5's.
const OPEN_MPI: &[&str] = &["libmpi.so.40"];

/// MPICH's as Debian and others name it, that of the ABI which MPICH and its relatives share, and that of
/// the MPI 5 standard.
const MPICH: &[&str] = &["libmpich.so.12", "libmpi.so.12", "libmpi_abi.so.1", "libmpi_abi.so.0"];

/// The libraries that may be the launcher's, the likeliest first: that which the user names, and no other;
/// those that are installed beside the launcher, as by `pip`; those that the system knows.
pub(super) fn candidates(launcher: Launcher) -> Vec<OsString> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return vec![named];
    }
    let names = match launcher {
        Launcher::OpenMpi => OPEN_MPI.to_vec(),
        Launcher::Hydra => MPICH.to_vec(),
        Launcher::Slurm { pmix: true } => [OPEN_MPI, MPICH].concat(),
        Launcher::Slurm { pmix: false } => [MPICH, OPEN_MPI].concat(),
    };
    let mut candidates = Vec::new();
    for folder in beside_launcher() {
        let here = names.iter().map(|name| folder.join(name)).filter(|file| file.exists());
        candidates.extend(here.map(PathBuf::into_os_string));
    }
    candidates.extend(names.into_iter().map(OsString::from));
    candidates
}

/// The folders of libraries beside the program that started this one. That is the launcher or one of its
/// own programs, which lies with it; under `srun` it is neither.
fn beside_launcher() -> Vec<PathBuf> {
    let Ok(parent) = fs::read_link(format!("/proc/{}/exe", parent_id())) else { return Vec::new() };
    let Some(prefix) = parent.parent().and_then(Path::parent) else { return Vec::new() };
    // Those of the system it looks through itself, in its own order.
    if prefix == Path::new("/usr") || prefix == Path::new("/") {
        return Vec::new();
    }
    ["lib", "lib64"].map(|folder| prefix.join(folder)).to_vec()
}
