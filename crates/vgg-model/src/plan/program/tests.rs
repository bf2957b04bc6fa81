//! The commands of each kind of work, and what they read and write.

mod shards;

use vgg_tensor::{Command, Content, InOut, Instruction, Operands};

use super::*;
use crate::{Input, Layer, SgdConfig, Vgg, VggConfig, WeightType};

/// A command as its layer, the word that names it, what it reads, and what it writes; what it changes
/// in place has a star. Buffers of its own are numbered in the order in which they are made.
fn lines(program: &NetworkProgram) -> Vec<String> {
    let line = |Instruction { pass, layer, command }: &Instruction| {
        let mut names = Names { program, read: Vec::new(), written: Vec::new() };
        command.clone().map(&mut names);
        let backward = if *pass == Pass::Backward { "'" } else { "" };
        let text = command.to_string();
        let word = text.split(' ').next().unwrap_or_default();
        format!("{layer}: {word}{backward} {} -> {}", names.read.join(" "), names.written.join(" "))
    };
    program.program.instructions().iter().map(line).collect()
}

struct Names<'a> {
    program: &'a NetworkProgram,
    read: Vec<String>,
    written: Vec<String>,
}

impl Names<'_> {
    fn name(&self, id: BufferId) -> String {
        match self.program.places[id.0] {
            Place::Pixels => "pixels".into(),
            Place::Targets => "labels".into(),
            Place::Metrics => "metrics".into(),
            Place::Logits => "logits".into(),
            Place::LogitsGradient => "dlogits".into(),
            Place::Maps => "maps".into(),
            Place::MapsGradient => "dmaps".into(),
            Place::Param(i) => format!("p{i}"),
            Place::Moment(moment, i) => format!("{}{i}", &moment.name()[..1]),
            Place::Gradient(i) => format!("g{i}"),
            Place::FactorInputs(i) => format!("x{i}"),
            Place::FactorSums(i) => format!("dsums{i}"),
            Place::NoAux => "aux".into(),
            Place::Sum(0, i) => format!("sum{i}"),
            Place::Sum(sum, i) => format!("sum{i}^{sum}"),
            Place::ShardMetrics(shard) => format!("metrics#{shard}"),
            Place::ShardState(shard, i) => format!("s{i}#{shard}"),
            Place::Ema(i) => format!("ema{i}"),
            Place::State(i) => format!("s{i}"),
            Place::EmaState(i) => format!("emas{i}"),
            Place::Own => {
                let is_own = |place: &&Place| **place == Place::Own;
                let before = self.program.places[..id.0].iter().filter(is_own).count();
                match self.program.program.buffers()[id.0].content {
                    Content::Bytes(_) => format!("aux{before}"),
                    Content::Maps(_) => format!("m{before}"),
                    _ => format!("t{before}"),
                }
            }
        }
    }
}

impl Operands<In, Out, InOut> for Names<'_> {
    type In = ();
    type Out = ();
    type InOut = ();

    fn input(&mut self, In(id): In, _: Content) {
        self.read.push(self.name(id));
    }

    fn output(&mut self, Out(id): Out, _: Content) {
        self.written.push(self.name(id));
    }

    fn in_place(&mut self, InOut(id): InOut, _: Content) {
        self.written.push(format!("*{}", self.name(id)));
    }
}

fn conv(name: &str, relu: bool) -> Layer {
    Layer::Conv2d { name: name.into(), c_out: 4, kernel: 3, stride: 1, padding: 1, relu }
}

fn pool(name: &str) -> Layer {
    Layer::MaxPool2d { name: name.into(), kernel: 2, stride: 2 }
}

fn linear(name: &str, relu: bool) -> Layer {
    Layer::Linear { name: name.into(), out_features: 3, relu }
}

fn network(layers: Vec<Layer>) -> Vgg {
    let config = VggConfig { input: [1, 32, 32], classes: 3, ..VggConfig::default() };
    Vgg::from_layers(config, layers).unwrap()
}

/// Convolution, convolution and pool, pool, linear with ReLU, dropout, linear.
fn plain() -> Vgg {
    network(vec![
        conv("a", true),
        conv("b", true),
        pool("c"),
        pool("d"),
        linear("e", true),
        Layer::Dropout { name: "f".into(), p: 0.5 },
        linear("g", false),
    ])
}

/// Convolution, sigmoid, average pool, convolution, normalisation, pool, linear.
fn baseline() -> Vgg {
    network(vec![
        conv("a", false),
        Layer::Sigmoid { name: "b".into() },
        Layer::AvgPool2d { name: "c".into(), h: 5, w: 7 },
        conv("d", true),
        Layer::Lrn { name: "e".into() },
        Layer::MaxPool2d { name: "f".into(), kernel: 3, stride: 2 },
        Layer::AvgPool2d { name: "g".into(), h: 2, w: 3 }, // which it has
        linear("h", false),
    ])
}

/// Convolution, normalisation and pool, convolution, normalisation, and linear.
fn normed() -> Vgg {
    let norm = |name: &str| Layer::BatchNorm2d { name: name.into() };
    network(vec![
        conv("a", false),
        norm("b"),
        pool("c"),
        conv("d", false),
        norm("e"),
        linear("f", false),
    ])
}

fn plan(vgg: &Vgg, mode: Mode) -> Plan {
    Plan::new(vgg, &Input::unnormalized(1, 8, 8), 2, mode).unwrap()
}

fn sgd() -> SgdConfig {
    SgdConfig::plain(0.25)
}

const INFER: Mode = Mode::Infer { linear_weights: WeightType::F32 };

/// The only micro-batch of a batch.
const WHOLE: MicroBatch = MicroBatch { index: 0, batch: 2, is_last: true, is_mixed: false };

fn lines_of(vgg: &Vgg, mode: Mode, work: Work) -> Vec<String> {
    lines(&plan(vgg, mode).program_of(work, 7).unwrap())
}

#[test]
fn a_training_step() {
    let recipe = SgdConfig { momentum: 0.9, ..sgd() };
    let step = lines_of(&plain(), Mode::Train(recipe.into()), Work::Step(WHOLE));
    insta::assert_snapshot!(step.join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m2 aux1
    b: conv2d m2 p2 p3 -> m4 aux3
    d: max-pool m4 -> m6 aux5
    e: linear m6 p4 p5 -> m8 aux7
    f: dropout  -> *m8
    g: linear m8 p6 p7 -> m10 aux9
    logits: softmax m10 labels -> metrics m11
    g: linear' m8 m11 aux9 -> *p6 *v6 t12 m13
    f: dropout'  -> *m13
    e: linear' m6 m13 aux7 -> *p4 *v4 t14 m15
    d: max-pool' m15 aux5 -> m16
    b: conv2d' m2 p2 m16 aux3 -> t17 t18 m19
    a: conv2d' m0 p0 m19 aux1 -> t20 t21
    a: sgd t20 -> *p0 *v0
    a: sgd t21 -> *p1 *v1
    b: sgd t17 -> *p2 *v2
    b: sgd t18 -> *p3 *v3
    e: sgd t14 -> *p5 *v5
    g: sgd t12 -> *p7 *v7
    "#);
}

#[test]
fn inference() {
    let logits = lines_of(&plain(), INFER, Work::Logits(Weights::Last));
    insta::assert_snapshot!(logits.join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m1
    b: conv2d m1 p2 p3 -> m2
    d: max-pool m2 -> m3
    e: linear m3 p4 p5 -> m4
    g: linear m4 p6 p7 -> logits
    "#);
}

#[test]
fn evaluation_in_training_leaves_no_traces() {
    let [training, inference] = [Mode::Train(sgd().into()), INFER]
        .map(|mode| plan(&plain(), mode).program_of(Work::Logits(Weights::Last), 7).unwrap());
    assert_eq!(training, inference);
}

#[test]
fn gradients_without_an_update_are_all_kept() {
    let gradients =
        lines_of(&plain(), Mode::Train(sgd().into()), Work::Gradients { is_mixed: false });
    insta::assert_snapshot!(gradients[8..].join("\n"), @r#"
    g: linear' m8 p6 m11 aux9 -> g6 g7 m12
    f: dropout'  -> *m12
    e: linear' m6 p4 m12 aux7 -> g4 g5 m13
    d: max-pool' m13 aux5 -> m14
    b: conv2d' m2 p2 m14 aux3 -> g2 g3 m15
    a: conv2d' m0 p0 m15 aux1 -> g0 g1
    "#);
}

/// From the last convolution's maps on, what the backward pass needs is kept. The pool that follows
/// them is not part of the convolution, and parameters have no gradients.
#[test]
fn grad_cam() {
    insta::assert_snapshot!(lines_of(&plain(), INFER, Work::GradCam).join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m1
    b: conv2d m1 p2 p3 -> maps
    c: max-pool maps -> m3 aux2
    d: max-pool m3 -> m5 aux4
    e: linear m5 p4 p5 -> m7 aux6
    g: linear m7 p6 p7 -> logits aux8
    g: linear' p6 dlogits aux8 -> m9
    e: linear' p4 m9 aux6 -> m10
    d: max-pool' m10 aux4 -> m11
    c: max-pool' m11 aux2 -> dmaps
    "#);
    insta::assert_snapshot!(lines_of(&baseline(), INFER, Work::GradCam).join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m1
    b: sigmoid  -> *m1
    c: average m1 -> m2
    d: conv2d m2 p2 p3 -> maps
    e: lrn maps -> m3
    f: max-pool m3 -> m5 aux4
    h: linear m5 p4 p5 -> logits aux6
    h: linear' p4 dlogits aux6 -> m7
    f: max-pool' m7 aux4 -> m8
    e: lrn' maps m8 -> dmaps
    "#);
    insta::assert_snapshot!(lines_of(&normed(), INFER, Work::GradCam).join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m1
    d: conv2d m1 p2 p3 -> maps
    f: linear maps p4 p5 -> logits aux2
    f: linear' p4 dlogits aux2 -> dmaps
    "#);
    let sigmoid = network(vec![
        conv("a", false),
        Layer::Sigmoid { name: "b".into() },
        linear("c", false),
        Layer::Sigmoid { name: "d".into() },
        linear("e", false),
    ]);
    insta::assert_snapshot!(lines_of(&sigmoid, INFER, Work::GradCam).join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> maps
    b: sigmoid  -> *maps
    c: linear maps p2 p3 -> m2 aux1
    d: sigmoid  -> *m2
    e: linear m2 p4 p5 -> logits aux3
    e: linear' p4 dlogits aux3 -> m4
    d: sigmoid' m2 -> *m4
    c: linear' p2 m4 aux1 -> dmaps
    "#);
}

#[test]
fn a_sigmoids_output_is_kept_for_its_gradient() {
    let step = lines_of(&baseline(), Mode::Train(sgd().into()), Work::Step(WHOLE));
    insta::assert_snapshot!(step.join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m2 aux1
    b: sigmoid  -> *m2
    c: average m2 -> m3
    d: conv2d m3 p2 p3 -> m5 aux4
    e: lrn m5 -> m6
    f: max-pool m6 -> m8 aux7
    h: linear m8 p4 p5 -> m10 aux9
    logits: softmax m10 labels -> metrics m11
    h: linear' m8 m11 aux9 -> *p4 t12 m13
    f: max-pool' m13 aux7 -> m14
    e: lrn' m5 m14 -> m15
    d: conv2d' m3 p2 m15 aux4 -> t16 t17 m18
    c: average' m18 -> m19
    b: sigmoid' m2 -> *m19
    a: conv2d' m0 p0 m19 aux1 -> t20 t21
    a: sgd t20 -> *p0
    a: sgd t21 -> *p1
    d: sgd t16 -> *p2
    d: sgd t17 -> *p3
    h: sgd t12 -> *p5
    "#);
    // It is part of inference, unlike dropout.
    let infer = lines_of(&baseline(), INFER, Work::Logits(Weights::Last));
    assert_eq!(infer[2], "b: sigmoid  -> *m1");
}

#[test]
fn normalisations_keep_statistics() {
    let mode = Mode::Train(SgdConfig { momentum: 0.9, ..sgd() }.into());
    let step = lines_of(&normed(), mode.clone(), Work::Step(WHOLE));
    insta::assert_snapshot!(step.join("\n"), @r#"
    images: resize pixels -> m0
    a: conv2d m0 p0 p1 -> m2 aux1
    b: batch-norm m2 p2 p3 -> *s0 *s1 t3 m5 aux4
    d: conv2d m5 p4 p5 -> m7 aux6
    e: batch-norm m7 p6 p7 -> *s2 *s3 t8 m10 aux9
    f: linear m10 p8 p9 -> m12 aux11
    logits: softmax m12 labels -> metrics m13
    f: linear' m10 m13 aux11 -> *p8 *v8 t14 m15
    e: batch-norm' m7 p6 t8 m15 aux9 -> t16 t17 m18
    d: conv2d' m5 p4 m18 aux6 -> t19 t20 m21
    b: batch-norm' m2 p2 t3 m21 aux4 -> t22 t23 m24
    a: conv2d' m0 p0 m24 aux1 -> t25 t26
    a: sgd t25 -> *p0 *v0
    a: sgd t26 -> *p1 *v1
    b: sgd t22 -> *p2 *v2
    b: sgd t23 -> *p3 *v3
    d: sgd t19 -> *p4 *v4
    d: sgd t20 -> *p5 *v5
    e: sgd t16 -> *p6 *v6
    e: sgd t17 -> *p7 *v7
    f: sgd t14 -> *p9 *v9
    "#);
    let evaluated =
        |weights| lines_of(&normed(), mode.clone(), Work::Logits(weights)).swap_remove(2);
    assert_eq!(evaluated(Weights::Last), "b: batch-norm m1 p2 p3 s0 s1 -> m2");
    assert_eq!(evaluated(Weights::Ema), "b: batch-norm m1 ema2 ema3 emas0 emas1 -> m2");
    let recipe = Recipe { ema_decay: Some(0.9), ..sgd().into() };
    let measured = lines_of(&normed(), Mode::Train(recipe), Work::Measurement { is_first: true });
    insta::assert_snapshot!(measured.join("\n"), @"
    ema: scale s0 -> emas0
    ema: scale s1 -> emas1
    ema: scale s2 -> emas2
    ema: scale s3 -> emas3
    images: resize pixels -> m0
    a: conv2d m0 ema0 ema1 -> m1
    b: batch-norm m1 ema2 ema3 -> *emas0 *emas1 t2 m4 aux3
    d: conv2d m4 ema4 ema5 -> m5
    e: batch-norm m5 ema6 ema7 -> *emas2 *emas3 t6 m8 aux7
    f: linear m8 ema8 ema9 -> logits
    ");
    // In inference the convolutions have all of it.
    let infer = lines_of(&normed(), INFER, Work::Logits(Weights::Last));
    assert_eq!(
        infer,
        [
            "images: resize pixels -> m0",
            "a: conv2d m0 p0 p1 -> m1",
            "d: conv2d m1 p2 p3 -> m2",
            "f: linear m2 p4 p5 -> logits",
        ]
    );
}

/// A batch of two micro-batches, whose gradients are clipped; an EMA is kept.
#[test]
fn micro_batches_add_up() {
    let recipe = Recipe {
        micro_batches: 2,
        clip_norm: Some(1.0),
        ema_decay: Some(0.9),
        mixes: true,
        ..sgd().into()
    };
    let plan = plan(&plain(), Mode::Train(recipe));
    let step = |index| {
        let micro_batch = MicroBatch { index, batch: 3, is_last: index == 1, is_mixed: true };
        plan.program_of(Work::Step(micro_batch), 7).unwrap()
    };
    let update = |program: &NetworkProgram| {
        let instructions = program.program.instructions();
        let first = instructions.iter().position(|i| i.pass == Pass::Update).unwrap();
        lines(program)[first..].join("\n")
    };
    let (first, last) = (step(0), step(1));
    insta::assert_snapshot!(update(&first), @r#"
    gradients: scale t22 -> sum0
    gradients: scale t23 -> sum1
    gradients: scale t19 -> sum2
    gradients: scale t20 -> sum3
    gradients: scale t15 -> sum4
    gradients: scale t16 -> sum5
    gradients: scale t12 -> sum6
    gradients: scale t13 -> sum7
    "#);
    insta::assert_snapshot!(update(&last), @r#"
    gradients: blend t22 -> *sum0
    gradients: blend t23 -> *sum1
    gradients: blend t19 -> *sum2
    gradients: blend t20 -> *sum3
    gradients: blend t15 -> *sum4
    gradients: blend t16 -> *sum5
    gradients: blend t12 -> *sum6
    gradients: blend t13 -> *sum7
    gradients: clip  -> *sum0 *sum1 *sum2 *sum3 *sum4 *sum5 *sum6 *sum7
    a: sgd sum0 -> *p0
    a: sgd sum1 -> *p1
    b: sgd sum2 -> *p2
    b: sgd sum3 -> *p3
    e: sgd sum4 -> *p4
    e: sgd sum5 -> *p5
    g: sgd sum6 -> *p6
    g: sgd sum7 -> *p7
    ema: blend p0 -> *ema0
    ema: blend p1 -> *ema1
    ema: blend p2 -> *ema2
    ema: blend p3 -> *ema3
    ema: blend p4 -> *ema4
    ema: blend p5 -> *ema5
    ema: blend p6 -> *ema6
    ema: blend p7 -> *ema7
    "#);
    // A micro-batch counts as its share, and draws from streams of its own.
    let alphas = first.program.commands().filter_map(|command| match command {
        Command::Scale { alpha, .. } => Some(*alpha),
        _ => None,
    });
    assert_eq!(alphas.collect::<Vec<_>>(), [2.0 / 3.0; 8]);
    let streams = |program: &NetworkProgram| {
        let streams = program.program.commands().filter_map(|command| match command {
            Command::Dropout { stream, seed, .. } => Some((*stream, *seed)),
            _ => None,
        });
        streams.collect::<Vec<_>>()
    };
    assert_eq!(streams(&first), [(0x2000, 7); 2]);
    assert_eq!(streams(&last), [(0x1_2000, 7); 2]);
}

/// What is frozen is not updated, and below the first layer that is trained nothing is computed.
#[test]
fn frozen_layers() {
    let frozen = |names: &[&str]| {
        let freeze = names.iter().map(|name| name.to_string()).collect();
        lines_of(&plain(), Mode::Train(Recipe { freeze, ..sgd().into() }), Work::Step(WHOLE))
    };
    insta::assert_snapshot!(frozen(&["a", "b.bias", "e.weight"])[8..].join("\n"), @r#"
    g: linear' m7 m10 aux8 -> *p6 t11 m12
    f: dropout'  -> *m12
    e: linear' m5 p4 m12 aux6 -> t13 t14 m15
    d: max-pool' m15 aux4 -> m16
    b: conv2d' m1 p2 m16 aux2 -> t17 t18
    b: sgd t17 -> *p2
    e: sgd t14 -> *p5
    g: sgd t11 -> *p7
    "#);
    insta::assert_snapshot!(frozen(&["a", "b", "e"])[8..].join("\n"), @r#"
    g: linear' m4 m7 aux5 -> *p6 t8
    g: sgd t8 -> *p7
    "#);
    insta::assert_snapshot!(frozen(&["e"])[8..].join("\n"), @r#"
    g: linear' m8 m11 aux9 -> *p6 t12 m13
    f: dropout'  -> *m13
    e: linear' p4 m13 aux7 -> m14
    d: max-pool' m14 aux5 -> m15
    b: conv2d' m2 p2 m15 aux3 -> t16 t17 m18
    a: conv2d' m0 p0 m18 aux1 -> t19 t20
    a: sgd t19 -> *p0
    a: sgd t20 -> *p1
    b: sgd t16 -> *p2
    b: sgd t17 -> *p3
    g: sgd t12 -> *p7
    "#);
    // A normalisation whose convolution is frozen has a gradient of its input that nobody reads.
    let recipe = Recipe { freeze: vec!["a".into()], ..sgd().into() };
    let step = lines_of(&normed(), Mode::Train(recipe), Work::Step(WHOLE));
    assert!(step.iter().any(|line| line.starts_with("b: batch-norm'")), "{step:#?}");
}
