//! Tests, whose images several ranks share.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use vgg_tensor::Backend;

use super::{Tested, TrainingLoop};
use crate::data;
use crate::failure::Code;
use crate::passes::evaluate::evaluate;
use crate::reporters::Event;
use crate::scores::evaluation::Evaluation;
use crate::scores::predictions::Predictions;
use crate::training::together::Vote;

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
        Ok(tested.map_continue(|predictions| {
            let evaluation = Evaluation::of(&predictions);
            Tested { predictions, evaluation }
        }))
    }

    fn evaluate_all(&mut self) -> Result<ControlFlow<Code, Predictions>> {
        let (epoch, done) = (self.position.epoch + 1, self.place(self.position.step));
        let (trainer, reporters, stop) = (&mut self.trainer, &mut self.reporters, self.stop);
        let mut predictions = Predictions::new(self.data.test.classes().len());
        let tested = evaluate(
            &self.test,
            |pixels| trainer.logits(pixels),
            |logits, labels| {
                predictions.add(logits, labels);
                let images = predictions.len() as u64;
                reporters.report(&Event::Testing { epoch, images, done })
            },
            || stop.requested(),
        )?;
        Ok(tested.map_continue(|_| predictions))
    }

    /// Every rank has its batches, and in the end all of them in their order.
    fn evaluate_together(&mut self) -> Result<ControlFlow<Code, Predictions>> {
        let (epoch, done) = (self.position.epoch + 1, self.place(self.position.step));
        let (ranks, size) = (self.together.shards().ranks(), self.trainer.plan().batch());
        let (images, labels) = (self.data.test.len(), self.data.test.labels());
        let mut batches = self.test.epoch(0, 0);
        let mut logits = Vec::new();
        for shown in (0..images).step_by(size * ranks) {
            let vote = Vote { stop: self.stop.requested(), save: false };
            if let Some(code) = self.together.vote(vote)?.stop {
                return Ok(ControlFlow::Break(code));
            }
            let unreadable = || data::unreadable(&self.data.test.images);
            if let Some(batch) = batches.next_batch().with_context(unreadable)? {
                logits.extend(self.trainer.logits(&batch.pixels)?);
            }
            let images = images.min(shown + size * ranks) as u64;
            self.reporters.report(&Event::Testing { epoch, images, done })?;
        }
        let classes = self.data.test.classes().len();
        let of_rank = |rank| images_of(rank, ranks, images, size).len();
        let lens: Vec<usize> = (0..ranks).map(|rank| classes * of_rank(rank)).collect();
        let all = self.together.gather(logits, &lens)?;
        // Where the next batch of each rank begins.
        let mut starts: Vec<usize> =
            lens.iter().scan(0, |end, len| Some(std::mem::replace(end, *end + len))).collect();
        let mut predictions = Predictions::new(classes);
        for (batch, labels) in labels.chunks(size).enumerate() {
            let start = &mut starts[batch % ranks];
            let len = classes * labels.len();
            predictions.add(&all[*start..*start + len], labels);
            *start += len;
        }
        Ok(ControlFlow::Continue(predictions))
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
