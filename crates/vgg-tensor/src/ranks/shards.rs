//! Which shards of a batch are whose.

use std::ops::Range;

use crate::{Error, Result};

/// The shards of a batch, and the rank that computes some of them.
///
/// A batch of up to `batch` images is cut into `count` shards of `batch / count` images, rounded up; the
/// last ones have fewer, or none. Which images a shard has does not depend on the ranks; which shards a
/// rank has does: rank `r` of `R` has those from `r · count / R` to `(r + 1) · count / R`, rounded down.
///
/// ```
/// use vgg_tensor::ranks::Shards;
/// let second = Shards::new(4, 1, 2)?;
/// assert_eq!(second.own(), 2..4);
/// // Of a short last batch of 10 images, where a full one has 16: shards of 4, 4, 2 and 0 images.
/// assert_eq!(second.present(16, 10), 3);
/// assert_eq!(second.rows(16, 10), 8..10);
/// # Ok::<(), vgg_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shards {
    count: usize,
    rank: usize,
    ranks: usize,
}

impl Shards {
    /// The most shards there may be.
    pub const MOST: usize = 4096;

    /// A whole batch, in the hands of one rank.
    pub const ONE: Self = Self { count: 1, rank: 0, ranks: 1 };

    /// `count` shards, of which `rank` of `ranks` has its part.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no shards or more than [`Shards::MOST`], or more ranks than shards.
    ///
    /// # Panics
    /// If `rank` is none of the ranks.
    pub fn new(count: usize, rank: usize, ranks: usize) -> Result<Self> {
        assert!(rank < ranks, "rank {rank} of {ranks}");
        if count == 0 || count > Self::MOST {
            let message = format!("shards = {count}, but it must be from 1 to {}", Self::MOST);
            return Err(Error::Shape(message));
        }
        if ranks > count {
            return Err(Error::Shape(format!(
                "{ranks} ranks cannot share {count} shard{}: take {ranks} shards or more, which \
                 changes the results, or {count} rank{0}",
                if count == 1 { "" } else { "s" }
            )));
        }
        Ok(Self { count, rank, ranks })
    }

    /// Shards of a full batch.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Which rank this one is, from 0.
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub const fn ranks(&self) -> usize {
        self.ranks
    }

    /// The shards of a rank.
    pub const fn of(&self, rank: usize) -> Range<usize> {
        rank * self.count / self.ranks..(rank + 1) * self.count / self.ranks
    }

    /// The shards of this rank.
    pub const fn own(&self) -> Range<usize> {
        self.of(self.rank)
    }

    /// Images of a shard, of a batch of up to `batch`.
    pub const fn size(&self, batch: usize) -> usize {
        batch.div_ceil(self.count)
    }

    /// How many shards have images where a batch of up to `batch` has `n`: the first ones.
    pub const fn present(&self, batch: usize, n: usize) -> usize {
        n.div_ceil(self.size(batch))
    }

    /// Which of the `n` images are a shard's.
    pub fn rows_of(&self, shard: usize, batch: usize, n: usize) -> Range<usize> {
        let size = self.size(batch);
        (shard * size).min(n)..((shard + 1) * size).min(n)
    }

    /// Which of the `n` images are this rank's.
    pub fn rows(&self, batch: usize, n: usize) -> Range<usize> {
        self.rows_of_rank(self.rank, batch, n)
    }

    /// Which of the `n` images are a rank's.
    pub fn rows_of_rank(&self, rank: usize, batch: usize, n: usize) -> Range<usize> {
        let Range { start, end } = self.of(rank);
        let size = self.size(batch);
        (start * size).min(n)..(end * size).min(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_is_one_ranks_and_each_image_one_shards() {
        for (count, ranks) in [(1, 1), (4, 1), (4, 3), (4, 4), (7, 3), (64, 5)] {
            for (batch, n) in [(16, 16), (16, 10), (16, 1), (3, 3), (3, 2), (100, 99)] {
                let of = |rank| Shards::new(count, rank, ranks).unwrap();
                let shards: Vec<usize> = (0..ranks).flat_map(|rank| of(rank).own()).collect();
                assert_eq!(shards, Vec::from_iter(0..count));
                let rows: Vec<usize> =
                    (0..ranks).flat_map(|rank| of(rank).rows(batch, n)).collect();
                assert_eq!(rows, Vec::from_iter(0..n), "{count} {ranks} {batch} {n}");
                let rows: Vec<_> = (0..count).map(|k| of(0).rows_of(k, batch, n)).collect();
                assert_eq!(Vec::from_iter(rows.iter().cloned().flatten()), Vec::from_iter(0..n));
                let present = rows.iter().filter(|rows| !rows.is_empty()).count();
                assert_eq!(present, of(0).present(batch, n));
                assert!(rows[present..].iter().all(|rows| rows.is_empty()), "the first ones have");
            }
        }
    }

    #[test]
    fn who_cannot_share_is_refused() {
        let message = |count, ranks| Shards::new(count, 0, ranks).unwrap_err().to_string();
        assert_eq!(
            message(4, 5),
            "5 ranks cannot share 4 shards: take 5 shards or more, which changes the results, or 4 \
             ranks"
        );
        assert_eq!(
            message(1, 2),
            "2 ranks cannot share 1 shard: take 2 shards or more, which changes the results, or 1 rank"
        );
        assert_eq!(message(0, 1), "shards = 0, but it must be from 1 to 4096");
    }
}
