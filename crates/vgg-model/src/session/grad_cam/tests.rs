use std::sync::{Arc, RwLock};

use vgg_tensor::{Backend, Bound, BufferId, Error, Executable, Instruction, Pass, Scalars, Shared};
use vgg_testkit::{Buffer, Reference, check_gradient, inputs};

use super::*;
use crate::plan::program::{Place, Work};
use crate::{
    Arch, BiasInit, Init, Input, Mode, Params, Plan, Vgg, VggConfig, WeightInit, WeightType, fold,
};

const INFER: Mode = Mode::Infer { linear_weights: WeightType::F32 };

fn small(arch: Arch, h: usize, w: usize) -> VggConfig {
    let any = VggConfig { arch, width: 0.05, input: [1, h, w], classes: 5, ..VggConfig::default() };
    match any.arch {
        Arch::LeNet => any,
        _ => VggConfig { fc_width: 12, ..any },
    }
}

fn network(config: &VggConfig) -> (Vgg, Input, Params) {
    let vgg = Vgg::new(config).unwrap();
    let init = Init { weights: WeightInit::KaimingNormal, biases: BiasInit::Torch };
    let params = Params::init(&vgg, &init, 5).unwrap();
    let [c, h, w] = config.input;
    (vgg, Input { mean: vec![0.5], std: vec![0.25], ..Input::unnormalized(c, h, w) }, params)
}

fn session(config: &VggConfig, max_batch: usize) -> Session<Reference<f32>> {
    let (vgg, input, params) = network(config);
    Session::new(Reference::new(), &vgg, &input, params, max_batch).unwrap()
}

fn pixels(config: &VggConfig, n: usize) -> Vec<u8> {
    inputs::bytes(3, n * config.input.iter().product::<usize>())
}

/// The program's commands and buffers on the reference in `f64`.
struct Opened {
    places: Vec<Place>,
    buffers: Vec<Shared<Buffer<f64>>>,
    commands: Vec<(Pass, String, Executable<Buffer<f64>>)>,
}

impl Opened {
    fn new(plan: &Plan) -> Self {
        let network = plan.program_of(Work::GradCam, 0).unwrap();
        let zeros = |content| Arc::new(RwLock::new(Buffer::zeros(content)));
        let buffers: Vec<_> =
            network.program.buffers().iter().map(|buffer| zeros(buffer.content)).collect();
        let instructions = network.program.instructions().iter();
        let command = |(instruction, (alone, places)): (&Instruction, (_, Vec<_>))| {
            let places = places.iter().map(|id: &BufferId| buffers[id.0].clone());
            let command = Reference::new().compile(&alone, places.collect()).unwrap();
            (instruction.pass, instruction.layer.clone(), command)
        };
        let commands = instructions.zip(network.program.one_by_one()).map(command).collect();
        Self { places: network.places, buffers, commands }
    }

    fn at(&self, place: Place) -> &RwLock<Buffer<f64>> {
        &self.buffers[self.places.iter().position(|known| *known == place).unwrap()]
    }

    fn write(&self, place: Place, numbers: impl ExactSizeIterator<Item = f64>) {
        let mut buffer = self.at(place).write().unwrap();
        buffer.numbers_mut(numbers.len()).iter_mut().zip(numbers).for_each(|(to, x)| *to = x);
    }

    fn read(&self, place: Place, len: usize) -> Vec<f64> {
        self.at(place).read().unwrap().numbers(len).to_vec()
    }

    /// Runs the commands of some passes and layers.
    fn run(&self, runs: impl Fn(Pass, &str) -> bool) {
        for (_, _, command) in self.commands.iter().filter(|(pass, layer, _)| runs(*pass, layer)) {
            let carry_out = |command: Bound<'_, _>| {
                Reference::carry_out(command, Scalars::default());
                Ok(())
            };
            command.run(carry_out).unwrap();
        }
    }
}

/// At maps without ties, which a ReLU's zeros would bring.
fn check_maps_gradient(config: &VggConfig) {
    let (vgg, input, params) = network(config);
    let (vgg, params) = (vgg.folded(), fold::params(&vgg, params));
    let plan = Plan::new(&vgg, &input, 2, INFER).unwrap();
    let opened = Opened::new(&plan);
    for (i, tensor) in params.tensors().enumerate() {
        opened.write(Place::Param(i), tensor.data().iter().map(|x| f64::from(*x)));
    }
    let is_own = |i: usize| i == 3 || i == config.classes + 1;
    let dlogits: Vec<f64> = (0..2 * config.classes).map(|i| f64::from(is_own(i))).collect();
    opened.write(Place::LogitsGradient, dlogits.iter().copied());

    let after_maps = &vgg.layers()[vgg.after_last_maps().unwrap()..];
    let is_after = |layer: &str| after_maps.iter().any(|after| after.name() == layer);
    let len = plan.maps(Place::Maps, 2).len();
    let maps = inputs::spread(1, len, 2e-3);
    opened.write(Place::Maps, maps.iter().copied());
    opened.run(|_, layer| is_after(layer));
    let gradient = opened.read(Place::MapsGradient, len);
    check_gradient(&format!("maps of {config:?}"), &maps, &gradient, |maps| {
        opened.write(Place::Maps, maps.iter().copied());
        opened.run(|pass, layer| pass == Pass::Forward && is_after(layer));
        let logits = opened.read(Place::Logits, dlogits.len());
        logits.iter().zip(&dlogits).map(|(logit, is_own)| logit * is_own).sum()
    });
}

#[test]
fn the_maps_gradient_is_that_of_finite_differences() {
    for config in [
        small(Arch::Vgg11, 64, 32),
        VggConfig { batch_norm: true, ..small(Arch::Vgg11, 32, 32) },
        small(Arch::Vgg11Lrn, 32, 32),
        VggConfig { avg_pool: Some(2), ..small(Arch::Vgg13, 96, 96) },
        small(Arch::Vgg16C, 32, 64),
        small(Arch::AlexNet, 99, 83),
        VggConfig { avg_pool: Some(2), ..small(Arch::AlexNet, 131, 131) },
        small(Arch::LeNet, 28, 32),
    ] {
        check_maps_gradient(&config);
    }
}

#[test]
fn maps_are_weighted_by_their_mean_gradients() {
    let shape = Shape::new(1, 2, 1, 3);
    let maps = [1.0, 2.0, 3.0, 10.0, 0.0, 1.0];
    let gradients = [3.0, 0.0, 3.0, -1.0, -1.0, 0.5];
    let Heatmap { height, width, values } = heatmap(shape, &maps, &gradients);
    assert_eq!((height, width, values), (1, 3, vec![0.0, 4.0, 5.5]));
    let broken = heatmap(shape, &[f32::NAN, 2.0, 3.0, 10.0, 0.0, 1.0], &gradients);
    assert!(broken.values[0].is_nan(), "a network that has blown up sees nothing");
}

#[test]
fn images_are_seen_each_for_itself() {
    let config = small(Arch::Vgg11, 64, 96);
    let (n, classes) = (5, [3, 0, 4, 4, 1]);
    let pixels = pixels(&config, n);
    let all = session(&config, n).grad_cam(&pixels, &classes).unwrap();
    assert_eq!((all.len(), all[0].height, all[0].width), (n, 4, 6));
    assert!(all.iter().any(|map| map.values.iter().any(|x| *x > 0.0)));
    // In parts, the last of which is short.
    let mut parts = session(&config, 2);
    assert_eq!(parts.grad_cam(&pixels, &classes).unwrap(), all);
    let image = pixels.len() / n;
    assert_eq!(parts.grad_cam(&pixels[image..2 * image], &classes[1..2]).unwrap(), all[1..2]);
    assert_eq!(parts.grad_cam(&[], &[]).unwrap(), []);
    // Another class is another map, and the other images' are what they were.
    let other = parts.grad_cam(&pixels, &[3, 0, 2, 4, 1]).unwrap();
    assert_ne!(other[2], all[2]);
    assert_eq!((&other[..2], &other[3..]), (&all[..2], &all[3..]));
}

/// Logits come from the same memory, with which other batches come and go.
#[test]
fn logits_stay_what_they_are() {
    let config = small(Arch::Vgg11, 32, 32);
    let pixels = pixels(&config, 3);
    let mut session = session(&config, 2);
    let logits = session.logits(&pixels).unwrap();
    let maps = session.grad_cam(&pixels, &[0, 1, 2]).unwrap();
    assert_eq!(session.logits(&pixels).unwrap(), logits);
    session
        .set_input(&Input { mean: vec![0.5], std: vec![0.25], ..Input::unnormalized(1, 32, 32) }, 3)
        .unwrap();
    assert_eq!(session.grad_cam(&pixels, &[0, 1, 2]).unwrap(), maps);
    assert_eq!(session.logits(&pixels).unwrap(), logits);
}

#[test]
fn memory_is_taken_when_it_is_asked_for() {
    let config = small(Arch::Vgg11, 32, 32);
    let mut session = session(&config, 2);
    session.logits(&pixels(&config, 2)).unwrap();
    let plain = session.network.memory.bytes();
    assert_eq!(plain, session.plan().bytes());
    session.grad_cam(&pixels(&config, 2), &[0, 1]).unwrap();
    let explained = session.network.memory.bytes();
    assert!(explained > plain);
    session.grad_cam(&pixels(&config, 1), &[0]).unwrap();
    session.grad_cam(&pixels(&config, 5), &[0; 5]).unwrap();
    assert_eq!(session.network.memory.bytes(), explained, "it is kept");
}

#[test]
fn what_cannot_be_explained() {
    let config = small(Arch::Vgg11, 32, 32);
    let pixels = pixels(&config, 2);
    let refused =
        |session: &mut Session<Reference<f32>>, pixels: &[u8], classes: &[u32]| match session
            .grad_cam(pixels, classes)
            .unwrap_err()
        {
            Error::Shape(message) => message,
            other => panic!("{other}"),
        };
    let mut plain = session(&config, 2);
    let message = refused(&mut plain, &pixels[1..], &[0, 1]);
    assert!(message.starts_with("2047 bytes are not whole images"), "{message}");
    assert_eq!(refused(&mut plain, &pixels, &[0]), "1 labels for 2 images");
    let message = refused(&mut plain, &pixels, &[0, 5]);
    assert_eq!(message, "label 1 = 5, but it must be below 5 classes");

    let (vgg, input, params) = network(&config);
    let dense = vgg.dense([32, 32]).unwrap();
    let of_dense = params.for_network(&dense).unwrap();
    let mut dense = Session::new(Reference::new(), &dense, &input, of_dense, 2).unwrap();
    let message = refused(&mut dense, &pixels, &[0, 1]);
    assert_eq!(message, "the network has no fully connected layer after its last convolution");
    let (reference, f16) = (Reference::<f32>::new(), WeightType::F16);
    let mut halves = Session::with_linear_weights(f16, reference, &vgg, &input, params, 2).unwrap();
    let message = refused(&mut halves, &pixels, &[0, 1]);
    assert_eq!(message, "a weight in f16 is for inference alone: gradients take it in f32");
    assert!(halves.logits(&pixels).is_ok());
}
