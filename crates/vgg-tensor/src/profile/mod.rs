//! Timing what a backend does, one operation at a time.

mod operation;

use std::time::{Duration, Instant};

pub use operation::Operation;

use crate::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Normalize, PrepareImages, Sgd,
    SoftmaxCrossEntropy,
};
use crate::{Backend, Content, Draw, Result, Shape, WeightGradient};

/// What is downloaded to wait for the device.
const PROBE: Content = Content::Vector(1);

/// An operation that was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// What was done.
    pub operation: Operation,
    /// When it was called, since the backend was wrapped.
    pub start: Duration,
    /// From the call until the device was done.
    pub duration: Duration,
}

/// A backend that does what another one does and records how long each operation takes.
///
/// It waits for the device after each operation, so that the times are right if operations return
/// before their work is done, too; such a backend is then slower than it would be alone.
/// Allocations are not recorded: they are no part of a step.
#[derive(Debug)]
pub struct Profiled<B: Backend> {
    backend: B,
    probe: B::Buffer,
    origin: Instant,
    events: Vec<Event>,
}

impl<B: Backend> Profiled<B> {
    /// Starts to record what `backend` does.
    ///
    /// # Errors
    /// What the backend returns where it has no room for one number.
    pub fn new(mut backend: B) -> Result<Self> {
        let probe = backend.alloc(PROBE)?;
        Ok(Self { backend, probe, origin: Instant::now(), events: Vec::new() })
    }

    /// All operations so far, in the order of the calls.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The time by the events' clock.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn time(
        &mut self,
        operation: Operation,
        call: impl FnOnce(&mut B) -> Result<()>,
    ) -> Result<()> {
        let start = self.now();
        call(&mut self.backend)?;
        self.backend.download(PROBE, &self.probe, &mut [0.0])?;
        let duration = self.now() - start;
        self.events.push(Event { operation, start, duration });
        Ok(())
    }
}

impl<B: Backend> Backend for Profiled<B> {
    type Buffer = B::Buffer;
    type Download = B::Download;

    fn describe(&self) -> String {
        self.backend.describe()
    }

    fn free_memory(&self) -> Option<u64> {
        self.backend.free_memory()
    }

    fn bytes(&self, content: Content) -> u64 {
        self.backend.bytes(content)
    }

    fn workspace(&self, operations: &[Operation]) -> u64 {
        self.backend.workspace(operations)
    }

    fn check_size(&self, operation: &Operation) -> Result<()> {
        self.backend.check_size(operation)
    }

    fn alloc(&mut self, content: Content) -> Result<B::Buffer> {
        self.backend.alloc(content)
    }

    fn upload(&mut self, content: Content, src: &[f32], dst: &mut B::Buffer) -> Result<()> {
        let bytes = size_of_val(src);
        self.time(Operation::Upload { bytes }, |backend| backend.upload(content, src, dst))
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut B::Buffer) -> Result<()> {
        let bytes = src.len();
        self.time(Operation::Upload { bytes }, |backend| backend.upload_bytes(src, dst))
    }

    fn download(&mut self, content: Content, src: &B::Buffer, dst: &mut [f32]) -> Result<()> {
        let bytes = size_of_val(dst);
        self.time(Operation::Download { bytes }, |backend| backend.download(content, src, dst))
    }

    fn start_download(&mut self, content: Content, src: &B::Buffer) -> Result<B::Download> {
        let (bytes, mut download) = (content.bytes(), None);
        self.time(Operation::Download { bytes }, |backend| {
            download = Some(backend.start_download(content, src)?);
            Ok(())
        })?;
        Ok(download.expect("the call has started it"))
    }

    fn state(&mut self) -> Result<Vec<u32>> {
        self.backend.state()
    }

    fn restore_state(&mut self, state: &[u32]) -> Result<()> {
        self.backend.restore_state(state)
    }

    fn prepare_images(
        &mut self,
        op: &PrepareImages,
        normalize: &Normalize,
        pixels: &B::Buffer,
        x: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::PrepareImages(*op), |backend| {
            backend.prepare_images(op, normalize, pixels, x)
        })
    }

    fn conv2d(
        &mut self,
        op: &Conv2d,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        y: &mut B::Buffer,
        aux: Option<&mut B::Buffer>,
    ) -> Result<()> {
        self.time(Operation::Conv2d(*op), |backend| backend.conv2d(op, x, weight, bias, y, aux))
    }

    fn conv2d_backward(
        &mut self,
        op: &Conv2d,
        x: &B::Buffer,
        weight: &B::Buffer,
        dy: &B::Buffer,
        aux: &B::Buffer,
        dweight: &mut B::Buffer,
        dbias: &mut B::Buffer,
        dx: Option<&mut B::Buffer>,
    ) -> Result<()> {
        let operation = Operation::Conv2dBackward { op: *op, dx: dx.is_some() };
        self.time(operation, |backend| {
            backend.conv2d_backward(op, x, weight, dy, aux, dweight, dbias, dx)
        })
    }

    fn max_pool2d(
        &mut self,
        op: &MaxPool2d,
        x: &B::Buffer,
        y: &mut B::Buffer,
        aux: Option<&mut B::Buffer>,
    ) -> Result<()> {
        self.time(Operation::MaxPool2d(*op), |backend| backend.max_pool2d(op, x, y, aux))
    }

    fn max_pool2d_backward(
        &mut self,
        op: &MaxPool2d,
        dy: &B::Buffer,
        aux: &B::Buffer,
        dx: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::MaxPool2dBackward(*op), |backend| {
            backend.max_pool2d_backward(op, dy, aux, dx)
        })
    }

    fn avg_pool2d(&mut self, op: &AvgPool2d, x: &B::Buffer, y: &mut B::Buffer) -> Result<()> {
        self.time(Operation::AvgPool2d(*op), |backend| backend.avg_pool2d(op, x, y))
    }

    fn avg_pool2d_backward(
        &mut self,
        op: &AvgPool2d,
        dy: &B::Buffer,
        dx: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::AvgPool2dBackward(*op), |backend| {
            backend.avg_pool2d_backward(op, dy, dx)
        })
    }

    fn lrn(&mut self, op: &Lrn, x: &B::Buffer, y: &mut B::Buffer) -> Result<()> {
        self.time(Operation::Lrn(*op), |backend| backend.lrn(op, x, y))
    }

    fn lrn_backward(
        &mut self,
        op: &Lrn,
        x: &B::Buffer,
        dy: &B::Buffer,
        dx: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::LrnBackward(*op), |backend| backend.lrn_backward(op, x, dy, dx))
    }

    fn batch_norm2d(
        &mut self,
        op: &BatchNorm2d,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        running_mean: &mut B::Buffer,
        running_var: &mut B::Buffer,
        saved: &mut B::Buffer,
        y: &mut B::Buffer,
        aux: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::BatchNorm2d(*op), |backend| {
            backend.batch_norm2d(op, x, weight, bias, running_mean, running_var, saved, y, aux)
        })
    }

    fn batch_norm2d_inference(
        &mut self,
        op: &BatchNorm2d,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        running_mean: &B::Buffer,
        running_var: &B::Buffer,
        y: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::BatchNorm2dInference(*op), |backend| {
            backend.batch_norm2d_inference(op, x, weight, bias, running_mean, running_var, y)
        })
    }

    fn batch_norm2d_backward(
        &mut self,
        op: &BatchNorm2d,
        x: &B::Buffer,
        weight: &B::Buffer,
        saved: &B::Buffer,
        dy: &B::Buffer,
        aux: &B::Buffer,
        dweight: &mut B::Buffer,
        dbias: &mut B::Buffer,
        dx: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::BatchNorm2dBackward(*op), |backend| {
            backend.batch_norm2d_backward(op, x, weight, saved, dy, aux, dweight, dbias, dx)
        })
    }

    fn sigmoid(&mut self, shape: Shape, x: &mut B::Buffer) -> Result<()> {
        self.time(Operation::Sigmoid(shape), |backend| backend.sigmoid(shape, x))
    }

    fn sigmoid_backward(&mut self, shape: Shape, y: &B::Buffer, dy: &mut B::Buffer) -> Result<()> {
        self.time(Operation::SigmoidBackward(shape), |backend| {
            backend.sigmoid_backward(shape, y, dy)
        })
    }

    fn linear(
        &mut self,
        op: &Linear,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        y: &mut B::Buffer,
        aux: Option<&mut B::Buffer>,
    ) -> Result<()> {
        self.time(Operation::Linear(*op), |backend| backend.linear(op, x, weight, bias, y, aux))
    }

    fn linear_backward(
        &mut self,
        op: &Linear,
        x: &B::Buffer,
        weight: WeightGradient<'_, B::Buffer>,
        dy: &B::Buffer,
        aux: &B::Buffer,
        dbias: &mut B::Buffer,
        dx: Option<&mut B::Buffer>,
    ) -> Result<()> {
        let applied = matches!(weight, WeightGradient::Applied { .. });
        let operation = Operation::LinearBackward { op: *op, applied, dx: dx.is_some() };
        self.time(operation, |backend| backend.linear_backward(op, x, weight, dy, aux, dbias, dx))
    }

    fn dropout(&mut self, shape: Shape, p: f32, draw: Draw, x: &mut B::Buffer) -> Result<()> {
        self.time(Operation::Dropout { shape, p }, |backend| backend.dropout(shape, p, draw, x))
    }

    fn softmax_cross_entropy(
        &mut self,
        op: &SoftmaxCrossEntropy,
        logits: &B::Buffer,
        labels: &B::Buffer,
        metrics: &mut B::Buffer,
        dlogits: Option<&mut B::Buffer>,
    ) -> Result<()> {
        self.time(Operation::SoftmaxCrossEntropy(*op), |backend| {
            backend.softmax_cross_entropy(op, logits, labels, metrics, dlogits)
        })
    }

    fn sgd(
        &mut self,
        settings: &Sgd,
        content: Content,
        weight: &mut B::Buffer,
        dweight: &B::Buffer,
        velocity: Option<&mut B::Buffer>,
    ) -> Result<()> {
        self.time(Operation::Sgd(content), |backend| {
            backend.sgd(settings, content, weight, dweight, velocity)
        })
    }

    fn blend(
        &mut self,
        content: Content,
        alpha: f32,
        x: &B::Buffer,
        beta: f32,
        y: &mut B::Buffer,
    ) -> Result<()> {
        self.time(Operation::Blend(content), |backend| backend.blend(content, alpha, x, beta, y))
    }

    fn clip_gradients(
        &mut self,
        max_norm: f32,
        gradients: &mut [(Content, &mut B::Buffer)],
    ) -> Result<()> {
        let len = gradients.iter().map(|(content, _)| content.len()).sum();
        self.time(Operation::ClipGradients { len }, |backend| {
            backend.clip_gradients(max_norm, gradients)
        })
    }
}
