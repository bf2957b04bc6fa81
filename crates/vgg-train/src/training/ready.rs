//! What a run needs before its first step.

use anyhow::Result;
use vgg_model::{Mode, Recipe, Vgg};
use vgg_tensor::Backend;
use vgg_tensor::ranks::Shards;

use crate::config::Config;
use crate::data::{self, Data};
use crate::machine::{cache, device, memory};
use crate::terminal::numbers::{bytes, millions, short};
use crate::terminal::ui::Ui;

/// What training needs besides a device: checked, loaded, and small enough for memory.
pub(crate) struct Ready {
    pub vgg: Vgg,
    pub data: Data,
    /// Images in a full batch.
    pub batch: usize,
}

impl Ready {
    /// Makes it, and tells of it.
    ///
    /// `held` are bytes of a checkpoint that it goes on from, `shards` those of this rank, `others` how many
    /// ranks are beside it on this machine.
    pub(crate) fn make(
        config: &Config,
        ui: &Ui,
        backend: &impl Backend,
        held: u64,
        shards: Shards,
        others: usize,
    ) -> Result<Self> {
        device::tell(&config.device, backend, ui);
        if backend.free_memory().is_some() && config.device.autotune {
            let file = cache::tuning_file();
            ui.detail(&format!("measures cuDNN's algorithms, kept in {}", file.display()));
        }
        let vgg = Vgg::new(&config.vgg())?;
        let data = data::open(config, ui)?;
        let (batch, micro_batch, mode) = batches(config, &vgg, Some(&data))?;
        let mode = match mode {
            Mode::Train(recipe) => Mode::Train(Recipe { shards, ..recipe }),
            infer => infer,
        };
        let mut host = data.memory(batch, micro_batch)?;
        host.held += held;
        host.others = others as u64;
        let plan = memory::plan(&vgg, &config.input(), batch, micro_batch, mode, backend, host)?;
        let needed = memory::needed(&vgg, &plan, backend, host);
        ui.status("Model", &describe(&vgg));
        ui.detail(&format!("needs {} at batch size {batch}", bytes(needed)));
        if let Some(weights) = weights(&config.recipe(data.train.labels())) {
            ui.detail(&weights);
        }
        Ok(Self { vgg, data, batch })
    }
}

/// Images in a full batch and in a micro-batch, and what a plan for them keeps.
pub(crate) fn batches(
    config: &Config,
    vgg: &Vgg,
    data: Option<&Data>,
) -> Result<(usize, usize, Mode)> {
    let recipe = config.recipe(data.map_or(&[], |data| data.train.labels()));
    recipe.check(vgg)?;
    let batch = config.train.batch_size;
    let batch = data.map_or(batch, |data| batch.min(data.train.len()));
    Ok((batch, recipe.micro_batch_of(batch), Mode::Train(recipe)))
}

/// How much classes count in the loss, if not all the same.
fn weights(recipe: &Recipe) -> Option<String> {
    let weights = recipe.class_weights.iter().copied();
    let (least, most) = (weights.clone().reduce(f32::min)?, weights.reduce(f32::max)?);
    Some(format!("classes count from {} to {} in the loss", short(least), short(most)))
}

fn describe(vgg: &Vgg) -> String {
    let [c, h, w] = vgg.config().input;
    format!(
        "{}: {} parameters, {} MACs an image of {c}×{h}×{w}",
        vgg.config(),
        millions(vgg.param_count() as u64),
        millions(vgg.macs()),
    )
}
