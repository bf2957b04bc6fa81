//! Every gradient of the reference backend against finite differences.

use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, BatchNormEpilogue, BoxMetrics, Conv2d, ConvEpilogue, EuclideanLoss,
    Linear, LinearEpilogue, Lrn, MaxPool2d, Metrics, SoftmaxCrossEntropy,
};
use vgg_tensor::{Bound, Command, Content, Result, Scalars, Shape, WeightGradient};
use vgg_testkit::{Buffer, Reference, check_gradient, inputs};

fn uniform(seed: u64, len: usize) -> Vec<f64> {
    inputs::uniform(seed, len, 1.0).into_iter().map(f64::from).collect()
}

fn buffer(numbers: &[f64]) -> Buffer<f64> {
    let mut buffer = zeros(numbers.len());
    buffer.numbers_mut(numbers.len()).copy_from_slice(numbers);
    buffer
}

fn zeros(len: usize) -> Buffer<f64> {
    Buffer::zeros(Content::Vector(len))
}

fn bytes(len: usize) -> Buffer<f64> {
    Buffer::zeros(Content::Bytes(len))
}

fn run(command: Bound<'_, Buffer<f64>>) {
    Reference::carry_out(command, Scalars::default());
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check_conv2d(spec: Conv2d) -> Result<()> {
    let y_len = spec.y().len();
    let x = uniform(1, spec.x().len());
    let weight = uniform(2, spec.weight().len());
    let bias = uniform(3, spec.c_out());
    let dy = uniform(4, y_len);

    let (mut y, mut aux) = (zeros(y_len), bytes(spec.aux_bytes()));
    let (mut dweight, mut dbias, mut dx) = (zeros(weight.len()), zeros(bias.len()), zeros(x.len()));
    let [bx, bw, bb, bdy] = [&x, &weight, &bias, &dy].map(|numbers| buffer(numbers));
    run(Command::Conv2d { spec, x: &bx, weight: &bw, bias: &bb, y: &mut y, aux: Some(&mut aux) });
    run(Command::Conv2dBackward {
        spec,
        x: &bx,
        weight: &bw,
        dy: &bdy,
        aux: &aux,
        dweight: &mut dweight,
        dbias: &mut dbias,
        dx: Some(&mut dx),
    });

    let mut loss = |x: &Buffer<f64>, weight: &Buffer<f64>, bias: &Buffer<f64>| {
        run(Command::Conv2d { spec, x, weight, bias, y: &mut y, aux: None });
        dot(y.numbers(y_len), &dy)
    };
    let name = |of| format!("{spec:?}, {of}");
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
        check_conv2d(Conv2d::new(Shape::new(2, 2, 5, 4), 3, 3, 1, epilogue)?)?;
        check_conv2d(Conv2d::new(Shape::new(1, 3, 4, 3), 2, 1, 0, epilogue)?)?;
        check_conv2d(Conv2d::new(Shape::new(1, 1, 6, 7), 1, 5, 2, epilogue)?)?;
        check_conv2d(Conv2d::new(Shape::new(1, 2, 5, 5), 2, 3, 0, epilogue)?)?;
        check_conv2d(Conv2d::new(Shape::new(2, 2, 8, 7), 2, 3, 1, epilogue)?.with_stride(2)?)?;
    }
    Ok(())
}

#[test]
fn max_pool2d() -> Result<()> {
    for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
        let spec = MaxPool2d::new(Shape::new(2, 3, 7, 6), kernel, stride)?;
        let (x_len, y_len) = (spec.x().len(), spec.y().len());
        let (x, dy) = (inputs::spread(1, x_len, 0.1), uniform(2, y_len));
        let (mut y, mut aux) = (zeros(y_len), bytes(spec.aux_bytes()));
        let mut dx = zeros(x_len);
        run(Command::MaxPool2d { spec, x: &buffer(&x), y: &mut y, aux: Some(&mut aux) });
        run(Command::MaxPool2dBackward { spec, dy: &buffer(&dy), aux: &aux, dx: &mut dx });
        check_gradient(&format!("{spec:?}"), &x, dx.numbers(x_len), |x| {
            run(Command::MaxPool2d { spec, x: &buffer(x), y: &mut y, aux: None });
            dot(y.numbers(y_len), &dy)
        });
    }
    Ok(())
}

#[test]
fn avg_pool2d() -> Result<()> {
    for (h, w) in [(3, 3), (7, 6), (4, 5), (1, 1), (9, 8)] {
        let spec = AvgPool2d::new(Shape::new(2, 3, 7, 6), h, w)?;
        let (x_len, y_len) = (spec.x().len(), spec.y().len());
        let (x, dy) = (uniform(1, x_len), uniform(2, y_len));
        let (mut y, mut dx) = (zeros(y_len), zeros(x_len));
        run(Command::AvgPool2dBackward { spec, dy: &buffer(&dy), dx: &mut dx });
        check_gradient(&format!("{spec:?}"), &x, dx.numbers(x_len), |x| {
            run(Command::AvgPool2d { spec, x: &buffer(x), y: &mut y });
            dot(y.numbers(y_len), &dy)
        });
    }
    Ok(())
}

#[test]
fn sigmoid() -> Result<()> {
    let shape = Shape::new(2, 3, 4, 5);
    let x: Vec<f64> = uniform(1, shape.len()).iter().map(|x| 3.0 * x).collect();
    let (dy, mut y) = (uniform(2, shape.len()), buffer(&x));
    let mut dx = buffer(&dy);
    run(Command::Sigmoid { shape, x: &mut y });
    run(Command::SigmoidBackward { shape, y: &y, dy: &mut dx });
    check_gradient("sigmoid", &x, dx.numbers(shape.len()), |x| {
        let mut y = buffer(x);
        run(Command::Sigmoid { shape, x: &mut y });
        dot(y.numbers(shape.len()), &dy)
    });
    Ok(())
}

#[test]
fn lrn() -> Result<()> {
    for channels in [1, 2, 5, 9] {
        let spec = Lrn::new(Shape::new(2, channels, 2, 3))?;
        let len = spec.x().len();
        // Large enough for the normalisation to matter: alpha is 1e-4.
        let x: Vec<f64> = uniform(1, len).iter().map(|x| 100.0 * x).collect();
        let dy = uniform(2, len);
        let (mut y, mut dx) = (zeros(len), zeros(len));
        run(Command::LrnBackward { spec, x: &buffer(&x), dy: &buffer(&dy), dx: &mut dx });
        check_gradient(&format!("{spec:?}"), &x, dx.numbers(len), |x| {
            run(Command::Lrn { spec, x: &buffer(x), y: &mut y });
            dot(y.numbers(len), &dy)
        });
    }
    Ok(())
}

#[test]
fn batch_norm2d() -> Result<()> {
    for epilogue in [BatchNormEpilogue::Relu, BatchNormEpilogue::ReluMaxPool] {
        let spec = BatchNorm2d::new(Shape::new(2, 3, 5, 4), epilogue)?;
        let (c, y_len) = (spec.x().c, spec.y().len());
        let [x, weight, bias, dy] =
            [(1, spec.x().len()), (2, c), (3, c), (4, y_len)].map(|(seed, len)| uniform(seed, len));
        let (mut mean, mut var, mut saved) = (zeros(c), zeros(c), zeros(2 * c));
        let (mut y, mut aux) = (zeros(y_len), bytes(spec.aux_bytes()));
        let mut forward = |x: &[f64], weight: &[f64], bias: &[f64]| {
            let [x, weight, bias] = [x, weight, bias].map(buffer);
            run(Command::BatchNorm2d {
                spec,
                x: &x,
                weight: &weight,
                bias: &bias,
                running_mean: &mut mean,
                running_var: &mut var,
                saved: &mut saved,
                y: &mut y,
                aux: &mut aux,
            });
            (dot(y.numbers(y_len), &dy), saved.clone(), aux.clone())
        };

        let (_, saved, aux) = forward(&x, &weight, &bias);
        let (mut dweight, mut dbias, mut dx) = (zeros(c), zeros(c), zeros(x.len()));
        let [bx, bw, bdy] = [&x, &weight, &dy].map(|numbers| buffer(numbers));
        run(Command::BatchNorm2dBackward {
            spec,
            x: &bx,
            weight: &bw,
            saved: &saved,
            dy: &bdy,
            aux: &aux,
            dweight: &mut dweight,
            dbias: &mut dbias,
            dx: &mut dx,
        });
        let name = |of| format!("{spec:?}, {of}");
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
        let spec = Linear::new(Shape::new(3, 4, 1, 2), 5, epilogue)?;
        let y_len = spec.y().len();
        let x = uniform(1, spec.x().len());
        let weight = uniform(2, spec.weight().len());
        let bias = uniform(3, spec.out_features());
        let dy = uniform(4, y_len);

        let (mut y, mut aux) = (zeros(y_len), bytes(spec.aux_bytes()));
        let (mut dweight, mut dbias, mut dx) =
            (zeros(weight.len()), zeros(bias.len()), zeros(x.len()));
        let [bx, bw, bb, bdy] = [&x, &weight, &bias, &dy].map(|numbers| buffer(numbers));
        run(Command::Linear {
            spec,
            x: &bx,
            weight: &bw,
            bias: &bb,
            y: &mut y,
            aux: Some(&mut aux),
        });
        run(Command::LinearBackward {
            spec,
            x: &bx,
            weight: WeightGradient::Stored { weight: &bw, dweight: &mut dweight },
            dy: &bdy,
            aux: &aux,
            dbias: &mut dbias,
            dx: Some(&mut dx),
        });

        let mut alone = zeros(x.len());
        run(Command::LinearInputBackward {
            spec,
            weight: &bw,
            dy: &bdy,
            aux: &aux,
            dx: &mut alone,
        });
        assert_eq!(alone.numbers(x.len()), dx.numbers(x.len()));

        let mut loss = |x: &Buffer<f64>, weight: &Buffer<f64>, bias: &Buffer<f64>| {
            run(Command::Linear { spec, x, weight, bias, y: &mut y, aux: None });
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
    let shape = Shape::flat(3, 17);
    let dropout = |x: &mut Buffer<f64>| {
        let scalars = Scalars { step: 3, ..Scalars::default() };
        Reference::carry_out(Command::Dropout { shape, p: 0.3, seed: 1, stream: 2, x }, scalars);
    };
    let (x, dy) = (uniform(1, shape.len()), uniform(2, shape.len()));
    // The gradient is the same command on the gradient.
    let mut dx = buffer(&dy);
    dropout(&mut dx);
    check_gradient("dropout", &x, dx.numbers(shape.len()), |x| {
        let mut y = buffer(x);
        dropout(&mut y);
        dot(y.numbers(shape.len()), &dy)
    });
    Ok(())
}

#[test]
fn softmax_cross_entropy() -> Result<()> {
    let (n, classes) = (4, 7);
    let plain = SoftmaxCrossEntropy::new(n, classes)?;
    let logits: Vec<f64> = uniform(1, n * classes).iter().map(|x| 3.0 * x).collect();
    let targets = [plain, plain.mixed()].map(|spec| [spec, spec.with_smoothing(0.25)]);
    for spec in targets.into_iter().flatten().flat_map(|spec| [spec, spec.weighted()]) {
        let words = inputs::targets(2, &spec);
        let words: Vec<u8> = words.iter().flat_map(|label| label.to_ne_bytes()).collect();
        let mut labels = bytes(spec.label_bytes());
        labels.bytes_mut(words.len()).copy_from_slice(&words);
        let (mut metrics, mut dlogits) = (zeros(Metrics::LEN), zeros(n * classes));
        let mut loss = |logits: &[f64], dlogits: &mut Buffer<f64>| {
            let (logits, metrics) = (&buffer(logits), &mut metrics);
            run(Command::SoftmaxCrossEntropy { spec, logits, labels: &labels, metrics, dlogits });
            metrics.numbers(1)[0] / n as f64
        };
        loss(&logits, &mut dlogits);
        // The gradient is that of the mean, the metrics hold the sum.
        check_gradient(&format!("{spec:?}"), &logits, dlogits.numbers(n * classes), |x| {
            loss(x, &mut zeros(n * classes))
        });
    }
    Ok(())
}

#[test]
fn euclidean_loss() -> Result<()> {
    for (n, boxes) in [(7, 1), (6, 3)] {
        let spec = EuclideanLoss::new(n, boxes)?;
        let words: Vec<u8> =
            inputs::boxes(2, &spec).iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut targets = bytes(spec.target_bytes());
        targets.bytes_mut(words.len()).copy_from_slice(&words);
        // Every fifth image has no box.
        let counted = (n - n / 5) as f64;
        let len = spec.predicted().len();
        let (mut metrics, mut dpredicted) = (zeros(BoxMetrics::LEN), zeros(len));
        let mut loss = |predicted: &[f64], dpredicted: &mut Buffer<f64>| {
            let (predicted, metrics, targets) = (&buffer(predicted), &mut metrics, &targets);
            run(Command::EuclideanLoss { spec, predicted, targets, metrics, dpredicted });
            metrics.numbers(1)[0] / counted
        };
        let predicted = uniform(1, len);
        loss(&predicted, &mut dpredicted);
        check_gradient(&format!("{spec:?}"), &predicted, dpredicted.numbers(len), |x| {
            loss(x, &mut zeros(len))
        });
    }
    Ok(())
}
