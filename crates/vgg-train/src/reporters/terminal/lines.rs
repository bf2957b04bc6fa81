//! The lines that tell how training goes.

use std::time::Duration;

use crate::config::BestBy;
use crate::reporters::Work;
use crate::run::metrics::{EpochRecord, StepRecord};
use crate::scores::evaluation::tells_top5;
use crate::terminal::fields::Fields;
use crate::terminal::numbers::{clock, count, grouped, rate, short};
use crate::terminal::throughput::{Throughput, speed};

/// `epoch  1/10  step 120/469  loss 1.083 (1.512)  acc 58.6 %  lr 0.05  112 img/s  data 0 %  eta 0:54`
///
/// `batch` is the step's place in its epoch. The loss is that of the step, and the mean of the epoch
/// so far; so is the accuracy.
pub(super) fn step_line(
    step: &StepRecord,
    batch: u64,
    work: &Work,
    eta: Option<Duration>,
) -> Fields {
    let all = work.steps_per_epoch;
    let line = Fields::default()
        .with(0, epoch_of(step.epoch, work))
        .with(1, format!("step {batch:>width$}/{all}", width = all.to_string().len()))
        .with(3, format!("loss {:.3} ({:.3})", step.batch_loss, step.train_loss))
        .with(4, format!("acc {:.1} %", 100.0 * step.train_accuracy))
        .with(6, format!("lr {}", short(step.lr)))
        .with(5, format!("{} img/s", rate(step.images_per_second)))
        .with(7, format!("data {:.0} %", 100.0 * step.wait_share));
    match eta {
        Some(eta) => line.with(2, format!("eta {}", clock(eta))),
        None => line,
    }
}

/// `epoch  1/10  test 1 200/10 000`
pub(super) fn test_line(epoch: u64, images: u64, work: &Work) -> Fields {
    let [done, all] = [images, work.test_images].map(grouped);
    Fields::default().with(0, epoch_of(epoch, work)).with(1, format!("test {done}/{all}"))
}

/// `epoch  1/10  train loss 0.894  acc 66.9 %  test loss 0.481  acc 82.4 %  top-5 99.6 %  112 img/s  data 0 %  9:21  * best`
///
/// The score that the best epoch is chosen by has a place of its own, if it is neither loss nor accuracy.
pub(super) fn epoch_line(
    epoch: &EpochRecord,
    work: &Work,
    best_by: BestBy,
    is_best: bool,
) -> Fields {
    let result = |part, loss: f64, digits, accuracy: f64| {
        format!("{part} loss {loss:.3}  acc {:.digits$} %", 100.0 * accuracy)
    };
    let mut line = Fields::default()
        .with(0, epoch_of(epoch.epoch, work))
        .with(3, result("train", epoch.train_loss, 1, epoch.train_accuracy))
        .with(1, result(work.tested_on, epoch.test_loss, 2, epoch.test_accuracy));
    if let (BestBy::BalancedAccuracy | BestBy::MacroF1, Some(score)) =
        (best_by, epoch.score(best_by))
    {
        line = line.with(1, format!("{} {}", best_by.name(), best_by.shown(score)));
    }
    if let Some(top5) = epoch.test_top5.filter(|_| tells_top5(work.classes)) {
        line = line.with(6, format!("top-5 {:.1} %", 100.0 * top5));
    }
    if let Some(iou) = epoch.test_mean_iou {
        line = line.with(6, format!("mean IoU {iou:.3}"));
    }
    if let (Some(images_per_second), Some(share)) = (epoch.images_per_second, epoch.wait_share) {
        line = line
            .with(5, format!("{} img/s", rate(images_per_second)))
            .with(7, format!("data {:.0} %", 100.0 * share));
    }
    let time = epoch.seconds.map_or("resumed".into(), |s| clock(Duration::from_secs_f64(s)));
    let line = line.with(4, time);
    if is_best { line.with(2, format!("* best{}", best_by.words())) } else { line }
}

/// `10 epochs in 1:21:40 with tests, 122 img/s, data 0 %`
///
/// Of a run that was `resumed`, only what was done since then has a time.
pub(super) fn times(epochs: u64, resumed: bool, done: &Throughput) -> String {
    let text = count(epochs, "epoch");
    match (resumed, speed(done)) {
        (_, None) => text,
        (false, Some(speed)) => format!("{text} in {} with tests, {speed}", clock(done.wall)),
        (true, Some(speed)) => {
            let (images, time) = (count(done.images, "image"), clock(done.wall));
            format!("{text}; since resuming {images} in {time} with tests, {speed}")
        }
    }
}

fn epoch_of(epoch: u64, work: &Work) -> String {
    format!("epoch {epoch:>width$}/{}", work.epochs, width = work.epochs.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        epochs: 10,
        steps_per_epoch: 469,
        train_images: 60_000,
        test_images: 10_000,
        classes: 10,
        tested_on: "test",
    };

    #[test]
    fn steps_and_epochs() {
        let step = StepRecord {
            epoch: 2,
            step: 469 + 47,
            batch_loss: 1.0834,
            train_loss: 1.5117,
            train_accuracy: 0.5861,
            lr: 0.05,
            images_per_second: 112.44,
            wait_share: 0.004,
        };
        let eta = Some(Duration::from_secs(5400));
        insta::assert_snapshot!(step_line(&step, 47, &WORK, eta), @"epoch  2/10  step  47/469  loss 1.083 (1.512)  acc 58.6 %  lr 0.05  112 img/s  data 0 %  eta 1:30:00");
        // Beside a bar of 10 columns on screens of 60, 80 and 200.
        let line = step_line(&step, 47, &WORK, eta);
        insta::assert_snapshot!(line.fit(47), @"epoch  2/10  step  47/469  eta 1:30:00");
        insta::assert_snapshot!(line.fit(67), @"epoch  2/10  step  47/469  loss 1.083 (1.512)  eta 1:30:00");
        assert_eq!(line.fit(137), line.to_string());
        let slow = StepRecord { images_per_second: 7.25, lr: 1.23456e-7, ..step };
        insta::assert_snapshot!(step_line(&slow, 47, &WORK, None), @"epoch  2/10  step  47/469  loss 1.083 (1.512)  acc 58.6 %  lr 1.235e-7  7.2 img/s  data 0 %");
        let epoch = EpochRecord {
            epoch: 10,
            step: 4690,
            train_loss: 0.8941,
            train_accuracy: 0.6694,
            test_loss: 0.4811,
            test_accuracy: 0.8244,
            test_top5: Some(0.9961),
            train_mean_iou: None,
            test_mean_iou: None,
            test_balanced_accuracy: Some(0.8125),
            test_macro_f1: Some(0.7975),
            gradient_norm: None,
            lr: 0.05,
            images_per_second: Some(11240.0),
            wait_share: Some(0.031),
            seconds: Some(666.6),
        };
        insta::assert_snapshot!(epoch_line(&epoch, &WORK, BestBy::Accuracy, true), @"epoch 10/10  train loss 0.894  acc 66.9 %  test loss 0.481  acc 82.44 %  top-5 99.6 %  11 240 img/s  data 3 %  11:07  * best");
        let line = epoch_line(&epoch, &WORK, BestBy::Accuracy, true);
        insta::assert_snapshot!(line.fit(60), @"epoch 10/10  test loss 0.481  acc 82.44 %  * best");
        insta::assert_snapshot!(line.fit(80), @"epoch 10/10  train loss 0.894  acc 66.9 %  test loss 0.481  acc 82.44 %  * best");
        let few = Work { classes: 5, tested_on: "held-out", ..WORK };
        insta::assert_snapshot!(epoch_line(&epoch, &few, BestBy::Accuracy, false), @"epoch 10/10  train loss 0.894  acc 66.9 %  held-out loss 0.481  acc 82.44 %  11 240 img/s  data 3 %  11:07");
        let resumed = EpochRecord { seconds: None, ..epoch.clone() };
        let ends = |epoch: &EpochRecord, best, end| {
            let line = epoch_line(epoch, &WORK, BestBy::Accuracy, best).to_string();
            assert!(line.ends_with(end), "{line}");
        };
        ends(&resumed, false, "  11 240 img/s  data 3 %  resumed");
        let tested = EpochRecord { images_per_second: None, ..resumed };
        ends(&tested, true, "top-5 99.6 %  resumed  * best");
        let line = epoch_line(&tested, &few, BestBy::MacroF1, true);
        insta::assert_snapshot!(line, @"epoch 10/10  train loss 0.894  acc 66.9 %  held-out loss 0.481  acc 82.44 %  macro F1 79.75 %  resumed  * best by macro F1");
        let line = epoch_line(&tested, &few, BestBy::Loss, true);
        insta::assert_snapshot!(line, @"epoch 10/10  train loss 0.894  acc 66.9 %  held-out loss 0.481  acc 82.44 %  resumed  * best by loss");
        insta::assert_snapshot!(test_line(10, 1200, &WORK), @"epoch 10/10  test 1 200/10 000");
    }

    #[test]
    fn the_time_of_all_epochs() {
        let second = Duration::from_secs(1);
        let done = Throughput { images: 540_000, wall: 5400 * second, waited: 54 * second };
        let text = times(9, false, &done);
        assert_eq!(text, "9 epochs in 1:30:00 with tests, 100 img/s, data 1 %");
        let slow = Throughput { images: 300, wall: 40 * second, waited: 30 * second };
        assert_eq!(times(1, false, &slow), "1 epoch in 40.0 s with tests, 7.5 img/s, data 75 %");
        assert_eq!(
            times(9, true, &done),
            "9 epochs; since resuming 540 000 images in 1:30:00 with tests, 100 img/s, data 1 %"
        );
        let tested = Throughput { wall: second, ..Throughput::default() };
        assert_eq!(times(9, true, &tested), "9 epochs");
    }
}
