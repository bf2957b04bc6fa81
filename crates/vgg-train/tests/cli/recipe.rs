//! What is trained and how: the keys of the network, the loss and the optimiser.

use super::{Workplace, failure};

#[test]
fn classes_have_weights_in_the_loss() {
    let place = Workplace::new();
    // So many of the sample that classes are unequal.
    let uneven = "--set data.train_limit=57";
    let weights = &format!("{uneven} --set train.class_weights=balanced");
    let done = place.ok(&format!("tiny.toml --set train.epochs=1 {weights}"));
    assert!(done.stderr.contains("classes count from 0."), "{}", done.stderr);
    place.ok("resume runs/tiny-1 -q --set train.epochs=2");
    place.ok(&format!("tiny.toml -q {weights}"));
    place.ok(&format!("tiny.toml -q {uneven}"));
    let weights = |run: u32| {
        std::fs::read(place.path(&format!("runs/tiny-{run}/checkpoints/last.safetensors"))).unwrap()
    };
    assert!(weights(1) == weights(2), "it goes on to the bit");
    assert!(weights(1) != weights(3), "it is another loss");
}

#[test]
fn a_vgg_of_other_blocks_trains_and_goes_on_and_is_imported() {
    let place = Workplace::new();
    let blocks = "--set model.arch=[[16],[16,32]] --set model.image_size=20";
    place.ok(&format!("tiny.toml -q {blocks} --set train.epochs=1"));
    place.ok("resume runs/tiny-1 -q --set train.epochs=2");
    let done = place.ok(&format!("tiny.toml {blocks} --set train.epochs=2"));
    assert!(done.stderr.contains("Model [[16], [16, 32]] × "), "{}", done.stderr);
    let weights = |run: u32| {
        std::fs::read(place.path(&format!("runs/tiny-{run}/checkpoints/last.safetensors"))).unwrap()
    };
    assert!(weights(1) == weights(2), "it goes on to the bit");
    place.ok("export runs/tiny-1 --output blocks.onnx");
    place.ok("export runs/tiny-1 --output w.safetensors");
    place.ok("import w.safetensors --arch [[16],[16,32]] --to again");
    assert!(place.read("again/config.toml").contains("arch = [[16], [16, 32]]"));

    let refused = |key: &str, said: &str| {
        let done = failure(&place, &format!("tiny.toml --set {key}"));
        assert!(done.starts_with("2\n") && done.contains(said), "{done}");
    };
    refused("model.arch=[[16],[]]", "model.arch must have a block, and each block a convolution");
    refused("model.arch=[16,32]", "model.arch");
    refused(
        "model.arch=[[16],[16]] --set model.image_size=3",
        "model.image_size must be at least 4 for [[16], [16]], whose pools shrink it, not 3",
    );
}

#[test]
fn weights_that_are_none_are_refused() {
    let place = Workplace::new();
    let refused = |value: &str, said: &str| {
        let done = failure(&place, &format!("tiny.toml --set train.class_weights={value}"));
        assert!(done.starts_with("2\n") && done.contains(said), "{done}");
    };
    refused("[1,2]", "class_weights = 2, but it must be 10, one a class");
    refused("[1,0]", "train.class_weights must be a number above 0, not 0");
    refused("equal", "unknown value \"equal\"");
    refused("2", "expected \"balanced\" or a list of numbers, found the number 2");
    refused(
        "balanced --set data.sampler=balanced",
        "train.class_weights evens out what data.sampler has evened out already",
    );
}

#[test]
fn groups_of_layers_have_rates_of_their_own() {
    let place = Workplace::new();
    let config = place.read("tiny.toml");
    let slow = r#"groups = [{ layers = "features", lr = 1e-30 }]"#;
    let text = config.replace("[optimizer]\n", &format!("[optimizer]\n{slow}\n"));
    std::fs::write(place.path("slow.toml"), text).unwrap();
    place.ok("slow.toml -q --set train.epochs=1");
    place.ok("resume runs/slow-1 -q --set train.epochs=2");
    place.ok("slow.toml -q");
    place.ok("tiny.toml -q --set optimizer.freeze=['features']");
    let weights = |run: &str| {
        std::fs::read(place.path(&format!("runs/{run}/checkpoints/last.safetensors"))).unwrap()
    };
    assert!(weights("slow-1") == weights("slow-2"), "it goes on to the bit");
    // A rate that moves no weight is as good as none.
    let tensors = |run: &str| {
        let file = weights(run);
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let mut tensors: Vec<_> =
            file.iter().map(|(name, it)| (name.to_owned(), it.data().to_vec())).collect();
        tensors.sort();
        tensors
    };
    assert!(tensors("slow-2") == tensors("tiny-1"));
}

#[test]
fn groups_that_are_none_are_refused() {
    let place = Workplace::new();
    let refused = |group: &str, said: &str| {
        let done = failure(&place, &format!("tiny.toml --set optimizer.groups=[{{{group}}}]"));
        assert!(done.starts_with("2\n") && done.contains(said), "{done}");
    };
    refused("layers='feature',lr=0.1", "groups.layers = feature, but it must be how parameters'");
    refused("layers='features',lr=0", "optimizer.groups of features: lr must be a number above 0");
    refused("layers='features'", "of features need an lr or a weight_decay of their own");
    refused("layers='features',rate=1", "unknown key `rate`");
    refused("lr=0.1", "layers");
}

#[test]
fn a_rate_of_sgd_is_told_to_be_high_for_adamw() {
    let place = Workplace::new();
    let told = |lr: &str| {
        let adamw = "--set optimizer.kind=adamw --set optimizer.momentum=0 --set train.epochs=1";
        place.ok(&format!("tiny.toml {adamw} --set optimizer.lr={lr}")).stderr
    };
    let (high, usual) = (told("0.05"), told("0.001"));
    assert!(high.contains("optimizer.lr, 0.05, is high for AdamW"), "{high}");
    assert!(!usual.contains("is high for AdamW"), "{usual}");
}
