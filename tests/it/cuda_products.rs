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
    Linear::new(Shape::new(2, 16385, 1, 1), 130, LinearEpilogue::Bias)
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

/// What comes of it is exact, and what products take after the step is what they take of the same
/// numbers, uploaded.
#[test]
fn a_weight_is_updated_in_blocks_with_its_copy() -> Result<()> {
    let test = concat!(module_path!(), "::a_weight_is_updated_in_blocks_with_its_copy");
    let Some(mut cuda) = cuda(Precision::Bf16, test) else { return Ok(()) };
    let op = two_blocks()?;
    let (ins, rows) = (op.in_features(), op.out_features());
    let content = op.weight();
    let (maps, outs) = (Content::Maps(op.x()), Content::Vector(rows));
    let uploaded = |cuda: &mut Cuda, content: Content, numbers: &[f32]| -> Result<_> {
        let mut buffer = cuda.alloc(content)?;
        cuda.upload(content, numbers, &mut buffer)?;
        Ok(buffer)
    };
    let downloaded = |cuda: &mut Cuda, content: Content, buffer: &_| -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; content.len()];
        cuda.download(content, buffer, &mut numbers)?;
        Ok(numbers)
    };
    let [start, speed] = [1, 2].map(|seed| inputs::integers(seed, content.len(), 9));
    let (x_numbers, dy_numbers) =
        (inputs::integers(3, maps.len(), 3), inputs::integers(4, op.y().len(), 3));
    let x = uploaded(&mut cuda, maps, &x_numbers)?;
    let dy = uploaded(&mut cuda, Content::Maps(op.y()), &dy_numbers)?;
    let mut weight = uploaded(&mut cuda, content, &start)?;
    let mut velocity = uploaded(&mut cuda, content, &speed)?;
    let (bias, mut dbias) = (cuda.alloc(outs)?, cuda.alloc(outs)?);
    let aux = cuda.alloc(Content::Bytes(op.aux_bytes()))?;

    let mut dweight = cuda.alloc(content)?;
    let gradient = WeightGradient::Stored { weight: &weight, dweight: &mut dweight };
    cuda.linear_backward(&op, &x, gradient, &dy, &aux, &mut dbias, None)?;
    let expected: Vec<f32> = (0..rows * ins)
        .map(|i| {
            let of_image = |n| dy_numbers[n * rows + i / ins] * x_numbers[n * ins + i % ins];
            (0..op.x().n).map(of_image).sum()
        })
        .collect();
    assert!(downloaded(&mut cuda, content, &dweight)? == expected);

    let settings = &Sgd { momentum: 0.5, ..Sgd::plain(0.25) };
    let velocity_before = Some(&mut velocity);
    let gradient =
        WeightGradient::Applied { settings, weight: &mut weight, velocity: velocity_before };
    cuda.linear_backward(&op, &x, gradient, &dy, &aux, &mut dbias, None)?;
    let after = downloaded(&mut cuda, content, &weight)?;
    let speed: Vec<f32> = speed.iter().zip(&expected).map(|(v, g)| 0.5 * v + g).collect();
    assert!(downloaded(&mut cuda, content, &velocity)? == speed);
    assert!(after.iter().zip(&start).zip(&speed).all(|((after, w), v)| *after == w - 0.25 * v));

    let again = uploaded(&mut cuda, content, &after)?;
    let mut outputs = |weight| -> Result<_> {
        let y = Content::Maps(op.y());
        let mut to = cuda.alloc(y)?;
        cuda.linear(&op, &x, weight, &bias, &mut to, None)?;
        downloaded(&mut cuda, y, &to)
    };
    assert_eq!(outputs(&weight)?, outputs(&again)?);
    Ok(())
}
