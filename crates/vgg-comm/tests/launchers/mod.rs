//! The launchers of MPI that tests find: Debian's of Open MPI and of MPICH, and those that
//! `VGG_TEST_LAUNCHERS` names, with `:` between them, as one that `pip install mpich` brings, whose library
//! of the standard's interface is another one. Where there is none, nothing is tried, and the tests say so.
#![expect(clippy::print_stdout, reason = "tests that try nothing say it")]

use std::path::PathBuf;
use std::process::Command;

/// A launcher, and the library that its ranks are told to open.
#[derive(Clone, Debug)]
pub(crate) struct Mpi {
    pub(crate) launcher: PathBuf,
    pub(crate) library: Option<PathBuf>,
}

pub(crate) fn found() -> Vec<Mpi> {
    let debian = ["/usr/bin/mpirun.openmpi", "/usr/bin/mpiexec.mpich"].map(PathBuf::from);
    let named = std::env::var_os("VGG_TEST_LAUNCHERS").unwrap_or_default();
    let named: Vec<PathBuf> = std::env::split_paths(&named).collect();
    let named = named.into_iter().filter(|file| !file.as_os_str().is_empty());
    let mut all = Vec::new();
    for launcher in debian.into_iter().filter(|file| file.exists()).chain(named) {
        let library = launcher.with_file_name("../lib/libmpi_abi.so.1");
        all.push(Mpi { launcher: launcher.clone(), library: None });
        if library.exists() {
            all.push(Mpi { launcher, library: Some(library) });
        }
    }
    if all.is_empty() {
        println!("no launcher of MPI is installed: nothing is tried");
    }
    all
}

impl Mpi {
    pub(crate) fn is_open_mpi(&self) -> bool {
        self.launcher.ends_with("mpirun.openmpi")
    }

    /// Starts so many of what follows as arguments.
    pub(crate) fn command(&self, ranks: usize) -> Command {
        let mut command = Command::new(&self.launcher);
        if self.is_open_mpi() {
            command.arg("--oversubscribe");
            command.envs(
                ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"].map(|x| (x, "1")),
            );
        }
        command.args(["-n", &ranks.to_string()]);
        command.envs(self.library.iter().map(|library| ("VGG_MPI", library)));
        command
    }
}
