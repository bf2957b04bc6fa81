//! Ranks that are processes, which a launcher of MPI started together.
//!
//! The first one does what a process alone does: it reads the config and the checkpoint, writes the run's folder
//! and tells how it goes. The others are told what it has read, train with it, and say nothing but what they
//! fail by: so all of them, a launcher's screen is one run's.

mod begun;
mod others;
mod patience;

use std::cell::Cell;
use std::io::Write as _;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Error, Result};
use serde::{Deserialize, Serialize};
use vgg_tensor::ranks::{Peers, Shards, gather_messages};

pub(super) use self::begun::Begun;
use self::patience::Patience;
use crate::config::{self, Config, Loaded, Override};
use crate::data::Data;
use crate::failure::{self, Code, Failure};
use crate::machine::equipment::{self, Equipment, Shared};
use crate::machine::host;
use crate::terminal::log::Log;
use crate::version::VERSION;

/// Who trains.
pub(crate) enum Ranks {
    /// So many threads of this process.
    Threads(usize),
    /// The processes of which this one is the first.
    Processes(Processes),
}

/// Has `command` train: in a process alone on as many ranks as it is asked for, `wanted`, and in the first of
/// several processes on all of them. The others, whose own options are `own`, train with it.
///
/// # Errors
/// Those of the command and, in each process, its own.
pub(crate) fn command(
    wanted: Option<u16>,
    own: Vec<Override>,
    log: &Log,
    command: impl FnOnce(&Ranks) -> Result<Code>,
) -> Result<Code> {
    let Some(processes) = Processes::join()? else {
        return command(&Ranks::Threads(wanted.map_or(1, usize::from)));
    };
    let peers = processes.peers.clone();
    let failed = processes.patience.clone();
    let done = match peers.rank() {
        0 => processes.first(wanted, command),
        _ => others::train(&processes, own, log).map(|()| Code::Success),
    };
    done.map_err(|error| {
        peers.leave(&format!("{error:#}"));
        explain(error, peers.rank(), failed.how_to_go_on())
    })
}

/// Names the rank, and says how the run can go on.
fn explain(error: Error, rank: usize, how_to_go_on: Option<String>) -> Error {
    if rank == 0 && how_to_go_on.is_none() {
        // It is as if it were alone.
        return error;
    }
    let own = error.downcast_ref::<Failure>().and_then(|failure| failure.help.clone());
    let help = match (own, how_to_go_on) {
        (Some(own), Some(go_on)) if !own.contains("vgg-train resume") => {
            Some(format!("{own}; {go_on}"))
        }
        (own, go_on) => own.or(go_on),
    };
    let (code, message) = (failure::code(&error), format!("rank {rank} failed"));
    error.context(Failure { code, message, help })
}

/// What a process says of itself, before anything else.
#[derive(PartialEq, Serialize, Deserialize)]
struct Introduction {
    program: String,
    machine: String,
    /// The cores that it may use.
    cores: String,
}

impl Introduction {
    fn own() -> Self {
        Self { program: VERSION.into(), machine: host::identity(), cores: host::cores() }
    }

    /// What keeps this process from training with the first one.
    fn against(&self, first: &Self, rank: usize) -> Option<Failure> {
        let (this, first) = (&self.program, &first.program);
        (this != first).then(|| {
            let message = format!("rank {rank} has vgg-train {this}, and rank 0 has {first}");
            Failure::new(Code::Usage, message).help("the same build must be on all machines")
        })
    }
}

/// The processes that train together, as one of them sees them.
pub(crate) struct Processes {
    peers: Arc<dyn Peers>,
    patience: Arc<Patience>,
    /// Processes of this machine besides this one.
    beside: usize,
    /// Those with the same cores, this one among them.
    sharing: usize,
    /// Whether the others know the config.
    told: Cell<bool>,
}

impl Processes {
    /// Those that were started together with this one; nothing if it is alone.
    ///
    /// # Errors
    /// With [`Code::Device`] if the launcher's library cannot be used; with [`Code::Usage`], on the first one,
    /// if one of them cannot train with it.
    fn join() -> Result<Option<Self>> {
        let patience = Arc::new(Patience::default());
        let Some(peers) = vgg_comm::mpi(patience.clone())? else { return Ok(None) };
        tracing::info!("rank {} of {}", peers.rank(), peers.describe());
        name_in_panics(peers.rank());
        let own = Introduction::own();
        let all = gather_messages(&*peers, &serde_json::to_vec(&own)?)?;
        // Another version may introduce itself otherwise.
        let read = |message: &Vec<u8>| serde_json::from_slice(message).ok();
        let all: Vec<Option<Introduction>> = all.iter().map(read).collect();
        if peers.rank() == 0 {
            for (rank, other) in all.iter().enumerate() {
                let refused = match other {
                    Some(other) => other.against(&own, rank),
                    None => {
                        let message = format!("rank {rank} has another version of vgg-train");
                        let help = "the same build must be on all machines";
                        Some(Failure::new(Code::Usage, message).help(help))
                    }
                };
                if let Some(refused) = refused {
                    peers.leave(&refused.message);
                    return Err(refused.into());
                }
            }
        }
        let here = all.iter().flatten().filter(|other| other.machine == own.machine);
        let sharing = here.clone().filter(|other| other.cores == own.cores).count();
        let beside = here.count() - 1;
        Ok(Some(Self { peers, patience, beside, sharing, told: Cell::new(false) }))
    }

    /// Does the command as the first one.
    fn first(
        self,
        wanted: Option<u16>,
        command: impl FnOnce(&Ranks) -> Result<Code>,
    ) -> Result<Code> {
        let ranks = Ranks::Processes(self);
        let done = match wanted {
            None => command(&ranks),
            Some(_) => {
                let message =
                    "--ranks makes ranks of one process, and a launcher has started several";
                let help = "leave out --ranks: each process that the launcher starts is a rank";
                Err(Failure::new(Code::Usage, message).help(help).into())
            }
        };
        if let Ranks::Processes(processes) = ranks
            && !processes.told.get()
        {
            // There is nothing to train, and all end of themselves: with this one's code.
            processes.say(b"")?;
            processes.peers.finish()?;
        }
        done
    }

    /// Lets the others have what the first one says.
    fn say(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.told.set(true);
        Ok(gather_messages(&*self.peers, message)?.swap_remove(0))
    }

    /// What the first one says.
    fn hear(&self) -> Result<Vec<u8>> {
        self.say(b"")
    }

    pub(super) fn peers(&self) -> Arc<dyn Peers> {
        self.peers.clone()
    }

    /// What to do once the run has ended before its time, if it has begun.
    pub(super) fn how_to_go_on(&self) -> Option<String> {
        self.patience.how_to_go_on()
    }

    /// How many other processes take memory of this machine.
    pub(super) fn beside(&self) -> usize {
        self.beside
    }

    /// The config as this process computes by it: it has its part of the cores.
    fn at_home(&self, config: &Config) -> Config {
        let mut config = config.clone();
        if config.device.threads == 0 {
            let cores = available_parallelism().map_or(1, usize::from);
            config.device.threads = (cores / self.sharing).max(1);
        }
        config
    }

    /// What each process computes on.
    ///
    /// # Errors
    /// That it is not there, or, on the first one, as [`equipment::share`]. That a process has gone.
    pub(super) fn share(&self, device: &config::Device) -> Result<Shared> {
        let own = serde_json::to_vec(&Equipment::of(device)?)?;
        let all = gather_messages(&*self.peers, &own)?;
        let all = all.iter().map(|one| serde_json::from_slice(one));
        let shared = equipment::share(&all.collect::<Result<Vec<_>, _>>()?);
        if shared.is_err() && self.peers.rank() != 0 {
            // The first one tells it, and leaves.
            self.hear()?;
        }
        Ok(shared?)
    }

    /// Makes sure, before anything is written, that all have the same images.
    ///
    /// # Errors
    /// With [`Code::Usage`], on the first one.
    pub(super) fn agree(&self, data: &Data) -> Result<()> {
        let all = gather_messages(&*self.peers, data.digest().as_bytes())?;
        let other = all.iter().position(|digest| *digest != all[0]);
        let Some(rank) = other.filter(|_| self.peers.rank() == 0) else { return Ok(()) };
        let message = format!("rank {rank} has other images than rank 0");
        let help = "the data must be the same on all machines, where the config says";
        Err(Failure::new(Code::Usage, message).help(help).into())
    }
}

impl Ranks {
    /// Tells the other processes by which config they train, where there are some; that by which this one does.
    ///
    /// # Errors
    /// With [`Code::Usage`] if there are more than the config has shards: nothing is opened yet. That a process
    /// has gone.
    pub(crate) fn tell(&self, loaded: &Loaded) -> Result<Config> {
        let count = match self {
            Self::Threads(count) => *count,
            Self::Processes(processes) => processes.peers.ranks(),
        };
        Shards::new(loaded.config.train.shards, 0, count).map_err(|error| {
            let help = format!("--set train.shards={count} has as many shards as ranks");
            Error::from(error).context(Failure::new(Code::Usage, "too many ranks").help(help))
        })?;
        match self {
            Self::Threads(_) => Ok(loaded.config.clone()),
            Self::Processes(processes) => {
                processes.say(loaded.effective().as_bytes())?;
                Ok(processes.at_home(&loaded.config))
            }
        }
    }
}

/// Has the message of a panic name this rank.
fn name_in_panics(rank: usize) {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !vgg_data::is_panic_caught() {
            let _ = writeln!(std::io::stderr(), "rank {rank} panicked:");
        }
        default(panic);
    }));
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::terminal::error::render;

    #[test]
    fn who_cannot_train_together_is_told_why() {
        let of = |program: &str, machine: &str| Introduction {
            program: program.into(),
            machine: machine.into(),
            cores: "0-1".into(),
        };
        let first = of("1 (commit a)", "a");
        let told = |other: Introduction| other.against(&first, 3).map(|failure| failure.message);
        assert_eq!(told(of("1 (commit a)", "b")), None);
        assert_eq!(
            told(of("1 (commit b)", "a")).unwrap(),
            "rank 3 has vgg-train 1 (commit b), and rank 0 has 1 (commit a)"
        );
    }

    #[test]
    fn a_failure_names_the_rank_and_how_to_go_on() {
        let go_on = || Some("`vgg-train resume a` goes on".to_owned());
        let explained = |error, rank, go_on| render(&explain(error, rank, go_on), false);
        let error = || anyhow!("disk").context(Failure::new(Code::Data, "cannot save"));
        assert_eq!(explained(error(), 0, None), "error: cannot save\n  caused by: disk\n");
        assert_eq!(
            explained(error(), 2, go_on()),
            "error: rank 2 failed\n  caused by: cannot save\n  caused by: disk\n\
             help: `vgg-train resume a` goes on\n"
        );
        let helped = |help| anyhow!(Failure::new(Code::Data, "cannot save").help(help));
        assert_eq!(failure::code(&explain(helped("make room"), 0, go_on())), Code::Data);
        let told = explained(helped("make room"), 0, go_on());
        assert!(told.ends_with("help: make room; `vgg-train resume a` goes on\n"), "{told}");
        let told = explained(helped("vgg-train resume b"), 0, go_on());
        assert!(told.ends_with("help: vgg-train resume b\n"), "{told}");
    }
}
