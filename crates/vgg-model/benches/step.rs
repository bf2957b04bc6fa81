//! Times whole training steps and inference of VGG-11 on 1×224×224: the median images a second.
//!
//! `cargo bench -p vgg-model --bench step -- [small|full] [train|infer] [batch] [threads]`
#![allow(clippy::print_stdout)] // a report is what a bench is for

use std::time::Instant;

use vgg_cpu::{Config, Cpu};
use vgg_model::{
    Backend, Init, Input, Params, Result, Session, SgdConfig, Trainer, Vgg, VggConfig,
};

const RUNS: usize = 5;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let numbers: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let net = if has("full") { "full" } else { "small" };
    let mode = if has("infer") { "infer" } else { "train" };
    let batch = numbers.first().copied().unwrap_or(128);

    let config = VggConfig {
        width: if net == "full" { 1.0 } else { 0.25 },
        input: [1, 224, 224],
        classes: 10,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config)?;
    let input = Input::unnormalized(1, 28, 28);
    let params = Params::init(&vgg, &Init::default(), 0);
    let pixels: Vec<u8> = (0..batch * 784).map(|i| (i * 7919 % 251) as u8).collect();
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
    let cpu = Cpu::new(Config { threads: numbers.get(1).copied(), isa: None })?;
    let device = cpu.describe();

    let median = if mode == "train" {
        let sgd = SgdConfig::plain(0.05);
        let mut trainer = Trainer::new(cpu, &vgg, &input, &params, batch, sgd, 0)?;
        median(|| trainer.step(&pixels, &labels, sgd.lr).map(drop))?
    } else {
        let mut session = Session::new(cpu, &vgg, &input, &params, batch)?;
        median(|| session.logits(&pixels).map(drop))?
    };
    let rate = batch as f64 / median;
    println!("vgg11 {net}, {mode}, batch {batch}, {device}: {rate:.2} img/s");
    Ok(())
}

/// The median seconds of some runs after a warm-up.
fn median(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut seconds = [0.0; RUNS];
    for seconds in &mut seconds {
        let start = Instant::now();
        run()?;
        *seconds = start.elapsed().as_secs_f64();
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[RUNS / 2])
}
