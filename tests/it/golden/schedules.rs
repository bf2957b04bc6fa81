//! Learning rates of `torch.optim.lr_scheduler`.

use vgg_model::{Decay, Schedule};

use super::{F64, check, golden};

fn check_schedule(name: &str, schedule: Schedule) {
    let lrs: Vec<f32> = (0..40).map(|step| schedule.lr(0.4, step, 5, 40)).collect();
    check(&golden("schedules"), name, &lrs, F64);
}

#[test]
fn step() {
    let decay = Decay::Step { every_epochs: 3, factor: 0.1 };
    check_schedule("step", Schedule { decay, ..Schedule::default() });
}

#[test]
fn warmup_and_cosine() {
    let decay = Decay::Cosine { min_lr: 0.01 };
    check_schedule("warmup_cosine", Schedule { decay, warmup_steps: 6, ..Schedule::default() });
    check_schedule("warmup_cosine", Schedule { decay, warmup_share: 0.15, ..Schedule::default() });
}

#[test]
fn one_cycle() {
    let decay = Decay::OneCycle { rise: 0.3 };
    check_schedule("one_cycle", Schedule { decay, ..Schedule::default() });
}
