//! What is fused, what a summary says, and how much memory there is.

use super::*;
use crate::{Layer, SgdConfig, VggConfig};

const INFER: Mode = Mode::Infer { linear_weights: WeightType::F32 };
const HALVES: Mode = Mode::Infer { linear_weights: WeightType::F16 };

fn train() -> Mode {
    Mode::Train(SgdConfig::plain(0.1).into())
}

fn with_momentum() -> Mode {
    Mode::Train(SgdConfig { momentum: 0.9, ..SgdConfig::plain(0.1) }.into())
}

fn small() -> Vgg {
    let config =
        VggConfig { width: 0.25, input: [1, 224, 224], classes: 10, ..VggConfig::default() };
    Vgg::new(&config).unwrap()
}

fn plan(batch: usize, mode: Mode) -> Plan {
    Plan::new(&small(), &Input::unnormalized(1, 28, 28), batch, mode).unwrap()
}

#[test]
fn pools_are_fused_and_dropout_is_in_place() {
    let plan = plan(128, train());
    let rows = plan.rows();
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    let (conv, pooled) = ("conv 3×3 + relu", "conv 3×3 + relu + max-pool 2×2");
    assert_eq!(
        kinds[..9],
        ["resize 28×28, normalise", pooled, pooled, conv, pooled, conv, pooled, conv, pooled]
    );
    assert_eq!(
        kinds[9..],
        ["linear + relu", "dropout 0.5", "linear + relu", "dropout 0.5", "linear", ""]
    );
    let shapes: Vec<String> =
        rows.iter().filter_map(|row| row.output.map(|y| y.to_string())).collect();
    assert_eq!(shapes[0], "128×1×224×224");
    assert_eq!(shapes[1], "128×16×112×112");
    assert_eq!(shapes[8], "128×128×7×7");
    assert_eq!(
        shapes[9..],
        ["128×4096"; 4].iter().chain(&["128×10"]).copied().collect::<Vec<_>>()[..]
    );
    let dropouts = plan.program().commands().filter_map(|command| match command {
        Command::Dropout { stream, .. } => Some(*stream),
        _ => None,
    });
    // Forward, and backward the same.
    assert_eq!(dropouts.collect::<Vec<_>>(), [0x2000, 0x2001, 0x2001, 0x2000]);
}

#[test]
fn halves_are_of_linear_weights_alone() {
    let plan = plan(64, HALVES);
    for command in plan.program().commands() {
        if let Command::Linear { spec, .. } = command {
            assert_eq!(spec.weight_type(), WeightType::F16);
        }
    }
    let rows = plan.rows();
    let halves = rows.iter().filter(|row| row.kind.contains("(f16)"));
    let halves: Vec<_> = halves.map(|row| (row.name.as_str(), row.bytes / 2)).collect();
    let first = 4096 * 128 * 7 * 7 + 2 * 4096;
    let (second, third) = (4096 * 4096 + 2 * 4096, 10 * 4096 + 2 * 10);
    assert_eq!(
        halves,
        [("classifier.0", first), ("classifier.3", second), ("classifier.6", third)]
    );
    assert_eq!(plan.bytes(), rows.iter().map(|row| row.bytes).sum::<u64>());
}

#[test]
fn bytes_add_up() {
    let numbers = 43_093_322u64;
    for (mode, copies) in [(INFER, 1), (train(), 1), (with_momentum(), 2)] {
        let plan = plan(128, mode);
        let kept: u64 = plan.kept().iter().map(|p| plan.content(*p).bytes() as u64).sum();
        assert_eq!(kept, 4 * (copies * numbers + 128 * 10 + 3));
        let shared = plan.shared(&|content| content.bytes() as u64);
        assert_eq!(plan.bytes(), kept + shared.iter().sum::<u64>());
        let rows = plan.rows();
        assert_eq!(plan.bytes(), rows.iter().map(|row| row.bytes).sum::<u64>());
        assert_eq!(rows.iter().map(|row| row.params as u64).sum::<u64>(), numbers);
        assert_eq!(rows.iter().map(|row| row.macs).sum::<u64>(), small().macs());
    }
}

/// What training keeps until the backward pass is told a layer.
#[test]
fn layers_have_what_they_keep() {
    let plan = plan(128, train());
    let rows = plan.rows();
    let maps = 4 * 128 * 16 * 112 * 112;
    let Command::Conv2d { spec, .. } = &plan.program().instructions()[1].command else {
        panic!("the first layer is a convolution");
    };
    assert_eq!(rows[1].bytes, (maps + spec.aux_bytes() + 4 * 160) as u64);
    // The images' bytes are not: they make room for activations.
    assert_eq!(rows[0].bytes, 4 * 128 * 224 * 224 + 4 * 128);
}

#[test]
fn a_pool_that_follows_no_convolution_stays_a_layer() {
    let config = VggConfig { input: [2, 32, 32], classes: 3, ..VggConfig::default() };
    let pool = |i| Layer::MaxPool2d { name: format!("features.{i}"), kernel: 2, stride: 2 };
    let linear = Layer::Linear { name: "classifier".into(), out_features: 3, relu: false };
    let vgg = Vgg::from_layers(config, vec![pool(0), pool(1), linear]).unwrap();
    let plan = Plan::new(&vgg, &Input::unnormalized(2, 32, 32), 1, train()).unwrap();
    let row = &plan.rows()[2];
    assert_eq!((row.kind.as_str(), row.output), ("max-pool 2×2", Some(Shape::new(1, 2, 8, 8))));
}

#[test]
fn what_does_nothing_is_no_command() {
    let config = VggConfig { dropout: 0.0, avg_pool: Some(7), ..small().config().clone() };
    let vgg = Vgg::new(&config).unwrap();
    let plan = Plan::new(&vgg, &Input::unnormalized(1, 28, 28), 1, train()).unwrap();
    // Images, eight convolutions, three fully connected layers, and what layers share.
    assert_eq!(plan.rows().len(), 1 + 8 + 3 + 1);
}

#[test]
fn bad_batches_and_inputs_are_errors() {
    let refused =
        |input: &Input, batch| Plan::new(&small(), input, batch, train()).unwrap_err().to_string();
    let gray = Input::unnormalized(1, 28, 28);
    assert_eq!(refused(&gray, 0), "batch size = 0, but it must be at least 1");
    assert!(refused(&gray, usize::MAX).ends_with("is too large"));
    assert!(refused(&Input::unnormalized(3, 28, 28), 1).starts_with("image channels = 3"));
    assert!(refused(&Input::unnormalized(1, 0, 28), 1).contains("empty dimension"));
}
