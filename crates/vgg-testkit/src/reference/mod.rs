//! Every operation as naive loops over PyTorch's layout: the executable form of the trait's
//! documentation. Slow, obvious, and the yardstick for all other backends.

mod avg_pool2d;
pub(crate) mod batch_norm2d;
mod buffer;
mod conv2d;
mod decisions;
mod dropout;
mod linear;
mod lrn;
mod max_pool2d;
mod prepare_images;
mod sgd;
mod sigmoid;
mod softmax_cross_entropy;

use std::marker::PhantomData;

use half::f16;
use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Metrics, Normalize, PrepareImages, Sgd,
    SoftmaxCrossEntropy, WeightType,
};
use vgg_tensor::{Backend, Content, Draw, Result, Shape, WeightGradient};

use crate::Real;
pub use buffer::Buffer;

/// The reference backend, computing in `T`: `f64` as the yardstick, `f32` to see what rounding
/// alone does to a naive implementation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference<T>(PhantomData<T>);

impl<T: Real> Reference<T> {
    /// A reference backend. It has no state.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Real> Backend for Reference<T> {
    type Buffer = Buffer<T>;
    type Download = Vec<f32>;

    fn describe(&self) -> String {
        format!("reference, naive loops in {}, one thread", T::NAME)
    }

    fn alloc(&mut self, content: Content) -> Result<Buffer<T>> {
        Ok(match content {
            Content::Bytes(len) => Buffer::Bytes(vec![0; len]),
            _ => Buffer::Numbers(vec![T::default(); content.len()]),
        })
    }

    fn upload(&mut self, content: Content, src: &[f32], dst: &mut Buffer<T>) -> Result<()> {
        assert_eq!(src.len(), content.len(), "numbers to upload");
        let half = matches!(content, Content::LinearWeight { weight_type: WeightType::F16, .. });
        for (to, from) in dst.numbers_mut(content.len()).iter_mut().zip(src) {
            *to = T::from(if half { f16::from_f32(*from).to_f32() } else { *from });
        }
        Ok(())
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut Buffer<T>) -> Result<()> {
        dst.bytes_mut(src.len()).copy_from_slice(src);
        Ok(())
    }

    fn download(&mut self, content: Content, src: &Buffer<T>, dst: &mut [f32]) -> Result<()> {
        assert_eq!(dst.len(), content.len(), "numbers to download");
        for (to, from) in dst.iter_mut().zip(src.numbers(content.len())) {
            let value: f64 = (*from).into();
            *to = value as f32;
        }
        Ok(())
    }

    fn start_download(&mut self, content: Content, src: &Buffer<T>) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; content.len()];
        self.download(content, src, &mut numbers)?;
        Ok(numbers)
    }

    fn prepare_images(
        &mut self,
        op: &PrepareImages,
        normalize: &Normalize,
        pixels: &Buffer<T>,
        x: &mut Buffer<T>,
    ) -> Result<()> {
        let (source, target) = (op.source().len(), op.x().len());
        prepare_images::forward(op, normalize, pixels.bytes(source), x.numbers_mut(target));
        Ok(())
    }

    fn conv2d(
        &mut self,
        op: &Conv2d,
        x: &Buffer<T>,
        weight: &Buffer<T>,
        bias: &Buffer<T>,
        y: &mut Buffer<T>,
        aux: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        conv2d::forward(
            op,
            x.numbers(op.x().len()),
            weight.numbers(op.weight().len()),
            bias.numbers(op.c_out()),
            y.numbers_mut(op.y().len()),
            aux.map(|aux| aux.bytes_mut(op.aux_bytes())),
        );
        Ok(())
    }

    fn conv2d_backward(
        &mut self,
        op: &Conv2d,
        x: &Buffer<T>,
        weight: &Buffer<T>,
        dy: &Buffer<T>,
        aux: &Buffer<T>,
        dweight: &mut Buffer<T>,
        dbias: &mut Buffer<T>,
        dx: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        conv2d::backward(
            op,
            x.numbers(op.x().len()),
            weight.numbers(op.weight().len()),
            dy.numbers(op.y().len()),
            aux.bytes(op.aux_bytes()),
            dweight.numbers_mut(op.weight().len()),
            dbias.numbers_mut(op.c_out()),
            dx.map(|dx| dx.numbers_mut(op.x().len())),
        );
        Ok(())
    }

    fn max_pool2d(
        &mut self,
        op: &MaxPool2d,
        x: &Buffer<T>,
        y: &mut Buffer<T>,
        aux: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        let (x, y) = (x.numbers(op.x().len()), y.numbers_mut(op.y().len()));
        max_pool2d::forward(op, x, y, aux.map(|aux| aux.bytes_mut(op.aux_bytes())));
        Ok(())
    }

    fn max_pool2d_backward(
        &mut self,
        op: &MaxPool2d,
        dy: &Buffer<T>,
        aux: &Buffer<T>,
        dx: &mut Buffer<T>,
    ) -> Result<()> {
        let (dy, dx) = (dy.numbers(op.y().len()), dx.numbers_mut(op.x().len()));
        max_pool2d::backward(op, dy, aux.bytes(op.aux_bytes()), dx);
        Ok(())
    }

    fn avg_pool2d(&mut self, op: &AvgPool2d, x: &Buffer<T>, y: &mut Buffer<T>) -> Result<()> {
        avg_pool2d::forward(op, x.numbers(op.x().len()), y.numbers_mut(op.y().len()));
        Ok(())
    }

    fn avg_pool2d_backward(
        &mut self,
        op: &AvgPool2d,
        dy: &Buffer<T>,
        dx: &mut Buffer<T>,
    ) -> Result<()> {
        avg_pool2d::backward(op, dy.numbers(op.y().len()), dx.numbers_mut(op.x().len()));
        Ok(())
    }

    fn lrn(&mut self, op: &Lrn, x: &Buffer<T>, y: &mut Buffer<T>) -> Result<()> {
        let len = op.x().len();
        lrn::forward(op, x.numbers(len), y.numbers_mut(len));
        Ok(())
    }

    fn lrn_backward(
        &mut self,
        op: &Lrn,
        x: &Buffer<T>,
        dy: &Buffer<T>,
        dx: &mut Buffer<T>,
    ) -> Result<()> {
        let len = op.x().len();
        lrn::backward(op, x.numbers(len), dy.numbers(len), dx.numbers_mut(len));
        Ok(())
    }

    fn batch_norm2d(
        &mut self,
        op: &BatchNorm2d,
        x: &Buffer<T>,
        weight: &Buffer<T>,
        bias: &Buffer<T>,
        running_mean: &mut Buffer<T>,
        running_var: &mut Buffer<T>,
        saved: &mut Buffer<T>,
        y: &mut Buffer<T>,
        aux: &mut Buffer<T>,
    ) -> Result<()> {
        let c = op.x().c;
        let x = x.numbers(op.x().len());
        let [mean, var] = [running_mean, running_var].map(|running| running.numbers_mut(c));
        let saved = saved.numbers_mut(2 * c);
        batch_norm2d::statistics(op, x, mean, var, saved);
        let (weight, bias) = (weight.numbers(c), bias.numbers(c));
        let aux = Some(aux.bytes_mut(op.aux_bytes()));
        batch_norm2d::apply(op, x, weight, bias, saved, y.numbers_mut(op.y().len()), aux);
        Ok(())
    }

    fn batch_norm2d_inference(
        &mut self,
        op: &BatchNorm2d,
        x: &Buffer<T>,
        weight: &Buffer<T>,
        bias: &Buffer<T>,
        running_mean: &Buffer<T>,
        running_var: &Buffer<T>,
        y: &mut Buffer<T>,
    ) -> Result<()> {
        let vectors = [weight, bias, running_mean, running_var];
        let [weight, bias, mean, var] = vectors.map(|vector| vector.numbers(op.x().c));
        let saved = batch_norm2d::running(mean, var);
        let (x, y) = (x.numbers(op.x().len()), y.numbers_mut(op.y().len()));
        batch_norm2d::apply(op, x, weight, bias, &saved, y, None);
        Ok(())
    }

    fn batch_norm2d_backward(
        &mut self,
        op: &BatchNorm2d,
        x: &Buffer<T>,
        weight: &Buffer<T>,
        saved: &Buffer<T>,
        dy: &Buffer<T>,
        aux: &Buffer<T>,
        dweight: &mut Buffer<T>,
        dbias: &mut Buffer<T>,
        dx: &mut Buffer<T>,
    ) -> Result<()> {
        let (c, x_len) = (op.x().c, op.x().len());
        batch_norm2d::backward(
            op,
            x.numbers(x_len),
            weight.numbers(c),
            saved.numbers(2 * c),
            dy.numbers(op.y().len()),
            aux.bytes(op.aux_bytes()),
            dweight.numbers_mut(c),
            dbias.numbers_mut(c),
            dx.numbers_mut(x_len),
        );
        Ok(())
    }

    fn sigmoid(&mut self, shape: Shape, x: &mut Buffer<T>) -> Result<()> {
        sigmoid::in_place(x.numbers_mut(shape.len()));
        Ok(())
    }

    fn sigmoid_backward(&mut self, shape: Shape, y: &Buffer<T>, dy: &mut Buffer<T>) -> Result<()> {
        sigmoid::backward(y.numbers(shape.len()), dy.numbers_mut(shape.len()));
        Ok(())
    }

    fn linear(
        &mut self,
        op: &Linear,
        x: &Buffer<T>,
        weight: &Buffer<T>,
        bias: &Buffer<T>,
        y: &mut Buffer<T>,
        aux: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        linear::forward(
            op,
            x.numbers(op.x().len()),
            weight.numbers(op.weight().len()),
            bias.numbers(op.out_features()),
            y.numbers_mut(op.y().len()),
            aux.map(|aux| aux.bytes_mut(op.aux_bytes())),
        );
        Ok(())
    }

    fn linear_backward(
        &mut self,
        op: &Linear,
        x: &Buffer<T>,
        weight: WeightGradient<'_, Buffer<T>>,
        dy: &Buffer<T>,
        aux: &Buffer<T>,
        dbias: &mut Buffer<T>,
        dx: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        let content = op.weight();
        content.check_trainable()?;
        let mut dw = self.alloc(content)?;
        linear::backward(
            op,
            x.numbers(op.x().len()),
            weight.weight().numbers(content.len()),
            dy.numbers(op.y().len()),
            aux.bytes(op.aux_bytes()),
            dw.numbers_mut(content.len()),
            dbias.numbers_mut(op.out_features()),
            dx.map(|dx| dx.numbers_mut(op.x().len())),
        );
        match weight {
            WeightGradient::Stored { dweight, .. } => {
                dweight.numbers_mut(content.len()).copy_from_slice(dw.numbers(content.len()));
                Ok(())
            }
            WeightGradient::Applied { settings, weight, velocity } => {
                self.sgd(settings, content, weight, &dw, velocity)
            }
        }
    }

    fn dropout(&mut self, shape: Shape, p: f32, draw: Draw, x: &mut Buffer<T>) -> Result<()> {
        dropout::in_place(p, draw, x.numbers_mut(shape.len()));
        Ok(())
    }

    fn softmax_cross_entropy(
        &mut self,
        op: &SoftmaxCrossEntropy,
        logits: &Buffer<T>,
        labels: &Buffer<T>,
        metrics: &mut Buffer<T>,
        dlogits: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        let len = op.logits().len();
        softmax_cross_entropy::forward_backward(
            op,
            logits.numbers(len),
            labels.bytes(4 * op.logits().n),
            metrics.numbers_mut(Metrics::LEN),
            dlogits.map(|dlogits| dlogits.numbers_mut(len)),
        );
        Ok(())
    }

    fn sgd(
        &mut self,
        settings: &Sgd,
        content: Content,
        weight: &mut Buffer<T>,
        dweight: &Buffer<T>,
        velocity: Option<&mut Buffer<T>>,
    ) -> Result<()> {
        content.check_trainable()?;
        assert_eq!(velocity.is_some(), settings.momentum != 0.0, "a velocity goes with momentum");
        let len = content.len();
        let velocity = velocity.map(|velocity| velocity.numbers_mut(len));
        sgd::step(settings, weight.numbers_mut(len), dweight.numbers(len), velocity);
        Ok(())
    }
}
