//! A small VGG-11: its logits, its gradients, and ten steps of training.

use vgg_model::{Input, Metrics, Params, Recipe, Session, SgdConfig, Trainer, Vgg, VggConfig};
use vgg_tensor::{Backend, Result, Tensor};
use vgg_testkit::Golden;

use super::{check, golden};

/// The small VGG-11, its twelve images and its labels.
pub(super) struct SmallVgg {
    golden: Golden,
    vgg: Vgg,
    input: Input,
    initial: Params,
    pub(super) labels: Vec<u32>,
}

pub(super) const BATCH: usize = 8;
pub(super) const LR: f32 = 1.0 / 16.0;
pub(super) const IMAGE: usize = 32 * 32;

impl SmallVgg {
    pub(super) fn new() -> Result<Self> {
        let golden = golden("vgg11");
        let vgg = Vgg::new(&VggConfig {
            width: 0.05,
            input: [1, 32, 32],
            classes: 10,
            fc_width: 32,
            dropout: 0.0,
            ..VggConfig::default()
        })?;
        let named = |name: &str| {
            let tensor = format!("initial.{name}");
            Tensor::new(golden.dims(&tensor), golden.numbers(&tensor).to_vec())
                .map(|tensor| (name.to_owned(), tensor))
        };
        let tensors = golden.names("initial.").map(named).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            initial: Params::new(&vgg, tensors)?,
            input: Input {
                mean: vec![0.2860],
                std: vec![0.3530],
                ..Input::unnormalized(1, 32, 32)
            },
            labels: golden.bytes("labels").iter().map(|label| u32::from(*label)).collect(),
            vgg,
            golden,
        })
    }

    pub(super) fn pixels(&self) -> &[u8] {
        self.golden.bytes("pixels")
    }

    pub(super) fn trainer<B: Backend>(
        &self,
        backend: B,
        recipe: impl Into<Recipe>,
    ) -> Result<Trainer<B>> {
        Trainer::new(backend, &self.vgg, &self.input, &self.initial, BATCH, recipe, 0)
    }
}

pub(super) fn logits_and_gradients<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let small = SmallVgg::new()?;
    let (pixels, labels) = (&small.pixels()[..BATCH * IMAGE], &small.labels[..BATCH]);
    let params = small.initial.clone();
    let mut session = Session::new(make(), &small.vgg, &small.input, params, BATCH)?;
    check(&small.golden, "logits", &session.logits(pixels)?, error);

    let mut trainer = small.trainer(make(), SgdConfig::plain(LR))?;
    check(&small.golden, "logits", &trainer.logits(pixels)?, error);
    let (Metrics { loss_sum, .. }, gradients) = trainer.gradients(pixels, labels)?;
    check(&small.golden, "loss", &[loss_sum / BATCH as f32], error);
    assert_eq!(gradients.iter().count(), small.golden.names("gradient.").count());
    for (name, gradient) in gradients.iter() {
        check(&small.golden, &format!("gradient.{name}"), gradient.data(), error);
    }
    Ok(())
}

/// Ten steps, every other one on a short batch, with each kind of SGD.
pub(super) fn training<B: Backend>(make: impl Fn() -> B, error: f64) -> Result<()> {
    let small = SmallVgg::new()?;
    let plain = SgdConfig::plain(LR);
    let runs = [
        ("plain", plain),
        ("momentum", SgdConfig { momentum: 0.875, ..plain }),
        ("weight_decay", SgdConfig { weight_decay: 1.0 / 256.0, ..plain }),
        (
            "nesterov",
            SgdConfig { lr: LR, momentum: 0.875, nesterov: true, weight_decay: 1.0 / 256.0 },
        ),
    ];
    for (run, sgd) in runs {
        let mut trainer = small.trainer(make(), sgd)?;
        let mut losses = Vec::new();
        for step in 0..10 {
            let images = if step % 2 == 0 { 0..BATCH } else { BATCH..small.labels.len() };
            let labels = &small.labels[images.clone()];
            let pixels = &small.pixels()[images.start * IMAGE..images.end * IMAGE];
            losses.push(trainer.step(pixels, labels, LR)?.loss_sum / labels.len() as f32);
        }
        check(&small.golden, &format!("losses.{run}"), &losses, error);
        if run == "nesterov" {
            for (name, weight) in trainer.params()?.iter() {
                check(&small.golden, &format!("final.{run}.{name}"), weight.data(), error);
            }
        }
    }
    Ok(())
}
