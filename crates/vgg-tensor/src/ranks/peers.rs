//! The ranks, as one of them sees them.

use std::time::Duration;

use crate::{Result, zeros};

/// A rank among others, to whom it can send bytes. It adds nothing.
///
/// Every call is collective: all ranks make the same calls in the same order, with the same lengths.
/// So no call may depend on a clock, a signal or anything else that is one rank's alone.
///
/// # Errors
/// [`crate::Error::Rank`] from the first call on that another rank does not make: it names who left, and why.
pub trait Peers: Send + Sync {
    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// What they are joined by, in words.
    fn describe(&self) -> String;

    /// Gives each rank what it is sent: the pieces `send[r]`, one after the other, go to rank `r`, and what it
    /// sends here fills the pieces `receive[r]`, which have as many bytes in all, however they are cut. A rank
    /// sends nothing to itself.
    ///
    /// # Panics
    /// If there are not as many as ranks, or lengths do not fit.
    fn exchange(&self, send: &[Vec<&[u8]>], receive: &mut [Vec<&mut [u8]>]) -> Result<()>;

    /// Gives all ranks what each one has: rank `r` gives `lens[r]` bytes, which follow each other in `all`
    /// in the order of ranks.
    ///
    /// # Panics
    /// If lengths do not fit.
    fn all_gather(&self, mine: &[u8], lens: &[usize], mut all: &mut [u8]) -> Result<()> {
        let rank = self.rank();
        assert_eq!([lens.len(), lens[rank]], [self.ranks(), mine.len()], "what this rank gives");
        let others = |to| if to == rank { vec![] } else { vec![mine] };
        let send: Vec<Vec<&[u8]>> = (0..lens.len()).map(others).collect();
        let mut receive: Vec<Vec<&mut [u8]>> = Vec::new();
        for (from, len) in lens.iter().enumerate() {
            let place = all.split_off_mut(..*len).expect("there is room for what comes");
            receive.push(match from == rank {
                true => {
                    place.copy_from_slice(mine);
                    vec![]
                }
                false => vec![place],
            });
        }
        assert!(all.is_empty(), "room for what comes, and no more");
        self.exchange(&send, &mut receive)
    }

    /// Passes as long as the others are waited for, after so long, in what they do together besides these
    /// calls, as on their GPUs. It is asked again and again, and is no collective call.
    ///
    /// # Errors
    /// [`crate::Error::Rank`] with who has left, or with a rank that may be the one that is missing.
    fn waits(&self, time: Duration) -> Result<()>;

    /// Waits for all others to make this call, too, which is everybody's last one.
    fn finish(&self) -> Result<()>;

    /// Leaves the others, whose next call fails with this reason. After it no call succeeds.
    fn leave(&self, reason: &str);
}

/// What each rank has to say to all others, of whatever length.
///
/// # Errors
/// Those of the peers.
pub fn gather_messages(peers: &dyn Peers, message: &[u8]) -> Result<Vec<Vec<u8>>> {
    const WORD: usize = size_of::<u64>();
    let ranks = peers.ranks();
    let mut lens = vec![0; WORD * ranks];
    peers.all_gather(&(message.len() as u64).to_ne_bytes(), &vec![WORD; ranks], &mut lens)?;
    let lens: Vec<usize> =
        lens.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word) as usize).collect();
    let mut all = zeros::<u8>(lens.iter().sum())?;
    peers.all_gather(message, &lens, &mut all)?;
    let mut rest = &all[..];
    let mut take = |len: &usize| {
        let (message, others) = rest.split_at(*len);
        rest = others;
        message.to_vec()
    };
    Ok(lens.iter().map(&mut take).collect())
}
