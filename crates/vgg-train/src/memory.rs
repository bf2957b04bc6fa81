//! Whether a plan fits into memory and is not too large for the device's libraries, told before it is
//! too late to tell.

pub(crate) mod free;

use anyhow::Result;
use vgg_model::{Input, Mode, Plan, Session, Training, Vgg};
use vgg_tensor::Backend;

use crate::exit::{Code, Failure};
use crate::ui;

/// Memory that a plan takes a part of.
struct Place<'a> {
    /// How messages call it.
    name: &'static str,
    free: Option<u64>,
    /// Bytes that a plan takes of it.
    needs: &'a dyn Fn(&Plan) -> u64,
}

/// What training takes of host memory besides a plan's buffers and copies of the weights.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    /// The data set.
    pub data: u64,
    /// Batches that are made ready.
    pub batches: u64,
    /// What is there already of all that training takes: the data set and, in a run that goes on, a
    /// checkpoint, which makes room for those to come.
    pub held: u64,
}

/// The plan for batches of `batch` images, if there is memory for training by it.
///
/// # Errors
/// A [`Failure`] with [`Code::Memory`] that names the largest batch that would fit.
pub(crate) fn plan(
    vgg: &Vgg,
    input: &Input,
    batch: usize,
    mode: Mode,
    backend: &impl Backend,
    besides: Host,
) -> Result<Plan> {
    let plan = Plan::new(vgg, input, batch, mode)?;
    let on_device = |plan: &Plan| plan.bytes_on(backend);
    let on_host = |plan: &Plan| besides.data + besides.batches + copies(vgg, plan, backend);
    let on_both = |plan: &Plan| needed(vgg, plan, backend, besides);
    let host = free::bytes().map(|free| free + besides.held);
    let places: &[Place<'_>] = match backend.free_memory() {
        None => &[Place { name: "memory", free: host, needs: &on_both }],
        device => &[
            Place { name: "the device's memory", free: device, needs: &on_device },
            Place { name: "memory", free: host, needs: &on_host },
        ],
    };
    plan.check_on(backend).map_err(|error| {
        let fits = |batch| {
            let Ok(plan) = Plan::new(vgg, input, batch, plan.mode()) else { return false };
            plan.check_on(backend).is_ok() && places.iter().all(|place| place.has_room(&plan))
        };
        let message = format!("batch size {batch} is too large for {}", backend.describe());
        let failure = Failure::new(Code::Memory, message).help(advice(last(batch, fits)));
        anyhow::Error::from(error).context(failure)
    })?;
    places.iter().try_for_each(|place| place.check(vgg, input, &plan))?;
    Ok(plan)
}

/// The most images, up to `most`, that `session` has memory for at once when it runs `vgg`.
///
/// # Errors
/// A [`Failure`] with [`Code::Memory`] if there is not enough for one.
pub(crate) fn largest_batch<B: Backend>(
    session: &Session<B>,
    vgg: &Vgg,
    input: &Input,
    most: usize,
) -> Result<usize> {
    let backend = session.backend();
    // What it has already goes into what it will have.
    let held = session.plan().bytes_on(backend);
    let free = backend.free_memory().or_else(free::bytes);
    let room = free.map_or(u64::MAX, |free| free + held);
    let plan = |batch| Plan::new(vgg, input, batch, session.plan().mode());
    plan(1)?.check_on(backend)?;
    let needs = |batch| {
        let plan = plan(batch)?;
        // What is too large for the device does not fit, whatever memory there is.
        Ok(plan.check_on(backend).map_or(u64::MAX, |()| plan.bytes_on(backend)))
    };
    if let Some(batch) = fitting(halves(most), room, needs)? {
        return Ok(batch);
    }
    let [needed, room] = [needs(1)?, room].map(ui::bytes);
    let (h, w) = (input.height, input.width);
    let message = format!("an image of {h}×{w} needs {needed} of memory, but {room} are free");
    Err(Failure::new(Code::Memory, message).help("images of lower --scales need less").into())
}

/// A batch size, its half and so on.
fn halves(batch: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(batch), |batch| Some(batch / 2)).take_while(|batch| *batch > 0)
}

/// The first of the batch sizes that needs no more bytes than there are.
fn fitting(
    batches: impl IntoIterator<Item = usize>,
    free: u64,
    needs: impl Fn(usize) -> Result<u64>,
) -> Result<Option<usize>> {
    for batch in batches {
        if needs(batch)? <= free {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

/// The largest batch size below `batch` that fits, if any does, where all smaller ones do.
fn last(batch: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut fitting, mut too_large) = (0, batch);
    while too_large - fitting > 1 {
        let middle = usize::midpoint(fitting, too_large);
        *if fits(middle) { &mut fitting } else { &mut too_large } = middle;
    }
    (fitting > 0).then_some(fitting)
}

/// Which batch size to choose instead.
fn advice(batch: Option<usize>) -> String {
    match batch {
        Some(batch) => format!("--set train.batch_size={batch} would fit"),
        None => "no batch size would fit; a smaller model.width or model.image_size would".into(),
    }
}

/// Bytes that training by a plan takes, wherever: what the backend takes, copies of the weights and
/// velocities on the host, from which a checkpoint is written, and the data.
pub(crate) fn needed(vgg: &Vgg, plan: &Plan, backend: &impl Backend, besides: Host) -> u64 {
    plan.bytes_on(backend) + copies(vgg, plan, backend) + besides.data + besides.batches
}

fn copies(vgg: &Vgg, plan: &Plan, backend: &impl Backend) -> u64 {
    let (weights, velocities) = match plan.mode() {
        Mode::Infer { .. } => (1, 0),
        Mode::Train(Training { momentum, averages, .. }) => {
            (1 + u64::from(averages), u64::from(momentum))
        }
    };
    let state: usize = vgg.state().iter().map(|state| state.content.len()).sum();
    let params = vgg.param_count();
    let numbers = weights * (params + state) as u64 + velocities * params as u64;
    // From a device they come into memory of its driver's first.
    let times = if backend.free_memory().is_some() { 2 } else { 1 };
    times * size_of::<f32>() as u64 * numbers
}

impl Place<'_> {
    fn has_room(&self, plan: &Plan) -> bool {
        self.free.is_none_or(|free| (self.needs)(plan) <= free)
    }

    fn check(&self, vgg: &Vgg, input: &Input, plan: &Plan) -> Result<()> {
        let needed = (self.needs)(plan);
        let Some(free) = self.free.filter(|free| needed > *free) else { return Ok(()) };
        let needs = |batch| Ok((self.needs)(&Plan::new(vgg, input, batch, plan.mode())?));
        let fitting = fitting(halves(plan.batch()).skip(1), free, needs)?;
        let (needed, batch, free) = (ui::bytes(needed), plan.batch(), ui::bytes(free));
        let name = self.name;
        let message =
            format!("training at batch size {batch} needs {needed} of {name}, but {free} are free");
        Err(Failure::new(Code::Memory, message).help(advice(fitting)).into())
    }
}

#[cfg(test)]
mod tests {
    use vgg_cpu::{Config, Cpu};
    use vgg_model::VggConfig;

    use super::*;

    #[test]
    fn a_batch_size_that_fits_is_named() {
        let config =
            VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..Default::default() };
        let vgg = Vgg::new(&config).unwrap();
        let input = Input::unnormalized(1, 28, 28);
        let plan =
            |batch| Plan::new(&vgg, &input, batch, Mode::Train(Training::default())).unwrap();
        let cpu = Cpu::new(Config::default()).unwrap();
        let needs = |plan: &Plan| needed(&vgg, plan, &cpu, Host::default());
        let help = |free| {
            let place = Place { name: "memory", free: Some(free), needs: &needs };
            let error = place.check(&vgg, &input, &plan(128)).unwrap_err();
            error.downcast::<Failure>().unwrap().help.unwrap()
        };
        assert_eq!(help(needs(&plan(32))), "--set train.batch_size=32 would fit");
        assert_eq!(help(needs(&plan(32)) - 1), "--set train.batch_size=16 would fit");
        assert!(help(1 << 20).starts_with("no batch size would fit"));
    }

    #[test]
    fn a_batch_is_halved_until_it_fits() {
        let fitting = |free| fitting(halves(12), free, |batch| Ok(10 * batch as u64)).unwrap();
        assert_eq!([120, 119, 30, 29, 9].map(fitting), [Some(12), Some(6), Some(3), Some(1), None]);
    }

    #[test]
    fn the_last_batch_that_fits_is_found() {
        let last = |most| last(100, |batch| batch <= most);
        assert_eq!([0, 1, 37, 98, 99].map(last), [None, Some(1), Some(37), Some(98), Some(99)]);
    }

    #[test]
    fn a_checkpoint_is_copies() {
        let cpu = Cpu::new(Config::default()).unwrap();
        let vgg = Vgg::new(&VggConfig::default()).unwrap();
        let count = |momentum| {
            let input = Input::unnormalized(3, 224, 224);
            let plan = Plan::new(
                &vgg,
                &input,
                1,
                Mode::Train(Training { momentum, ..Training::default() }),
            )
            .unwrap();
            copies(&vgg, &plan, &cpu) / (4 * vgg.param_count() as u64)
        };
        assert_eq!((count(false), count(true)), (1, 2));
    }
}
