//! How another program uses this crate: train on its own batches, keep the network, classify.
//!
//! `cargo run -p vgg-model --example embed` trains on stripes and classifies them again.
//! `… --example embed CHECKPOINT` classifies gray noise with a checkpoint of any network.
#![allow(clippy::print_stdout, reason = "an example's output is what it prints")]

use std::path::Path;

use vgg_cpu::{Config, Cpu};
use vgg_model::{
    Arch, BiasInit, Checkpoint, Init, Input, Params, Progress, Result, Session, SgdConfig, Trainer,
    Vgg, VggConfig, WeightInit,
};

const SIDE: usize = 32;
const BATCH: usize = 12;

fn main() -> Result<()> {
    if let Some(path) = std::env::args().nth(1) {
        let checkpoint = Checkpoint::load_weights(Path::new(&path))?;
        let noise: Vec<u8> = (0..checkpoint.input.image_bytes())
            .map(|i| (i as u32).wrapping_mul(0x9E37_79B9).to_be_bytes()[0])
            .collect();
        return classify(checkpoint, &noise);
    }
    let path = std::env::temp_dir().join(format!("vgg-embed-{}.safetensors", std::process::id()));
    train()?.save(&path)?;
    let checkpoint = Checkpoint::load(&path)?;
    // Files in a temporary folder need no error handling.
    let _ = std::fs::remove_file(&path);
    classify(checkpoint, &stripes(4).0)
}

/// Trains a narrow VGG-11 on batches made up here.
fn train() -> Result<Checkpoint> {
    let config = VggConfig {
        arch: Arch::Vgg11,
        width: 0.125,
        input: [1, SIDE, SIDE],
        classes: 2,
        fc_width: 64,
        dropout: 0.1,
        ..VggConfig::default()
    };
    let vgg = Vgg::new(&config)?;
    let init = Init { weights: WeightInit::KaimingNormal, biases: BiasInit::Zeros };
    let params = Params::init(&vgg, &init, 42)?;
    let input = Input { mean: vec![0.5], std: vec![0.5], ..Input::unnormalized(1, SIDE, SIDE) };
    let sgd = SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.01) };
    let cpu = Cpu::new(Config::default())?;
    let mut trainer = Trainer::new(cpu, &vgg, &input, &params, BATCH, sgd, 42)?;

    let (pixels, labels) = stripes(BATCH);
    for _ in 0..20 {
        let metrics = trainer.step(&pixels, &labels, sgd.lr)?;
        if trainer.steps().is_multiple_of(5) {
            let loss = metrics.loss_sum / BATCH as f32;
            println!("step {:2}  loss {loss:.4}", trainer.steps());
        }
    }
    Ok(Checkpoint {
        vgg: config,
        input,
        classes: vec!["standing".into(), "lying".into()],
        params: trainer.params()?,
        moments: Default::default(), // needed only to go on training
        unaveraged: None,
        progress: Progress { step: trainer.steps(), seed: 42, ..Progress::default() },
        run: "trained by the example".into(),
    })
}

/// Prints the likeliest class of each image.
fn classify(checkpoint: Checkpoint, pixels: &[u8]) -> Result<()> {
    let Checkpoint { vgg, input, params, classes, .. } = checkpoint;
    let vgg = Vgg::new(&vgg)?;
    let mut session = Session::new(Cpu::new(Config::default())?, &vgg, &input, params, BATCH)?;
    let probabilities = session.probabilities(pixels)?;
    for (i, row) in probabilities.chunks(vgg.config().classes).enumerate() {
        let (class, p) =
            row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &0.0));
        let name = classes.get(class).map_or("", String::as_str);
        println!("image {i}: class {class} {name} ({:.1} %)", 100.0 * p);
    }
    Ok(())
}

/// Images of stripes, alternately standing and lying, of different widths, and their labels.
fn stripes(n: usize) -> (Vec<u8>, Vec<u32>) {
    let pixel = |image: usize, row: usize, column: usize| {
        let along = if image.is_multiple_of(2) { column } else { row };
        if (along / (2 + image / 2)).is_multiple_of(2) { 255 } else { 0 }
    };
    let image = |i| (0..SIDE * SIDE).map(move |at| pixel(i, at / SIDE, at % SIDE));
    ((0..n).flat_map(image).collect(), (0..n as u32).map(|i| i % 2).collect())
}
