//! A network as an ONNX model, for other programs to run.

mod graph;

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use vgg_tensor::protobuf::Message;
use vgg_tensor::{Error, Result, new_file};

use crate::onnx::graph::{Network, graph};
use crate::tensor_file::{PIECE, io_error};
use crate::{Checkpoint, Params, Task, Vgg, invalid};

/// The operators' version, of 2021.
const OPSET: i64 = 17;
/// The file format's version that came with it.
const IR: i64 = 8;

/// Readers of protocol buffers refuse messages of more bytes.
const MAX_LEN: u64 = i32::MAX as u64;

// Numbers of fields in ONNX's schema, `onnx.proto`.
mod model {
    pub(super) const IR_VERSION: u64 = 1;
    pub(super) const PRODUCER_NAME: u64 = 2;
    pub(super) const PRODUCER_VERSION: u64 = 3;
    pub(super) const GRAPH: u64 = 7;
    pub(super) const OPSET_IMPORT: u64 = 8;
    pub(super) const METADATA_PROPS: u64 = 14;
}

/// What the names of the layers that locate begin with, where others classify.
const LOCATOR: &str = "locator.";

/// Writes the network of a checkpoint to `path`, over an older file or a link; [`Model`] is for pipes
/// and whatever else there may be.
///
/// # Errors
/// Those of [`Model::new`], and [`Error::Io`] if it cannot be written. An older file is then still
/// there.
///
/// ```
/// use vgg_model::{Checkpoint, Init, Input, Params, Progress, Vgg, VggConfig, onnx};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("network.onnx");
/// let config = VggConfig { input: [1, 32, 32], width: 0.05, fc_width: 8, ..Default::default() };
/// let checkpoint = Checkpoint {
///     params: Params::init(&Vgg::new(&config)?, &Init::default(), 42)?,
///     vgg: config,
///     input: Input::unnormalized(1, 28, 28),
///     classes: vec![],
///     moments: Default::default(),
///     unaveraged: None,
///     progress: Progress::default(),
///     run: "anything".into(),
/// };
/// onnx::save(&path, &checkpoint)?;
/// # Ok::<(), vgg_model::Error>(())
/// ```
pub fn save(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let model = Model::new(checkpoint)?;
    new_file::replace(path, |out| model.write(out)).map_err(io_error(path))
}

/// Networks as an ONNX model, to be written.
///
/// The model's input is `input`, `[batch, channels, height, width]`: pixels on the scale 0 to 1,
/// less the mean and divided by the standard deviation, in the network's own size. Its output is
/// `logits`, `[batch, classes]`, or of a network that locates `boxes`, `[batch, 4 · boxes]`, as
/// [`Task::Localisation`] has them, and the metadata say `boxes`, whether there is one a class. The batch is
/// of any size. What feeds it rightly is in the metadata, as JSON: `mean`, `std`, `short_side`, to which an
/// image is scaled before its centre is cut, unless it is stretched, and, if the classes have names,
/// `classes`.
///
/// Weights have torchvision's names. Dropout, which does nothing outside of training, is left out.
#[derive(Debug)]
pub struct Model<'a> {
    /// All before the weights.
    start: Message,
    /// Of each parameter what goes before its numbers.
    initializers: Vec<Message>,
    params: Vec<&'a Params>,
}

impl<'a> Model<'a> {
    /// The model of a checkpoint's network, all of it but the weights' bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] if it would be larger than 2 GiB, which no reader takes, or the checkpoint's
    /// parts do not fit together.
    pub fn new(checkpoint: &'a Checkpoint) -> Result<Self> {
        Self::of(&[("", checkpoint)])
    }

    /// The model of a network that classifies and of one that locates, both of which are shown `input`: it has
    /// both outputs. The names of the second one's weights begin with `locator.`.
    ///
    /// # Errors
    /// As [`Model::new`], and [`Error::Shape`] if they do other things, or do not take the same images.
    pub fn of_both(classifier: &'a Checkpoint, locator: &'a Checkpoint) -> Result<Self> {
        let tasks = [classifier, locator].map(|network| network.vgg.task.is_classification());
        if tasks != [true, false] {
            let given = [classifier, locator].map(|network| json(&network.vgg.task)).join(" and ");
            return Err(invalid("tasks", given, "classification and localisation"));
        }
        let differing = differing(classifier, locator);
        if !differing.is_empty() {
            let told = differing.join(", ");
            return Err(Error::Shape(format!(
                "one ONNX file has networks of the same images, and these take others: {told}"
            )));
        }
        Self::of(&[("", classifier), (LOCATOR, locator)])
    }

    /// Of checkpoints that take the same images, and what the names of their layers begin with.
    fn of(checkpoints: &[(&str, &'a Checkpoint)]) -> Result<Self> {
        let (_, first) = checkpoints[0];
        let mut metadata = vec![("mean", json(&first.input.mean)), ("std", json(&first.input.std))];
        if let Some(short_side) = first.input.short_side {
            metadata.push(("short_side", short_side.to_string()));
        }
        if !first.classes.is_empty() {
            metadata.push(("classes", json(&first.classes)));
        }
        let mut networks = vec![];
        for (prefix, Checkpoint { vgg, params, .. }) in checkpoints {
            if let Task::Localisation { boxes } = vgg.task {
                metadata.push(("boxes", json(&boxes)));
            }
            let vgg = Vgg::new(vgg)?;
            params.check(&vgg)?;
            networks.push(Network { vgg, prefix });
        }
        let (start, initializers) = frame(&networks, &metadata)?;
        let params = checkpoints.iter().map(|(_, checkpoint)| &checkpoint.params).collect();
        Ok(Self { start, initializers, params })
    }

    /// Writes the file's bytes, from the first to the last.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        out.write_all(self.start.bytes())?;
        let tensors = self.params.iter().flat_map(|params| params.tensors());
        for (start, tensor) in self.initializers.iter().zip(tensors) {
            out.write_all(start.bytes())?;
            for numbers in tensor.data().chunks(PIECE / size_of::<f32>()) {
                bytes.clear();
                bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
                out.write_all(&bytes)?;
            }
        }
        Ok(())
    }
}

/// What of the images differs that two networks take, and how.
fn differing(classifier: &Checkpoint, locator: &Checkpoint) -> Vec<String> {
    let images = |Checkpoint { vgg, input, .. }: &Checkpoint| {
        [
            ("channels, height and width", json(&vgg.input)),
            ("mean", json(&input.mean)),
            ("std", json(&input.std)),
            ("short_side", json(&input.short_side)),
            ("turned", json(&input.turned)),
            ("background", json(&input.background)),
            ("classes", json(&vgg.classes)),
        ]
    };
    let pairs = images(classifier).into_iter().zip(images(locator));
    let differing = pairs.filter(|((_, own), (_, other))| own != other);
    differing.map(|((what, own), (_, other))| format!("{what} {own} and {other}")).collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists of numbers and names are JSON")
}

/// All of a file but the numbers of its weights, which go last: what goes before all of them, and before each.
fn frame(networks: &[Network<'_>], metadata: &[(&str, String)]) -> Result<(Message, Vec<Message>)> {
    let small = graph(networks);
    let (initializers, lens): (Vec<_>, Vec<_>) =
        networks.iter().flat_map(Network::initializers).unzip();
    let small_len = small.len();
    let weights = initializers.iter().zip(&lens);
    let graph_len = small_len + weights.map(|(start, len)| start.len() + len).sum::<u64>();
    let mut start = Message::default()
        .int(model::IR_VERSION, IR)
        .text(model::PRODUCER_NAME, env!("CARGO_PKG_NAME"))
        .text(model::PRODUCER_VERSION, env!("CARGO_PKG_VERSION"))
        .message(model::OPSET_IMPORT, Message::default().text(1, "").int(2, OPSET));
    for (key, value) in metadata {
        let entry = Message::default().text(1, key).text(2, value);
        start = start.message(model::METADATA_PROPS, entry);
    }
    let start = start.open(model::GRAPH, graph_len).then(small);
    let len = start.len() + graph_len - small_len;
    if len > MAX_LEN {
        return Err(Error::Shape(format!(
            "the ONNX file would have {len} bytes, more than the {MAX_LEN} that its readers take"
        )));
    }
    Ok((start, initializers))
}

#[cfg(test)]
mod tests;
