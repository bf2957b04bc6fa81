//! What a run's network is.

use anyhow::Result;
use image::{Rgba, RgbaImage};
use serde::Serialize;
use vgg_model::weights::WeightFile;
use vgg_model::{Layer, Mode, Plan, Vgg, WeightType};
use vgg_tensor::Tensor;

use super::folder::RunFolder;
use super::profile::Profile;
use crate::drawing::pixels::png_uri;
use crate::run::checkpoints;
use crate::run::folder::Which;

/// Pixels of a weight, and between filters.
const SCALE: u32 = 9;
const GAP: u32 = 6;
/// Filters in a row, at most, and in all.
const COLUMNS: u32 = 16;
const FILTERS: u32 = 128;

/// Layers and sizes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NetworkFacts {
    /// Trained numbers.
    pub params: u64,
    /// Multiply-adds of an image's forward pass.
    pub macs: u64,
    pub layers: Vec<LayerFacts>,
    /// The file that the layers' times are of.
    pub profile: Option<String>,
    #[serde(skip)]
    pub filters: Option<Filters>,
}

/// A layer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LayerFacts {
    pub name: String,
    pub kind: String,
    /// Of an image: channels × height × width.
    pub output: String,
    pub params: u64,
    pub macs: u64,
    /// Of a training step, forward and backward.
    pub milliseconds: Option<f64>,
}

/// A picture of the first convolution's filters.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    pub uri: String,
    pub width: u32,
    pub height: u32,
    pub count: usize,
    pub kernel: usize,
    /// Whether a filter takes red, green and blue.
    pub colour: bool,
}

impl NetworkFacts {
    pub(super) fn of(run: &RunFolder) -> Result<Self> {
        let vgg = Vgg::new(&run.config.vgg())?;
        let mode = Mode::Infer { linear_weights: WeightType::F32 };
        let rows = Plan::new(&vgg, &run.config.input(), 1, mode)?.rows();
        let profile = Profile::newest(run);
        let layers = rows.into_iter().filter_map(|row| {
            let output = row.output?.to_string();
            Some(LayerFacts {
                output: output.split_once('×').map_or("", |(_, output)| output).to_owned(),
                params: row.params as u64,
                macs: row.macs,
                milliseconds: profile.as_ref().and_then(|profile| profile.milliseconds(&row.name)),
                name: row.name,
                kind: row.kind,
            })
        });
        Ok(Self {
            layers: layers.collect(),
            params: vgg.param_count() as u64,
            macs: vgg.macs(),
            filters: filters(run, &vgg),
            profile: profile.map(|profile| profile.name),
        })
    }
}

/// Of the best network, if there is one and its first layer is a convolution of grey or of colours.
fn filters(run: &RunFolder, vgg: &Vgg) -> Option<Filters> {
    let path = checkpoints::find(&run.overview.path, Which::Best).ok()?;
    let first = vgg.layers().iter().find(|layer| matches!(layer, Layer::Conv2d { .. }))?;
    // The one tensor alone: a page that is live asks again and again.
    let weight =
        WeightFile::open(&path).ok()?.tensor(&format!("{}.weight", first.name())).ok()??;
    draw(&weight).ok()
}

fn draw(weight: &Tensor) -> Result<Filters> {
    let [count, channels, kernel, _] = *weight.dims() else { anyhow::bail!("no convolution") };
    anyhow::ensure!(channels == 1 || channels == 3, "neither grey nor colours");
    let (drawn, side) = ((count as u32).min(FILTERS), kernel as u32 * SCALE);
    let columns = drawn.min(COLUMNS);
    let (width, height) =
        (columns * (side + GAP) - GAP, drawn.div_ceil(columns) * (side + GAP) - GAP);
    let len = channels * kernel * kernel;
    let scales: Vec<f32> = weight
        .data()
        .chunks_exact(len)
        .map(|filter| filter.iter().fold(0.0_f32, |max, x| max.max(x.abs())).max(f32::MIN_POSITIVE))
        .collect();
    let level = |x: u32, y: u32, channel: usize| {
        let filter = (y / (side + GAP)) * columns + x / (side + GAP);
        let [x, y] = [x, y].map(|at| (at % (side + GAP) / SCALE) as usize);
        if filter >= drawn || x >= kernel || y >= kernel {
            return None;
        }
        let at = filter as usize * len + (channel * kernel + y) * kernel + x;
        let share = weight.data()[at] / scales[filter as usize];
        Some((127.5 + 127.5 * share).round() as u8)
    };
    // A filter of grey has its one channel three times; there is nothing between filters.
    let pixel = |x, y| match [0, 1, 2].map(|channel| level(x, y, channel.min(channels - 1))) {
        [Some(red), Some(green), Some(blue)] => Rgba([red, green, blue, u8::MAX]),
        _ => Rgba([0; 4]),
    };
    let uri = png_uri(&RgbaImage::from_fn(width, height, pixel));
    Ok(Filters { uri, width, height, count, kernel, colour: channels == 3 })
}
