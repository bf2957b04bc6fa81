//! Products on CUDA that the conformance suite, which is made for all backends, does not try.

use vgg_cuda::Precision;
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, Sgd, WeightType};
use vgg_tensor::{Command, Content, Optimizer, Result, Scalars, Shape, WeightGradient};
use vgg_testkit::conformance::{Bench, Conv2dTrial, LinearTrial, Worst, check};
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
    let (bench, spec) = (&mut Bench::new(&mut cuda), two_blocks()?);
    let (ins, rows) = (spec.in_features(), spec.out_features());
    let content = spec.weight();
    let (x_maps, y_maps) = (Content::Maps(spec.x()), Content::Maps(spec.y()));
    let outs = Content::Vector(rows);
    let [start, speed] = [1, 2].map(|seed| inputs::integers(seed, content.len(), 9));
    let (x_numbers, dy_numbers) =
        (inputs::integers(3, x_maps.len(), 3), inputs::integers(4, y_maps.len(), 3));
    let [x, dy] = [&bench.uploaded(x_maps, &x_numbers)?, &bench.uploaded(y_maps, &dy_numbers)?];
    let weight = &bench.uploaded(content, &start)?;
    let velocity = &bench.uploaded(content, &speed)?;
    let [bias, dbias] = [&bench.uploaded(outs, &vec![0.0; rows])?, &bench.poisoned(outs)?];
    let aux = &bench.poisoned(Content::Bytes(spec.aux_bytes()))?;

    let dweight = &bench.poisoned(content)?;
    let backward = |weight| Command::LinearBackward { spec, x, weight, dy, aux, dbias, dx: None };
    bench.run(backward(WeightGradient::Stored { weight, dweight }))?;
    let expected: Vec<f32> = (0..rows * ins)
        .map(|i| {
            let of_image = |n| dy_numbers[n * rows + i / ins] * x_numbers[n * ins + i % ins];
            (0..spec.x().n).map(of_image).sum()
        })
        .collect();
    assert!(bench.downloaded(dweight)? == expected);

    let (lr, sgd) = (0.25, Sgd { momentum: 0.5, ..Sgd::default() });
    let optimizer = Optimizer::Sgd { spec: sgd, velocity: Some(velocity) };
    let applied = WeightGradient::Applied { optimizer, weight };
    bench.run_with(Scalars { lr, ..Scalars::default() }, backward(applied))?;
    let after = bench.downloaded(weight)?;
    let speed: Vec<f32> = speed.iter().zip(&expected).map(|(v, g)| 0.5 * v + g).collect();
    assert!(bench.downloaded(velocity)? == speed);
    assert!(after.iter().zip(&start).zip(&speed).all(|((after, w), v)| *after == w - lr * v));

    let again = &bench.uploaded(content, &after)?;
    let mut outputs = |weight| -> Result<_> {
        let y = &bench.poisoned(y_maps)?;
        bench.run(Command::Linear { spec, x, weight, bias, y, aux: None })?;
        bench.downloaded(y)
    };
    assert_eq!(outputs(weight)?, outputs(again)?);
    Ok(())
}
