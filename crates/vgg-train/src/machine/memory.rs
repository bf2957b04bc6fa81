//! Whether a plan fits into memory and is not too large for the device's libraries, told before it is
//! too late to tell.

use anyhow::Result;
use vgg_model::{Input, Mode, Plan, Recipe, Session, Vgg, WeightType};
use vgg_tensor::{Backend, Content};

use super::free;
use crate::failure::{Code, Failure};
use crate::terminal::numbers;

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
    /// What is said of the test images.
    pub predictions: u64,
    /// What is there already of all that training takes: the data set and, in a run that goes on, a
    /// checkpoint, which makes room for those to come.
    pub held: u64,
    /// Ranks on this machine besides this one, each of which takes as much for itself.
    pub others: u64,
}

impl Host {
    fn bytes(self) -> u64 {
        self.data + self.batches + self.predictions
    }
}

/// The plan for batches of `batch` images that pass in micro-batches of `micro_batch`, if there is
/// memory for training by it.
///
/// # Errors
/// A [`Failure`] with [`Code::Memory`] that names micro-batches, or else a batch, that would fit.
pub(crate) fn plan(
    vgg: &Vgg,
    input: &Input,
    batch: usize,
    micro_batch: usize,
    mode: Mode,
    backend: &impl Backend,
    besides: Host,
) -> Result<Plan> {
    let plan = Plan::new(vgg, input, micro_batch, mode.clone())?;
    let on_device = |plan: &Plan| plan.bytes_on(backend);
    let on_host = |plan: &Plan| besides.bytes() + copies(vgg, plan, backend);
    let on_both = |plan: &Plan| needed(vgg, plan, backend, besides);
    let host = free::bytes().map(|free| free + besides.held);
    let places: &[Place<'_>] = match backend.free_memory() {
        None => &[Place { name: "memory", free: host, needs: &on_both }],
        device => &[
            Place { name: "the device's memory", free: device, needs: &on_device },
            Place { name: "memory", free: host, needs: &on_host },
        ],
    };
    let fits = |micro_batch, mode: &Mode| {
        let Ok(plan) = Plan::new(vgg, input, micro_batch, mode.clone()) else { return false };
        plan.check_on(backend).is_ok() && places.iter().all(|place| place.lacks(&plan).is_none())
    };
    let failure = |message| {
        Failure::new(Code::Memory, message).help(advice(vgg, [batch, micro_batch], &mode, fits))
    };
    let size = size([batch, micro_batch]);
    plan.check_on(backend).map_err(|error| {
        let message = format!("{size} is too large for {}", backend.describe());
        anyhow::Error::from(error).context(failure(message))
    })?;
    match places.iter().find_map(|place| place.lacks(&plan)) {
        Some(lack) => Err(failure(format!("training at {size} {lack}")).into()),
        None => Ok(plan),
    }
}

/// The most images, up to `most`, that `session` has memory for at once when it runs `vgg`. What its
/// user can do if there is too little is `help`, or else what [`less`] says.
///
/// # Errors
/// A [`Failure`] with [`Code::Memory`] if there is not enough for one.
pub(crate) fn largest_batch<B: Backend>(
    session: &Session<B>,
    vgg: &Vgg,
    input: &Input,
    most: usize,
    help: Option<&str>,
) -> Result<usize> {
    let backend = session.backend();
    // What it has already goes into what it will have.
    let held = session.plan().bytes_on(backend);
    let free = backend.free_memory().or_else(free::bytes);
    let room = free.map_or(u64::MAX, |free| free + held);
    let plan = |batch| Plan::new(vgg, input, batch, session.plan().mode().clone());
    plan(1)?.check_on(backend)?;
    let needs = |batch| {
        let plan = plan(batch)?;
        // What is too large for the device does not fit, whatever memory there is.
        Ok(plan.check_on(backend).map_or(u64::MAX, |()| plan.bytes_on(backend)))
    };
    if let Some(batch) = fitting(halves(session.at_once(most)), room, needs)? {
        return Ok(batch);
    }
    let [needed, room] = [needs(1)?, room].map(numbers::bytes);
    let (h, w) = (input.height, input.width);
    let message = format!("an image of {h}×{w} needs {needed} of memory, but {room} are free");
    Err(Failure::new(Code::Memory, message).help(help.unwrap_or_else(|| less(session))).into())
}

/// What takes less memory than running a session.
fn less<B: Backend>(session: &Session<B>) -> &'static str {
    let bytes = |weight_type| -> u64 {
        let contents = session.vgg().params().iter().map(|spec| match spec.content {
            Content::LinearWeight { out_features, c, h, w, .. } => {
                Content::LinearWeight { out_features, c, h, w, weight_type }
            }
            other => other,
        });
        contents.map(|content| session.backend().bytes(content)).sum()
    };
    match session.plan().mode() {
        Mode::Infer { linear_weights } if bytes(WeightType::F16) < bytes(*linear_weights) => {
            "--linear-weights f16 needs less; else take a machine with more memory"
        }
        _ => "take a machine with more memory",
    }
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

/// Images of a batch and of a micro-batch, in words.
fn size([batch, micro_batch]: [usize; 2]) -> String {
    match micro_batch < batch {
        true => {
            let images = numbers::count(micro_batch as u64, "image");
            format!("batch size {batch} in micro-batches of {images}")
        }
        false => format!("batch size {batch}"),
    }
}

/// What to choose instead, where `fits` says whether micro-batches of so many images would in a
/// mode.
///
/// Smaller micro-batches leave the training as it is, unless they are all that a batch normalisation
/// sees: who has none is told of a smaller batch then.
fn advice(
    vgg: &Vgg,
    [batch, micro_batch]: [usize; 2],
    mode: &Mode,
    fits: impl Fn(usize, &Mode) -> bool,
) -> String {
    let shards = match mode {
        Mode::Train(recipe) => recipe.shards.count(),
        Mode::Infer { .. } => 1,
    };
    let has_several = micro_batch < batch && shards == 1;
    let fitting = match mode {
        Mode::Train(recipe) if shards == 1 && (has_several || !vgg.config().batch_norm) => {
            // Any number of micro-batches takes the same memory.
            let micro_batches = recipe.micro_batches.max(2);
            let several = Mode::Train(Recipe { micro_batches, ..recipe.clone() });
            last(micro_batch, |size| fits(size, &several))
        }
        _ => None,
    };
    if let Some(size) = fitting {
        return format!("--set train.accumulate={} would fit", batch.div_ceil(size));
    }
    match last(batch, |batch| !has_several && fits(batch.div_ceil(shards), mode)) {
        Some(batch) => format!("--set train.batch_size={batch} would fit"),
        None => "no batch size would fit; a smaller model.width or model.image_size would".into(),
    }
}

/// Bytes that training by a plan takes, wherever: what the backend takes, copies of the weights and
/// of what the optimiser keeps on the host, from which a checkpoint is written, and the data.
pub(crate) fn needed(vgg: &Vgg, plan: &Plan, backend: &impl Backend, besides: Host) -> u64 {
    let of_ranks = (1 + besides.others) * plan.bytes_on(backend);
    of_ranks + copies(vgg, plan, backend) + besides.bytes()
}

fn copies(vgg: &Vgg, plan: &Plan, backend: &impl Backend) -> u64 {
    let (weights, moments) = match plan.mode() {
        Mode::Infer { .. } => (1, 0),
        Mode::Train(recipe) => {
            let ema = u64::from(recipe.ema_decay.is_some());
            // Weights and gradients whose norms are taken, one after the other.
            let measured = u64::from(recipe.measures_gradients);
            (1 + ema + measured, recipe.optimizer.moments().len() as u64)
        }
    };
    let state: usize = vgg.state().iter().map(|state| state.content.len()).sum();
    let params = vgg.param_count();
    let numbers = weights * (params + state) as u64 + moments * params as u64;
    // From a device they come into memory of its driver's first.
    let times = if backend.free_memory().is_some() { 2 } else { 1 };
    times * size_of::<f32>() as u64 * numbers
}

impl Place<'_> {
    /// What a plan needs of it beyond what there is, in words.
    fn lacks(&self, plan: &Plan) -> Option<String> {
        let needed = (self.needs)(plan);
        let free = self.free.filter(|free| needed > *free)?;
        let (name, [needed, free]) = (self.name, [needed, free].map(numbers::bytes));
        Some(format!("needs {needed} of {name}, but {free} are free"))
    }
}

#[cfg(test)]
mod tests {
    use vgg_cpu::{Config, Cpu, Precision};
    use vgg_model::{AdamWConfig, Params, SgdConfig, VggConfig};

    use super::*;

    #[test]
    fn what_would_fit_is_named() {
        let vgg = |batch_norm| {
            let width = 0.25;
            let input = [1, 224, 224];
            Vgg::new(&VggConfig { width, input, classes: 10, batch_norm, ..Default::default() })
        };
        let [vgg, normalized] = [false, true].map(|batch_norm| vgg(batch_norm).unwrap());
        let input = Input::unnormalized(1, 28, 28);
        let recipe = Recipe::from(SgdConfig::plain(0.1));
        let whole = &Mode::Train(recipe.clone());
        let several = &Mode::Train(Recipe { micro_batches: 2, ..recipe });
        let cpu = Cpu::new(Config::default()).unwrap();
        let needs = |vgg: &Vgg, size, mode: &Mode| {
            let plan = Plan::new(vgg, &input, size, mode.clone()).unwrap();
            needed(vgg, &plan, &cpu, Host::default())
        };
        let help = |vgg: &Vgg, sizes, mode, free| {
            advice(vgg, sizes, mode, |size, mode| needs(vgg, size, mode) <= free)
        };
        // Micro-batches keep the batch as it is.
        let free = needs(&vgg, 32, several);
        assert_eq!(help(&vgg, [128; 2], whole, free), "--set train.accumulate=4 would fit");
        assert_eq!(help(&vgg, [128; 2], whole, free - 1), "--set train.accumulate=5 would fit");
        let free = needs(&vgg, 16, several);
        assert_eq!(help(&vgg, [256, 32], several, free), "--set train.accumulate=16 would fit");
        // They need more than a small batch does.
        let free = needs(&vgg, 2, whole);
        assert_eq!(help(&vgg, [128; 2], whole, free), "--set train.batch_size=2 would fit");
        let free = needs(&normalized, 32, whole);
        assert_eq!(help(&normalized, [128; 2], whole, free), "--set train.batch_size=32 would fit");
        for (sizes, mode) in [([128; 2], whole), ([256, 32], several)] {
            assert!(help(&vgg, sizes, mode, 1 << 20).starts_with("no batch size would fit"));
        }
        assert_eq!(size([8, 8]), "batch size 8");
        assert_eq!(size([256, 32]), "batch size 256 in micro-batches of 32 images");
    }

    #[test]
    fn help_that_was_taken_is_not_given_again() {
        let vgg = Vgg::new(&VggConfig { fc_width: 64, width: 0.1, ..Default::default() }).unwrap();
        let less = |precision, weights| {
            let cpu = Cpu::new(Config { precision, ..Config::default() }).unwrap();
            let params = Params::zeros(&vgg).unwrap();
            let input = Input::unnormalized(3, 224, 224);
            less(&Session::with_linear_weights(weights, cpu, &vgg, &input, params, 1).unwrap())
        };
        let (f32, bf16) = (Precision::F32, Precision::Bf16);
        assert!(less(f32, WeightType::Factors).starts_with("--linear-weights f16 needs less"));
        for halves in [(f32, WeightType::F16), (bf16, WeightType::Factors)] {
            assert_eq!(less(halves.0, halves.1), "take a machine with more memory");
        }
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
        let count = |recipe| {
            let input = Input::unnormalized(3, 224, 224);
            let plan = Plan::new(&vgg, &input, 1, Mode::Train(recipe)).unwrap();
            copies(&vgg, &plan, &cpu) / (4 * vgg.param_count() as u64)
        };
        let momentum = SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.1) };
        let recipes =
            [SgdConfig::plain(0.1).into(), momentum.into(), AdamWConfig::usual(0.1).into()];
        assert_eq!(recipes.map(count), [1, 2, 3]);
    }
}
