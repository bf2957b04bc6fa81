//! A network in a backend's memory: what a session and a trainer have in common.

mod tensors;

use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use vgg_tensor::profile::{Event, Profile};
use vgg_tensor::{Backend, Content, Error, Program, Result, Scalars, Shape, Shared, zeros};

use crate::memory::Memory;
use crate::placement::Placement;
use crate::plan::program::{NetworkProgram, Place, Weights, Work};
use crate::{Input, Metrics, Mode, Params, Plan, Target, Vgg};

pub(crate) use tensors::Set;

pub(crate) struct Network<B: Backend> {
    pub(crate) backend: B,
    pub(crate) memory: Memory<B>,
    pub(crate) input: Input,
    /// Of a full batch.
    plan: Plan,
    /// Dropout's.
    seed: u64,
    /// What was compiled, for so many images each.
    compiled: HashMap<(Work, usize), Ready<B, B::Executable>>,
    /// What goes up for a batch's targets, whose memory is used again.
    target_bytes: Vec<u8>,
}

/// A program that is ready to run.
pub(crate) struct Ready<B: Backend, P> {
    program: P,
    /// Where a batch goes before it runs; nothing for a program that takes none.
    pixels: Option<Shared<B::Buffer>>,
    /// Nothing for a program that takes none.
    targets: Option<Shared<B::Buffer>>,
}

/// A batch on its way to the device.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) pixels: &'a [u8],
    /// Of no image where no loss is computed.
    pub(crate) target: Target<'a>,
    /// What the images' losses are divided by, where not by their number.
    pub(crate) divisor: f32,
}

impl<'a> Batch<'a> {
    /// Images alone.
    fn without_target(pixels: &'a [u8]) -> Self {
        Self { pixels, target: Target::NONE, divisor: 1.0 }
    }
}

impl<B: Backend, P> Ready<B, P> {
    fn upload_pixels(&self, backend: &mut B, pixels: &[u8]) -> Result<()> {
        match &self.pixels {
            Some(buffer) => backend.upload_bytes(pixels, &mut write(buffer)),
            None => Ok(()),
        }
    }

    fn upload_targets(&self, backend: &mut B, targets: &[u8]) -> Result<()> {
        match &self.targets {
            Some(buffer) => backend.upload_bytes(targets, &mut write(buffer)),
            None => Ok(()),
        }
    }
}

/// More programs than a training needs: full and short micro-batches, steps and tests. If there are
/// so many nevertheless, as where each batch has another size, they are compiled anew.
const COMPILED: usize = 128;

impl<B: Backend> Network<B> {
    /// A network with room for `params`, which fit it: [`Network::upload`] is next.
    pub(crate) fn alloc(
        mut backend: B,
        vgg: &Vgg,
        input: &Input,
        params: &Params,
        plan: Plan,
        seed: u64,
    ) -> Result<Self> {
        params.check(vgg)?;
        check_range(&plan, params)?;
        let memory = Memory::alloc(&mut backend, &plan)?;
        Ok(Self {
            backend,
            memory,
            input: input.clone(),
            plan,
            seed,
            compiled: HashMap::new(),
            target_bytes: Vec::new(),
        })
    }

    /// From now on runs `vgg`, which has the same parameters, on images as `input` describes them, up
    /// to `batch` at once. Buffers that are too small for that are replaced.
    pub(crate) fn set_network(&mut self, vgg: &Vgg, input: &Input, batch: usize) -> Result<()> {
        let plan = Plan::new(vgg, input, batch, self.plan.mode().clone())?;
        if plan.params != self.plan.params {
            let message = "the network has other parameters than the one that was loaded";
            return Err(Error::Shape(message.into()));
        }
        // They hold memory that may be replaced.
        self.compiled.clear();
        self.memory.make_room(&mut self.backend, &plan)?;
        self.input = input.clone();
        self.plan = plan;
        Ok(())
    }

    pub(crate) fn vgg(&self) -> &Vgg {
        &self.plan.vgg
    }

    /// The plan of a full batch.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Orders some work on a batch, whose images and targets have been checked.
    pub(crate) fn run(&mut self, work: Work, batch: Batch<'_>, scalars: Scalars) -> Result<()> {
        let key = (work, batch.pixels.len() / self.input.image_bytes());
        self.compile(key)?;
        let ready = self.compiled.get_mut(&key).expect("it was compiled");
        self.plan.write_targets(batch.target, batch.divisor, &mut self.target_bytes);
        ready.upload_pixels(&mut self.backend, batch.pixels)?;
        ready.upload_targets(&mut self.backend, &self.target_bytes)?;
        self.backend.run(&mut ready.program, scalars)
    }

    /// Orders work that follows that on images.
    pub(crate) fn run_after(&mut self, work: Work, scalars: Scalars) -> Result<()> {
        let key = (work, self.plan.batch());
        self.compile(key)?;
        let ready = self.compiled.get_mut(&key).expect("it was compiled");
        self.backend.run(&mut ready.program, scalars)
    }

    /// Makes some work on so many images ready, unless it is.
    fn compile(&mut self, key: (Work, usize)) -> Result<()> {
        if self.compiled.contains_key(&key) {
            return Ok(());
        }
        let shards = match self.plan.mode() {
            Mode::Train(recipe) => recipe.shards.own().len(),
            Mode::Infer { .. } => 1,
        };
        if self.compiled.len() >= COMPILED + 4 * shards {
            self.compiled.clear();
        }
        let ready = self
            .ready(key, |backend, program, buffers| backend.compile(program, buffers.to_vec()))?;
        self.compiled.insert(key, ready);
        Ok(())
    }

    /// Makes ready to time some work on `n` images, command by command.
    pub(crate) fn profile(&mut self, work: Work, n: usize) -> Result<Ready<B, Profile<B>>> {
        self.ready((work, n), Profile::new)
    }

    /// As [`Network::run_after`], and what took how long.
    pub(crate) fn profile_after(&mut self, work: Work, scalars: Scalars) -> Result<Vec<Event>> {
        let mut ready = self.profile(work, self.plan.batch())?;
        ready.program.run(&mut self.backend, scalars)
    }

    /// As [`Network::run`], and what took how long.
    pub(crate) fn run_profile(
        &mut self,
        ready: &mut Ready<B, Profile<B>>,
        batch: Batch<'_>,
        scalars: Scalars,
    ) -> Result<Vec<Event>> {
        self.plan.write_targets(batch.target, batch.divisor, &mut self.target_bytes);
        let (pixels, targets) = (batch.pixels, &self.target_bytes);
        let (backend, profile) = (&mut self.backend, &ready.program);
        let words = |bytes| format!("upload {bytes} bytes");
        let mut events = vec![
            profile.transfer(backend, "batch", words(pixels.len()), |backend| {
                ready.upload_pixels(backend, pixels)
            })?,
            profile.transfer(backend, "batch", words(targets.len()), |backend| {
                ready.upload_targets(backend, targets)
            })?,
        ];
        events.extend(ready.program.run(backend, scalars)?);
        let metrics = self.plan.content(Place::Metrics);
        let words = format!("download {} bytes", metrics.bytes());
        events.push(ready.program.transfer(backend, "metrics", words, |backend| {
            let buffer = read(self.memory.at(Place::Metrics));
            backend.download(metrics, &buffer, &mut [0.0; Metrics::LEN])
        })?);
        Ok(events)
    }

    /// Makes the program of some work on `n` images ready as `make` does.
    fn ready<P>(
        &mut self,
        (work, n): (Work, usize),
        make: impl FnOnce(&mut B, &Program, &[Shared<B::Buffer>]) -> Result<P>,
    ) -> Result<Ready<B, P>> {
        let (program, buffers) = self.bound(work, n)?;
        let buffer_of = |place| {
            let id = program.places.iter().position(|known| *known == place)?;
            Some(buffers[id].clone())
        };
        Ok(Ready {
            pixels: buffer_of(Place::Pixels),
            targets: buffer_of(Place::Targets),
            program: make(&mut self.backend, &program.program, &buffers)?,
        })
    }

    /// The program of some work on `n` images, and its buffers. Those that the plan does not count are
    /// allocated when they are first asked for.
    fn bound(&mut self, work: Work, n: usize) -> Result<(NetworkProgram, Vec<Shared<B::Buffer>>)> {
        let whole = self.plan.in_whole_batch(work);
        let full = self.plan.program_of(whole, self.seed)?;
        // Of a short batch all is smaller, and lies where that of the full one does.
        let placement = Placement::new(&full.program, |content| self.backend.bytes(content));
        if !self.memory.has_room_for(&full, &placement) {
            // What was compiled holds memory that may be replaced.
            self.compiled.clear();
            self.memory.make_room_for(&mut self.backend, &full, &placement)?;
        }
        let program = match (work, n) == (whole, self.plan.batch()) {
            true => full,
            false => {
                let sizes = [n, self.plan.batch()];
                let mode = self.plan.mode().clone();
                let plan = Plan::of_fewer(self.vgg(), &self.input, sizes, mode)?;
                plan.program_of(work, self.seed)?
            }
        };
        let buffers = self.memory.bind(&program, &placement);
        Ok((program, buffers))
    }

    /// Moves the EMA's running statistics by those of images, of any number.
    pub(crate) fn measure(&mut self, pixels: &[u8], is_first: bool) -> Result<()> {
        self.count(pixels)?;
        let chunks = pixels.chunks(self.plan.batch() * self.input.image_bytes());
        for (i, pixels) in chunks.enumerate() {
            let work = Work::Measurement { is_first: is_first && i == 0 };
            self.run(work, Batch::without_target(pixels), Scalars::default())?;
        }
        Ok(())
    }

    /// Logits of any number of images, without dropout.
    pub(crate) fn logits(&mut self, pixels: &[u8], weights: Weights) -> Result<Vec<f32>> {
        let (classes, batch) = (self.vgg().outputs(), self.plan.batch());
        let mut logits = zeros(self.count(pixels)? * classes)?;
        let chunks = pixels.chunks(batch * self.input.image_bytes());
        for (pixels, logits) in chunks.zip(logits.chunks_mut(batch * classes)) {
            let batch = Batch::without_target(pixels);
            self.run(Work::Logits(weights), batch, Scalars::default())?;
            self.download(Place::Logits, logits.len() / classes, logits)?;
        }
        Ok(logits)
    }

    /// The last convolution's maps, activated, of the images of a batch, and their gradient by that of
    /// the logits: each `[n, c, h, w]`.
    pub(crate) fn maps_and_gradient(
        &mut self,
        pixels: &[u8],
        dlogits: &[f32],
    ) -> Result<(Shape, [Vec<f32>; 2])> {
        let n = self.count(pixels)?;
        self.compile((Work::GradCam, n))?;
        // It is there only now.
        let place = Place::LogitsGradient;
        let content = Content::Maps(self.plan.maps(place, n));
        self.backend.upload(content, dlogits, &mut write(self.memory.at(place)))?;
        let batch = Batch::without_target(pixels);
        self.run(Work::GradCam, batch, Scalars::default())?;
        let shape = self.plan.maps(Place::Maps, n);
        let mut maps = [zeros(shape.len())?, zeros(shape.len())?];
        for (place, maps) in [Place::Maps, Place::MapsGradient].into_iter().zip(&mut maps) {
            self.download(place, n, maps)?;
        }
        Ok((shape, maps))
    }

    /// Copies the maps of `n` images in some place to the host.
    fn download(&mut self, place: Place, n: usize, maps: &mut [f32]) -> Result<()> {
        let buffer = read(self.memory.at(place));
        self.backend.download(Content::Maps(self.plan.maps(place, n)), &buffer, maps)
    }

    /// Starts to copy the metrics of the last loss, or of the last one of a shard.
    pub(crate) fn start_metrics(&mut self, place: Place) -> Result<B::Download> {
        let content = self.plan.content(place);
        self.backend.start_download(content, &read(self.memory.at(place)))
    }

    /// Whole images in `pixels`.
    pub(crate) fn count(&self, pixels: &[u8]) -> Result<usize> {
        let Input { channels, height, width, .. } = self.input;
        let image_bytes = self.input.image_bytes();
        if pixels.len().is_multiple_of(image_bytes) {
            return Ok(pixels.len() / image_bytes);
        }
        Err(Error::Shape(format!(
            "{} bytes are not whole images of {channels}×{height}×{width} = {image_bytes} bytes",
            pixels.len()
        )))
    }
}

/// Checks that the plan's buffers can hold the parameters' numbers.
fn check_range(plan: &Plan, params: &Params) -> Result<()> {
    for (content, (name, tensor)) in plan.params.iter().zip(params.iter()) {
        let Content::LinearWeight { weight_type, .. } = *content else { continue };
        if let Some(x) = tensor.data().iter().find(|x| !weight_type.holds(**x)) {
            return Err(Error::Shape(format!(
                "{name} has {x}, but a number in f16 ends at 65504: keep its weights in f32"
            )));
        }
    }
    Ok(())
}

/// A buffer, to be read.
fn read<Buffer>(buffer: &RwLock<Buffer>) -> RwLockReadGuard<'_, Buffer> {
    buffer.read().expect("no holder of this lock panics")
}

/// A buffer, to be written.
fn write<Buffer>(buffer: &RwLock<Buffer>) -> RwLockWriteGuard<'_, Buffer> {
    buffer.write().expect("no holder of this lock panics")
}
