//! Steps on batches that are cut into shards.

use vgg_tensor::{Backend, Result, Scalars};

use super::Trainer;
use crate::network::Batch;
use crate::plan::program::{Place, Shard, Work};

impl<B: Backend> Trainer<B> {
    /// Orders a step. Returns the metrics of all shards in their order, whichever rank computed them.
    pub(super) fn submit_shards(
        &mut self,
        batch: Batch<'_>,
        scalars: Scalars,
    ) -> Result<Vec<B::Download>> {
        let n = batch.target.labels().len();
        let present = self.recipe.shards.present(self.batch, n);
        let shards = self.shards(batch);
        let begun = shards.last().is_some_and(|(shard, _)| shard.begins);
        for (shard, batch) in shards {
            self.network.run(Work::Shard(shard), batch, scalars)?;
        }
        self.network.run_after(Work::Update { batch: n, begun }, scalars)?;
        let mut metrics = |shard| self.network.start_metrics(Place::ShardMetrics(shard));
        (0..present).map(&mut metrics).collect()
    }

    /// This rank's shards that have images. The batch has targets of all images, and pixels of this rank's.
    pub(super) fn shards<'a>(
        &self,
        Batch { pixels, target, divisor }: Batch<'a>,
    ) -> Vec<(Shard, Batch<'a>)> {
        let (n, shards) = (target.labels().len(), self.recipe.shards);
        let first = self.rows(n).start;
        let image_bytes = self.network.input.image_bytes();
        let (present, is_mixed) = (shards.present(self.batch, n), target.is_mixed());
        let own = shards.own().start..shards.own().end.min(present);
        let one = |index| {
            let rows = shards.rows_of(index, self.batch, n);
            let pixels =
                &pixels[(rows.start - first) * image_bytes..(rows.end - first) * image_bytes];
            // Its gradients count as much as its images, and so does its part of what divides them.
            let divisor = (f64::from(divisor) * rows.len() as f64 / n as f64) as f32;
            // What the last one can exchange goes on beside the rest of its backward pass.
            let begins = shards.ranks() > 1 && index + 1 == own.end;
            let shard = Shard { index, batch: n, present, is_mixed, begins };
            (shard, Batch { pixels, target: target.rows(rows), divisor })
        };
        own.clone().map(one).collect()
    }
}
