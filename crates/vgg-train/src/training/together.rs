//! The ranks that train one network, as training sees them.
//!
//! All of them go through the same loop and come to the same numbers, so whatever follows from these is
//! decided by each for itself, alike. What is one rank's alone, a signal or a clock, is voted on.

use std::sync::Arc;

use anyhow::Result;
use vgg_tensor::ranks::{Number, Peers, Shards};
use vgg_tensor::zeros;

use crate::failure::Code;

/// What a rank wants before a step, and then what all do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Vote {
    /// To stop, with this code.
    pub(super) stop: Option<Code>,
    /// To save the state: the first rank's wish alone counts, as it saves.
    pub(super) save: bool,
}

/// A rank, and how it is joined with the others.
#[derive(Clone)]
pub(crate) struct Together {
    /// Nothing where there are none.
    peers: Option<Arc<dyn Peers>>,
    shards: Shards,
}

impl Together {
    /// One rank that has all shards.
    pub(super) fn alone(shards: Shards) -> Self {
        Self { peers: None, shards }
    }

    /// One of several ranks, which share so many shards.
    pub(super) fn with(peers: Arc<dyn Peers>, shards: usize) -> Result<Self> {
        let shards = Shards::new(shards, peers.rank(), peers.ranks())?;
        Ok(Self { peers: Some(peers), shards })
    }

    pub(super) fn shards(&self) -> Shards {
        self.shards
    }

    /// Whether this rank writes the run's folder and tells how it goes.
    pub(super) fn is_first(&self) -> bool {
        self.shards.rank() == 0
    }

    /// What all ranks do, where this one wants something: they stop if one wants to.
    pub(super) fn vote(&self, vote: Vote) -> Result<Vote> {
        let Some(peers) = &self.peers else { return Ok(vote) };
        let mine = [vote.stop.map_or(0, |code| code as u8), u8::from(vote.save)];
        let ranks = peers.ranks();
        let mut all = vec![0; mine.len() * ranks];
        peers.all_gather(&mine, &vec![mine.len(); ranks], &mut all)?;
        let (votes, _) = all.as_chunks::<2>();
        let code = votes.iter().map(|[code, _]| *code).find(|code| *code != 0);
        let stop = code.map(|code| match code == Code::Terminated as u8 {
            true => Code::Terminated,
            false => Code::Interrupted,
        });
        Ok(Vote { stop, save: votes[0][1] != 0 })
    }

    /// What the first rank says.
    pub(super) fn first_says(&self, word: bool) -> Result<bool> {
        let save = self.vote(Vote { stop: None, save: word })?.save;
        Ok(save)
    }

    /// All ranks are done: the last call.
    pub(super) fn finish(&self) -> Result<()> {
        self.peers.as_ref().map_or(Ok(()), |peers| Ok(peers.finish()?))
    }

    /// The numbers that each rank has, `lens` of them, one rank's after the other's.
    pub(super) fn gather(&self, mine: Vec<f32>, lens: &[usize]) -> Result<Vec<f32>> {
        let Some(peers) = &self.peers else { return Ok(mine) };
        let mut sent = zeros::<u8>(f32::BYTES * mine.len())?;
        f32::write(&mine, &mut sent);
        drop(mine);
        let lens: Vec<usize> = lens.iter().map(|len| f32::BYTES * len).collect();
        let mut received = zeros::<u8>(lens.iter().sum())?;
        peers.all_gather(&sent, &lens, &mut received)?;
        drop(sent);
        let mut all = zeros(received.len() / f32::BYTES)?;
        f32::read(&received, &mut all);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What each of the ranks does, where they want this.
    fn voted(votes: [Vote; 3]) -> Vec<Vote> {
        thread::scope(|scope| {
            let vote = |peers: Arc<dyn Peers>| {
                scope.spawn(move || {
                    let rank = peers.rank();
                    Together::with(peers, 4).unwrap().vote(votes[rank]).unwrap()
                })
            };
            let threads: Vec<_> = vgg_comm::local(3).into_iter().map(vote).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn one_rank_that_stops_stops_all() {
        let none = Vote::default();
        let stop = |code| Vote { stop: Some(code), save: false };
        assert_eq!(voted([none; 3]), [none; 3]);
        let [interrupted, terminated] = [Code::Interrupted, Code::Terminated].map(stop);
        assert_eq!(voted([none, terminated, none]), [terminated; 3]);
        assert_eq!(voted([none, interrupted, terminated]), [interrupted; 3]);
        let save = Vote { stop: None, save: true };
        assert_eq!(voted([save, none, none]), [save; 3]);
        assert_eq!(voted([none, save, save]), [none; 3], "the first rank saves");
        assert_eq!(Together::alone(Shards::ONE).vote(save).unwrap(), save);
    }
}
