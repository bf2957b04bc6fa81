//! Products on CUDA that the conformance suite, which is made for all backends, does not try.

use vgg_cuda::{Cuda, Precision};
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, Sgd, WeightType};
use vgg_tensor::{Backend, Content, Result, Shape, WeightGradient};
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

/// 128 rows make a block: this weight has two.
fn two_blocks() -> Result<Linear> {
    Linear::new(Shape::new(2, 32768, 1, 1), 130, LinearEpilogue::Bias)
}

#[test]
fn a_weight_is_converted_in_blocks() -> Result<()> {
    let test = concat!(module_path!(), "::a_weight_is_converted_in_blocks");
    let Some(mut cuda) = cuda(Precision::Bf16, test) else { return Ok(()) };
    let op = two_blocks()?.with_weight_type(WeightType::F16);
    let trial = LinearTrial::smooth(op, Arithmetic::Bf16);
    check(&mut cuda, &trial, &mut Worst::default());
    Ok(())
}

/// What products take after a step is what they take of the same numbers, uploaded.
#[test]
fn a_weight_is_updated_in_blocks_with_its_copy() -> Result<()> {
    let test = concat!(module_path!(), "::a_weight_is_updated_in_blocks_with_its_copy");
    let Some(mut cuda) = cuda(Precision::Bf16, test) else { return Ok(()) };
    let op = two_blocks()?;
    let content = op.weight();
    let (maps, outs) = (Content::Maps(op.x()), Content::Vector(op.out_features()));
    let uploaded = |cuda: &mut Cuda, content: Content, numbers: &[f32]| -> Result<_> {
        let mut buffer = cuda.alloc(content)?;
        cuda.upload(content, numbers, &mut buffer)?;
        Ok(buffer)
    };
    let start = inputs::uniform(1, content.len(), 0.01);
    let x = uploaded(&mut cuda, maps, &inputs::uniform(2, maps.len(), 1.0))?;
    let dy = uploaded(&mut cuda, Content::Maps(op.y()), &inputs::uniform(3, op.y().len(), 1.0))?;
    let mut weight = uploaded(&mut cuda, content, &start)?;
    let (bias, mut dbias) = (cuda.alloc(outs)?, cuda.alloc(outs)?);
    let aux = cuda.alloc(Content::Bytes(op.aux_bytes()))?;
    let settings = &Sgd::plain(0.1);
    let gradient = WeightGradient::Applied { settings, weight: &mut weight, velocity: None };
    cuda.linear_backward(&op, &x, gradient, &dy, &aux, &mut dbias, None)?;

    let mut after = vec![0.0; start.len()];
    cuda.download(content, &weight, &mut after)?;
    assert!(after.iter().zip(&start).filter(|(after, start)| after != start).count() > 4_000_000);
    let again = uploaded(&mut cuda, content, &after)?;
    let mut outputs = |weight| -> Result<_> {
        let (mut y, mut numbers) = (cuda.alloc(Content::Maps(op.y()))?, vec![0.0; op.y().len()]);
        cuda.linear(&op, &x, weight, &bias, &mut y, None)?;
        cuda.download(Content::Maps(op.y()), &y, &mut numbers)?;
        Ok(numbers)
    };
    assert_eq!(outputs(&weight)?, outputs(&again)?);
    Ok(())
}
