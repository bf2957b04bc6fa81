//! Products on CUDA that the conformance suite, which is made for all backends, does not try.

use vgg_cuda::Precision;
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, WeightType};
use vgg_tensor::{Result, Shape};
use vgg_testkit::conformance::{Conv2dTrial, LinearTrial, Worst, check};
use vgg_testkit::{Arithmetic, inputs};

use crate::simulated::cuda;

/// These numbers are exact in TF32. Most would be zero in `f16`, to which cuDNN may convert if let.
#[test]
fn tf32_has_the_range_of_f32() -> Result<()> {
    let test = concat!(module_path!(), "::tf32_has_the_range_of_f32");
    let Some(mut cuda) = cuda(Precision::Tf32, test) else { return Ok(()) };
    let op = Conv2d::new(Shape::new(2, 3, 4, 5), 4, 3, 1, ConvEpilogue::Bias)?;
    let small = |seed, len| {
        let numbers = inputs::integers(seed, len, 3);
        numbers.into_iter().map(|x| x * 2f32.powi(-26)).collect::<Vec<_>>()
    };
    let (x, dy) = (small(1, op.x().len()), small(2, op.y().len()));
    let weight = inputs::integers(3, op.weight().len(), 2);
    let trial = Conv2dTrial::on(op, &x, &weight, &[0.0; 4], &dy);
    check(&mut cuda, &trial, &mut Worst::default());
    Ok(())
}

/// 128 rows of the weight make a block.
#[test]
fn a_weight_of_two_blocks() -> Result<()> {
    let test = concat!(module_path!(), "::a_weight_of_two_blocks");
    let Some(mut cuda) = cuda(Precision::Bf16, test) else { return Ok(()) };
    let op = Linear::new(Shape::new(2, 32768, 1, 1), 130, LinearEpilogue::Bias)?;
    for weight_type in [WeightType::F32, WeightType::F16] {
        let trial = LinearTrial::smooth(op.with_weight_type(weight_type), Arithmetic::Bf16);
        check(&mut cuda, &trial, &mut Worst::default());
    }
    Ok(())
}
