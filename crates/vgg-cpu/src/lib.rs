//! The CPU backend: every layer on threads and SIMD.
//!
//! Activations lie with channels innermost (NHWC); `conv2d` and `linear` say how weights lie. The
//! kernels are written once, generic over the instruction set (`simd`), and rest on one micro-kernel
//! (`gemm`). `unsafe` is confined to them: loads and stores through pointers whose bounds the same
//! function has asserted.
//!
//! Results are the same for any number of threads: work is split by index into pieces that depend
//! on the spec alone, and sums over pieces are taken in the order of the pieces.
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
mod gemm;
mod isa;
mod linear;
mod lrn;
mod max_pool2d;
mod needs;
mod prepare_images;
pub mod roofline;
mod sgd;
mod shared;
mod sigmoid;
mod simd;
mod softmax_cross_entropy;
mod threads;
mod update;

use std::collections::HashSet;
use std::sync::Mutex;

use vgg_tensor::profile::Operation;
use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Normalize, PrepareImages, Sgd,
    SoftmaxCrossEntropy,
};
use vgg_tensor::{Backend, Content, Draw, Result, Shape, WeightGradient, zeros};

pub use buffer::Buffer;
pub use isa::Isa;

use buffer::AlignedVec;
use threads::Threads;

/// How to set up a [`Cpu`]. The default is every core and the best instruction set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Threads; by default as many as the process may use at once.
    pub threads: Option<usize>,
    /// Instruction set; by default the CPU's best.
    pub isa: Option<Isa>,
}

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
    threads: Threads,
    /// Memory that one operation at a time shares between its threads.
    workspace: Mutex<AlignedVec>,
    /// What the last batch of images was prepared with; the next one is likely alike.
    image_tables: Option<prepare_images::Tables>,
    /// Convolutions that have been logged.
    logged: Mutex<HashSet<Conv2d>>,
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
            threads,
            workspace: Mutex::default(),
            image_tables: None,
            logged: Mutex::default(),
        })
    }

    /// Numbers that a content takes in a buffer.
    fn len(&self, content: Content) -> usize {
        match content {
            Content::Bytes(len) => len.div_ceil(4),
            Content::LinearWeight { out_features, c, h, w, weight_type } => {
                linear::buffer_len(self, out_features, c * h * w, weight_type)
            }
            Content::Vector(_) | Content::Maps(_) | Content::ConvWeight { .. } => content.len(),
        }
    }
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type Download = Vec<f32>;

    fn describe(&self) -> String {
        let threads = self.threads.count();
        format!("cpu, {threads} thread{}, {}", if threads == 1 { "" } else { "s" }, self.isa)
    }

    fn bytes(&self, content: Content) -> u64 {
        AlignedVec::bytes_for(self.len(content)) as u64
    }

    fn workspace(&self, operations: &[Operation]) -> u64 {
        needs::bytes(self, operations)
    }

    fn alloc(&mut self, content: Content) -> Result<Buffer> {
        Buffer::zeroed(self.len(content))
    }

    fn upload(&mut self, content: Content, src: &[f32], dst: &mut Buffer) -> Result<()> {
        assert_eq!(src.len(), content.len());
        match content {
            Content::Bytes(_) => panic!("bytes go up through `upload_bytes`"),
            Content::Vector(_) | Content::ConvWeight { .. } => {
                dst.f32_mut(src.len()).copy_from_slice(src);
            }
            Content::Maps(shape) => {
                let dst = dst.f32_mut(src.len());
                transpose(shape, |nchw, nhwc| dst[nhwc] = src[nchw]);
            }
            Content::LinearWeight { c, h, w, weight_type, .. } => {
                linear::upload_weight(self, Shape::new(1, c, h, w), weight_type, src, dst);
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
                let src = src.f32(dst.len());
                transpose(shape, |nchw, nhwc| dst[nchw] = src[nhwc]);
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

    fn prepare_images(
        &mut self,
        op: &PrepareImages,
        normalize: &Normalize,
        pixels: &Buffer,
        x: &mut Buffer,
    ) -> Result<()> {
        prepare_images::prepare(self, op, normalize, pixels, x)
    }

    fn conv2d(
        &mut self,
        op: &Conv2d,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        y: &mut Buffer,
        aux: Option<&mut Buffer>,
    ) -> Result<()> {
        conv2d::forward(self, op, x, weight, bias, y, aux)
    }

    fn conv2d_backward(
        &mut self,
        op: &Conv2d,
        x: &Buffer,
        weight: &Buffer,
        dy: &Buffer,
        aux: &Buffer,
        dweight: &mut Buffer,
        dbias: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<()> {
        conv2d::backward(self, op, x, weight, dy, aux, dweight, dbias, dx)
    }

    fn max_pool2d(
        &mut self,
        op: &MaxPool2d,
        x: &Buffer,
        y: &mut Buffer,
        aux: Option<&mut Buffer>,
    ) -> Result<()> {
        max_pool2d::forward(self, op, x, y, aux);
        Ok(())
    }

    fn max_pool2d_backward(
        &mut self,
        op: &MaxPool2d,
        dy: &Buffer,
        aux: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        max_pool2d::backward(self, op, dy, aux, dx);
        Ok(())
    }

    fn avg_pool2d(&mut self, op: &AvgPool2d, x: &Buffer, y: &mut Buffer) -> Result<()> {
        avg_pool2d::forward(self, op, x, y);
        Ok(())
    }

    fn avg_pool2d_backward(&mut self, op: &AvgPool2d, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        avg_pool2d::backward(self, op, dy, dx);
        Ok(())
    }

    fn lrn(&mut self, op: &Lrn, x: &Buffer, y: &mut Buffer) -> Result<()> {
        lrn::forward(self, op, x, y)
    }

    fn lrn_backward(&mut self, op: &Lrn, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        lrn::backward(self, op, x, dy, dx)
    }

    fn batch_norm2d(
        &mut self,
        op: &BatchNorm2d,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        running_mean: &mut Buffer,
        running_var: &mut Buffer,
        saved: &mut Buffer,
        y: &mut Buffer,
        aux: &mut Buffer,
    ) -> Result<()> {
        let running = [running_mean, running_var];
        batch_norm2d::forward(self, op, x, weight, bias, running, saved, y, aux)
    }

    fn batch_norm2d_inference(
        &mut self,
        op: &BatchNorm2d,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        running_mean: &Buffer,
        running_var: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        batch_norm2d::inference(self, op, x, weight, bias, running_mean, running_var, y);
        Ok(())
    }

    fn batch_norm2d_backward(
        &mut self,
        op: &BatchNorm2d,
        x: &Buffer,
        weight: &Buffer,
        saved: &Buffer,
        dy: &Buffer,
        aux: &Buffer,
        dweight: &mut Buffer,
        dbias: &mut Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        batch_norm2d::backward(self, op, x, weight, saved, dy, aux, dweight, dbias, dx)
    }

    fn sigmoid(&mut self, shape: Shape, x: &mut Buffer) -> Result<()> {
        sigmoid::in_place(self, shape.len(), x);
        Ok(())
    }

    fn sigmoid_backward(&mut self, shape: Shape, y: &Buffer, dy: &mut Buffer) -> Result<()> {
        sigmoid::backward(self, shape.len(), y, dy);
        Ok(())
    }

    fn linear(
        &mut self,
        op: &Linear,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        y: &mut Buffer,
        aux: Option<&mut Buffer>,
    ) -> Result<()> {
        linear::forward(self, op, x, weight, bias, y, aux)
    }

    fn linear_backward(
        &mut self,
        op: &Linear,
        x: &Buffer,
        weight: WeightGradient<'_, Buffer>,
        dy: &Buffer,
        aux: &Buffer,
        dbias: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<()> {
        linear::backward(self, op, x, weight, dy, aux, dbias, dx)
    }

    fn dropout(&mut self, shape: Shape, p: f32, draw: Draw, x: &mut Buffer) -> Result<()> {
        dropout::in_place(self, shape, p, draw, x);
        Ok(())
    }

    fn softmax_cross_entropy(
        &mut self,
        op: &SoftmaxCrossEntropy,
        logits: &Buffer,
        labels: &Buffer,
        metrics: &mut Buffer,
        dlogits: Option<&mut Buffer>,
    ) -> Result<()> {
        softmax_cross_entropy::forward_backward(op, logits, labels, metrics, dlogits);
        Ok(())
    }

    fn sgd(
        &mut self,
        settings: &Sgd,
        content: Content,
        weight: &mut Buffer,
        dweight: &Buffer,
        velocity: Option<&mut Buffer>,
    ) -> Result<()> {
        content.check_trainable()?;
        sgd::step(self, settings, self.len(content), weight, dweight, velocity);
        Ok(())
    }

    fn blend(
        &mut self,
        content: Content,
        alpha: f32,
        x: &Buffer,
        beta: f32,
        y: &mut Buffer,
    ) -> Result<()> {
        content.check_trainable()?;
        update::blend(self, self.len(content), alpha, x, beta, y);
        Ok(())
    }

    fn clip_gradients(
        &mut self,
        max_norm: f32,
        gradients: &mut [(Content, &mut Buffer)],
    ) -> Result<()> {
        gradients.iter().try_for_each(|(content, _)| content.check_trainable())?;
        update::clip(self, max_norm, gradients);
        Ok(())
    }
}

/// Calls `copy` with the index in NCHW order and the index in NHWC order of every number.
fn transpose(shape: Shape, mut copy: impl FnMut(usize, usize)) {
    let Shape { n, c, h, w } = shape;
    for image in 0..n {
        for channel in 0..c {
            for pixel in 0..h * w {
                let image = image * shape.features();
                copy(image + channel * h * w + pixel, image + pixel * c + channel);
            }
        }
    }
}
