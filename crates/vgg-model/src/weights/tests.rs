use std::fs;

use vgg_tensor::Error;

use super::*;
use crate::Init;

fn config() -> VggConfig {
    let input = [3, 64, 64];
    VggConfig { width: 1.0 / 32.0, input, classes: 7, fc_width: 5, ..VggConfig::default() }
}

/// Why a file with this header and these many bytes of numbers is not read.
fn refused(header: &str, len: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let start = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&start[..], header.as_bytes(), &vec![0; len]].concat()).unwrap();
    match WeightFile::open(&path)
        .and_then(|file| file.params(&Vgg::new(&config())?, &Convention::TORCHVISION))
    {
        Err(Error::Format { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_safetensors_are_refused() {
    let tensor = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let one = |shape, offsets| format!("{{{}}}", tensor("w", "F32", shape, offsets));
    let overlapping = format!(
        "{{{},{}}}",
        tensor("v", "F32", "[2]", "[0,8]"),
        tensor("w", "F32", "[2]", "[4,12]")
    );
    let huge = "[4294967296,4294967296,4294967296]";
    for (header, len) in [
        (overlapping, 12),
        (one("[2]", "[0,12]"), 12),
        (one("[2]", "[8,0]"), 8),
        (one("[-2]", "[0,8]"), 8),
        (one(huge, "[0,8]"), 8),
        ("{".repeat(100_000), 0),
    ] {
        let reason = refused(&header, len);
        assert!(reason.starts_with("not a safetensors file, or damaged: "), "{reason}");
    }
    let whole = one("[2]", "[0,8]");
    assert_eq!(refused(&whole, 4), "its tensors should take 8 bytes and take 4: it is cut short");
    let longer = "its tensors should take 8 bytes and take 9: something was appended";
    assert_eq!(refused(&whole, 9), longer);
    let twice = format!("{{{0},{0}}}", tensor("w", "F32", "[2]", "[0,8]"));
    assert_eq!(refused(&twice, 8), "its header has \"w\" twice: it is damaged");
    let rank = one("[1,1,1,1,1,1,1,1,2]", "[0,8]");
    assert_eq!(refused(&rank, 8), "w has 9 dimensions: no parameter does");
    let escape = whole.replace('w', "\\u001b[2J");
    let reason = "no network's tensor has such a name: \"\\u{1b}[2J\"";
    assert_eq!(refused(&escape, 8), reason);
    let long = whole.replace('w', &"w".repeat(1000));
    assert!(refused(&long, 8).len() < 200);
}

/// What a header makes can take many times its own length in memory.
#[test]
fn long_headers_are_refused_unread() {
    let spaces = format!("{{}}{}", " ".repeat(5 << 20));
    let expected = "its header of 5242882 bytes is too long for a network's";
    assert_eq!(refused(&spaces, 0), expected);
}

#[test]
fn numbers_that_no_network_has_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let vgg = Vgg::new(&VggConfig { batch_norm: true, ..config() }).unwrap();
    let refused = |name: &str, number: f32| {
        let mut params = Params::init(&vgg, &Init::default(), 1).unwrap();
        params.get_mut(name).unwrap().data_mut()[1] = number;
        params.save(&path).unwrap();
        match WeightFile::open(&path).unwrap().params(&vgg, &Convention::TORCHVISION) {
            Err(Error::Format { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    for number in [f32::NAN, f32::NEG_INFINITY] {
        assert_eq!(
            refused("features.0.weight", number),
            "features.0.weight has 1 numbers of 54 that are NaN or infinite as f32: the training \
             that made it diverged, or it is damaged"
        );
    }
    assert_eq!(
        refused("features.1.running_var", -1.0),
        "features.1.running_var has negative numbers, as no variance does: it is damaged"
    );
}

/// Why a file is not read that has the network's names and shapes, and `extra` tensors, as bytes.
fn refused_with(extra: &[(&str, &[usize])]) -> String {
    let vgg = Vgg::new(&config()).unwrap();
    let own = vgg.params().iter().map(|spec| (spec.name.as_str(), &spec.dims[..]));
    let mut end = 0;
    let entries = own.chain(extra.iter().copied()).map(|(name, dims)| {
        let start = end;
        end += dims.iter().product::<usize>();
        format!(r#""{name}":{{"dtype":"I8","shape":{dims:?},"data_offsets":[{start},{end}]}}"#)
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    refused(&header, end)
}

#[test]
fn numbers_that_are_no_weights_are_refused() {
    let expected = "features.0.weight is I8, but weights are read as F32, F64, F16 or BF16";
    assert_eq!(refused_with(&[]), expected);
    // Counters beside the parameters do not matter.
    assert_eq!(refused_with(&[("features.1.num_batches_tracked", &[])]), expected);
}

#[test]
fn other_networks_are_told() {
    assert_eq!(
        refused_with(&[("features.1.running_mean", &[2])]),
        "features.1.running_mean [2] is not a parameter of the network: the file's network has \
         batch normalisation, this one none"
    );
    assert_eq!(
        refused_with(&[("features.28.weight", &[16, 16, 3, 3])]),
        "features.28.weight [16, 16, 3, 3] is not a parameter of the network: the file has 9 \
         convolutions, the network 8"
    );
    let extra = refused_with(&[("classifier.7.bias", &[2])]);
    assert!(extra.starts_with("classifier.7.bias [2] is not a parameter of the network: the file"));
}

/// A layout must say where each number is, in the words of the convention.
#[test]
fn layouts_find_each_number() {
    let vgg = Vgg::new(&config()).unwrap();
    let conv = &vgg.params()[2];
    let [c_out, c_in, k, _] = conv.dims[..] else { panic!("a kernel") };
    let numbers = |len: usize| (0..len).map(|i| i as f32).collect::<Vec<_>>();
    let len = conv.content.len();
    let keras = Convention::KERAS.layout(conv, &[k, k, c_in, c_out]).unwrap();
    let read = keras.in_order(numbers(len), true);
    for (o, c, h, w) in [(0, 0, 0, 0), (1, 0, 2, 1), (3, 1, 0, 2)] {
        let own = ((o * c_in + c) * k + h) * k + w;
        let there = ((h * k + w) * c_in + (c_in - 1 - c)) * c_out + o;
        assert_eq!(read[own], there as f32);
    }
    let linear = vgg.params().iter().find(|spec| spec.name == "classifier.0.weight").unwrap();
    let Content::LinearWeight { out_features, c: n_c, h: 2, w: 2, .. } = linear.content else {
        panic!("{linear:?}")
    };
    let len = linear.content.len();
    let dims = [n_c * 4, out_features];
    let keras = Convention::KERAS.layout(linear, &dims).unwrap().in_order(numbers(len), false);
    let chw = Convention { flatten: FlattenOrder::Chw, ..Convention::KERAS };
    let chw = chw.layout(linear, &dims).unwrap().in_order(numbers(len), false);
    let hwc = Convention { kernels: KernelLayout::Oihw, ..Convention::KERAS };
    let hwc = hwc.layout(linear, &[out_features, n_c * 4]).unwrap().in_order(numbers(len), false);
    for (o, c, h, w) in [(0, 0, 0, 0), (1, 3, 1, 0), (4, 15, 0, 1)] {
        let own = ((o * n_c + c) * 2 + h) * 2 + w;
        assert_eq!(keras[own], (((h * 2 + w) * n_c + c) * out_features + o) as f32);
        assert_eq!(chw[own], (((c * 2 + h) * 2 + w) * out_features + o) as f32);
        assert_eq!(hwc[own], (((o * 2 + h) * 2 + w) * n_c + c) as f32);
    }
    // MatConvNet keeps fully connected layers as convolutions.
    let dims = [2, 2, n_c, out_features];
    assert!(Convention::KERAS.layout(linear, &dims).is_some());
    assert!(Convention::TORCHVISION.layout(linear, &dims).is_none());
}

#[test]
fn published_names() {
    let vgg = Vgg::new(&config()).unwrap();
    let first_and_last = |names: Names| {
        let names = names.of(&vgg);
        [0, 3, 6, 16, 18, 20].map(|i| names[i][0].clone())
    };
    assert_eq!(
        first_and_last(Names::Keras),
        [
            "block1_conv1/kernel",
            "block2_conv1/bias",
            "block3_conv2/kernel",
            "fc1/kernel",
            "fc2/kernel",
            "predictions/kernel"
        ]
    );
    assert_eq!(
        first_and_last(Names::Caffe),
        [
            "conv1_1.weight",
            "conv2_1.bias",
            "conv3_2.weight",
            "fc6.weight",
            "fc7.weight",
            "fc8.weight"
        ]
    );
    assert_eq!(
        first_and_last(Names::Timm)[3..],
        ["pre_logits.fc1.weight", "pre_logits.fc2.weight", "head.fc.weight"]
    );
}

/// What is said of a file of the network with some weights' dimensions exchanged.
fn refused_of(transposed: &[&str]) -> String {
    let vgg = Vgg::new(&config()).unwrap();
    let mut end = 0;
    let entries = vgg.params().iter().map(|spec| {
        let (start, mut dims) = (end, spec.dims.clone());
        end += 4 * spec.content.len();
        if transposed.contains(&spec.name.as_str()) {
            dims.reverse();
        }
        let name = &spec.name;
        format!(r#""{name}":{{"dtype":"F32","shape":{dims:?},"data_offsets":[{start},{end}]}}"#)
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let start = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&start[..], header.as_bytes(), &vec![0; end]].concat()).unwrap();
    let file = WeightFile::open(&path).unwrap();
    let convention = Convention::TORCHVISION;
    let read = file
        .config(&Arch::Vgg11, &convention)
        .and_then(|config| file.check(&Vgg::new(&config)?, &convention));
    match read {
        Err(Error::Format { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_configuration_follows_from_the_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for config in [config(), VggConfig { input: [1, 96, 96], width: 0.25, ..config() }] {
        let vgg = Vgg::new(&config).unwrap();
        Params::init(&vgg, &Init::default(), 1).unwrap().save(&path).unwrap();
        let file = WeightFile::open(&path).unwrap();
        assert_eq!(file.config(&config.arch, &Convention::TORCHVISION).unwrap(), config);
    }
    // The same, with fully connected weights as inputs by outputs, which config has to tell.
    let transposed = refused_of(&["classifier.0.weight", "classifier.3.weight"]);
    assert_eq!(
        transposed,
        "its first fully connected layer has 5 inputs: it seems to be transposed, inputs by outputs"
    );
    let last = refused_of(&["classifier.6.weight"]);
    assert!(last.ends_with("it seems to be transposed, inputs by outputs"), "{last}");
    let file = WeightFile::open(&path).unwrap();
    let error = file.config(&Arch::Vgg11, &Convention::CAFFE).unwrap_err().to_string();
    assert!(error.ends_with("the file has the names of Torchvision, not of Caffe"), "{error}");
}
