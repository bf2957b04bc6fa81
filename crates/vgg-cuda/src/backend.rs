//! The backend, as the trait has it, and what carries out each command.

use vgg_tensor::{Backend, Bound, Command, Content, Program, Result, Scalars, Shape, Shared};

use crate::buffer;
use crate::error::During;
use crate::gpu::kernel;
use crate::memory::Memory;
use crate::optimizer::Steps;
use crate::pinned::{LARGE, Landing};
use crate::precision::Storage;
use crate::{
    Buffer, Cuda, Executable, avg_pool2d, batch_norm2d, conv2d, dropout, euclidean_loss, exchange,
    layout, linear, lrn, max_pool2d, prepare_images, sigmoid, softmax_cross_entropy, update,
};

impl Backend for Cuda {
    type Buffer = Buffer;
    type Download = Landing;
    type Executable = Executable;

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn free_memory(&self) -> Option<u64> {
        let (free, _) = self.gpu.context().mem_get_info().ok()?;
        Some(free as u64)
    }

    fn bytes(&self, content: Content) -> u64 {
        buffer::bytes(self.storage, content) as u64
    }

    fn workspace(&self, programs: &[&Program]) -> u64 {
        // What is exchanged has room of its own.
        let commands = programs.iter().flat_map(|program| program.commands());
        let exchanged = commands.map(exchange::workspace).max().unwrap_or(0);
        self.scratch_bytes(programs) + exchanged
    }

    fn check_size(&self, command: &Command) -> Result<()> {
        match command {
            Command::Linear { spec, .. }
            | Command::LinearBackward { spec, .. }
            | Command::LinearInputBackward { spec, .. }
            | Command::LinearFactors { spec, .. } => linear::check_size(spec),
            _ => conv2d::check_size(&self.gpu, command),
        }
    }

    fn alloc(&mut self, content: Content) -> Result<Buffer> {
        let bytes = buffer::bytes(self.storage, content);
        Ok(Buffer { memory: Memory::zeroed(&self.gpu.stream, bytes)? })
    }

    fn upload_rows(
        &mut self,
        content: Content,
        first: usize,
        src: &[f32],
        dst: &mut Buffer,
    ) -> Result<()> {
        let (storage, shape) = buffer::layout(self.storage, content);
        let start = first * (content.len() / content.rows());
        let rows = Shape { n: src.len() / (shape.len() / shape.n), ..shape };
        let bytes = layout::pack(storage, rows, src);
        dst.room(buffer::bytes(self.storage, content));
        let places = storage.bytes() * start..storage.bytes() * start + bytes.len();
        let mut places = dst.memory.slice_mut().slice_mut(places);
        self.gpu.stream.memcpy_htod(&bytes, &mut places).during("upload")?;
        let is_weight =
            matches!(content, Content::ConvWeight { .. } | Content::LinearWeight { .. });
        if is_weight && storage == Storage::F32 && self.storage != Storage::F32 {
            let weight = dst.weight(self.storage, content.len());
            let x = weight.numbers.add(storage.bytes() * start);
            let y = weight.copy.add(self.storage.bytes() * start);
            let len = src.len() as u64;
            let kernel = kernel::Narrow { x, y, len };
            // SAFETY: the buffer has room for the numbers and their copy.
            unsafe { self.gpu.launch(kernel, len.div_ceil(8)) }?;
        }
        Ok(())
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut Buffer) -> Result<()> {
        self.pinned.upload(&self.gpu, src, dst.room(src.len()))
    }

    fn download(&mut self, content: Content, src: &Buffer, dst: &mut [f32]) -> Result<()> {
        assert_eq!(dst.len(), content.len());
        let (storage, shape) = buffer::layout(self.storage, content);
        let len = storage.bytes() * dst.len();
        if len < LARGE {
            // A copy that is ordered behind the work, so that the host waits once, as for one image's logits.
            return self.start_download(content, src)?.read_into(dst);
        }
        // Memory of its own, as pinned memory would stay.
        let mut bytes = vec![0; len];
        src.room(bytes.len());
        let from = src.memory.slice().slice(..bytes.len());
        self.gpu.synchronize()?;
        self.gpu.stream.memcpy_dtoh(&from, &mut bytes).during("download")?;
        layout::unpack(storage, shape, &bytes, dst);
        Ok(())
    }

    fn start_download(&mut self, content: Content, src: &Buffer) -> Result<Landing> {
        let (storage, shape) = buffer::layout(self.storage, content);
        let from = src.numbers(storage, content.len());
        self.pinned.start_download(&self.gpu, from, storage, shape)
    }

    /// The loss scale, in `f16`.
    fn state(&mut self) -> Result<Vec<u32>> {
        match &self.loss_scale {
            Some(scale) => scale.state(&self.gpu),
            None => Ok(Vec::new()),
        }
    }

    fn restore_state(&mut self, state: &[u32]) -> Result<()> {
        match &mut self.loss_scale {
            Some(scale) => scale.restore(&self.gpu, state),
            None => Ok(()),
        }
    }

    fn compile(&mut self, program: &Program, buffers: Vec<Shared<Buffer>>) -> Result<Executable> {
        let executable = Executable::new(&self.gpu.stream, program, buffers)?;
        // cuDNN's workspace is not among it: the first run asks for that one.
        self.scratch.reserve(&self.gpu.stream, self.scratch_bytes(&[program]) as usize)?;
        Ok(executable)
    }

    fn run(&mut self, executable: &mut Executable, scalars: Scalars) -> Result<()> {
        self.scalars.set(scalars)?;
        if executable.trains()
            && let Some(scale) = &mut self.loss_scale
        {
            scale.begin(&self.gpu, scalars.step)?;
        }
        executable.run(self)
    }
}

impl Cuda {
    /// Bytes of scratch memory that programs take, as far as that is known.
    fn scratch_bytes(&self, programs: &[&Program]) -> u64 {
        let commands = programs.iter().flat_map(|program| program.commands());
        commands
            .map(|command| conv2d::workspace(&self.gpu, self.storage, command))
            .max()
            .unwrap_or(0)
    }

    /// Orders a command, or adds it to `steps`, which are ordered before anything else is.
    pub(crate) fn order(&mut self, command: Bound<'_, Buffer>, steps: &mut Steps) -> Result<()> {
        if !matches!(command, Command::Step { .. }) {
            steps.order(self)?;
        }
        match command {
            Command::PrepareImages { spec, normalize, pixels, x } => {
                prepare_images::forward(self, &spec, &normalize, pixels, x)
            }
            Command::Conv2d { spec, x, weight, bias, y, aux } => {
                conv2d::forward(self, &spec, x, weight, bias, y, aux)
            }
            Command::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx } => {
                conv2d::backward(self, &spec, x, weight, dy, aux, dweight, dbias, dx)
            }
            Command::MaxPool2d { spec, x, y, aux } => max_pool2d::forward(self, &spec, x, y, aux),
            Command::MaxPool2dBackward { spec, dy, aux, dx } => {
                max_pool2d::backward(self, &spec, dy, aux, dx)
            }
            Command::AvgPool2d { spec, x, y } => avg_pool2d::forward(self, &spec, x, y),
            Command::AvgPool2dBackward { spec, dy, dx } => {
                avg_pool2d::backward(self, &spec, dy, dx)
            }
            Command::Lrn { spec, x, y } => lrn::forward(self, &spec, x, y),
            Command::LrnBackward { spec, x, dy, dx } => lrn::backward(self, &spec, x, dy, dx),
            Command::BatchNorm2d {
                spec,
                x,
                weight,
                bias,
                running_mean,
                running_var,
                saved,
                y,
                aux,
            } => {
                let running = [running_mean, running_var];
                batch_norm2d::forward(self, &spec, x, weight, bias, running, saved, y, aux)
            }
            Command::BatchNorm2dInference {
                spec,
                x,
                weight,
                bias,
                running_mean,
                running_var,
                y,
            } => {
                let running = [running_mean, running_var];
                batch_norm2d::inference(self, &spec, x, weight, bias, running, y)
            }
            Command::BatchNorm2dBackward {
                spec,
                x,
                weight,
                saved,
                dy,
                aux,
                dweight,
                dbias,
                dx,
            } => batch_norm2d::backward(self, &spec, x, weight, saved, dy, aux, dweight, dbias, dx),
            Command::Sigmoid { shape, x } => sigmoid::in_place(self, shape, x),
            Command::SigmoidBackward { shape, y, dy } => sigmoid::backward(self, shape, y, dy),
            Command::Linear { spec, x, weight, bias, y, aux } => {
                linear::forward(self, &spec, x, weight, bias, y, aux)
            }
            Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx } => {
                linear::backward(self, &spec, x, weight, dy, aux, dbias, dx)
            }
            Command::LinearInputBackward { spec, weight, dy, aux, dx } => {
                linear::input_backward(self, &spec, weight, dy, aux, dx)
            }
            Command::LinearFactors { spec, first, rows, alpha, x, dy, aux, xs, dsums } => {
                linear::factors(self, &spec, [first, rows], alpha, x, dy, aux, xs, dsums)
            }
            Command::Dropout { shape, p, seed, stream, x } => {
                dropout::in_place(self, shape, p, seed, stream, x)
            }
            Command::SoftmaxCrossEntropy { spec, logits, labels, metrics, dlogits } => {
                softmax_cross_entropy::forward_backward(
                    self, &spec, logits, labels, metrics, dlogits,
                )
            }
            Command::EuclideanLoss { spec, predicted, targets, metrics, dpredicted } => {
                euclidean_loss::forward_backward(
                    self, &spec, predicted, targets, metrics, dpredicted,
                )
            }
            Command::Step { optimizer, content, weight, dweight } => {
                steps.add(self, optimizer, content, weight, dweight)
            }
            Command::Scale { content, alpha, x, y } => update::scale(self, content, alpha, x, y),
            Command::Blend { content, alpha, x, beta, y } => {
                update::blend(self, content, alpha, x, beta, y)
            }
            Command::ClipGradients { max_norm, gradients } => {
                update::clip(self, max_norm, &gradients)
            }
            exchange @ (Command::GatherShards { .. }
            | Command::GatherRows { .. }
            | Command::SumShards { .. }) => exchange::begin(self, exchange),
        }
    }
}
