//! What a process does that is not the first one.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use vgg_tensor::Backend;
use vgg_tensor::ranks::{Peers, gather_messages};

use super::{Begun, Processes};
use crate::config::{self, Config, Override};
use crate::failure::{self, Code};
use crate::machine::device::{self, RanksJob};
use crate::reporters::{Reporters, Work};
use crate::run::folder::log_of_rank;
use crate::signals::Stop;
use crate::terminal::log::Log;
use crate::terminal::ui::Ui;
use crate::training::begin::Begin;
use crate::training::ready::Ready;
use crate::training::together::Together;

/// Keys that a machine decides for itself, by its own environment and command line.
const OWN: [&str; 2] = ["data.dir", "device.threads"];

/// Trains with the first one, if it comes to that.
pub(super) fn train(processes: &Processes, own: Vec<Override>, log: &Log) -> Result<()> {
    log.leave_screen();
    let text = String::from_utf8(processes.hear()?)?;
    if text.is_empty() {
        return Ok(processes.peers.finish()?);
    }
    let own = own.into_iter().filter(|set| OWN.contains(&&*set.key)).collect();
    let loaded = config::load_text(Path::new("rank 0's config"), &text, own)?;
    let config = &processes.at_home(&loaded.config);
    let (ranks, shared) = (vec![processes.peers()], processes.share(&config.device)?);
    let job = Other { processes, config, log };
    match device::run_on_ranks(&config.device, ranks, shared.gpus(), job) {
        // All come to it by the same numbers. The first one tells of it, and then ends all.
        Err(error) if failure::code(&error) == Code::Diverged => {
            let _ = gather_messages(&*processes.peers, b"");
            Ok(())
        }
        done => done,
    }
}

/// The training of another process than the first.
struct Other<'a> {
    processes: &'a Processes,
    config: &'a Config,
    log: &'a Log,
}

impl RanksJob for Other<'_> {
    type Output = ();

    fn run<B: Backend>(
        self,
        _: Vec<Arc<dyn Peers>>,
        make: impl Fn(Arc<dyn Peers>) -> Result<B> + Sync,
    ) -> Result<()> {
        let Self { processes, config, log } = self;
        let backend = make(processes.peers())?;
        let together = Together::with(processes.peers(), config.train.shards)?;
        let (ui, beside) = (Ui::silent(), processes.beside());
        let Ready { vgg, data, batch } =
            Ready::make(config, &ui, &backend, 0, together.shards(), beside)?;
        processes.agree(&data)?;
        let (Begun { run, position, state, epochs, .. }, from) = processes.hear_of_begin(&vgg)?;
        // Where this machine sees the run's folder.
        if run.is_dir() {
            log.move_to(&run.join(log_of_rank(together.shards().rank())))?;
        }
        let stop = Stop::listen()?;
        processes.begin(&run, &stop);
        let work = Work::of(config, &data)?;
        let begin = Begin {
            config,
            vgg: &vgg,
            input: config.input(),
            data: &data,
            run: &run,
            batch,
            work,
            position,
            state,
            epochs,
            stop: &stop,
        };
        let trainer = begin.trainer(backend, &together, &from)?;
        drop(from);
        begin.training(trainer, Reporters::default(), together)?.run().map(drop)
    }
}
