//! Times every layer of the small VGG-11 (a quarter of the channels, 1×224×224), forward and
//! backward: milliseconds and GFLOP/s counted as direct convolution; and for the fully connected
//! ones, how fast a forward pass reads the weights as `f32` and as `f16`.
//!
//! `cargo bench -p vgg-cpu --bench layers -- [batch] [threads] [channel divisor] [conv|linear]`
//! `[portable|avx2|avx-512]`
#![allow(clippy::print_stdout)] // a report is what a bench is for

use std::time::Instant;

use vgg_cpu::{Config, Cpu, Isa};
use vgg_tensor::spec::{Conv2d, ConvEpilogue, Linear, LinearEpilogue, Sgd, WeightType};
use vgg_tensor::{Backend, Content, Result, Shape, WeightGradient};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).map(|arg| arg.to_lowercase()).collect();
    let isa = |isa: &Isa| words.iter().any(|word| isa.to_string().to_lowercase().starts_with(word));
    let isa = Isa::available().into_iter().find(isa);
    let kind = words.iter().find(|word| ["conv", "linear"].contains(&word.as_str()));
    let skip = |name: &str| kind.is_some_and(|kind| !name.starts_with(kind));
    let mut numbers = words.iter().filter_map(|word| word.parse::<usize>().ok());
    let batch = numbers.next().unwrap_or(32);
    let threads = numbers.next();
    let divisor = numbers.next().unwrap_or(4);
    let mut cpu = Cpu::new(Config { threads, isa })?;
    println!("{}, batch {batch}, channels / {divisor}", cpu.describe());
    println!(
        "{:<24} {:>9} {:>8}   {:>9} {:>8}",
        "layer", "forward", "GFLOP/s", "backward", "GFLOP/s"
    );
    let mut total = [0.0; 2];
    let mut report = |name: String, macs: u64, products: [f64; 2], ms: [f64; 2]| {
        let rate = |pass: usize| 2.0 * products[pass] * macs as f64 / ms[pass] / 1e6;
        println!(
            "{name:<24} {:>6.2} ms {:>8.0}   {:>6.2} ms {:>8.0}",
            ms[0],
            rate(0),
            ms[1],
            rate(1)
        );
        total[0] += ms[0];
        total[1] += ms[1];
    };
    let pooled = ConvEpilogue::BiasReluMaxPool;
    let plain = ConvEpilogue::BiasRelu;
    let stages = [
        (1, 64, 224, pooled),
        (64, 128, 112, pooled),
        (128, 256, 56, plain),
        (256, 256, 56, pooled),
        (256, 512, 28, plain),
        (512, 512, 28, pooled),
        (512, 512, 14, plain),
        (512, 512, 14, pooled),
    ];
    for (i, (c_in, c_out, side, epilogue)) in stages.into_iter().enumerate() {
        let c_in = if i == 0 { c_in } else { c_in / divisor };
        let op = Conv2d::new(Shape::new(batch, c_in, side, side), c_out / divisor, 3, 1, epilogue)?;
        let name = format!("conv {c_in}→{}@{side}", op.c_out());
        let first = i == 0;
        if skip(&name) {
            continue;
        }
        report(name, op.macs(), [1.0, if first { 1.0 } else { 2.0 }], conv(&mut cpu, &op, first)?);
    }
    let c = 512 / divisor;
    for (x, out) in [
        (Shape::new(batch, c, 7, 7), 4096),
        (Shape::flat(batch, 4096), 4096),
        (Shape::flat(batch, 4096), 10),
    ] {
        let op = Linear::new(x, out, LinearEpilogue::BiasRelu)?;
        let name = format!("linear {}→{out}", op.in_features());
        if skip(&name) {
            continue;
        }
        report(name, op.macs(), [1.0, 2.0], linear(&mut cpu, &op)?);
        for op in [op, op.with_weight_type(WeightType::F16)] {
            let ms = linear_forward(&mut cpu, &op)?;
            let gb = op.weight().bytes() as f64 / 1e9;
            println!(
                "{:<24} {ms:>6.2} ms {:>8.1} GB/s of weights in {:?}",
                "",
                gb / ms * 1e3,
                op.weight_type()
            );
        }
    }
    let [forward, backward] = total;
    println!("{:<24} {forward:>6.2} ms {:>8}   {backward:>6.2} ms", "sum", "");
    let per_s = |ms: f64| batch as f64 / ms * 1e3;
    println!(
        "{:.1} img/s forward, {:.1} img/s forward and backward",
        per_s(forward),
        per_s(forward + backward)
    );
    let content = Content::Vector(42_000_000);
    let mut weight = cpu.alloc(content)?;
    let dweight = cpu.alloc(content)?;
    let ms = median(|| cpu.sgd(&Sgd::plain(0.1), content, &mut weight, &dweight, None))?;
    println!("sgd of 42 M: {ms:.1} ms, {:.1} GB/s", 42e6 * 12.0 / ms / 1e6);
    Ok(())
}

/// Milliseconds of the forward and the backward pass.
fn conv(cpu: &mut Cpu, op: &Conv2d, first: bool) -> Result<[f64; 2]> {
    let x = filled(cpu, Content::Maps(op.x()), 1.0)?;
    let mut weight = filled(cpu, op.weight(), 0.1)?;
    let bias = filled(cpu, Content::Vector(op.c_out()), 0.1)?;
    let mut y = cpu.alloc(Content::Maps(op.y()))?;
    let mut aux = cpu.alloc(Content::Bytes(op.aux_bytes()))?;
    let dy = filled(cpu, Content::Maps(op.y()), 0.1)?;
    let mut dx = cpu.alloc(Content::Maps(op.x()))?;
    let mut dw = cpu.alloc(op.weight())?;
    let mut db = cpu.alloc(Content::Vector(op.c_out()))?;
    let new_weight = vec![0.01; op.weight().len()];
    let forward = median(|| {
        cpu.upload(op.weight(), &new_weight, &mut weight)?; // as after an update
        cpu.conv2d(op, &x, &weight, &bias, &mut y, Some(&mut aux))
    })?;
    let backward = median(|| {
        let dx = if first { None } else { Some(&mut dx) };
        cpu.upload(op.weight(), &new_weight, &mut weight)?;
        cpu.conv2d_backward(op, &x, &weight, &dy, &aux, &mut dw, &mut db, dx)
    })?;
    Ok([forward, backward])
}

/// Milliseconds of the forward pass alone.
fn linear_forward(cpu: &mut Cpu, op: &Linear) -> Result<f64> {
    let x = filled(cpu, Content::Maps(op.x()), 1.0)?;
    let weight = filled(cpu, op.weight(), 0.1)?;
    let bias = filled(cpu, Content::Vector(op.out_features()), 0.1)?;
    let mut y = cpu.alloc(Content::Maps(op.y()))?;
    median(|| cpu.linear(op, &x, &weight, &bias, &mut y, None))
}

/// Milliseconds of the forward and the backward pass.
fn linear(cpu: &mut Cpu, op: &Linear) -> Result<[f64; 2]> {
    let x = filled(cpu, Content::Maps(op.x()), 1.0)?;
    let weight = filled(cpu, op.weight(), 0.1)?;
    let bias = filled(cpu, Content::Vector(op.out_features()), 0.1)?;
    let mut y = cpu.alloc(Content::Maps(op.y()))?;
    let mut aux = cpu.alloc(Content::Bytes(op.aux_bytes()))?;
    let dy = filled(cpu, Content::Maps(op.y()), 0.1)?;
    let mut dx = cpu.alloc(Content::Maps(op.x()))?;
    let mut dw = cpu.alloc(op.weight())?;
    let mut db = cpu.alloc(Content::Vector(op.out_features()))?;
    let forward = median(|| cpu.linear(op, &x, &weight, &bias, &mut y, Some(&mut aux)))?;
    let backward = median(|| {
        let stored = WeightGradient::Stored { weight: &weight, dweight: &mut dw };
        cpu.linear_backward(op, &x, stored, &dy, &aux, &mut db, Some(&mut dx))
    })?;
    Ok([forward, backward])
}

fn filled(cpu: &mut Cpu, content: Content, scale: f32) -> Result<vgg_cpu::Buffer> {
    let numbers: Vec<f32> =
        (0..content.len()).map(|i| scale * ((i * 7919 % 997) as f32 / 498.5 - 1.0)).collect();
    let mut buffer = cpu.alloc(content)?;
    cpu.upload(content, &numbers, &mut buffer)?;
    Ok(buffer)
}

/// The median milliseconds of five runs after a warm-up.
fn median(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut ms = [0.0; 5];
    for ms in &mut ms {
        let start = Instant::now();
        run()?;
        *ms = start.elapsed().as_secs_f64() * 1e3;
    }
    ms.sort_by(f64::total_cmp);
    Ok(ms[2])
}
