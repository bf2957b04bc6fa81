//! Files as each version of Keras writes them, of one network, and what is wrong with others.

mod written;

use std::fs;
use std::path::{Path, PathBuf};

use hdf5_pure::AttrValue;
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use vgg_tensor::{Error, Tensor};

use self::written::{
    Layer, Parts, Written, archive, config, configuration, listed, named, network, of_keras3,
};
use crate::weights::{Convention, WeightFile};
use crate::{Arch, Params, Vgg, VggConfig};

struct Scratch {
    _folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.h5");
        Self { _folder: folder, path }
    }

    fn open(&self, bytes: &[u8]) -> Result<WeightFile, Error> {
        fs::write(&self.path, bytes).unwrap();
        WeightFile::open(&self.path)
    }

    /// The parameters of whatever network it is.
    fn params(&self, bytes: &[u8]) -> Result<(VggConfig, Params), Error> {
        let file = self.open(bytes)?;
        let candidates = file.candidates(&[Arch::Vgg11, Arch::Vgg16], &Convention::KERAS)?;
        // All that a VGG-11 has, a VGG-16 has by number, too.
        let arch = candidates.last().unwrap_or(&Arch::Vgg11);
        let config = file.config(arch, &Convention::KERAS)?;
        let params = file.params(&Vgg::new(&config)?, &Convention::KERAS)?;
        Ok((config, params))
    }

    fn refused(&self, bytes: &[u8]) -> String {
        match self.params(bytes) {
            Err(Error::Format { reason, .. }) => reason,
            other => panic!("{:?}", other.map(|(config, _)| config)),
        }
    }
}

/// Each way in which Keras writes the network, with and without normalisations.
#[test]
fn all_versions_are_read() {
    // The last one has so many convolutions that their numbers have two digits.
    for (arch, batch_norm) in [(Arch::Vgg11, false), (Arch::Vgg11, true), (Arch::Vgg16, false)] {
        let (vgg, expected, layers) = network(arch, batch_norm);
        let eighth = named(&layers, 8);
        let config = configuration(&eighth, 1e-3);
        let said = AttrValue::String(config.to_string());
        let mut whole = listed(&eighth, "model_weights");
        whole.say("", "model_config", said.clone());
        whole.array(
            "optimizer_weights/adam/conv2d_8/kernel:0",
            Tensor::zeros([3, 3, 3, 2]).unwrap(),
        );
        // By names that say nothing of the order, which the configuration alone says.
        let names: Vec<(String, &Layer)> = eighth
            .iter()
            .enumerate()
            .map(|(i, (_, layer))| (format!("{}{i}", (b'z' - i as u8) as char), *layer))
            .collect();
        let mut by_names = listed(&names, "model_weights");
        by_names.group("model_weights").attributes.clear();
        by_names.say(
            "",
            "model_config",
            AttrValue::String(configuration(&names, 1e-3).to_string()),
        );
        // Keras 3 says what a layer is called, or does not.
        let mut keras3 = of_keras3(&layers, "layers/functional/layers");
        keras3.array("optimizer/vars/2", Tensor::zeros([3, 3, 3, 2]).unwrap());
        keras3.array("layers/dropout/seed_generator/vars/0", Tensor::zeros([2]).unwrap());
        let without = keras3.write();
        for ((path, _), (name, _)) in named(&layers, 0).into_iter().zip(&eighth) {
            let vars = format!("layers/functional/layers/{path}/vars");
            keras3.say(&vars, "name", AttrValue::String(name.clone()));
        }
        let keras3 = keras3.write();
        let json = config.to_string();
        let archived = |weights: &[u8]| {
            archive(&[("config.json", json.as_bytes()), ("model.weights.h5", weights)])
        };
        let files = [
            ("weights", listed(&eighth, "").write()),
            ("whole", whole.write()),
            ("by names", by_names.write()),
            ("Keras 3, with names", keras3.clone()),
            ("Keras 3, without", without.clone()),
            ("archive, with names", archived(&keras3)),
            ("archive, without", archived(&without)),
        ];
        let scratch = Scratch::new();
        for (what, bytes) in files {
            let (config, params) = scratch.params(&bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!((&config, &params), (vgg.config(), &expected), "{what}");
            // Another network starts from it as from one of red first.
            let file = scratch.open(&bytes).unwrap();
            assert_eq!(file.usual(), Convention::KERAS_OWN);
            let start = file.start(&Arch::Vgg16).unwrap();
            let own = file.params(&vgg, &Convention::KERAS_OWN).unwrap();
            assert_eq!((start.vgg, start.params), (config, own), "{what}");
        }
    }
}

#[test]
fn layers_are_told_by_their_names_in_the_file() {
    let (vgg, _, layers) = network(Arch::Vgg11, false);
    let file = Scratch::new().open(&listed(&named(&layers, 8), "").write()).unwrap();
    let matched = file.check(&vgg, &Convention::KERAS).unwrap();
    let told: Vec<(&str, &str)> =
        matched.by_order.iter().map(|(own, file)| (own.as_str(), file.as_str())).collect();
    assert_eq!(told[..2], [("features.0", "conv2d_8"), ("features.3", "conv2d_9")]);
    assert_eq!(
        told[8..],
        [("classifier.0", "dense_8"), ("classifier.3", "dense_9"), ("classifier.6", "dense_10")]
    );
    // Those of the published networks are not told.
    let published = [
        "block1_conv1",
        "block1_pool",
        "block2_conv1",
        "block2_pool",
        "block3_conv1",
        "block3_conv2",
        "block3_pool",
        "block4_conv1",
        "block4_conv2",
        "block4_pool",
        "block5_conv1",
        "block5_conv2",
        "block5_pool",
        "flatten",
        "fc1",
        "fc2",
        "predictions",
    ];
    let layers: Vec<_> = published.iter().map(|name| (*name).to_owned()).zip(&layers).collect();
    let file = Scratch::new().open(&listed(&layers, "").write()).unwrap();
    assert_eq!(file.check(&vgg, &Convention::KERAS).unwrap().by_order, []);
}

/// Keras 1 puts the layer's name before each array's, and its published files a number after it.
#[test]
fn names_of_keras_1_are_known() {
    let (vgg, expected, layers) = network(Arch::Vgg11, false);
    for lists in [true, false] {
        let mut file = Parts::default();
        let layers = named(&layers, 1);
        let names = layers.iter().map(|(name, _)| name.clone()).collect();
        file.say("", "layer_names", AttrValue::StringArray(names));
        for (name, layer) in &layers {
            file.group(name);
            let array =
                |kind: &str| format!("{name}_{}_1:0", if kind == "kernel" { "W" } else { "b" });
            let arrays: Vec<String> = layer.arrays.iter().map(|(kind, _)| array(kind)).collect();
            // Without the right ones, the numbers say the order.
            let said = if lists { arrays.clone() } else { vec!["kernel:0".into()] };
            file.say(name, "weight_names", AttrValue::StringArray(said));
            for (array, (_, tensor)) in arrays.iter().zip(&layer.arrays) {
                file.array(&format!("{name}/{array}"), tensor.clone());
            }
        }
        let read = Scratch::new().params(&file.write()).unwrap();
        assert_eq!(read, (vgg.config().clone(), expected.clone()), "{lists}");
    }
}

#[test]
fn numbers_of_other_types_are_read() {
    let (_, expected, layers) = network(Arch::Vgg11, false);
    for (written, most) in [(Written::Double, 0.0), (Written::Half, 1e-3)] {
        let (_, read) = Scratch::new().params(&file_of(&layers, written)).unwrap();
        for spec in Vgg::new(&config(false)).unwrap().params() {
            let [read, expected] = [&read, &expected].map(|params| params.get(&spec.name).unwrap());
            let mut off = read.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs());
            assert!(off.all(|off| off <= most), "{}", spec.name);
        }
    }
}

fn file_of(layers: &[Layer], written: Written) -> Vec<u8> {
    let file = listed(&named(layers, 0), "");
    fn of(parts: Parts, written: Written) -> Parts {
        let groups = parts.groups.into_iter().map(|(name, parts)| (name, of(parts, written)));
        Parts { groups: groups.collect(), written, ..parts }
    }
    of(file, written).write()
}

#[test]
fn what_is_written_otherwise_is_told() {
    let (_, _, layers) = network(Arch::Vgg11, false);
    let refused = |written| Scratch::new().refused(&file_of(&layers, written));
    let pieces = refused(Written::Pieces);
    assert!(pieces.contains("is compressed or in pieces"), "{pieces}");
    assert!(pieces.contains("h5repack"), "{pieces}");
    let big = refused(Written::BigEndian);
    assert!(big.contains("is big-endian, which is not read"), "{big}");
}

/// Two orders of which only one is the network's must never be taken for one another.
#[test]
fn unknown_orders_are_refused() {
    let (_, _, layers) = network(Arch::Vgg11, false);
    let scratch = Scratch::new();
    // People's own names, and nothing that says the order.
    let mut own = of_keras3(&layers, "layers");
    let moved = own.group("layers").groups.remove("conv2d_3").unwrap();
    own.group("layers").groups.insert("own_3".into(), moved);
    let reason = scratch.refused(&own.write());
    assert!(reason.contains("the order of its layers is not known"), "{reason}");
    // In two modules.
    let mut apart = of_keras3(&layers, "layers");
    let moved = apart.group("layers").groups.remove("conv2d_3").unwrap();
    apart.group("layers/sequential/layers").groups.insert("conv2d_3".into(), moved);
    let reason = scratch.refused(&apart.write());
    assert!(reason.contains("the order of its layers is not known"), "{reason}");
    // Fewer normalisations than convolutions.
    let (_, _, normed) = network(Arch::Vgg11, true);
    let mut fewer = of_keras3(&normed, "layers");
    fewer.group("layers").groups.remove("batch_normalization_7");
    let reason = scratch.refused(&fewer.write());
    assert!(reason.contains("8 convolutions and 7 normalisations"), "{reason}");
    // Fewer pools than the VGG of such channels.
    let mut fewer = of_keras3(&layers, "layers");
    fewer.group("layers").groups.remove("max_pooling2d_4");
    fewer.group("layers/max_pooling2d_3/vars");
    let reason = scratch.refused(&fewer.write());
    assert_eq!(reason, "the file's network has 4 max-pools, this one 5");
    // A layer without weights that no VGG has.
    let mut added = of_keras3(&layers, "layers");
    added.group("layers/add_2/vars");
    let reason = scratch.refused(&added.write());
    assert!(reason.contains("\"add_2\" is none that a VGG has"), "{reason}");
    // Pools at other places: the configuration beats the channels.
    let named = named(&layers, 0);
    let mut moved = configuration(&named, 1e-3);
    moved["config"]["layers"].as_array_mut().unwrap().swap(6, 7);
    let mut whole = listed(&named, "model_weights");
    whole.say("", "model_config", AttrValue::String(moved.to_string()));
    let reason = scratch.refused(&whole.write());
    assert!(reason.contains("block3_conv2/kernel is missing"), "{reason}");
}

#[test]
fn epsilons_are_those_of_the_file() {
    let (_, expected, layers) = network(Arch::Vgg11, true);
    let named = named(&layers, 0);
    let read = |epsilon: f64| {
        let mut file = listed(&named, "model_weights");
        file.say("", "model_config", AttrValue::String(configuration(&named, epsilon).to_string()));
        file.write()
    };
    let scratch = Scratch::new();
    let (_, params) = scratch.params(&read(0.251)).unwrap();
    let var = |params: &Params| params.get("features.1.running_var").unwrap().data()[0];
    let off = var(&params) - var(&expected) - 0.25;
    assert!(off.abs() < 1e-6, "{off}");
    let reason = scratch.refused(&read(1e-6));
    assert!(reason.starts_with("its normalisations have an epsilon of 0.000001"), "{reason}");
    assert!(scratch.params(&read(1e-5)).is_ok());
}

/// The averages of the last maps are classified, whatever the images' size.
#[test]
fn averages_are_classified() {
    let (_, _, layers) = network(Arch::Vgg11, false);
    let named = named(&layers, 0);
    let mut said = configuration(&named, 1e-3);
    let listed_layers = said["config"]["layers"].as_array_mut().unwrap();
    let at = listed_layers.iter().position(|layer| layer["class_name"] == "Flatten").unwrap();
    listed_layers[at]["class_name"] = json!("GlobalAveragePooling2D");
    listed_layers[0]["config"]["batch_shape"] = json!([null, 96, 96, 3]);
    let mut file = listed(&named, "model_weights");
    file.say("", "model_config", AttrValue::String(said.to_string()));
    let (config, _) = Scratch::new().params(&file.write()).unwrap();
    assert_eq!((config.avg_pool, config.input), (Some(1), [3, 96, 96]));
    let mut weights = of_keras3(&layers, "layers");
    weights.group("layers/global_average_pooling2d/vars");
    let (config, _) = Scratch::new().params(&weights.write()).unwrap();
    assert_eq!((config.avg_pool, config.input), (Some(1), [3, 224, 224]));
}

/// Groups that are in themselves have no end.
#[test]
fn circles_end() {
    // The place of a group's header comes second in its entry; entries come after the fourth word of a node.
    let bytes = golden("keras_weights.h5");
    let root = bytes[64..72].to_owned();
    let nodes = bytes.windows(4).enumerate().filter(|(_, word)| word == b"SNOD").map(|(at, _)| at);
    let mut circles = 0;
    for entry in nodes.map(|node| node + 8) {
        let mut changed = bytes.clone();
        changed[entry + 8..entry + 16].copy_from_slice(&root);
        let reason = Scratch::new().refused(&changed);
        circles += usize::from(reason.contains("more than 16 deep"));
    }
    assert!(circles > 0);
    // Each of two groups has both in it, and those again.
    let first = bytes.windows(4).position(|word| word == b"SNOD").unwrap() + 8;
    let mut changed = bytes.clone();
    for entry in [first, first + 40] {
        changed[entry + 8..entry + 16].copy_from_slice(&root);
    }
    let reason = Scratch::new().refused(&changed);
    assert!(reason.contains("more than"), "{reason}");
}

#[test]
fn damaged_archives_are_told() {
    let (_, _, layers) = network(Arch::Vgg11, false);
    let json = configuration(&named(&layers, 0), 1e-3).to_string();
    let weights = of_keras3(&layers, "layers").write();
    let whole = archive(&[("config.json", json.as_bytes()), ("model.weights.h5", &weights)]);
    let scratch = Scratch::new();
    assert!(scratch.params(&whole).is_ok());
    let mut changed = whole.clone();
    let place = whole.len() - 2000;
    changed[place] ^= 1;
    let reason = scratch.refused(&changed);
    assert!(reason.contains("checksum does not match"), "{reason}");
    let alone = archive(&[("model.weights.h5", &weights)]);
    assert_eq!(scratch.refused(&alone), "it has no config.json");
    assert_eq!(
        scratch.refused(&weights[..100]).split(':').next(),
        Some("damaged, or no HDF5 file as Keras writes it")
    );
}

/// A file made by Keras: in HDF5's older format, whose groups have no checksums.
fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights");
    fs::read(folder.join(name)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens to a file, it is read or refused.
    #[test]
    fn no_damage_panics(
        name in prop::sample::select(vec![
            "keras.h5", "keras.weights.h5", "keras_weights.h5", "keras.keras",
        ]),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = golden(name);
        let len = bytes.len();
        for (place, byte, part) in places {
            let place = match part {
                0 => place.index(3000),
                _ => place.index(len),
            };
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(len));
        }
        let _ = Scratch::new().params(&bytes);
    }
}
