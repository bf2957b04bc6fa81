//! A network in a backend's memory: what a session and a trainer have in common.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::mem::swap;

use vgg_tensor::spec::Metrics;
use vgg_tensor::{Backend, Content, Error, Result, Shape, Tensor, zeros};

use crate::exec::{self, Memory};
use crate::snapshot::Arriving;
use crate::{Input, Mode, Params, Plan, Vgg, invalid};

pub(crate) struct Network<B: Backend> {
    pub(crate) backend: B,
    pub(crate) memory: Memory<B>,
    vgg: Vgg,
    input: Input,
    batch: usize,
    /// What the maps' buffers, and after them the labels', were allocated for.
    rooms: Vec<Content>,
    mode: Mode,
    /// By batch size: the full batch, and short ones as they come.
    plans: BTreeMap<usize, Plan>,
    label_bytes: Vec<u8>,
}

impl<B: Backend> Network<B> {
    /// A network with room for `params`, which fit it: [`Network::upload_params`] is next.
    pub(crate) fn alloc(
        mut backend: B,
        vgg: &Vgg,
        input: &Input,
        params: &Params,
        batch: usize,
        mode: Mode,
    ) -> Result<Self> {
        params.check(vgg)?;
        let plan = Plan::new(vgg, input, batch, mode)?;
        check_range(&plan, params)?;
        let memory = Memory::alloc(&mut backend, &plan)?;
        Ok(Self {
            backend,
            memory,
            vgg: vgg.clone(),
            input: input.clone(),
            batch,
            rooms: plan.maps.iter().copied().chain([plan.labels()]).collect(),
            mode,
            plans: BTreeMap::from([(batch, plan)]),
            label_bytes: Vec::new(),
        })
    }

    /// Copies the parameters into their buffers. Of tensors that it is given, not lent, each is
    /// freed before the next one is copied.
    pub(crate) fn upload_params(
        &mut self,
        tensors: impl IntoIterator<Item: Borrow<Tensor>>,
    ) -> Result<()> {
        let plan = &self.plans[&self.batch];
        let contents = plan.params.iter().chain(&plan.state);
        let buffers = self.memory.params.iter_mut().chain(&mut self.memory.state);
        upload(&mut self.backend, contents, tensors, buffers)
    }

    /// From now on runs `vgg`, which has the same parameters, on images as `input` describes them, up
    /// to `batch` at once. Buffers that are too small for that are replaced.
    pub(crate) fn set_network(&mut self, vgg: &Vgg, input: &Input, batch: usize) -> Result<()> {
        let plan = Plan::new(vgg, input, batch, self.mode)?;
        if plan.params != self.plan().params {
            let message = "the network has other parameters than the one that was loaded";
            return Err(Error::Shape(message.into()));
        }
        let mut buffers: Vec<_> = self.memory.maps.iter_mut().collect();
        buffers.push(&mut self.memory.labels);
        let contents = plan.maps.iter().copied().chain([plan.labels()]);
        for ((buffer, room), content) in buffers.into_iter().zip(&mut self.rooms).zip(contents) {
            if content.len() > room.len() {
                *buffer = self.backend.alloc(content)?;
                *room = content;
            }
        }
        self.memory.pixels = self.backend.alloc(plan.pixels())?;
        self.vgg = vgg.clone();
        self.input = input.clone();
        self.batch = batch;
        self.plans = BTreeMap::from([(batch, plan)]);
        Ok(())
    }

    pub(crate) fn vgg(&self) -> &Vgg {
        &self.vgg
    }

    /// The plan of a full batch.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plans[&self.batch]
    }

    /// Makes ready to run a batch of `n` images: afterwards [`Network::parts`] has its plan.
    fn make_plan(&mut self, n: usize) -> Result<()> {
        if !self.plans.contains_key(&n) {
            self.plans.insert(n, Plan::new(&self.vgg, &self.input, n, self.mode)?);
        }
        Ok(())
    }

    /// What the operations need to run a batch of `n` images that was loaded.
    pub(crate) fn parts(&mut self, n: usize) -> (&mut B, &Plan, &mut Memory<B>) {
        (&mut self.backend, &self.plans[&n], &mut self.memory)
    }

    /// Uploads images, and labels if there are any, and returns the number of images.
    ///
    /// # Errors
    /// If the images are not whole, none or more than a batch, or a label does not fit.
    pub(crate) fn load(&mut self, pixels: &[u8], labels: Option<&[u32]>) -> Result<usize> {
        self.load_mixed(pixels, labels, &[])
    }

    /// As [`Network::load`], with another class and its share for each label, if there are any.
    pub(crate) fn load_mixed(
        &mut self,
        pixels: &[u8],
        labels: Option<&[u32]>,
        mix: &[(u32, f32)],
    ) -> Result<usize> {
        let n = self.count(pixels)?;
        if n == 0 || n > self.batch {
            return Err(invalid("images in a batch", n, &format!("1 to {}", self.batch)));
        }
        self.make_plan(n)?;
        self.backend.upload_bytes(pixels, &mut self.memory.pixels)?;
        if let Some(labels) = labels {
            self.check_labels(n, labels)?;
            self.label_bytes.clear();
            let others = mix.iter().map(|(other, _)| *other);
            let shares = mix.iter().map(|(_, share)| share.to_bits());
            let words = labels.iter().copied().chain(others).chain(shares);
            self.label_bytes.extend(words.flat_map(u32::to_ne_bytes));
            self.backend.upload_bytes(&self.label_bytes, &mut self.memory.labels)?;
        }
        Ok(n)
    }

    /// Logits of any number of images, without dropout.
    pub(crate) fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>> {
        let classes = self.vgg.outputs();
        let mut logits = zeros(self.count(pixels)? * classes)?;
        let chunks = pixels.chunks(self.batch * self.input.image_bytes());
        for (chunk, logits) in chunks.zip(logits.chunks_mut(self.batch * classes)) {
            let n = self.load(chunk, None)?;
            let (backend, plan, memory) = self.parts(n);
            exec::forward(backend, plan, memory, None)?;
            let content = Content::Maps(Shape::flat(n, classes));
            backend.download(content, &memory.maps[plan.logits], logits)?;
        }
        Ok(logits)
    }

    /// Loss and hits over any number of images, without dropout.
    pub(crate) fn evaluate(&mut self, pixels: &[u8], labels: &[u32]) -> Result<Metrics> {
        self.check_labels(self.count(pixels)?, labels)?;
        let mut sum = [0.0f64; Metrics::LEN];
        let chunks = pixels.chunks(self.batch * self.input.image_bytes());
        for (chunk, labels) in chunks.zip(labels.chunks(self.batch)) {
            let n = self.load(chunk, Some(labels))?;
            let (backend, plan, memory) = self.parts(n);
            exec::forward(backend, plan, memory, None)?;
            exec::loss(backend, plan, memory)?;
            for (sum, value) in sum.iter_mut().zip(self.metrics()?.to_array()) {
                *sum += f64::from(value);
            }
        }
        Ok(Metrics::from_array(sum.map(|sum| sum as f32)))
    }

    /// Waits for the last loss.
    pub(crate) fn metrics(&mut self) -> Result<Metrics> {
        let mut metrics = [0.0; Metrics::LEN];
        self.backend.download(Plan::METRICS, &self.memory.metrics, &mut metrics)?;
        Ok(Metrics::from_array(metrics))
    }

    /// Starts to copy the parameters, and the running statistics with them, to the host.
    pub(crate) fn start_params(&mut self) -> Result<Arriving<B::Download>> {
        let buffers = self.memory.params.iter().chain(&self.memory.state);
        Arriving::start(&mut self.backend, self.vgg.tensors(), buffers)
    }

    /// The running statistics.
    pub(crate) fn state(&mut self) -> Result<Params> {
        Arriving::start(&mut self.backend, self.vgg.state(), &self.memory.state)?.wait()
    }

    /// Goes back to what [`Network::state`] gave.
    pub(crate) fn restore_state(&mut self, state: &Params) -> Result<()> {
        let plan = &self.plans[&self.batch];
        upload(&mut self.backend, &plan.state, state.tensors(), &mut self.memory.state)
    }

    /// Makes room for all gradients.
    pub(crate) fn alloc_gradients(&mut self) -> Result<()> {
        self.memory.alloc_gradients(&mut self.backend, &self.plans[&self.batch])
    }

    /// The gradients, all of which have room.
    pub(crate) fn gradients(&mut self) -> Result<Params> {
        let buffers = self.memory.gradients.iter().flatten();
        Arriving::start(&mut self.backend, self.vgg.params(), buffers)?.wait()
    }

    /// Starts to copy the velocities. `None` without momentum.
    pub(crate) fn start_velocity(&mut self) -> Result<Option<Arriving<B::Download>>> {
        if self.memory.velocity.is_empty() {
            return Ok(None);
        }
        Arriving::start(&mut self.backend, self.vgg.params(), &self.memory.velocity).map(Some)
    }

    /// Starts to copy the averages. `None` if training keeps none.
    pub(crate) fn start_average(&mut self) -> Result<Option<Arriving<B::Download>>> {
        if self.memory.average.is_empty() {
            return Ok(None);
        }
        let buffers = self.memory.average.iter().chain(&self.memory.average_state);
        Arriving::start(&mut self.backend, self.vgg.tensors(), buffers).map(Some)
    }

    /// Lets averages and parameters change places.
    pub(crate) fn swap_average(&mut self) {
        swap(&mut self.memory.params, &mut self.memory.average);
        swap(&mut self.memory.state, &mut self.memory.average_state);
    }

    /// Replaces averages.
    pub(crate) fn restore_average(&mut self, average: &Params) -> Result<()> {
        average.check(&self.vgg)?;
        if self.memory.average.is_empty() {
            return Err(invalid("average_decay", "none", "given to go on from an average"));
        }
        let plan = &self.plans[&self.batch];
        let contents = plan.params.iter().chain(&plan.state);
        let buffers = self.memory.average.iter_mut().chain(&mut self.memory.average_state);
        upload(&mut self.backend, contents, average.tensors(), buffers)
    }

    /// Replaces parameters, of which averages start, and velocities; without any, velocities become
    /// zeros.
    pub(crate) fn restore(&mut self, params: &Params, velocity: Option<&Params>) -> Result<()> {
        params.check(&self.vgg)?;
        if let Some(velocity) = velocity {
            velocity.check_without_state(&self.vgg)?;
            if self.memory.velocity.is_empty() {
                return Err(invalid("momentum", 0, "above 0 to go on from a velocity"));
            }
        }
        self.upload_params(params.tensors())?;
        if !self.memory.average.is_empty() {
            self.restore_average(params)?;
        }
        let start;
        let velocity = match velocity {
            Some(velocity) => velocity,
            None if self.memory.velocity.is_empty() => return Ok(()),
            None => {
                start = Params::zeros(&self.vgg)?;
                &start
            }
        };
        let plan = &self.plans[&self.batch];
        upload(&mut self.backend, &plan.params, velocity.tensors(), &mut self.memory.velocity)
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

    pub(crate) fn check_labels(&self, n: usize, labels: &[u32]) -> Result<()> {
        if labels.len() != n {
            return Err(Error::Shape(format!("{} labels for {n} images", labels.len())));
        }
        let classes = self.vgg.outputs();
        match labels.iter().position(|label| *label as usize >= classes) {
            Some(i) => {
                Err(invalid(&format!("label {i}"), labels[i], &format!("below {classes} classes")))
            }
            None => Ok(()),
        }
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

/// Copies tensors, which have been checked, into their buffers.
fn upload<'a, B: Backend<Buffer: 'a>>(
    backend: &mut B,
    contents: impl IntoIterator<Item = &'a Content>,
    tensors: impl IntoIterator<Item: Borrow<Tensor>>,
    buffers: impl IntoIterator<Item = &'a mut B::Buffer>,
) -> Result<()> {
    for ((content, buffer), tensor) in contents.into_iter().zip(buffers).zip(tensors) {
        backend.upload(*content, tensor.borrow().data(), buffer)?;
    }
    Ok(())
}
