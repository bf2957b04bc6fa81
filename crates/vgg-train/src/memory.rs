//! Whether a plan fits into memory, told before it is too late to tell.

mod free;

use anyhow::Result;
use vgg_model::{Input, Mode, Plan, Vgg};

use crate::exit::{Code, Failure};
use crate::ui;

/// The plan for batches of `batch` images, if there is memory for training by it.
///
/// # Errors
/// A [`Failure`] with [`Code::Memory`] that names the largest batch that would fit.
pub(crate) fn plan(vgg: &Vgg, input: &Input, batch: usize, mode: Mode) -> Result<Plan> {
    let plan = Plan::new(vgg, input, batch, mode)?;
    match free::bytes() {
        Some(free) if needed(vgg, &plan) > free => Err(too_large(vgg, input, &plan, free)?.into()),
        _ => Ok(plan),
    }
}

/// Bytes that training by a plan takes: its own, and copies of the weights and velocities, from
/// which a checkpoint is written.
///
/// A backend's workspaces are not known here. The CPU's are mostly transformed filters, eight
/// numbers for each weight of a 3×3 convolution.
pub(crate) fn needed(vgg: &Vgg, plan: &Plan) -> u64 {
    let copies = match plan.mode() {
        Mode::Train { momentum: true } => 2,
        Mode::Train { momentum: false } | Mode::Infer { .. } => 1,
    };
    plan.bytes() + copies * (size_of::<f32>() * vgg.param_count()) as u64
}

fn too_large(vgg: &Vgg, input: &Input, plan: &Plan, free: u64) -> Result<Failure> {
    let mut batch = plan.batch();
    let mut fitting = None;
    while batch > 1 && fitting.is_none() {
        batch /= 2;
        let smaller = Plan::new(vgg, input, batch, plan.mode())?;
        fitting = (needed(vgg, &smaller) <= free).then_some(batch);
    }
    let (needed, batch, free) = (ui::bytes(needed(vgg, plan)), plan.batch(), ui::bytes(free));
    let message = format!("training at batch size {batch} needs {needed}, but {free} are free");
    Ok(Failure::new(Code::Memory, message).help(match fitting {
        Some(batch) => format!("--set train.batch_size={batch} would fit"),
        None => "no batch size would fit; a smaller model.width or model.image_size would".into(),
    }))
}

#[cfg(test)]
mod tests {
    use vgg_model::VggConfig;

    use super::*;

    #[test]
    fn a_batch_size_that_fits_is_named() {
        let config =
            VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..Default::default() };
        let vgg = Vgg::new(&config).unwrap();
        let input = Input::unnormalized(1, 28, 28);
        let mode = Mode::Train { momentum: false };
        let plan = |batch| Plan::new(&vgg, &input, batch, mode).unwrap();
        let help = |free| too_large(&vgg, &input, &plan(128), free).unwrap().help.unwrap();
        assert_eq!(help(needed(&vgg, &plan(32))), "--set train.batch_size=32 would fit");
        assert_eq!(help(needed(&vgg, &plan(32)) - 1), "--set train.batch_size=16 would fit");
        assert!(help(1 << 20).starts_with("no batch size would fit"));
    }

    #[test]
    fn a_checkpoint_is_copies() {
        let vgg = Vgg::new(&VggConfig::default()).unwrap();
        let copies = |momentum| {
            let input = Input::unnormalized(3, 224, 224);
            let plan = Plan::new(&vgg, &input, 1, Mode::Train { momentum }).unwrap();
            (needed(&vgg, &plan) - plan.bytes()) / (4 * vgg.param_count() as u64)
        };
        assert_eq!((copies(false), copies(true)), (1, 2));
    }
}
