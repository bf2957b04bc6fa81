use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::{Init, Input, Progress, Regression, VggConfig};

/// A network with weights of its own.
fn checkpoint(task: Task, seed: u64) -> Checkpoint {
    let vgg = VggConfig {
        task,
        input: [1, 96, 96],
        width: 1.0 / 64.0,
        fc_width: 8,
        classes: 3,
        batch_norm: true,
        avg_pool: Some(2),
        ..VggConfig::default()
    };
    Checkpoint {
        params: Params::init(&Vgg::new(&vgg).unwrap(), &Init::default(), seed).unwrap(),
        vgg,
        input: Input { short_side: Some(100), ..Input::unnormalized(1, 96, 96) },
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        moments: Default::default(),
        unaveraged: None,
        progress: Progress::default(),
        run: serde_json::Value::Null,
    }
}

const LOCALISATION: Task = Task::Localisation { boxes: Regression::PerClass };

/// What a file says.
#[derive(Debug, PartialEq)]
struct Said {
    nodes: Vec<Node>,
    /// Names, and all that is said of each but the name.
    initializers: BTreeMap<String, Vec<u8>>,
    outputs: Vec<String>,
    metadata: Vec<(String, String)>,
}

/// Inputs, output, operator and attributes.
type Node = (Vec<String>, String, String, Vec<Vec<u8>>);

/// The fields of a message: their numbers, and their bytes if they have a length.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        while let [first, rest @ ..] = *bytes {
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let mut len = match tag & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            2 => varint(&mut bytes) as usize,
            5 => 4,
            wire => panic!("a field of type {wire}"),
        };
        len = len.min(bytes.len());
        fields.push((tag >> 3, &bytes[..len]));
        bytes = &bytes[len..];
    }
    fields
}

/// The fields of a number.
fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let of_number = fields(message).into_iter().filter(move |(field, _)| *field == number);
    of_number.map(|(_, bytes)| bytes)
}

fn texts(message: &[u8], number: u64) -> Vec<String> {
    all(message, number).map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

impl Said {
    fn by(model: &Model<'_>) -> Self {
        let mut bytes = vec![];
        model.write(&mut bytes).unwrap();
        let text = |message: &[u8], number| texts(message, number).remove(0);
        let graph = all(&bytes, 7).next().unwrap();
        let node = |node| {
            let attributes = all(node, 5).map(<[u8]>::to_vec).collect();
            (texts(node, 1), text(node, 2), text(node, 4), attributes)
        };
        let initializer = |it| {
            let others = fields(it).into_iter().filter(|(field, _)| *field != 8);
            (text(it, 8), others.flat_map(|(_, bytes)| bytes.to_vec()).collect())
        };
        Self {
            nodes: all(graph, 1).map(node).collect(),
            initializers: all(graph, 5).map(initializer).collect(),
            outputs: all(graph, 12).map(|it| text(it, 1)).collect(),
            metadata: all(&bytes, 14).map(|it| (text(it, 1), text(it, 2))).collect(),
        }
    }

    /// The same, where the names of all but the input and the outputs begin with `prefix`.
    fn renamed(mut self, prefix: &str) -> Self {
        let kept: HashSet<_> = self.outputs.iter().cloned().chain(["input".into()]).collect();
        let renamed = |name: String| match kept.contains(&name) {
            true => name,
            false => format!("{prefix}{name}"),
        };
        for (inputs, output, ..) in &mut self.nodes {
            for name in inputs.iter_mut().chain([output]) {
                *name = renamed(std::mem::take(name));
            }
        }
        let initializers = std::mem::take(&mut self.initializers).into_iter();
        self.initializers = initializers.map(|(name, said)| (renamed(name), said)).collect();
        self
    }
}

#[test]
fn a_file_of_both_is_the_files_of_each() {
    let (classifier, locator) = (checkpoint(Task::Classification, 1), checkpoint(LOCALISATION, 2));
    let both = Said::by(&Model::of_both(&classifier, &locator).unwrap());
    let classes = Said::by(&Model::new(&classifier).unwrap());
    let boxes = Said::by(&Model::new(&locator).unwrap());
    assert_eq!(both.outputs, ["logits", "boxes"]);
    let told = [("boxes".to_owned(), "\"per-class\"".to_owned())];
    assert_eq!(both.metadata, [&classes.metadata[..], &told].concat());
    assert_eq!(boxes.metadata, both.metadata);

    let boxes = boxes.renamed("locator.");
    assert!(both.nodes == [classes.nodes, boxes.nodes].concat());
    let len = classes.initializers.len() + boxes.initializers.len();
    let mut initializers = classes.initializers;
    initializers.extend(boxes.initializers);
    assert!(both.initializers == initializers && initializers.len() == len);
    let given = both.nodes.iter().map(|(_, output, ..)| output);
    let names: HashSet<_> = given.chain(initializers.keys()).collect();
    assert_eq!(names.len(), both.nodes.len() + len);
}

#[test]
fn networks_of_other_images_are_refused() {
    let (classifier, locator) = (checkpoint(Task::Classification, 1), checkpoint(LOCALISATION, 2));
    let refused = |classifier: &Checkpoint, locator: &Checkpoint| {
        Model::of_both(classifier, locator).unwrap_err().to_string()
    };
    let told = refused(&locator, &classifier);
    assert!(told.ends_with("but it must be classification and localisation"), "{told}");

    let vgg = VggConfig { input: [1, 64, 96], classes: 4, ..locator.vgg.clone() };
    let input = Input { std: vec![0.5], short_side: None, ..locator.input.clone() };
    let other = Checkpoint { vgg, input, ..locator };
    let expected = "one ONNX file has networks of the same images, and these take others: channels, height and \
                    width [1,96,96] and [1,64,96], std [1.0] and [0.5], short_side 100 and null, classes 3 and 4";
    assert_eq!(refused(&classifier, &other), expected);
}

#[test]
fn files_that_no_reader_takes_are_refused() {
    let frame = |fc_width| {
        let config = VggConfig { fc_width, ..VggConfig::default() };
        frame(&[Network { vgg: Vgg::new(&config).unwrap(), prefix: "" }], &[])
    };
    assert!(frame(4096).is_ok());
    let error = frame(16384).err().unwrap().to_string();
    assert!(error.starts_with("the ONNX file would have 2820"), "{error}");
    assert!(error.ends_with("more than the 2147483647 that its readers take"), "{error}");
}
