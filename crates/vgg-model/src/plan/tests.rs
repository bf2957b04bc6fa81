//! What is fused, what shares memory, and how much there is of it.

use vgg_tensor::profile::{Event, Profiled};
use vgg_testkit::Reference;

use super::*;
use crate::{Init, Params, Session, SgdConfig, Trainer, VggConfig};

const TRAIN: Mode = Mode::Train(Training {
    momentum: false,
    all_gradients: false,
    accumulates: false,
    averages: false,
    mixes: false,
});
const INFER: Mode = Mode::Infer { linear_weights: WeightType::F32 };
const HALVES: Mode = Mode::Infer { linear_weights: WeightType::F16 };

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
    let plan = plan(128, TRAIN);
    let kinds: Vec<&str> = plan.rows().iter().map(|row| row.kind.as_str()).collect();
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
        plan.rows().iter().filter_map(|row| row.output.map(|y| y.to_string())).collect();
    assert_eq!(shapes[0], "128×1×224×224");
    assert_eq!(shapes[1], "128×16×112×112");
    assert_eq!(shapes[8], "128×128×7×7");
    assert_eq!(
        shapes[9..],
        ["128×4096"; 4].iter().chain(&["128×10"]).copied().collect::<Vec<_>>()[..]
    );
    for step in &plan.steps {
        assert_eq!(step.x == step.y, matches!(step.op, Op::Dropout { .. }));
    }
    let streams: Vec<u32> = plan
        .steps
        .iter()
        .filter_map(|step| match step.op {
            Op::Dropout { stream, .. } => Some(stream),
            _ => None,
        })
        .collect();
    assert_eq!(streams, [0x2000, 0x2001]);
}

#[test]
fn training_keeps_every_activation_and_two_gradients() {
    let plan = plan(128, TRAIN);
    assert_eq!(plan.maps.len(), 1 + 8 + 3 + 2); // images, convolutions, linears, gradients
    assert_eq!(plan.aux.len(), 11);
    assert_eq!(plan.logits, 11);
    assert_eq!(plan.gradients, Some([12, 13]));
    // No two steps write the same maps.
    let mut written: Vec<usize> =
        plan.steps.iter().filter(|s| s.x != s.y).map(|step| step.y).collect();
    written.dedup();
    assert_eq!(written, (1..=11).collect::<Vec<_>>());
    // From the logits' gradient on they take turns; the largest are those of convolution 4's
    // input and of convolution 3's.
    let shape = |c, h| Content::Maps(Shape::new(128, c, h, h));
    assert_eq!(plan.maps[12..], [shape(64, 56), shape(32, 56)]);
}

#[test]
fn inference_alternates_between_two_buffers() {
    let plan = plan(64, INFER);
    assert!(plan.aux.is_empty() && plan.gradients.is_none());
    assert!(plan.steps.iter().all(|step| step.aux.is_none()));
    let moves: Vec<_> = plan.steps.iter().map(|step| (step.x, step.y)).collect();
    assert_eq!(moves[..4], [(0, 1), (1, 0), (0, 1), (1, 0)]);
    let shape = |c, h| Content::Maps(Shape::new(64, c, h, h));
    assert_eq!(plan.maps, [shape(32, 56), shape(16, 112)]);
}

#[test]
fn halves_are_of_linear_weights_alone() {
    let plan = plan(64, HALVES);
    for step in &plan.steps {
        match step.op {
            Op::Linear { spec, weight } => {
                assert_eq!(spec.weight_type(), WeightType::F16);
                assert_eq!(spec.weight(), plan.params[weight]);
            }
            Op::Conv2d { spec, weight } => assert_eq!(spec.weight(), plan.params[weight]),
            _ => {}
        }
    }
    let kinds: Vec<&str> = plan.rows().iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds[9], "linear (f16) + relu");
    assert_eq!(kinds[13], "linear (f16)");
    let sum: u64 = plan.rows().iter().map(|row| row.bytes).sum();
    assert_eq!(plan.bytes(), sum);
}

#[test]
fn operations_are_the_calls_of_a_forward_pass() {
    let config =
        VggConfig { width: 0.05, input: [1, 32, 32], fc_width: 12, ..VggConfig::default() };
    let vgg = Vgg::new(&config).unwrap();
    let input = Input::unnormalized(1, 28, 28);
    let params = Params::init(&vgg, &Init::default(), 1).unwrap();
    let backend = || Profiled::new(Reference::<f32>::new()).unwrap();
    let pixels = vec![7; 2 * input.image_bytes()];
    let forward = |events: &[Event]| -> Vec<Operation> {
        let operations = events.iter().map(|event| event.operation);
        operations
            .filter(|op| !matches!(op, Operation::Upload { .. } | Operation::Download { .. }))
            .take_while(|op| !matches!(op, Operation::SoftmaxCrossEntropy(_)))
            .collect()
    };
    let sgd = SgdConfig::plain(0.1);
    let mut trainer = Trainer::new(backend(), &vgg, &input, &params, 2, sgd, 0).unwrap();
    trainer.step(&pixels, &[0, 1], 0.1).unwrap();
    let calls = forward(trainer.backend().events());
    assert_eq!(trainer.plan().operations().collect::<Vec<_>>(), calls);
    assert_eq!(calls.len(), 1 + 8 + 3 + 2);
    let events = trainer.backend().events().iter().map(|event| event.operation);
    let after = events.skip_while(|op| !matches!(op, Operation::SoftmaxCrossEntropy(_))).skip(1);
    let backward: Vec<_> = after.take_while(|op| !matches!(op, Operation::Sgd(_))).collect();
    assert_eq!(trainer.plan().backward_operations().collect::<Vec<_>>(), backward);

    let mut session = Session::new(backend(), &vgg, &input, params, 2).unwrap();
    session.logits(&pixels).unwrap();
    let calls = forward(session.backend().events());
    assert_eq!(session.plan().operations().collect::<Vec<_>>(), calls);
    assert_eq!(calls.len(), 1 + 8 + 3);
}

#[test]
fn every_operation_fits_its_buffers() {
    for mode in [INFER, TRAIN] {
        let plan = plan(5, mode);
        assert!(plan.prepare.x().len() <= plan.maps[0].len());
        for step in &plan.steps {
            assert!(step.op.y().len() <= plan.maps[step.y].len());
        }
    }
}

#[test]
fn a_short_batch_uses_the_same_buffers() {
    for mode in [INFER, TRAIN] {
        let (full, short) = (plan(128, mode), plan(96, mode));
        let ids = |plan: &Plan| -> Vec<_> {
            plan.steps.iter().map(|step| (step.x, step.y, step.aux)).collect()
        };
        assert_eq!(ids(&full), ids(&short));
        assert_eq!((full.logits, full.gradients), (short.logits, short.gradients));
        let fits = |(a, b): (&Content, &Content)| a.bytes() >= b.bytes();
        assert!(full.maps.iter().zip(&short.maps).all(fits));
        assert!(full.aux.iter().zip(&short.aux).all(fits));
    }
}

#[test]
fn bytes_add_up() {
    let numbers = 43_093_322u64;
    // Those of the fully connected weights, whose gradients are not stored.
    let linear = 4096 * (128 * 7 * 7 + 4096 + 10);
    let train = 2 * numbers - linear;
    let modes = [
        (INFER, numbers),
        (TRAIN, train),
        (Mode::Train(Training { momentum: true, ..Training::default() }), train + numbers),
    ];
    for (mode, params) in modes {
        let plan = plan(128, mode);
        let sum: u64 = plan.rows().iter().map(|row| row.bytes).sum();
        assert_eq!(plan.bytes(), sum);
        let buffers = plan.maps.iter().chain(&plan.aux).copied();
        let rest = 128 * (784 + 4) + 12;
        assert_eq!(plan.bytes(), 4 * params + bytes(buffers) + rest);
        let rows = plan.rows().iter();
        assert_eq!(rows.clone().map(|row| row.params as u64).sum::<u64>(), numbers);
        assert_eq!(rows.map(|row| row.macs).sum::<u64>(), small().macs());
    }
}

#[test]
fn a_pool_that_follows_no_convolution_stays_a_layer() {
    let config = VggConfig { input: [2, 32, 32], classes: 3, ..VggConfig::default() };
    let pool = |i| Layer::MaxPool2d { name: format!("features.{i}"), kernel: 2, stride: 2 };
    let linear = Layer::Linear { name: "classifier".into(), out_features: 3, relu: false };
    let vgg = Vgg::from_layers(config, vec![pool(0), pool(1), linear]).unwrap();
    let input = Input::unnormalized(2, 32, 32);
    let plan = Plan::new(&vgg, &input, 1, TRAIN).unwrap();
    assert!(matches!(plan.steps[1].op, Op::MaxPool2d { .. }));
    assert_eq!(plan.steps[1].op.y(), Shape::new(1, 2, 8, 8));
}

#[test]
fn no_dropout_is_no_step() {
    let config = VggConfig { dropout: 0.0, ..small().config().clone() };
    let vgg = Vgg::new(&config).unwrap();
    let plan = Plan::new(&vgg, &Input::unnormalized(1, 28, 28), 1, TRAIN).unwrap();
    assert_eq!(plan.steps.len(), 11);
}

#[test]
fn bad_batches_and_inputs_are_errors() {
    let refused =
        |input: &Input, batch| Plan::new(&small(), input, batch, TRAIN).unwrap_err().to_string();
    let gray = Input::unnormalized(1, 28, 28);
    assert_eq!(refused(&gray, 0), "batch size = 0, but it must be at least 1");
    assert!(refused(&gray, usize::MAX).ends_with("is too large"));
    assert!(refused(&Input::unnormalized(3, 28, 28), 1).starts_with("image channels = 3"));
    assert!(refused(&Input::unnormalized(1, 0, 28), 1).contains("empty dimension"));
}
