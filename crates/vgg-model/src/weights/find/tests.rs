//! The same network under the names that programs give it.

use tempfile::TempDir;
use vgg_tensor::{Error, Tensor};

use super::*;
use crate::{Arch, Copying, Init, Params, VggConfig};

fn config() -> VggConfig {
    let input = [3, 64, 64];
    VggConfig { width: 1.0 / 32.0, input, classes: 7, fc_width: 5, ..VggConfig::default() }
}

fn params(config: &VggConfig, seed: u64) -> Params {
    Params::init(&Vgg::new(config).unwrap(), &Init::default(), seed).unwrap()
}

type Named = Vec<(String, Tensor)>;

fn renamed(params: &Params, rename: impl Fn(&str) -> String) -> Named {
    params.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect()
}

/// A file of these tensors, which lives as long as the folder.
fn file(tensors: Named) -> (TempDir, WeightFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    Params::some(tensors).save(&path).unwrap();
    let file = WeightFile::open(&path).unwrap();
    (folder, file)
}

/// What is read of a file by torchvision's conventions.
fn read(file: &WeightFile) -> std::result::Result<Params, String> {
    let convention = Convention::TORCHVISION;
    let read = file
        .config(&Arch::Vgg11, &convention)
        .and_then(|config| file.params(&Vgg::new(&config)?, &convention));
    read.map_err(|error| match error {
        Error::Format { reason, .. } => reason,
        other => panic!("{other:?}"),
    })
}

fn refused(tensors: Named) -> String {
    read(&file(tensors).1).unwrap_err()
}

#[test]
fn wrappers_are_left_out_wherever_they_are() {
    let params = params(&config(), 1);
    let within = |name: &str| match name.split_once('.') {
        Some(("features", rest)) => format!("features.module.{rest}"),
        _ => name.to_owned(),
    };
    type Rename<'a> = &'a dyn Fn(&str) -> String;
    let cases: [(&str, Rename<'_>); 6] = [
        ("module", &|name| format!("module.{name}")),
        ("_orig_mod.module", &|name| format!("_orig_mod.module.{name}")),
        ("state_dict.model.backbone", &|name| format!("state_dict.model.backbone.{name}")),
        ("", &within),
        ("net", &|name| format!("net.{}", within(name))),
        ("encoder", &|name| {
            format!("encoder._fsdp_wrapped_module.{name}").replace("._fsdp", "/_fsdp")
        }),
    ];
    for (prefix, rename) in cases {
        let mut tensors = renamed(&params, rename);
        if !prefix.is_empty() {
            // Beside the network, anything may be.
            tensors.push(("n_averaged".into(), Tensor::zeros([1]).unwrap()));
            tensors.push(("loss.weight".into(), Tensor::zeros([3, 4]).unwrap()));
        }
        let counter: &[usize] = &[];
        tensors.push((rename("epoch"), Tensor::zeros(counter).unwrap()));
        let (_folder, file) = file(tensors);
        assert_eq!(read(&file).unwrap(), params, "{prefix}");
        let vgg = Vgg::new(&config()).unwrap();
        let matched = file.check(&vgg, &Convention::TORCHVISION).unwrap();
        let own = prefix == matched.prefix || prefix == "encoder";
        assert!(own && matched.by_order.is_empty(), "{matched:?}");
    }
    let mut twice = renamed(&params, str::to_owned);
    twice.push(("features.module.0.weight".into(), Tensor::zeros([2, 3, 3, 3]).unwrap()));
    assert_eq!(
        refused(twice),
        "it has features.0.weight and features.module.0.weight, which are the same parameter's names"
    );
    let mut more = renamed(&params, |name| format!("module.{name}"));
    more.push(("module.classifier.7.bias".into(), Tensor::zeros([7]).unwrap()));
    assert!(refused(more).starts_with("module.classifier.7.bias [7] is not a parameter of the"));
}

#[test]
fn of_several_networks_none_is_guessed() {
    let [student, teacher, plain] = [1, 2, 3].map(|seed| params(&config(), seed));
    let both = || {
        let mut tensors = renamed(&student, |name| format!("student.{name}"));
        tensors.extend(renamed(&teacher, |name| format!("teacher.module.{name}")));
        tensors.extend(renamed(&plain, str::to_owned));
        file(tensors)
    };
    let (_folder, file) = both();
    assert_eq!(
        read(&file).unwrap_err(),
        "it has 3 such networks, whose names begin differently: student, teacher.module, \"\""
    );
    let prefixes = file.prefixes(&[Arch::Vgg11], &Convention::TORCHVISION).unwrap();
    assert_eq!(prefixes, ["student", "teacher.module", ""]);
    let cases =
        [("student", &student), ("teacher", &teacher), ("teacher.module.", &teacher), ("", &plain)];
    for (prefix, expected) in cases {
        let (_folder, file) = both();
        assert_eq!(read(&file.under(prefix)).unwrap(), *expected, "{prefix}");
    }
    let (_folder, file) = both();
    assert_eq!(
        read(&file.under("teach")).unwrap_err(),
        "it has no network under \"teach\", but under student, teacher.module, \"\""
    );
}

#[test]
fn of_different_networks_none_is_guessed() {
    let of = |arch, batch_norm| {
        let config = VggConfig { arch, batch_norm, ..config() };
        (params(&config, 1), config)
    };
    let named = |networks: &[(&str, &Params)]| -> Named {
        let named =
            |(prefix, params): &(&str, &Params)| renamed(params, |name| format!("{prefix}.{name}"));
        networks.iter().flat_map(named).collect()
    };
    let [(vgg11, _), (vgg11_bn, normed), (vgg16, deeper)] =
        [(Arch::Vgg11, false), (Arch::Vgg11, true), (Arch::Vgg16, false)]
            .map(|(arch, batch_norm)| of(arch, batch_norm));
    // With and without normalisations.
    let both = named(&[("a", &vgg11), ("b", &vgg11_bn)]);
    let several = "it has 2 such networks, whose names begin differently: a, b";
    assert_eq!(refused(both.clone()), several);
    let (_folder, meant) = file(both);
    let meant = meant.under("b");
    assert_eq!(meant.config(&Arch::Vgg11, &Convention::TORCHVISION).unwrap(), normed);
    assert_eq!(meant.candidates(&Arch::ALL, &Convention::TORCHVISION).unwrap()[0], Arch::Vgg11);
    // Of other configurations: none where any may be meant, one where its is said.
    let (_folder, both) = file(named(&[("a", &vgg11), ("b", &vgg16)]));
    for error in [
        both.candidates(&Arch::ALL, &Convention::TORCHVISION).unwrap_err(),
        both.start(&Arch::Vgg11).unwrap_err(),
    ] {
        assert!(error.to_string().ends_with(several), "{error}");
    }
    assert_eq!(both.config(&Arch::Vgg16, &Convention::TORCHVISION).unwrap(), deeper);
    assert_eq!(read(&both).unwrap(), vgg11);
}

/// As a file that means harm can have: each was looked for everywhere, for every kind of network.
#[test]
fn many_long_names_are_no_networks() {
    let one = |name: String| (name, Tensor::zeros([1]).unwrap());
    let dotted = "a.b.".repeat(40);
    let others = (0..10_000).map(|i| one(format!("{dotted}{i}")));
    let (_folder, others) = file(others.collect());
    let error = others.start(&Arch::Vgg11).unwrap_err().to_string();
    assert!(error.contains("features.0.weight is missing: "), "{error}");
    let alike = (0..10_000).map(|i| one(format!("{i}.features.3.weight")));
    assert_eq!(refused(alike.collect()), "it has more networks than any checkpoint");
}

/// The head's layers under other names.
fn with_head(params: &Params, names: [&str; 3]) -> Named {
    let layers =
        [("classifier.0", names[0]), ("classifier.3", names[1]), ("classifier.6", names[2])];
    renamed(params, |name| {
        let found = layers
            .iter()
            .find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)));
        found.unwrap_or(name.to_owned())
    })
}

#[test]
fn heads_are_found_by_order_and_sizes() {
    let params = params(&config(), 1);
    let vgg = Vgg::new(&config()).unwrap();
    for names in [
        ["classifier.1", "classifier.4", "classifier.6"],
        ["dense", "dense_1", "dense_2"],
        ["head.9", "head.10", "head.11"],
        // The sizes alone tell which is the last one.
        ["z.fc1", "z.fc2", "a.fc"],
    ] {
        let (_folder, file) = file(with_head(&params, names));
        assert_eq!(read(&file).unwrap(), params, "{names:?}");
        let by_order = file.check(&vgg, &Convention::TORCHVISION).unwrap().by_order;
        let expected = ["classifier.0", "classifier.3", "classifier.6"].iter().zip(names);
        let expected: Vec<_> = expected.map(|(a, b)| ((*a).to_owned(), b.to_owned())).collect();
        assert_eq!(by_order, expected);
    }
    // A backbone in a module, and the head beside it.
    let head = with_head(&params, ["head.0", "head.1", "head.2"]);
    let within = |(name, tensor): (String, Tensor)| match name.starts_with("features") {
        true => (format!("model.backbone.{name}"), tensor),
        false => (format!("model.{name}"), tensor),
    };
    assert_eq!(read(&file(head.into_iter().map(within).collect()).1).unwrap(), params);
}

#[test]
fn heads_that_do_not_fit_are_told() {
    let params = params(&config(), 1);
    let without = |layers: &[&str]| -> Named {
        let all = renamed(&params, str::to_owned).into_iter();
        all.filter(|(name, _)| !layers.iter().any(|layer| name.starts_with(layer))).collect()
    };
    assert_eq!(
        refused(without(&["classifier"])),
        "it has the network's convolutions alone, no fully connected layers"
    );
    let mut two = without(&["classifier.3", "classifier.6"]);
    two.push(("classifier.6.weight".into(), Tensor::zeros([7, 6]).unwrap()));
    two.push(("classifier.6.bias".into(), Tensor::zeros([7]).unwrap()));
    assert_eq!(
        refused(two),
        "classifier.3.weight is missing: of fully connected layers the file has 2 (classifier.0, \
         classifier.6), the network 3"
    );
    let mut other = without(&["classifier.3"]);
    other.push(("classifier.4.weight".into(), Tensor::zeros([8, 6]).unwrap()));
    other.push(("classifier.4.bias".into(), Tensor::zeros([8]).unwrap()));
    assert_eq!(
        refused(other),
        "classifier.3.weight is missing, and the file's fully connected layers (classifier.0, \
         classifier.4, classifier.6) do not follow on each other"
    );
}

/// Of as many layers as those of a network that describes images in words, orders are not counted.
#[test]
fn many_layers_that_do_not_follow_on_each_other_are_told_at_once() {
    let trained = params(&config(), 1);
    let all = renamed(&trained, str::to_owned).into_iter();
    let mut tensors: Named = all.filter(|(name, _)| name.starts_with("features")).collect();
    for layer in 0..14 {
        tensors.push((format!("decoder.{layer}.weight"), Tensor::zeros([9, 9]).unwrap()));
        tensors.push((format!("decoder.{layer}.bias"), Tensor::zeros([9]).unwrap()));
    }
    assert!(refused(tensors).contains("of fully connected layers the file has 14 ("));
}

/// As they are called in networks for small images, and where somebody replaced the head.
#[test]
fn heads_of_other_depths_are_found() {
    for (fc_hidden, names) in [
        (0, &["classifier"][..]),
        (0, &["fc"]),
        (1, &["classifier.0", "classifier.3"]),
        (1, &["classifier.1", "classifier.4"]),
        (3, &["head.fc1", "head.fc2", "head.fc3", "head.fc4"]),
        (3, &["classifier.0", "classifier.3", "classifier.6", "classifier.9"]),
    ] {
        let fc_width = if fc_hidden == 0 { 4096 } else { 5 };
        let wanted = VggConfig { fc_hidden, fc_width, ..config() };
        let params = params(&wanted, 1);
        let own = ["classifier.0", "classifier.3", "classifier.6", "classifier.9"];
        let rename = |name: &str| match own.iter().position(|layer| layer_of(name) == *layer) {
            Some(place) => format!("{}{}", names[place], &name[own[place].len()..]),
            None => name.to_owned(),
        };
        let (_folder, file) = file(renamed(&params, rename));
        assert_eq!(file.config(&Arch::Vgg11, &Convention::TORCHVISION).unwrap(), wanted);
        assert!(read(&file).unwrap() == params, "{names:?}");
    }
    // What is cut off behind a hidden layer tells no classes apart.
    let whole = VggConfig { fc_width: 12, classes: 12, fc_hidden: 1, ..config() };
    let (_folder, file) = file(renamed(&params(&whole, 1), str::to_owned));
    let error = file.config(&Arch::Vgg11, &Convention::TORCHVISION).unwrap_err().to_string();
    assert!(
        error.ends_with("the file has 2 (classifier.0, classifier.3), the network 3"),
        "{error}"
    );
}

#[test]
fn a_network_of_other_blocks_is_found_by_them() {
    let arch = Arch::Blocks(vec![vec![4, 6], vec![8]]);
    let wanted = VggConfig { arch: arch.clone(), width: 1.0, input: [1, 4, 4], ..config() };
    let params = params(&wanted, 1);
    let (_folder, file) = file(renamed(&params, |name| format!("module.{name}")));
    let found = file.config(&arch, &Convention::TORCHVISION).unwrap();
    assert_eq!(found, wanted);
    assert!(file.config(&Arch::Vgg11, &Convention::TORCHVISION).is_err());
}

#[test]
fn a_network_can_start_from_any_file() {
    let narrow = VggConfig { width: 1.0 / 16.0, ..config() };
    let of = |arch, batch_norm| VggConfig { arch, batch_norm, ..narrow.clone() };
    for (arch, batch_norm) in [(Arch::Vgg13, false), (Arch::Vgg16C, false), (Arch::Vgg16, true)] {
        let params = params(&of(arch.clone(), batch_norm), 1);
        let (_folder, whole) = file(renamed(&params, |name| format!("model.{name}")));
        let start = whole.start(&Arch::Vgg11).unwrap();
        assert_eq!((start.vgg, start.lacking), (of(arch.clone(), batch_norm), None));
        assert_eq!(start.params, params);
        let all = renamed(&params, str::to_owned).into_iter();
        let convs = all.filter(|(name, _)| name.starts_with("features")).collect();
        let (_folder, headless) = file(convs);
        let start = headless.start(&Arch::Vgg11).unwrap();
        assert_eq!((&start.vgg.arch, start.vgg.width), (&arch, narrow.width));
        assert!(start.lacking.unwrap().contains("convolutions alone"));
        // Its convolutions are copied, and what it does not have is not.
        let vgg = Vgg::new(&of(Arch::Vgg11, batch_norm)).unwrap();
        let mut own = Params::init(&vgg, &Init::default(), 9).unwrap();
        let other = Vgg::new(&start.vgg).unwrap();
        let layers = own.copy_from(&vgg, &start.params, &other, Copying::All);
        let (copied, kept): (Vec<_>, Vec<_>) = layers.iter().partition(|layer| layer.from.is_ok());
        assert_eq!(own.get("features.0.weight"), params.get("features.0.weight"));
        assert!(!copied.is_empty() && kept.len() >= 3, "{layers:?}");
        let last = kept.last().unwrap();
        assert_eq!(last.from.as_ref().unwrap_err(), "classifier.6.weight is not in the file");
    }
    // Keras's names and orders.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/weights/keras.safetensors");
    let start = WeightFile::open(path.as_ref()).unwrap().start(&Arch::Vgg19).unwrap();
    assert_eq!((start.vgg.arch, start.convention), (Arch::Vgg11, Convention::KERAS));
    assert_eq!((start.vgg.classes, start.vgg.fc_width, start.lacking), (10, 16, None));
}

/// A head is often changed: its layers are of use where they are the same.
#[test]
fn of_another_head_what_fits_is_copied() {
    let trained = params(&config(), 1);
    let tensor = |dims: &[usize]| Tensor::zeros(dims).unwrap();
    let with = |layers: &[(&str, [usize; 2])]| -> Named {
        let of = |(layer, [outputs, inputs]): &(&str, [usize; 2])| {
            let weight = (format!("{layer}.weight"), tensor(&[*outputs, *inputs]));
            [weight, (format!("{layer}.bias"), tensor(&[*outputs]))]
        };
        let new: Named = layers.iter().flat_map(of).collect();
        let last = |name: &str| name.starts_with("classifier.6");
        let is_new = |name: &str| last(name) || new.iter().any(|(other, _)| other == name);
        let all = renamed(&trained, str::to_owned).into_iter();
        all.filter(|(name, _)| !is_new(name)).chain(new.clone()).collect()
    };
    let of_three = VggConfig { classes: 3, ..config() };
    let vgg = Vgg::new(&of_three).unwrap();
    // What is copied of a file, why the others are not, and what is said of the file.
    let copied = |tensors: Named| {
        let (_folder, file) = file(tensors);
        let start = file.start(&Arch::Vgg11).unwrap();
        let mut params_of_three = params(&of_three, 2);
        let layers = params_of_three.copy_from(
            &vgg,
            &start.params,
            &Vgg::new(&start.vgg).unwrap(),
            Copying::All,
        );
        for (layer, from) in
            layers.iter().filter_map(|it| Some((&it.layer, it.from.as_ref().ok()?)))
        {
            let [own, there] = [layer, from].map(|name| format!("{name}.weight"));
            assert_eq!(params_of_three.get(&own), start.params.get(&there));
        }
        let heads = layers.into_iter().filter(|layer| layer.layer.starts_with("classifier"));
        let told: Vec<_> = heads.map(|layer| layer.from.unwrap_or_else(|why| why)).collect();
        (told, start.lacking.unwrap_or_default(), start.vgg.fc_width)
    };
    let own = ["classifier.0", "classifier.3"];
    let missing = "classifier.6.weight is not in the file";
    let (told, why, width) = copied(with(&[]));
    assert_eq!((&told[..], width), (&[own[0], own[1], missing].map(String::from)[..], 5));
    assert!(why.ends_with("the file has 2 (classifier.0, classifier.3), the network 3"), "{why}");
    let (told, why, _) = copied(with(&[("classifier.6.0", [4, 5]), ("classifier.6.2", [3, 4])]));
    assert_eq!(told, [own[0], own[1], missing]);
    assert!(why.contains("classifier.6.0.weight is [4, 5], but [5, 5] in the network: "), "{why}");
    // Two layers, as wide as ours, or one under the first one's name.
    let two: Named = with(&[("classifier.3", [3, 5])]);
    let (told, _, width) = copied(two);
    let none = "the other network has no such layer";
    assert_eq!((&told[..], width), (&[own[0], none, "classifier.3"].map(String::from)[..], 5));
    let one = with(&[("classifier.0", [3, 16])]);
    let one = one.into_iter().filter(|(name, _)| !name.starts_with("classifier.3")).collect();
    let (told, _, width) = copied(one);
    assert_eq!(told, [none, none, "classifier.0.weight is [3, 16] there, but [3, 5] here"]);
    assert_eq!(width, VggConfig::default().fc_width);
    // Three of other sizes.
    let narrower = with(&[("classifier.3", [4, 5]), ("classifier.6", [3, 4])]);
    let (told, why, _) = copied(narrower);
    let other = "classifier.3.weight is [4, 5] there, but [5, 5] here";
    let last = "classifier.6.weight is [3, 4] there, but [3, 5] here";
    assert_eq!((&told[..], &*why), (&[own[0], other, last].map(String::from)[..], ""));
}

#[test]
fn of_one_output_the_last_layer_is_left() {
    for (outputs, said) in [(1, "1 output"), (0, "no outputs")] {
        let trained = params(&config(), 1);
        let resized = |(name, tensor): (String, Tensor)| match name.strip_prefix("classifier.6") {
            Some(".weight") => (name, Tensor::zeros([outputs, 5]).unwrap()),
            Some(_) => (name, Tensor::zeros([outputs]).unwrap()),
            None => (name, tensor),
        };
        let one = renamed(&trained, str::to_owned).into_iter().map(resized);
        let (_folder, file) = file(one.collect());
        let reason = format!("classifier.6 has {said}: a network tells two classes or more apart");
        assert_eq!(read(&file).unwrap_err(), reason);
        let start = file.start(&Arch::Vgg11).unwrap();
        assert_eq!((start.vgg.input, start.vgg.fc_width), (config().input, 5));
        assert_eq!(start.lacking, Some(reason));
        let (vgg, mut own) = (Vgg::new(&config()).unwrap(), params(&config(), 2));
        let other = Vgg::new(&start.vgg).unwrap();
        let layers = own.copy_from(&vgg, &start.params, &other, Copying::All);
        let (copied, kept): (Vec<_>, Vec<_>) = layers.iter().partition(|layer| layer.from.is_ok());
        assert_eq!((copied.len(), kept.len()), (8 + 2, 1));
        let differs = format!("classifier.6.weight is [{outputs}, 5] there, but [7, 5] here");
        assert_eq!(kept[0].from, Err(differs));
    }
}

/// With a module around the network as without one.
#[test]
fn what_is_beside_a_network_is_left_out() {
    let params = params(&config(), 1);
    let vgg = Vgg::new(&config()).unwrap();
    let beside: [(&str, &[usize]); 4] = [
        ("fc_extra.weight", &[3, 4]),
        ("loss.pos_weight", &[3]),
        ("criterion.weight", &[3]),
        ("features_of_another.0.weight", &[2, 3]),
    ];
    for prefix in ["", "model."] {
        let mut tensors = renamed(&params, |name| format!("{prefix}{name}"));
        let extra = beside.map(|(name, dims)| (name.to_owned(), Tensor::zeros(dims).unwrap()));
        tensors.extend(extra);
        let (_folder, file) = file(tensors);
        assert_eq!(read(&file).unwrap(), params, "{prefix:?}");
        let names = file.check(&vgg, &Convention::TORCHVISION).unwrap().beside;
        let expected = beside.map(|(name, _)| name.to_owned());
        assert_eq!(names, expected, "{prefix:?}");
        assert_eq!(file.start(&Arch::Vgg11).unwrap().beside, expected);
    }
    // What computes as the network's layers do may be one of them.
    let with = |name: &str, dims: &[usize]| {
        let extra = (name.to_owned(), Tensor::zeros(dims).unwrap());
        renamed(&params, str::to_owned).into_iter().chain([extra]).collect::<Named>()
    };
    for (name, dims) in [
        ("attention.0.weight", &[1, 16, 1, 1][..]),
        ("norm.running_mean", &[3][..]),
        ("norm.weight", &[3][..]),
        ("act.weight", &[1][..]),
    ] {
        let reason = refused(with(name, dims));
        let said = format!("{name} {dims:?} is of a layer beside the network's own, such as");
        assert!(reason.starts_with(&said), "{reason}");
        assert!(file(with(name, dims)).1.start(&Arch::Vgg11).is_ok());
    }
    let vector = refused(with("features.weight", &[3]));
    assert!(
        vector.starts_with("features.weight [3] is not a parameter of the network: the file has")
    );
}

/// As Keras's HDF5 files have them, with a group a layer, which the published ones do not all have.
#[test]
fn layers_that_are_named_twice_are_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/weights/keras.safetensors");
    let golden = WeightFile::open(path.as_ref()).unwrap();
    let config = golden.config(&Arch::Vgg11, &Convention::KERAS).unwrap();
    let vgg = Vgg::new(&config).unwrap();
    let expected = golden.params(&vgg, &Convention::KERAS).unwrap();
    let names: Vec<String> = golden.tensors().map(|(name, _)| name.to_owned()).collect();
    type Rename<'a> = &'a dyn Fn(&str, &str) -> String;
    let cases: [(&str, Rename<'_>); 4] = [
        ("", &|layer, kind| format!("{layer}/{layer}/{kind}:0")),
        ("vgg16", &|layer, kind| format!("vgg16/{layer}/{layer}/{kind}:0")),
        ("", &|layer, kind| {
            format!("{layer}/{layer}_{}_1:0", if kind == "kernel" { "W" } else { "b" })
        }),
        ("", &|layer, kind| format!("{layer}_{}_1:0", if kind == "kernel" { "W" } else { "b" })),
    ];
    for (prefix, rename) in cases {
        let renamed = |name: &String| {
            let (layer, kind) = name.rsplit_once('/').unwrap();
            let kind = kind.trim_end_matches(":0");
            (rename(layer, kind), golden.tensor(name).unwrap().unwrap())
        };
        let (_folder, mut renamed) = file(names.iter().map(renamed).collect());
        assert_eq!(renamed.params(&vgg, &Convention::KERAS).unwrap(), expected);
        assert_eq!(renamed.check(&vgg, &Convention::KERAS).unwrap().prefix, prefix);
        assert_eq!(renamed.start(&Arch::Vgg16).unwrap().params, expected);
        // What is missing is told of the network, not of a layer's group.
        renamed.contents.tensors.retain(|tensor| !tensor.name.contains("block3_conv2"));
        let error = renamed.params(&vgg, &Convention::KERAS).unwrap_err().to_string();
        assert!(error.contains("block3_conv2/kernel is missing"), "{error}");
    }
}
