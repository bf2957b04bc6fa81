//! The CPU backend: every layer on threads and SIMD.
//!
//! Activations lie with channels innermost (NHWC); `conv2d` and `linear` say how weights lie. The
//! kernels are written once, generic over the instruction set (`simd`), and rest on one micro-kernel
//! (`gemm`). `unsafe` is confined to them: loads and stores through pointers whose bounds the same
//! function has asserted.
//!
//! Results are the same for any number of threads: sums are split by index into pieces that depend on the
//! spec alone and are added in their order. Other work may be split by the number of threads.
//!
//! # Precision
//! [`Precision::Bf16`] rounds activations and their gradients to 8 bits, as they are stored, which halves
//! what passes through memory, and the factors of products, to be multiplied by the processor's dot products
//! of `bf16`, twice as many at a time: those of fully connected layers, and of 3×3 convolutions at Winograd's
//! points, which are the transforms of inputs, filters and gradients. Transforms amplify the rounding: a
//! result is off by 1 % of its typical size, which training does not notice (docs/results.md). Weights, the
//! gradients of weights, sums and the optimiser stay `f32`.
//!
//! # In a crate of your own
//! A release build is fast. In a development build the kernels are some 80 times slower, unless
//! they are optimised there, too, which no crate can say of itself: the `Cargo.toml` of the
//! workspace that is built does, by these lines.
//!
//! ```toml
//! [profile.dev.package."*"] # all dependencies
//! opt-level = 3
//!
//! [profile.dev.package.vgg-cpu] # overflow and pointer checks would cost a third of its speed
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! codegen-units = 1
//! ```
//!
//! [`Cpu::new`] warns, once, in the log of a build without them.

mod avg_pool2d;
mod batch_norm2d;
mod buffer;
mod build;
mod conv2d;
mod dropout;
mod epilogue;
mod euclidean_loss;
mod exchange;
mod format;
mod gemm;
mod isa;
mod linear;
mod lrn;
mod maps;
mod max_pool2d;
mod needs;
mod optimizer;
mod precision;
mod prepare_images;
pub mod roofline;
mod shared;
mod sigmoid;
mod simd;
mod softmax_cross_entropy;
mod threads;
mod update;
mod workspace;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use vgg_tensor::ranks::Peers;
use vgg_tensor::spec::Conv2d;
use vgg_tensor::{
    Backend, Bound, Command, Content, Draw, Executable, Program, Result, Scalars, Shape, Shared,
    zeros,
};

pub use buffer::Buffer;
pub use isa::Isa;
pub use precision::Precision;

use buffer::AlignedVec;
use conv2d::Interpolation;
use exchange::Exchange;
use precision::in_format;
use threads::Threads;

/// How to set up a [`Cpu`]. The default is every core and the best instruction set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Threads; by default as many as the process may use at once.
    pub threads: Option<usize>,
    /// Instruction set; by default the CPU's best.
    pub isa: Option<Isa>,
    /// What products are of; by default `f32`.
    pub precision: Precision,
}

/// A forward pass of 16 images a thread reads the fully connected layers' weights seldom enough: on two
/// threads, 32 at once are within 7 % of 64 or 128 (VGG-11 on 224×224, small and full) and take 110 MiB
/// less than 128 of the small network.
const IMAGES_OF_A_THREAD: usize = 16;

/// A CPU: threads, an instruction set, and workspaces that are kept between operations.
///
/// ```
/// use vgg_tensor::{Backend, Content};
/// let mut cpu = vgg_cpu::Cpu::new(vgg_cpu::Config::default())?;
/// let mut buffer = cpu.alloc(Content::Vector(3))?;
/// cpu.upload(Content::Vector(3), &[1.0, 2.0, 3.0], &mut buffer)?;
/// # Ok::<(), vgg_tensor::Error>(())
/// ```
pub struct Cpu {
    isa: Isa,
    precision: Precision,
    threads: Arc<Threads>,
    /// Memory that one operation at a time shares between its threads.
    workspace: Mutex<AlignedVec>,
    /// What the last batch of images was prepared with; the next one is likely alike.
    image_tables: Option<prepare_images::Tables>,
    /// Convolutions that have been logged.
    logged: Mutex<HashSet<Conv2d>>,
    /// What is exchanged with other ranks, where there are some.
    exchange: Option<Arc<Exchange>>,
}

impl Cpu {
    /// A backend on this machine's CPU.
    ///
    /// # Errors
    /// [`vgg_tensor::Error::Unavailable`] if the threads cannot be started.
    pub fn new(config: Config) -> Result<Self> {
        build::warn_if_slow();
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = Threads::new(config.threads.unwrap_or(available).max(1))?;
        let isa = config.isa.unwrap_or_else(Isa::best);
        log::debug!("cpu: {isa}, {} threads", threads.count());
        Ok(Self {
            isa,
            precision: config.precision,
            threads: Arc::new(threads),
            workspace: Mutex::default(),
            image_tables: None,
            logged: Mutex::default(),
            exchange: None,
        })
    }

    /// The same as one rank among others, which have the same instruction set and precision.
    #[must_use]
    pub fn with_peers(self, peers: Arc<dyn Peers>) -> Self {
        Self { exchange: Some(Arc::new(Exchange::with(peers, self.isa, self.precision))), ..self }
    }

    /// Numbers that a content takes in a buffer.
    fn len(&self, content: Content) -> usize {
        numbers(self.isa, self.precision, content)
    }
}

/// Numbers of 32 bits that a content takes in a buffer.
fn numbers(isa: Isa, precision: Precision, content: Content) -> usize {
    match content {
        Content::Bytes(len) => len.div_ceil(4),
        Content::LinearWeight { out_features, c, h, w, weight_type } => {
            linear::buffer_len(isa, precision, out_features, c * h * w, weight_type)
        }
        Content::Maps(shape) => in_format!(precision, F => maps::buffer_len::<F>(shape)),
        Content::Vector(_) | Content::ConvWeight { .. } => content.len(),
    }
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type Download = Vec<f32>;
    type Executable = Executable<Buffer>;

    fn describe(&self) -> String {
        let threads = self.threads.count();
        let s = if threads == 1 { "" } else { "s" };
        let precision = match self.precision {
            Precision::F32 => "",
            Precision::Bf16 if self.isa.has_bf16() => ", bf16",
            Precision::Bf16 => ", bf16 without instructions for it",
        };
        format!("cpu, {threads} thread{s}, {}{precision}", self.isa)
    }

    fn bytes(&self, content: Content) -> u64 {
        AlignedVec::bytes_for(self.len(content)) as u64
    }

    fn workspace(&self, programs: &[&Program]) -> u64 {
        workspace::bytes(self, programs)
    }

    fn images_at_once(&self) -> Option<usize> {
        Some(IMAGES_OF_A_THREAD * self.threads.count())
    }

    fn alloc(&mut self, content: Content) -> Result<Buffer> {
        Buffer::zeroed(self.len(content))
    }

    fn upload_rows(
        &mut self,
        content: Content,
        first: usize,
        src: &[f32],
        dst: &mut Buffer,
    ) -> Result<()> {
        let row = content.len() / content.rows();
        let numbers = row * first..row * first + src.len();
        match content {
            Content::Bytes(_) => panic!("bytes go up through `upload_bytes`"),
            Content::Vector(_) | Content::ConvWeight { .. } => {
                dst.f32_mut(content.len())[numbers].copy_from_slice(src);
            }
            Content::Maps(shape) => {
                in_format!(self.precision, F => maps::upload::<F>(shape, first, src, dst));
            }
            Content::LinearWeight { out_features, c, h, w, weight_type } => {
                let map = Shape::new(1, c, h, w);
                linear::upload_weight(self, map, out_features, weight_type, first, src, dst);
            }
        }
        Ok(())
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut Buffer) -> Result<()> {
        dst.bytes_mut(src.len()).copy_from_slice(src);
        Ok(())
    }

    fn download(&mut self, content: Content, src: &Buffer, dst: &mut [f32]) -> Result<()> {
        assert_eq!(dst.len(), content.len());
        match content {
            Content::Bytes(_) => panic!("bytes do not come down"),
            Content::Vector(_) | Content::ConvWeight { .. } => {
                dst.copy_from_slice(src.f32(dst.len()));
            }
            Content::Maps(shape) => {
                in_format!(self.precision, F => maps::download::<F>(shape, src, dst));
            }
            Content::LinearWeight { c, h, w, weight_type, .. } => {
                linear::download_weight(self, Shape::new(1, c, h, w), weight_type, src, dst);
            }
        }
        Ok(())
    }

    fn start_download(&mut self, content: Content, src: &Buffer) -> Result<Vec<f32>> {
        let mut numbers = zeros(content.len())?;
        self.download(content, src, &mut numbers)?;
        Ok(numbers)
    }

    fn compile(
        &mut self,
        program: &Program,
        buffers: Vec<Shared<Buffer>>,
    ) -> Result<Executable<Buffer>> {
        workspace::reserve(self, program)?;
        Executable::new(program, buffers)
    }

    fn run(&mut self, executable: &mut Executable<Buffer>, scalars: Scalars) -> Result<()> {
        let order = in_format!(self.precision, F => Self::order::<F>);
        let threads = self.threads.clone();
        if let Some(exchange) = self.exchange.clone().filter(|_| executable.program().exchanges()) {
            return exchange.run(executable, &threads, |command| order(self, command, scalars));
        }
        // Once for all commands: a small network's are so short that handing each to the threads counts.
        threads.run_awake(|| executable.run(|command| order(self, command, scalars)))
    }
}

impl Cpu {
    fn order<F: Interpolation>(
        &mut self,
        command: Bound<'_, Buffer>,
        scalars: Scalars,
    ) -> Result<()> {
        match command {
            Command::PrepareImages { spec, normalize, pixels, x } => {
                prepare_images::prepare::<F>(self, &spec, &normalize, pixels, x)?;
            }
            Command::Conv2d { spec, x, weight, bias, y, aux } => {
                conv2d::forward::<F>(self, &spec, x, weight, bias, y, aux)?;
            }
            Command::Conv2dBackward { spec, x, weight, dy, aux, dweight, dbias, dx } => {
                conv2d::backward::<F>(self, &spec, x, weight, dy, aux, dweight, dbias, dx)?;
            }
            Command::MaxPool2d { spec, x, y, aux } => {
                max_pool2d::forward::<F>(self, &spec, x, y, aux)
            }
            Command::MaxPool2dBackward { spec, dy, aux, dx } => {
                max_pool2d::backward::<F>(self, &spec, dy, aux, dx);
            }
            Command::AvgPool2d { spec, x, y } => avg_pool2d::forward::<F>(self, &spec, x, y),
            Command::AvgPool2dBackward { spec, dy, dx } => {
                avg_pool2d::backward::<F>(self, &spec, dy, dx);
            }
            Command::Lrn { spec, x, y } => lrn::forward::<F>(self, &spec, x, y)?,
            Command::LrnBackward { spec, x, dy, dx } => lrn::backward::<F>(self, &spec, x, dy, dx)?,
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
                batch_norm2d::forward::<F>(self, &spec, x, weight, bias, running, saved, y, aux)?;
            }
            Command::BatchNorm2dInference {
                spec,
                x,
                weight,
                bias,
                running_mean: mean,
                running_var: var,
                y,
            } => batch_norm2d::inference::<F>(self, &spec, x, weight, bias, mean, var, y),
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
            } => {
                let gradients = [dweight, dbias];
                batch_norm2d::backward::<F>(self, &spec, x, weight, saved, dy, aux, gradients, dx)?;
            }
            Command::Sigmoid { shape, x } => sigmoid::in_place::<F>(self, shape.len(), x),
            Command::SigmoidBackward { shape, y, dy } => {
                sigmoid::backward::<F>(self, shape.len(), y, dy);
            }
            Command::Linear { spec, x, weight, bias, y, aux } => {
                linear::forward::<F>(self, &spec, x, weight, bias, y, aux)?;
            }
            Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx } => {
                linear::backward::<F>(self, &spec, x, weight, scalars, dy, aux, dbias, dx)?;
            }
            Command::LinearInputBackward { spec, weight, dy, aux, dx } => {
                linear::input_backward::<F>(self, &spec, weight, dy, aux, dx)?;
            }
            Command::LinearFactors { spec, first, rows, alpha, x, dy, aux, xs, dsums } => {
                linear::factors::<F>(&spec, [first, rows], alpha, x, dy, aux, xs, dsums);
            }
            Command::Dropout { shape, p, seed, stream, x } => {
                let draw = Draw { seed, stream, step: scalars.step };
                dropout::in_place::<F>(self, shape, p, draw, x);
            }
            Command::SoftmaxCrossEntropy { spec, logits, labels, metrics, dlogits } => {
                softmax_cross_entropy::forward_backward::<F>(
                    &spec, logits, labels, metrics, dlogits,
                );
            }
            Command::EuclideanLoss { spec, predicted, targets, metrics, dpredicted } => {
                euclidean_loss::forward_backward::<F>(
                    &spec, predicted, targets, metrics, dpredicted,
                );
            }
            Command::Step { optimizer, content, weight, dweight } => {
                optimizer::step(self, optimizer, scalars, self.len(content), weight, dweight);
            }
            Command::Scale { content, alpha, x, y } => {
                update::scale(self, self.len(content), alpha, x, y);
            }
            Command::Blend { content, alpha, x, beta, y } => {
                update::blend(self, self.len(content), alpha, x, beta, y);
            }
            Command::ClipGradients { max_norm, gradients } => {
                update::clip(self, max_norm, gradients);
            }
            Command::GatherShards { .. }
            | Command::GatherRows { .. }
            | Command::SumShards { .. } => {
                panic!("a program of several ranks runs where there are peers")
            }
        }
        Ok(())
    }
}
