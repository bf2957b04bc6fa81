//! Every gradient of the reference backend against finite differences.

use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn,
    MaxPool2d, Metrics, SoftmaxCrossEntropy,
};
use vgg_tensor::{Backend, Draw, Result, Shape, WeightGradient};
use vgg_testkit::{Buffer, Reference, check_gradient, inputs};

fn uniform(seed: u64, len: usize) -> Vec<f64> {
    inputs::uniform(seed, len, 1.0).into_iter().map(f64::from).collect()
}

fn buffer(numbers: &[f64]) -> Buffer<f64> {
    Buffer::Numbers(numbers.to_vec())
}

fn zeros(len: usize) -> Buffer<f64> {
    Buffer::Numbers(vec![0.0; len])
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check_conv2d(op: &Conv2d) -> Result<()> {
    let mut backend = Reference::<f64>::new();
    let y_len = op.y().len();
    let x = uniform(1, op.x().len());
    let weight = uniform(2, op.weight().len());
    let bias = uniform(3, op.c_out());
    let dy = uniform(4, y_len);

    let (mut y, mut aux) = (zeros(y_len), Buffer::Bytes(vec![0; op.aux_bytes()]));
    let (mut dweight, mut dbias, mut dx) = (zeros(weight.len()), zeros(bias.len()), zeros(x.len()));
    let [bx, bw, bb, bdy] = [&x, &weight, &bias, &dy].map(|numbers| buffer(numbers));
    backend.conv2d(op, &bx, &bw, &bb, &mut y, Some(&mut aux))?;
    backend.conv2d_backward(op, &bx, &bw, &bdy, &aux, &mut dweight, &mut dbias, Some(&mut dx))?;

    let mut loss = |x: &Buffer<f64>, weight: &Buffer<f64>, bias: &Buffer<f64>| {
        backend.conv2d(op, x, weight, bias, &mut y, None).expect("reference");
        dot(y.numbers(y_len), &dy)
    };
    let name = |of| format!("{op:?}, {of}");
    check_gradient(&name("dx"), &x, dx.numbers(x.len()), |x| loss(&buffer(x), &bw, &bb));
    check_gradient(&name("dweight"), &weight, dweight.numbers(weight.len()), |weight| {
        loss(&bx, &buffer(weight), &bb)
    });
    check_gradient(&name("dbias"), &bias, dbias.numbers(bias.len()), |bias| {
        loss(&bx, &bw, &buffer(bias))
    });
    Ok(())
}

#[test]
fn conv2d() -> Result<()> {
    for epilogue in [ConvEpilogue::Bias, ConvEpilogue::BiasRelu, ConvEpilogue::BiasReluMaxPool] {
        check_conv2d(&Conv2d::new(Shape::new(2, 2, 5, 4), 3, 3, 1, epilogue)?)?;
        check_conv2d(&Conv2d::new(Shape::new(1, 3, 4, 3), 2, 1, 0, epilogue)?)?;
        check_conv2d(&Conv2d::new(Shape::new(1, 1, 6, 7), 1, 5, 2, epilogue)?)?;
        check_conv2d(&Conv2d::new(Shape::new(1, 2, 5, 5), 2, 3, 0, epilogue)?)?;
        check_conv2d(&Conv2d::new(Shape::new(2, 2, 8, 7), 2, 3, 1, epilogue)?.with_stride(2)?)?;
    }
    Ok(())
}

#[test]
fn max_pool2d() -> Result<()> {
    for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
        let mut backend = Reference::<f64>::new();
        let op = MaxPool2d::new(Shape::new(2, 3, 7, 6), kernel, stride)?;
        let (x_len, y_len) = (op.x().len(), op.y().len());
        let (x, dy) = (inputs::spread(1, x_len, 0.1), uniform(2, y_len));
        let (mut y, mut aux) = (zeros(y_len), Buffer::Bytes(vec![0; op.aux_bytes()]));
        let mut dx = zeros(x_len);
        backend.max_pool2d(&op, &buffer(&x), &mut y, Some(&mut aux))?;
        backend.max_pool2d_backward(&op, &buffer(&dy), &aux, &mut dx)?;
        check_gradient(&format!("{op:?}"), &x, dx.numbers(x_len), |x| {
            backend.max_pool2d(&op, &buffer(x), &mut y, None).expect("reference");
            dot(y.numbers(y_len), &dy)
        });
    }
    Ok(())
}

#[test]
fn avg_pool2d() -> Result<()> {
    for (h, w) in [(3, 3), (7, 6), (4, 5), (1, 1), (9, 8)] {
        let mut backend = Reference::<f64>::new();
        let op = AvgPool2d::new(Shape::new(2, 3, 7, 6), h, w)?;
        let (x_len, y_len) = (op.x().len(), op.y().len());
        let (x, dy) = (uniform(1, x_len), uniform(2, y_len));
        let (mut y, mut dx) = (zeros(y_len), zeros(x_len));
        backend.avg_pool2d_backward(&op, &buffer(&dy), &mut dx)?;
        check_gradient(&format!("{op:?}"), &x, dx.numbers(x_len), |x| {
            backend.avg_pool2d(&op, &buffer(x), &mut y).expect("reference");
            dot(y.numbers(y_len), &dy)
        });
    }
    Ok(())
}

#[test]
fn sigmoid() -> Result<()> {
    let mut backend = Reference::<f64>::new();
    let shape = Shape::new(2, 3, 4, 5);
    let x: Vec<f64> = uniform(1, shape.len()).iter().map(|x| 3.0 * x).collect();
    let (dy, mut y) = (uniform(2, shape.len()), buffer(&x));
    let mut dx = buffer(&dy);
    backend.sigmoid(shape, &mut y)?;
    backend.sigmoid_backward(shape, &y, &mut dx)?;
    check_gradient("sigmoid", &x, dx.numbers(shape.len()), |x| {
        let mut y = buffer(x);
        backend.sigmoid(shape, &mut y).expect("reference");
        dot(y.numbers(shape.len()), &dy)
    });
    Ok(())
}

#[test]
fn lrn() -> Result<()> {
    for channels in [1, 2, 5, 9] {
        let mut backend = Reference::<f64>::new();
        let op = Lrn::new(Shape::new(2, channels, 2, 3))?;
        let len = op.x().len();
        // Large enough for the normalisation to matter: alpha is 1e-4.
        let x: Vec<f64> = uniform(1, len).iter().map(|x| 100.0 * x).collect();
        let dy = uniform(2, len);
        let (mut y, mut dx) = (zeros(len), zeros(len));
        backend.lrn_backward(&op, &buffer(&x), &buffer(&dy), &mut dx)?;
        check_gradient(&format!("{op:?}"), &x, dx.numbers(len), |x| {
            backend.lrn(&op, &buffer(x), &mut y).expect("reference");
            dot(y.numbers(len), &dy)
        });
    }
    Ok(())
}

#[test]
fn batch_norm2d() -> Result<()> {
    for epilogue in [BatchNormEpilogue::Relu, BatchNormEpilogue::ReluMaxPool] {
        let mut backend = Reference::<f64>::new();
        let op = BatchNorm2d::new(Shape::new(2, 3, 5, 4), epilogue)?;
        let (c, y_len) = (op.x().c, op.y().len());
        let [x, weight, bias, dy] =
            [(1, op.x().len()), (2, c), (3, c), (4, y_len)].map(|(seed, len)| uniform(seed, len));
        let (mut mean, mut var, mut saved) = (zeros(c), zeros(c), zeros(2 * c));
        let (mut y, mut aux) = (zeros(y_len), Buffer::Bytes(vec![0; op.aux_bytes()]));
        let mut forward = |x: &[f64], weight: &[f64], bias: &[f64]| {
            let [x, weight, bias] = [x, weight, bias].map(buffer);
            let (mean, var, saved) = (&mut mean, &mut var, &mut saved);
            backend
                .batch_norm2d(&op, &x, &weight, &bias, mean, var, saved, &mut y, &mut aux)
                .expect("reference");
            (dot(y.numbers(y_len), &dy), saved.clone(), aux.clone())
        };

        let (_, saved, aux) = forward(&x, &weight, &bias);
        let (mut dweight, mut dbias, mut dx) = (zeros(c), zeros(c), zeros(x.len()));
        let [bx, bw, bdy] = [&x, &weight, &dy].map(|numbers| buffer(numbers));
        Reference::<f64>::new().batch_norm2d_backward(
            &op,
            &bx,
            &bw,
            &saved,
            &bdy,
            &aux,
            &mut dweight,
            &mut dbias,
            &mut dx,
        )?;
        let name = |of| format!("{op:?}, {of}");
        check_gradient(&name("dx"), &x, dx.numbers(x.len()), |x| forward(x, &weight, &bias).0);
        check_gradient(&name("dweight"), &weight, dweight.numbers(c), |weight| {
            forward(&x, weight, &bias).0
        });
        check_gradient(&name("dbias"), &bias, dbias.numbers(c), |bias| {
            forward(&x, &weight, bias).0
        });
    }
    Ok(())
}

#[test]
fn linear() -> Result<()> {
    for epilogue in [LinearEpilogue::Bias, LinearEpilogue::BiasRelu] {
        let mut backend = Reference::<f64>::new();
        let op = Linear::new(Shape::new(3, 4, 1, 2), 5, epilogue)?;
        let y_len = op.y().len();
        let x = uniform(1, op.x().len());
        let weight = uniform(2, op.weight().len());
        let bias = uniform(3, op.out_features());
        let dy = uniform(4, y_len);

        let (mut y, mut aux) = (zeros(y_len), Buffer::Bytes(vec![0; op.aux_bytes()]));
        let (mut dweight, mut dbias, mut dx) =
            (zeros(weight.len()), zeros(bias.len()), zeros(x.len()));
        let [bx, bw, bb, bdy] = [&x, &weight, &bias, &dy].map(|numbers| buffer(numbers));
        backend.linear(&op, &bx, &bw, &bb, &mut y, Some(&mut aux))?;
        let stored = WeightGradient::Stored { weight: &bw, dweight: &mut dweight };
        backend.linear_backward(&op, &bx, stored, &bdy, &aux, &mut dbias, Some(&mut dx))?;

        let mut loss = |x: &Buffer<f64>, weight: &Buffer<f64>, bias: &Buffer<f64>| {
            backend.linear(&op, x, weight, bias, &mut y, None).expect("reference");
            dot(y.numbers(y_len), &dy)
        };
        check_gradient("linear, dx", &x, dx.numbers(x.len()), |x| loss(&buffer(x), &bw, &bb));
        check_gradient("linear, dweight", &weight, dweight.numbers(weight.len()), |weight| {
            loss(&bx, &buffer(weight), &bb)
        });
        check_gradient("linear, dbias", &bias, dbias.numbers(bias.len()), |bias| {
            loss(&bx, &bw, &buffer(bias))
        });
    }
    Ok(())
}

#[test]
fn dropout() -> Result<()> {
    let mut backend = Reference::<f64>::new();
    let (shape, p, draw) = (Shape::flat(3, 17), 0.3, Draw { seed: 1, stream: 2, step: 3 });
    let (x, dy) = (uniform(1, shape.len()), uniform(2, shape.len()));
    // The gradient is the same call on the gradient.
    let mut dx = buffer(&dy);
    backend.dropout(shape, p, draw, &mut dx)?;
    check_gradient("dropout", &x, dx.numbers(shape.len()), |x| {
        let mut y = buffer(x);
        backend.dropout(shape, p, draw, &mut y).expect("reference");
        dot(y.numbers(shape.len()), &dy)
    });
    Ok(())
}

#[test]
fn softmax_cross_entropy() -> Result<()> {
    let mut backend = Reference::<f64>::new();
    let (n, classes) = (4, 7);
    let op = SoftmaxCrossEntropy::new(n, classes)?;
    let logits: Vec<f64> = uniform(1, n * classes).iter().map(|x| 3.0 * x).collect();
    let labels = inputs::labels(2, n, classes).iter().flat_map(|l| l.to_ne_bytes()).collect();
    let labels = Buffer::Bytes(labels);
    let (mut metrics, mut dlogits) = (zeros(Metrics::LEN), zeros(n * classes));
    let x = buffer(&logits);
    backend.softmax_cross_entropy(&op, &x, &labels, &mut metrics, Some(&mut dlogits))?;
    // The gradient is that of the mean, the metrics hold the sum.
    check_gradient("softmax_cross_entropy", &logits, dlogits.numbers(n * classes), |x| {
        let x = buffer(x);
        backend.softmax_cross_entropy(&op, &x, &labels, &mut metrics, None).expect("reference");
        metrics.numbers(1)[0] / n as f64
    });
    Ok(())
}
