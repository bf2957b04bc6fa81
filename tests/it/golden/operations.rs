//! Single operations of PyTorch and their gradients.

use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, Lrn, MaxPool2d};
use vgg_tensor::{Backend, Result};
use vgg_testkit::Golden;
use vgg_testkit::conformance::{Bench, Conv2dTrial, LinearTrial, LrnTrial, MaxPool2dTrial, Trial};

use super::{check, golden};

pub(super) fn check_all<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let (golden, mut backend) = (&golden("operations"), make());
    let bench = &mut Bench::new(&mut backend);

    for (name, padding, epilogue) in [
        ("conv2d.bias_3x3", 1, ConvEpilogue::Bias),
        ("conv2d.bias_1x1", 0, ConvEpilogue::Bias),
        ("conv2d.relu_3x3", 1, ConvEpilogue::BiasRelu),
        ("conv2d.relu_5x5", 0, ConvEpilogue::BiasRelu),
        ("conv2d.relu_ties", 1, ConvEpilogue::BiasRelu),
        ("conv2d.pool_3x3", 1, ConvEpilogue::BiasReluMaxPool),
        ("conv2d.pool_ties", 1, ConvEpilogue::BiasReluMaxPool),
    ] {
        let of = |tensor: &str| golden.numbers(&format!("{name}.{tensor}"));
        let x = golden.shape(&format!("{name}.x"));
        let weight = golden.shape(&format!("{name}.weight"));
        let op = Conv2d::new(x, weight.n, weight.h, padding, epilogue)?;
        let trial = Conv2dTrial::on(op, of("x"), of("weight"), of("bias"), of("dy"));
        check_trial(bench, golden, name, &trial, error)?;
    }

    for name in ["linear.relu", "linear.relu_ties"] {
        let of = |tensor: &str| golden.numbers(&format!("{name}.{tensor}"));
        let x = golden.shape(&format!("{name}.x"));
        let op = Linear::new(x, of("bias").len(), LinearEpilogue::BiasRelu)?;
        let trial = LinearTrial::on(op, of("x"), of("weight"), of("bias"), of("dy"));
        check_trial(bench, golden, name, &trial, error)?;
    }

    for (kernel, stride) in [(2, 2), (3, 2), (3, 1), (2, 3)] {
        let name = format!("max_pool2d.{kernel}_{stride}");
        let of = |tensor: &str| golden.numbers(&format!("{name}.{tensor}"));
        let op = MaxPool2d::new(golden.shape(&format!("{name}.x")), kernel, stride)?;
        let trial = MaxPool2dTrial::on(op, of("x"), of("dy"));
        check_trial(bench, golden, &name, &trial, 0.0)?;
    }

    for name in ["lrn.3", "lrn.9"] {
        let of = |tensor: &str| golden.numbers(&format!("{name}.{tensor}"));
        let op = Lrn::new(golden.shape(&format!("{name}.x")))?;
        check_trial(bench, golden, name, &LrnTrial::on(op, of("x"), of("dy")), error)?;
    }
    Ok(())
}

/// Checks each output of a trial.
fn check_trial<B: Backend, T: Trial>(
    bench: &mut Bench<'_, B>,
    golden: &Golden,
    name: &str,
    trial: &T,
    error: f64,
) -> Result<()> {
    for (output, numbers) in trial.run(bench)? {
        // As "dweight without dx", which is the same dweight.
        let tensor = output.split(' ').next().unwrap_or(output);
        check(golden, &format!("{name}.{tensor}"), &numbers, error);
    }
    Ok(())
}
