//! Whether a plan fits into memory, told before it is too late to tell.

use anyhow::Result;
use vgg_model::{Input, Mode, Plan, Vgg};

use crate::exit::{Code, Failure};
use crate::ui;

/// The plan for batches of `batch` images, if there is memory for it.
///
/// # Errors
/// A [`Failure`] with [`Code::Memory`] that names the largest batch that would fit.
pub(crate) fn plan(vgg: &Vgg, input: &Input, batch: usize, mode: Mode) -> Result<Plan> {
    let plan = Plan::new(vgg, input, batch, mode)?;
    match free() {
        Some(free) if plan.bytes() > free => Err(too_large(vgg, input, &plan, free)?.into()),
        _ => Ok(plan),
    }
}

fn too_large(vgg: &Vgg, input: &Input, plan: &Plan, free: u64) -> Result<Failure> {
    let mut batch = plan.batch();
    let mut fitting = None;
    while batch > 1 && fitting.is_none() {
        batch /= 2;
        let smaller = Plan::new(vgg, input, batch, plan.mode())?;
        fitting = (smaller.bytes() <= free).then_some(batch);
    }
    let (needed, batch, free) = (ui::bytes(plan.bytes()), plan.batch(), ui::bytes(free));
    let message = format!("training at batch size {batch} needs {needed}, but {free} are free");
    Ok(Failure::new(Code::Memory, message).help(match fitting {
        Some(batch) => format!("--set train.batch_size={batch} would fit"),
        None => "no batch size would fit; a smaller model.width or model.image_size would".into(),
    }))
}

/// Bytes that can be allocated without pushing out anything but caches, where the system tells.
fn free() -> Option<u64> {
    parse_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some((kib("MemAvailable")? + kib("SwapFree").unwrap_or(0)) << 10)
}

#[cfg(test)]
mod tests {
    use vgg_model::VggConfig;

    use super::*;

    #[test]
    fn free_memory_is_read() {
        let text = "MemTotal:       100 kB\nMemAvailable:    50 kB\nSwapFree:  7 kB\n";
        assert_eq!(parse_meminfo(text), Some(57 << 10));
        assert_eq!(parse_meminfo("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn a_batch_size_that_fits_is_named() {
        let config =
            VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..Default::default() };
        let vgg = Vgg::new(&config).unwrap();
        let input = Input::unnormalized(1, 28, 28);
        let mode = Mode::Train { momentum: false };
        let plan = |batch| Plan::new(&vgg, &input, batch, mode).unwrap();
        let help = |free| too_large(&vgg, &input, &plan(128), free).unwrap().help.unwrap();
        assert_eq!(help(plan(32).bytes()), "--set train.batch_size=32 would fit");
        assert!(help(1 << 20).starts_with("no batch size would fit"));
    }
}
