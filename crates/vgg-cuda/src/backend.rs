//! The operations, as the trait has them.

use vgg_tensor::profile::Operation;
use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Normalize, PrepareImages, Sgd,
    SoftmaxCrossEntropy,
};
use vgg_tensor::{Backend, Content, Draw, Result, Shape, WeightGradient};

use crate::buffer;
use crate::error::During;
use crate::gpu::list;
use crate::memory::Memory;
use crate::pinned::Landing;
use crate::precision::Storage;
use crate::{
    Buffer, Cuda, avg_pool2d, batch_norm2d, conv2d, dropout, layout, linear, lrn, max_pool2d,
    prepare_images, sgd, sigmoid, softmax_cross_entropy, update,
};

/// A buffer as part of an operation's fingerprint.
fn at(buffer: &Buffer) -> u64 {
    buffer.memory.address().0
}

/// A buffer that may be left out.
fn maybe_at(buffer: Option<&Buffer>) -> Option<u64> {
    buffer.map(at)
}

/// Settings, without the learning rate.
fn fingerprint(settings: &Sgd) -> (u32, u32, bool) {
    let Sgd { lr: _, momentum, weight_decay, nesterov } = *settings;
    (momentum.to_bits(), weight_decay.to_bits(), nesterov)
}

impl Backend for Cuda {
    type Buffer = Buffer;
    type Download = Landing;

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

    fn workspace(&self, operations: &[Operation]) -> u64 {
        let each = operations.iter().map(|operation| conv2d::workspace(self.storage, operation));
        each.max().unwrap_or(0)
    }

    fn check_size(&self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Linear(op) | Operation::LinearBackward { op, .. } => linear::check_size(op),
            _ => conv2d::check_size(operation),
        }
    }

    fn alloc(&mut self, content: Content) -> Result<Buffer> {
        let bytes = buffer::bytes(self.storage, content);
        Ok(Buffer { memory: Memory::zeroed(&self.gpu.stream, bytes)? })
    }

    fn upload(&mut self, content: Content, src: &[f32], dst: &mut Buffer) -> Result<()> {
        assert_eq!(src.len(), content.len());
        let (storage, shape) = buffer::layout(self.storage, content);
        let bytes = layout::pack(storage, shape, src);
        dst.room(buffer::bytes(self.storage, content));
        self.gpu.stream.memcpy_htod(&bytes, dst.memory.slice_mut()).during("upload")?;
        let is_weight =
            matches!(content, Content::ConvWeight { .. } | Content::LinearWeight { .. });
        if is_weight && storage == Storage::F32 && self.storage != Storage::F32 {
            let weight = dst.weight(self.storage, src.len());
            let arguments = list![weight.numbers, weight.copy, src.len()];
            // SAFETY: the buffer has room for the numbers and their copy.
            unsafe { self.gpu.launch("narrow", src.len().div_ceil(8) as u64, arguments) }?;
        }
        Ok(())
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut Buffer) -> Result<()> {
        self.pinned.upload(&self.gpu.stream, src, dst.room(src.len()))
    }

    fn download(&mut self, content: Content, src: &Buffer, dst: &mut [f32]) -> Result<()> {
        assert_eq!(dst.len(), content.len());
        let (storage, shape) = buffer::layout(self.storage, content);
        let mut bytes = vec![0; storage.bytes() * dst.len()];
        src.room(bytes.len());
        let from = src.memory.slice().slice(..bytes.len());
        self.gpu.stream.memcpy_dtoh(&from, &mut bytes).during("download")?;
        self.gpu.synchronize()?;
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

    fn repeat(&mut self, work: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        Cuda::repeat(self, work)
    }

    fn prepare_images(
        &mut self,
        op: &PrepareImages,
        normalize: &Normalize,
        pixels: &Buffer,
        x: &mut Buffer,
    ) -> Result<()> {
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let constants = (bits(normalize.mean()), bits(normalize.std()));
        if self.replay.skips(("prepare_images", op, constants, at(pixels), at(x))) {
            return Ok(());
        }
        prepare_images::forward(self, op, normalize, pixels, x)
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
        let buffers = (at(x), at(weight), at(bias), at(y), maybe_at(aux.as_deref()));
        if self.replay.skips(("conv2d", op, buffers)) {
            return Ok(());
        }
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
        let inputs = (at(x), at(weight), at(dy), at(aux));
        let outputs = (at(dweight), at(dbias), maybe_at(dx.as_deref()));
        if self.replay.skips(("conv2d_backward", op, inputs, outputs)) {
            return Ok(());
        }
        conv2d::backward(self, op, x, weight, dy, aux, dweight, dbias, dx)
    }

    fn max_pool2d(
        &mut self,
        op: &MaxPool2d,
        x: &Buffer,
        y: &mut Buffer,
        aux: Option<&mut Buffer>,
    ) -> Result<()> {
        if self.replay.skips(("max_pool2d", op, at(x), at(y), maybe_at(aux.as_deref()))) {
            return Ok(());
        }
        max_pool2d::forward(self, op, x, y, aux)
    }

    fn max_pool2d_backward(
        &mut self,
        op: &MaxPool2d,
        dy: &Buffer,
        aux: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        if self.replay.skips(("max_pool2d_backward", op, at(dy), at(aux), at(dx))) {
            return Ok(());
        }
        max_pool2d::backward(self, op, dy, aux, dx)
    }

    fn avg_pool2d(&mut self, op: &AvgPool2d, x: &Buffer, y: &mut Buffer) -> Result<()> {
        if self.replay.skips(("avg_pool2d", op, at(x), at(y))) {
            return Ok(());
        }
        avg_pool2d::forward(self, op, x, y)
    }

    fn avg_pool2d_backward(&mut self, op: &AvgPool2d, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        if self.replay.skips(("avg_pool2d_backward", op, at(dy), at(dx))) {
            return Ok(());
        }
        avg_pool2d::backward(self, op, dy, dx)
    }

    fn lrn(&mut self, op: &Lrn, x: &Buffer, y: &mut Buffer) -> Result<()> {
        if self.replay.skips(("lrn", op, at(x), at(y))) {
            return Ok(());
        }
        lrn::forward(self, op, x, y)
    }

    fn lrn_backward(&mut self, op: &Lrn, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        if self.replay.skips(("lrn_backward", op, at(x), at(dy), at(dx))) {
            return Ok(());
        }
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
        let inputs = (at(x), at(weight), at(bias));
        let outputs = (at(running_mean), at(running_var), at(saved), at(y), at(aux));
        if self.replay.skips(("batch_norm2d", op, inputs, outputs)) {
            return Ok(());
        }
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
        let buffers = [x, weight, bias, running_mean, running_var, y].map(at);
        if self.replay.skips(("batch_norm2d_inference", op, buffers)) {
            return Ok(());
        }
        batch_norm2d::inference(self, op, x, weight, bias, [running_mean, running_var], y)
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
        let inputs = [x, weight, saved, dy, aux].map(at);
        let outputs = (at(dweight), at(dbias), at(dx));
        if self.replay.skips(("batch_norm2d_backward", op, inputs, outputs)) {
            return Ok(());
        }
        batch_norm2d::backward(self, op, x, weight, saved, dy, aux, dweight, dbias, dx)
    }

    fn sigmoid(&mut self, shape: Shape, x: &mut Buffer) -> Result<()> {
        if self.replay.skips(("sigmoid", shape, at(x))) {
            return Ok(());
        }
        sigmoid::in_place(self, shape, x)
    }

    fn sigmoid_backward(&mut self, shape: Shape, y: &Buffer, dy: &mut Buffer) -> Result<()> {
        if self.replay.skips(("sigmoid_backward", shape, at(y), at(dy))) {
            return Ok(());
        }
        sigmoid::backward(self, shape, y, dy)
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
        let buffers = (at(x), at(weight), at(bias), at(y), maybe_at(aux.as_deref()));
        if self.replay.skips(("linear", op, buffers)) {
            return Ok(());
        }
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
        let inputs = (at(x), at(weight.weight()), at(dy), at(aux));
        let outputs = (at(dbias), maybe_at(dx.as_deref()));
        let update = match &weight {
            WeightGradient::Stored { dweight, .. } => (Some(at(dweight)), None, None),
            WeightGradient::Applied { settings, velocity, .. } => {
                self.replay.lr(settings.lr)?;
                (None, Some(fingerprint(settings)), maybe_at(velocity.as_deref()))
            }
        };
        if self.replay.skips(("linear_backward", op, inputs, outputs, update)) {
            return Ok(());
        }
        linear::backward(self, op, x, weight, dy, aux, dbias, dx)
    }

    fn dropout(&mut self, shape: Shape, p: f32, draw: Draw, x: &mut Buffer) -> Result<()> {
        self.replay.step(draw.step)?;
        if self.replay.skips(("dropout", shape, p.to_bits(), draw.seed, draw.stream, at(x))) {
            return Ok(());
        }
        dropout::in_place(self, shape, p, draw, x)
    }

    fn softmax_cross_entropy(
        &mut self,
        op: &SoftmaxCrossEntropy,
        logits: &Buffer,
        labels: &Buffer,
        metrics: &mut Buffer,
        dlogits: Option<&mut Buffer>,
    ) -> Result<()> {
        let buffers = (at(logits), at(labels), at(metrics), maybe_at(dlogits.as_deref()));
        if self.replay.skips(("softmax_cross_entropy", op, buffers)) {
            return Ok(());
        }
        softmax_cross_entropy::forward_backward(self, op, logits, labels, metrics, dlogits)
    }

    fn sgd(
        &mut self,
        settings: &Sgd,
        content: Content,
        weight: &mut Buffer,
        dweight: &Buffer,
        velocity: Option<&mut Buffer>,
    ) -> Result<()> {
        self.replay.lr(settings.lr)?;
        let buffers = (at(weight), at(dweight), maybe_at(velocity.as_deref()));
        if self.replay.skips(("sgd", fingerprint(settings), content, buffers)) {
            return Ok(());
        }
        sgd::step(self, settings, content, weight, dweight, velocity)
    }

    fn blend(
        &mut self,
        content: Content,
        alpha: f32,
        x: &Buffer,
        beta: f32,
        y: &mut Buffer,
    ) -> Result<()> {
        if self.replay.skips(("blend", content, alpha.to_bits(), at(x), beta.to_bits(), at(y))) {
            return Ok(());
        }
        update::blend(self, content, alpha, x, beta, y)
    }

    fn clip_gradients(
        &mut self,
        max_norm: f32,
        gradients: &mut [(Content, &mut Buffer)],
    ) -> Result<()> {
        let parts: Vec<_> =
            gradients.iter().map(|(content, buffer)| (*content, at(buffer))).collect();
        if self.replay.skips(("clip_gradients", max_norm.to_bits(), parts)) {
            return Ok(());
        }
        update::clip(self, max_norm, gradients)
    }
}
