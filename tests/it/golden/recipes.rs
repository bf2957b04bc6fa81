//! What a step has besides the optimiser: ten steps of the small VGG-11 with each part of a recipe.

use vgg_model::{Group, Recipe, SgdConfig, Target};
use vgg_tensor::{Backend, Result};

use super::vgg11::{BATCH, IMAGE, LR, SmallVgg};
use super::{check, golden};

pub(super) fn training<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let (small, golden) = (SmallVgg::new()?, golden("recipes"));
    let others = golden.bytes("others").iter().map(|class| u32::from(*class));
    let mix: Vec<(u32, f32)> = others.zip(golden.numbers("shares").iter().copied()).collect();
    let plain = Recipe::from(SgdConfig { momentum: 0.875, ..SgdConfig::plain(LR) });
    let weights: Vec<f32> = (1..=10_u8).map(|class| f32::from(class) / 8.0).collect();
    let group = |layers: &str, lr, weight_decay| Group { layers: layers.into(), lr, weight_decay };
    let groups = vec![
        group("features.0..features.16", 0.125, None),
        group("classifier.0", 0.5, Some(0.25)),
        group("classifier.6", 1.0, Some(0.125)),
    ];
    let runs = [
        ("groups", Recipe { groups, ..plain.clone() }),
        ("parts", Recipe { micro_batches: 2, ..plain.clone() }),
        ("clipped", Recipe { clip_norm: Some(0.5), ..plain.clone() }),
        ("averaged", Recipe { ema_decay: Some(0.75), ..plain.clone() }),
        ("smooth", Recipe { label_smoothing: 0.125, ..plain.clone() }),
        ("mixed", Recipe { label_smoothing: 0.125, mixes: true, ..plain.clone() }),
        ("weighted", Recipe { class_weights: weights.clone(), ..plain.clone() }),
        // The whole batch has one divisor.
        ("weighted", Recipe { class_weights: weights.clone(), micro_batches: 2, ..plain.clone() }),
        (
            "weighted_smooth",
            Recipe {
                class_weights: weights.clone(),
                label_smoothing: 0.125,
                micro_batches: 2,
                ..plain.clone()
            },
        ),
        (
            "weighted_mixed",
            Recipe { class_weights: weights, label_smoothing: 0.125, mixes: true, ..plain.clone() },
        ),
        ("frozen", Recipe { freeze: vec!["features.0".into(), "classifier.3".into()], ..plain }),
    ];
    for (run, recipe) in runs {
        let mixes = recipe.mixes;
        let mut trainer = small.trainer(make(), recipe)?;
        let mut losses = Vec::new();
        for step in 0..10 {
            let images = if step % 2 == 0 { 0..BATCH } else { BATCH..small.labels.len() };
            let labels = &small.labels[images.clone()];
            let mix = if mixes { &mix[images.clone()] } else { &[] };
            let pixels = &small.pixels()[images.start * IMAGE..images.end * IMAGE];
            trainer.submit(pixels, Target::mixed(labels, mix), LR)?;
            let metrics = trainer.next_metrics(true)?.expect("a step was submitted");
            losses.push(metrics.loss_sum / labels.len() as f32);
        }
        check(&golden, &format!("losses.{run}"), &losses, error);
        let params = match trainer.ema()? {
            Some(ema) => ema,
            None => trainer.params()?,
        };
        for (name, bias) in params.iter().filter(|(name, _)| name.ends_with("bias")) {
            check(&golden, &format!("final.{run}.{name}"), bias.data(), error);
        }
    }
    Ok(())
}
