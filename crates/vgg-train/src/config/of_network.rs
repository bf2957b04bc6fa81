//! The config of a network: that of its run, or, where it came without one, what the network says.

use std::path::Path;

use anyhow::Result;
use vgg_data::imagenet::{self, Pretrained};
use vgg_model::weights::Convention;
use vgg_model::{Input, Task, VggConfig};

use super::load::{Loaded, load, without_file};
use super::overrides::Override;
use super::pretrained::{arch_of, pretrained};
use super::source::{CONFIG, is_run};

/// As [`load`], where `path` may be the folder of a run, too, or a network that is known by name: its
/// config.
///
/// # Errors
/// As [`load`].
pub(crate) fn of(path: &Path, overrides: Vec<Override>) -> Result<Loaded> {
    match pretrained(path) {
        Some(pretrained) => of_pretrained(pretrained, overrides),
        None if is_run(path) => load(&path.join(CONFIG), overrides),
        None => load(path, overrides),
    }
}

/// The config that such a network has by itself.
fn of_pretrained(pretrained: &Pretrained, overrides: Vec<Override>) -> Result<Loaded> {
    let (arch, batch_norm) = arch_of(pretrained);
    let classes = imagenet::classes();
    let vgg = VggConfig { arch, batch_norm, classes: classes.len(), ..VggConfig::default() };
    let input = Convention::TORCHVISION.input(vgg.input);
    of_network(&vgg, &input, &classes, pretrained.name, overrides)
}

/// The config of a network without a data set.
pub(crate) fn of_network(
    vgg: &VggConfig,
    input: &Input,
    classes: &[String],
    name: &str,
    overrides: Vec<Override>,
) -> Result<Loaded> {
    let text = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = match classes {
        [] => (0..vgg.classes).map(|class| format!("class {class}")).collect(),
        names => names.to_vec(),
    };
    let of = |key, value: toml::Value| Override::new("the weights", key, value);
    let mut of_weights = vec![
        of("model.arch", toml::Value::try_from(&vgg.arch)?),
        of("model.width", vgg.width.into()),
        of("model.batch_norm", vgg.batch_norm.into()),
        of("model.image_size", (vgg.input[1] as i64).into()),
        of("model.fc_width", (vgg.fc_width as i64).into()),
        of("model.fc_hidden", (vgg.fc_hidden as i64).into()),
        of("model.dropout", in_config(&[vgg.dropout])[0].into()),
        of("data.dataset", "none".into()),
        of("data.channels", (input.channels as i64).into()),
        of("data.mean", in_config(&input.mean).into()),
        of("data.std", in_config(&input.std).into()),
        of("data.classes", names.into()),
        of("data.orientation", orientation(input).into()),
        of("data.decode", decode(input).into()),
    ];
    let background = input.background.map(|colour| colour.map(i64::from).to_vec());
    of_weights.extend(background.map(|colour| of("data.background", colour.into())));
    if let Task::Localisation { boxes } = vgg.task {
        of_weights.push(of("model.task", "localisation".into()));
        of_weights.push(of("model.boxes", text(serde_json::to_value(boxes)?).into()));
    }
    if let Some(side) = vgg.avg_pool {
        of_weights.push(of("model.avg_pool", (side as i64).into()));
    }
    if let Some(side) = input.short_side {
        of_weights.push(of("data.test_short_side", (side as i64).into()));
    }
    without_file(name, of_weights.into_iter().chain(overrides).collect())
}

/// Numbers as a config has them: with no more digits than they need.
pub(crate) fn in_config(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| x.to_string().parse().unwrap_or(f64::from(*x))).collect()
}

/// The value of `data.orientation` for such images.
pub(crate) fn orientation(input: &Input) -> &'static str {
    if input.turned { "exif" } else { "stored" }
}

/// The value of `data.decode` for such images.
pub(crate) fn decode(input: &Input) -> &'static str {
    if input.scaled { "scaled" } else { "full" }
}
