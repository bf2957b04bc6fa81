//! The order of the calls and the buffers they get, on a backend that computes nothing.

use vgg_tensor::Shape;
use vgg_tensor::spec::{
    AvgPool2d, BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Normalize, PrepareImages,
    SoftmaxCrossEntropy,
};

use super::*;
use crate::{Input, Layer, Mode, Vgg, VggConfig, WeightType};

/// Notes each call with the names of its buffers.
#[derive(Default)]
struct Recorder {
    calls: Vec<String>,
}

/// A buffer is its name.
type Name = String;

fn or_none(name: Option<&mut Name>) -> &str {
    name.map_or("none", |name| name)
}

impl Backend for Recorder {
    type Buffer = Name;
    type Download = Vec<f32>;

    fn describe(&self) -> String {
        "a recorder".into()
    }

    fn alloc(&mut self, _: Content) -> Result<Name> {
        self.calls.push("alloc".into());
        Ok(Name::new())
    }

    fn upload(&mut self, _: Content, _: &[f32], _: &mut Name) -> Result<()> {
        Ok(())
    }

    fn upload_bytes(&mut self, _: &[u8], _: &mut Name) -> Result<()> {
        Ok(())
    }

    fn download(&mut self, _: Content, _: &Name, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn start_download(&mut self, content: Content, _: &Name) -> Result<Vec<f32>> {
        Ok(vec![0.0; content.len()])
    }

    fn prepare_images(
        &mut self,
        _: &PrepareImages,
        _: &Normalize,
        pixels: &Name,
        x: &mut Name,
    ) -> Result<()> {
        self.calls.push(format!("prepare {pixels} -> {x}"));
        Ok(())
    }

    fn conv2d(
        &mut self,
        op: &Conv2d,
        x: &Name,
        weight: &Name,
        bias: &Name,
        y: &mut Name,
        aux: Option<&mut Name>,
    ) -> Result<()> {
        let (n, aux) = (op.x().n, or_none(aux));
        self.calls.push(format!("conv {n} {x} {weight} {bias} -> {y} {aux}"));
        Ok(())
    }

    fn conv2d_backward(
        &mut self,
        _: &Conv2d,
        x: &Name,
        weight: &Name,
        dy: &Name,
        aux: &Name,
        dweight: &mut Name,
        dbias: &mut Name,
        dx: Option<&mut Name>,
    ) -> Result<()> {
        let dx = or_none(dx);
        self.calls.push(format!("conv' {x} {weight} {dy} {aux} -> {dweight} {dbias} {dx}"));
        Ok(())
    }

    fn max_pool2d(
        &mut self,
        _: &MaxPool2d,
        x: &Name,
        y: &mut Name,
        aux: Option<&mut Name>,
    ) -> Result<()> {
        let aux = or_none(aux);
        self.calls.push(format!("pool {x} -> {y} {aux}"));
        Ok(())
    }

    fn max_pool2d_backward(
        &mut self,
        _: &MaxPool2d,
        dy: &Name,
        aux: &Name,
        dx: &mut Name,
    ) -> Result<()> {
        self.calls.push(format!("pool' {dy} {aux} -> {dx}"));
        Ok(())
    }

    fn avg_pool2d(&mut self, _: &AvgPool2d, x: &Name, y: &mut Name) -> Result<()> {
        self.calls.push(format!("average {x} -> {y}"));
        Ok(())
    }

    fn avg_pool2d_backward(&mut self, _: &AvgPool2d, dy: &Name, dx: &mut Name) -> Result<()> {
        self.calls.push(format!("average' {dy} -> {dx}"));
        Ok(())
    }

    fn lrn(&mut self, _: &Lrn, x: &Name, y: &mut Name) -> Result<()> {
        self.calls.push(format!("lrn {x} -> {y}"));
        Ok(())
    }

    fn lrn_backward(&mut self, _: &Lrn, x: &Name, dy: &Name, dx: &mut Name) -> Result<()> {
        self.calls.push(format!("lrn' {x} {dy} -> {dx}"));
        Ok(())
    }

    fn batch_norm2d(
        &mut self,
        _: &BatchNorm2d,
        x: &Name,
        weight: &Name,
        bias: &Name,
        running_mean: &mut Name,
        running_var: &mut Name,
        saved: &mut Name,
        y: &mut Name,
        aux: &mut Name,
    ) -> Result<()> {
        let running = format!("{running_mean} {running_var}");
        self.calls.push(format!("norm {x} {weight} {bias} -> {running} {saved} {y} {aux}"));
        Ok(())
    }

    fn batch_norm2d_inference(
        &mut self,
        _: &BatchNorm2d,
        x: &Name,
        weight: &Name,
        bias: &Name,
        running_mean: &Name,
        running_var: &Name,
        y: &mut Name,
    ) -> Result<()> {
        self.calls.push(format!("norm {x} {weight} {bias} {running_mean} {running_var} -> {y}"));
        Ok(())
    }

    fn batch_norm2d_backward(
        &mut self,
        _: &BatchNorm2d,
        x: &Name,
        weight: &Name,
        saved: &Name,
        dy: &Name,
        aux: &Name,
        dweight: &mut Name,
        dbias: &mut Name,
        dx: &mut Name,
    ) -> Result<()> {
        let inputs = format!("{x} {weight} {saved} {dy} {aux}");
        self.calls.push(format!("norm' {inputs} -> {dweight} {dbias} {dx}"));
        Ok(())
    }

    fn sigmoid(&mut self, _: Shape, x: &mut Name) -> Result<()> {
        self.calls.push(format!("sigmoid {x}"));
        Ok(())
    }

    fn sigmoid_backward(&mut self, _: Shape, y: &Name, dy: &mut Name) -> Result<()> {
        self.calls.push(format!("sigmoid' {y} {dy}"));
        Ok(())
    }

    fn linear(
        &mut self,
        _: &Linear,
        x: &Name,
        weight: &Name,
        bias: &Name,
        y: &mut Name,
        aux: Option<&mut Name>,
    ) -> Result<()> {
        let aux = or_none(aux);
        self.calls.push(format!("linear {x} {weight} {bias} -> {y} {aux}"));
        Ok(())
    }

    fn linear_backward(
        &mut self,
        _: &Linear,
        x: &Name,
        weight: WeightGradient<'_, Name>,
        dy: &Name,
        aux: &Name,
        dbias: &mut Name,
        dx: Option<&mut Name>,
    ) -> Result<()> {
        let (weight, dx) = (
            match weight {
                WeightGradient::Stored { weight, dweight } => format!("{weight} -> {dweight}"),
                WeightGradient::Applied { settings, weight, velocity } => {
                    format!("{weight} -> sgd {} {}", settings.lr, or_none(velocity))
                }
            },
            or_none(dx),
        );
        self.calls.push(format!("linear' {x} {dy} {aux} {weight} {dbias} {dx}"));
        Ok(())
    }

    fn dropout(&mut self, _: Shape, p: f32, draw: Draw, x: &mut Name) -> Result<()> {
        let Draw { seed, stream, step } = draw;
        self.calls.push(format!("dropout {p} {seed} {stream:#x} {step} {x}"));
        Ok(())
    }

    fn softmax_cross_entropy(
        &mut self,
        _: &SoftmaxCrossEntropy,
        logits: &Name,
        labels: &Name,
        metrics: &mut Name,
        dlogits: Option<&mut Name>,
    ) -> Result<()> {
        let dlogits = or_none(dlogits);
        self.calls.push(format!("loss {logits} {labels} -> {metrics} {dlogits}"));
        Ok(())
    }

    fn sgd(
        &mut self,
        settings: &Sgd,
        _: Content,
        weight: &mut Name,
        dweight: &Name,
        velocity: Option<&mut Name>,
    ) -> Result<()> {
        let velocity = or_none(velocity);
        self.calls.push(format!("sgd {} {weight} {dweight} {velocity}", settings.lr));
        Ok(())
    }
}

fn conv(name: &str, relu: bool) -> Layer {
    Layer::Conv2d { name: name.into(), c_out: 4, kernel: 3, stride: 1, padding: 1, relu }
}

/// Convolution, convolution and pool, pool, linear with ReLU, dropout, linear.
fn network() -> Vgg {
    let name = |name: &str| name.to_string();
    let conv = |layer| conv(layer, true);
    let linear = |layer, relu| Layer::Linear { name: name(layer), out_features: 3, relu };
    let layers = vec![
        conv("a"),
        conv("b"),
        Layer::MaxPool2d { name: name("c"), kernel: 2, stride: 2 },
        Layer::MaxPool2d { name: name("d"), kernel: 2, stride: 2 },
        linear("e", true),
        Layer::Dropout { name: name("f"), p: 0.5 },
        linear("g", false),
    ];
    let config = VggConfig { input: [1, 32, 32], classes: 3, ..VggConfig::default() };
    Vgg::from_layers(config, layers).unwrap()
}

/// A plan for batches of 2, its memory with names, and the recorder with no calls noted.
fn setup(mode: Mode) -> (Recorder, Plan, Memory<Recorder>) {
    setup_of(&network(), mode)
}

fn setup_of(vgg: &Vgg, mode: Mode) -> (Recorder, Plan, Memory<Recorder>) {
    let plan = Plan::new(vgg, &Input::unnormalized(1, 8, 8), 2, mode).unwrap();
    let mut recorder = Recorder::default();
    let mut memory = Memory::alloc(&mut recorder, &plan).unwrap();
    recorder.calls.clear();
    let name = |names: &mut [Name], letter: &str| {
        for (i, name) in names.iter_mut().enumerate() {
            *name = format!("{letter}{i}");
        }
    };
    name(&mut memory.maps, "m");
    name(&mut memory.aux, "a");
    name(&mut memory.params, "p");
    name(&mut memory.state, "s");
    for (i, gradient) in memory.gradients.iter_mut().enumerate() {
        *gradient = gradient.take().map(|_| format!("g{i}"));
    }
    name(&mut memory.velocity, "v");
    memory.pixels = "pixels".into();
    memory.labels = "labels".into();
    memory.metrics = "metrics".into();
    (recorder, plan, memory)
}

#[test]
fn a_training_step() {
    let (mut recorder, plan, mut memory) = setup(Mode::Train { momentum: true });
    let noise = Noise { seed: 7, step: 9 };
    let settings = Sgd { momentum: 0.9, ..Sgd::plain(0.25) };
    forward(&mut recorder, &plan, &mut memory, Some(noise)).unwrap();
    loss(&mut recorder, &plan, &mut memory, true).unwrap();
    backward(&mut recorder, &plan, &mut memory, noise, Some(&settings)).unwrap();
    assert_eq!(
        recorder.calls,
        [
            "prepare pixels -> m0",
            "conv 2 m0 p0 p1 -> m1 a0",
            "conv 2 m1 p2 p3 -> m2 a1",
            "pool m2 -> m3 a2",
            "linear m3 p4 p5 -> m4 a3",
            "dropout 0.5 7 0x2000 9 m4",
            "linear m4 p6 p7 -> m5 a4",
            "loss m5 labels -> metrics m6",
            "linear' m4 m6 a4 p6 -> sgd 0.25 v6 g7 m7",
            "dropout 0.5 7 0x2000 9 m7",
            "linear' m3 m7 a3 p4 -> sgd 0.25 v4 g5 m6",
            "pool' m6 a2 -> m7",
            "conv' m1 p2 m7 a1 -> g2 g3 m6",
            "conv' m0 p0 m6 a0 -> g0 g1 none",
        ]
    );
    recorder.calls.clear();
    update(&mut recorder, &plan, &mut memory, &settings).unwrap();
    let rest = [0, 1, 2, 3, 5, 7];
    let expected: Vec<String> = rest.map(|i| format!("sgd 0.25 p{i} g{i} v{i}")).to_vec();
    assert_eq!(recorder.calls, expected);
}

#[test]
fn gradients_without_an_update_are_all_stored() {
    let (mut recorder, plan, mut memory) = setup(Mode::Train { momentum: false });
    assert!(memory.gradients[4].is_none() && memory.gradients[6].is_none());
    memory.alloc_gradients(&mut recorder, &plan).unwrap();
    assert_eq!(recorder.calls, ["alloc", "alloc"]);
    memory.alloc_gradients(&mut recorder, &plan).unwrap();
    assert_eq!(recorder.calls.len(), 2, "once is enough");
    memory.gradients[4] = Some("g4".into());
    recorder.calls.clear();
    backward(&mut recorder, &plan, &mut memory, Noise { seed: 7, step: 9 }, None).unwrap();
    assert_eq!(recorder.calls[2], "linear' m3 m7 a3 p4 -> g4 g5 m6");
}

#[test]
fn evaluation_in_a_trainers_memory_leaves_no_traces() {
    let (mut recorder, plan, mut memory) = setup(Mode::Train { momentum: false });
    forward(&mut recorder, &plan, &mut memory, None).unwrap();
    loss(&mut recorder, &plan, &mut memory, false).unwrap();
    assert_eq!(
        recorder.calls,
        [
            "prepare pixels -> m0",
            "conv 2 m0 p0 p1 -> m1 none",
            "conv 2 m1 p2 p3 -> m2 none",
            "pool m2 -> m3 none",
            "linear m3 p4 p5 -> m4 none",
            "linear m4 p6 p7 -> m5 none",
            "loss m5 labels -> metrics none",
        ]
    );
    assert!(memory.velocity.is_empty());
}

#[test]
fn inference_alternates() {
    let (mut recorder, plan, mut memory) = setup(Mode::Infer { linear_weights: WeightType::F32 });
    forward(&mut recorder, &plan, &mut memory, None).unwrap();
    assert_eq!(
        recorder.calls,
        [
            "prepare pixels -> m0",
            "conv 2 m0 p0 p1 -> m1 none",
            "conv 2 m1 p2 p3 -> m0 none",
            "pool m0 -> m1 none",
            "linear m1 p4 p5 -> m0 none",
            "linear m0 p6 p7 -> m1 none",
        ]
    );
    assert!(memory.aux.is_empty() && memory.gradients.is_empty());
}

/// Convolution, sigmoid, average pool, convolution, normalisation, pool, linear.
fn baseline() -> Vgg {
    let layers = vec![
        conv("a", false),
        Layer::Sigmoid { name: "b".into() },
        Layer::AvgPool2d { name: "c".into(), h: 5, w: 7 },
        conv("d", true),
        Layer::Lrn { name: "e".into() },
        Layer::MaxPool2d { name: "f".into(), kernel: 3, stride: 2 },
        Layer::AvgPool2d { name: "g".into(), h: 2, w: 3 }, // which it has
        Layer::Linear { name: "h".into(), out_features: 3, relu: false },
    ];
    let config = VggConfig { input: [1, 32, 32], classes: 3, ..VggConfig::default() };
    Vgg::from_layers(config, layers).unwrap()
}

#[test]
fn a_sigmoids_output_is_kept_for_its_gradient() {
    let (mut recorder, plan, mut memory) = setup_of(&baseline(), Mode::Train { momentum: false });
    let noise = Noise { seed: 7, step: 9 };
    let settings = Sgd::plain(0.25);
    forward(&mut recorder, &plan, &mut memory, Some(noise)).unwrap();
    backward(&mut recorder, &plan, &mut memory, noise, Some(&settings)).unwrap();
    assert_eq!(
        recorder.calls,
        [
            "prepare pixels -> m0",
            "conv 2 m0 p0 p1 -> m1 a0",
            "sigmoid m1",
            "average m1 -> m2",
            "conv 2 m2 p2 p3 -> m3 a2",
            "lrn m3 -> m4",
            "pool m4 -> m5 a4",
            "linear m5 p4 p5 -> m6 a5",
            "linear' m5 m7 a5 p4 -> sgd 0.25 none g5 m8",
            "pool' m8 a4 -> m7",
            "lrn' m3 m7 -> m8",
            "conv' m2 p2 m8 a2 -> g2 g3 m7",
            "average' m7 -> m8",
            "sigmoid' m1 m8",
            "conv' m0 p0 m8 a0 -> g0 g1 none",
        ]
    );
    // It is part of inference, unlike dropout.
    let infer = Mode::Infer { linear_weights: WeightType::F32 };
    let (mut recorder, plan, mut memory) = setup_of(&baseline(), infer);
    forward(&mut recorder, &plan, &mut memory, None).unwrap();
    assert_eq!(
        recorder.calls[1..4],
        ["conv 2 m0 p0 p1 -> m1 none", "sigmoid m1", "average m1 -> m0"]
    );
}

/// Convolution, normalisation and pool, twice, and linear.
#[test]
fn normalisations_keep_statistics() {
    let norm = |name: &str| Layer::BatchNorm2d { name: name.into() };
    let pool = |name: &str| Layer::MaxPool2d { name: name.into(), kernel: 2, stride: 2 };
    let last = Layer::Linear { name: "e".into(), out_features: 3, relu: false };
    let layers = vec![conv("a", false), norm("b"), pool("c"), conv("d", false), norm("e"), last];
    let config = VggConfig { input: [1, 32, 32], classes: 3, ..VggConfig::default() };
    let vgg = Vgg::from_layers(config, layers).unwrap();
    let (mut recorder, plan, mut memory) = setup_of(&vgg, Mode::Train { momentum: false });
    let noise = Noise { seed: 7, step: 9 };
    forward(&mut recorder, &plan, &mut memory, Some(noise)).unwrap();
    backward(&mut recorder, &plan, &mut memory, noise, Some(&Sgd::plain(0.25))).unwrap();
    assert_eq!(
        recorder.calls,
        [
            "prepare pixels -> m0",
            "conv 2 m0 p0 p1 -> m1 a0",
            "norm m1 p2 p3 -> s0 s1 a2 m2 a1",
            "conv 2 m2 p4 p5 -> m3 a3",
            "norm m3 p6 p7 -> s2 s3 a5 m4 a4",
            "linear m4 p8 p9 -> m5 a6",
            "linear' m4 m6 a6 p8 -> sgd 0.25 none g9 m7",
            "norm' m3 p6 a5 m7 a4 -> g6 g7 m6",
            "conv' m2 p4 m6 a3 -> g4 g5 m7",
            "norm' m1 p2 a2 m7 a1 -> g2 g3 m6",
            "conv' m0 p0 m6 a0 -> g0 g1 none",
        ]
    );
    recorder.calls.clear();
    forward(&mut recorder, &plan, &mut memory, None).unwrap();
    assert_eq!(recorder.calls[2], "norm m1 p2 p3 s0 s1 -> m2");

    // In inference the convolutions have all of it.
    let mode = Mode::Infer { linear_weights: WeightType::F32 };
    let (mut recorder, plan, mut memory) = setup_of(&vgg, mode);
    forward(&mut recorder, &plan, &mut memory, None).unwrap();
    let calls = [
        "prepare pixels -> m0",
        "conv 2 m0 p0 p1 -> m1 none",
        "conv 2 m1 p2 p3 -> m0 none",
        "linear m0 p4 p5 -> m1 none",
    ];
    assert_eq!(recorder.calls, calls);
}
