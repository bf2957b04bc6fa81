//! Tests, whose images several ranks share.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use vgg_tensor::Backend;
use vgg_tensor::ranks::Shards;

use super::TrainingLoop;
use crate::data;
use crate::failure::Code;
use crate::passes::evaluate::evaluate;
use crate::passes::outputs::Outputs;
use crate::reporters::Event;
use crate::scores::tested::Tested;
use crate::training::together::Vote;

/// Training batches by which the running statistics of averaged weights are measured: each one leaves nine
/// tenths of what they were.
const MEASURED: u64 = 64;

/// Which of `images` test images, in batches of `size`, a rank is shown: every so many batches one. A
/// batch is as it would be on one rank, and so is what is said of its images.
pub(super) fn images_of(rank: usize, ranks: usize, images: usize, size: usize) -> Vec<usize> {
    (0..images).filter(|image| image / size % ranks == rank).collect()
}

impl<B: Backend> TrainingLoop<'_, B> {
    /// Tests the network as it is, unless asked to stop.
    pub(super) fn evaluate(&mut self) -> Result<ControlFlow<Code, Tested>> {
        self.trainer.set_ema_evaluated(true);
        let tested = match self.together.shards().ranks() {
            1 => self.evaluate_all()?,
            _ => self.evaluate_together()?,
        };
        Ok(match tested {
            ControlFlow::Break(code) => ControlFlow::Break(code),
            ControlFlow::Continue(outputs) => {
                ControlFlow::Continue(outputs.tested(&self.data.test)?)
            }
        })
    }

    /// Measures the running statistics of averaged weights, unless asked to stop, by the batches that the epoch
    /// began with. Every rank is shown all of each, so that all come to the same.
    pub(super) fn measure_ema(&mut self) -> Result<ControlFlow<Code>> {
        let loader = self.loader.clone().for_rank(Shards::ONE);
        let mut measured = 0;
        while self.trainer.measures_ema() && measured < MEASURED {
            let mut batches = loader.epoch(self.position.epoch, 0);
            let unreadable = || data::unreadable(&self.data.train.images);
            while let Some(batch) = batches.next_batch().with_context(unreadable)?
                && measured < MEASURED
            {
                let vote = Vote { stop: self.stop.requested(), save: false };
                if let Some(code) = self.together.vote(vote)?.stop {
                    return Ok(ControlFlow::Break(code));
                }
                self.trainer.measure_ema(&batch.pixels, measured == 0)?;
                measured += 1;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What the network gives, of no image so far.
    fn outputs(&self) -> Outputs {
        Outputs::new(self.trainer.vgg().config().task, self.data.test.classes().len())
    }

    fn evaluate_all(&mut self) -> Result<ControlFlow<Code, Outputs>> {
        let mut outputs = self.outputs();
        let (epoch, done) = (self.position.epoch + 1, self.place(self.position.step));
        let (trainer, reporters, stop) = (&mut self.trainer, &mut self.reporters, self.stop);
        let tested = evaluate(
            &self.test,
            |pixels| trainer.logits(pixels),
            |numbers, labels| {
                outputs.add(numbers, labels);
                let images = outputs.images() as u64;
                reporters.report(&Event::Testing { epoch, images, done })
            },
            || stop.requested(),
        )?;
        Ok(tested.map_continue(|_| outputs))
    }

    /// Every rank has its batches, and in the end all of them in their order.
    fn evaluate_together(&mut self) -> Result<ControlFlow<Code, Outputs>> {
        let (epoch, done) = (self.position.epoch + 1, self.place(self.position.step));
        let (ranks, size) = (self.together.shards().ranks(), self.trainer.plan().batch());
        let images = self.data.test.len();
        let mut batches = self.test.epoch(0, 0);
        let mut own = self.outputs();
        for shown in (0..images).step_by(size * ranks) {
            let vote = Vote { stop: self.stop.requested(), save: false };
            if let Some(code) = self.together.vote(vote)?.stop {
                return Ok(ControlFlow::Break(code));
            }
            let unreadable = || data::unreadable(&self.data.test.images);
            if let Some(batch) = batches.next_batch().with_context(unreadable)? {
                own.add(&self.trainer.logits(&batch.pixels)?, &batch.labels);
            }
            let images = images.min(shown + size * ranks) as u64;
            self.reporters.report(&Event::Testing { epoch, images, done })?;
        }
        let (of_one, own) = (own.of_one(), own.into_numbers());
        let of_rank = |rank| images_of(rank, ranks, images, size).len();
        let lens: Vec<usize> = (0..ranks).map(|rank| of_one * of_rank(rank)).collect();
        let all = self.together.gather(own, &lens)?;
        // Where the next batch of each rank begins.
        let mut starts: Vec<usize> =
            lens.iter().scan(0, |end, len| Some(std::mem::replace(end, *end + len))).collect();
        let mut in_order = Vec::with_capacity(all.len());
        for batch in 0..images.div_ceil(size) {
            let start = &mut starts[batch % ranks];
            let len = of_one * size.min(images - batch * size);
            in_order.extend_from_slice(&all[*start..*start + len]);
            *start += len;
        }
        Ok(ControlFlow::Continue(self.outputs().with(in_order)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_shown_to_one_rank_in_the_batch_that_it_is_in() {
        let of = |rank| images_of(rank, 3, 10, 2);
        assert_eq!([of(0), of(1), of(2)], [vec![0, 1, 6, 7], vec![2, 3, 8, 9], vec![4, 5]]);
        assert_eq!([images_of(0, 2, 3, 4), images_of(1, 2, 3, 4)], [vec![0, 1, 2], vec![]]);
    }
}
