//! What started this process together with others, as its environment tells.

use std::fmt;

/// Whose launcher it was, which says whose library the ranks are joined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launcher {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// That of MPICH or a relative: Intel's, MVAPICH, Cray's.
    Hydra,
    /// Slurm's `srun`, which starts programs of all of them: by PMIx, as Open MPI's are, or otherwise.
    Slurm { pmix: bool },
}

/// That a process is one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) launcher: Launcher,
    pub(super) rank: usize,
    pub(super) ranks: usize,
}

impl Launch {
    /// What the environment says; nothing of a process that is alone.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.parse::<usize>().ok();
        let pmix = variable("SLURM_MPI_TYPE").is_some_and(|plugin| plugin.starts_with("pmix"));
        let ranks = [
            (Launcher::OpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
            // Of the step that `srun` started: in a batch script itself it is not set.
            (Launcher::Slurm { pmix }, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
            (Launcher::Hydra, "PMI_RANK", "PMI_SIZE"),
        ];
        let found = ranks.into_iter().find_map(|(launcher, rank, ranks)| {
            let (rank, ranks) = (number(rank).unwrap_or(0), number(ranks)?);
            Some(Self { launcher, rank, ranks })
        });
        found.filter(|launch| launch.ranks > 1)
    }
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Launcher::OpenMpi => "Open MPI's launcher",
            Launcher::Hydra => "MPICH's launcher",
            Launcher::Slurm { .. } => "srun",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells_who_started_it() {
        let of = |set: &[(&str, &str)]| {
            let set = set.to_vec();
            Launch::of(move |name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
            })
        };
        let launch = |launcher, rank, ranks| Some(Launch { launcher, rank, ranks });
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "2")]), launch(Launcher::OpenMpi, 0, 2));
        assert_eq!(of(&[("PMI_SIZE", "4"), ("PMI_RANK", "3")]), launch(Launcher::Hydra, 3, 4));
        // Slurm sets what Hydra does, too, but starts Open MPI's programs as well.
        let slurm = [("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "5"), ("PMI_SIZE", "8")];
        assert_eq!(of(&slurm), launch(Launcher::Slurm { pmix: false }, 5, 8));
        let pmix = [&slurm[..2], &[("SLURM_MPI_TYPE", "pmix_v4")]].concat();
        assert_eq!(of(&pmix), launch(Launcher::Slurm { pmix: true }, 5, 8));
        // A process alone, one of one, a batch script of Slurm, and what is no number.
        for alone in [
            &[][..],
            &[("PMI_SIZE", "1")],
            &[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")],
            &[("PMI_SIZE", "x")],
        ] {
            assert_eq!(of(alone), None, "{alone:?}");
        }
    }
}
