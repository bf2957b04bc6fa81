//! Sessions on the reference backend.

use vgg_cpu::{Config, Cpu, Precision};
use vgg_tensor::Content;
use vgg_testkit::Reference;

use super::*;
use crate::{Init, VggConfig};

fn network() -> (Vgg, Input, Params) {
    let config =
        VggConfig { width: 0.05, input: [1, 32, 32], fc_width: 12, ..VggConfig::default() };
    let vgg = Vgg::new(&config).unwrap();
    let params = Params::init(&vgg, &Init::default(), 5).unwrap();
    (vgg, Input::unnormalized(1, 16, 16), params)
}

/// The parameters with the fully connected weights rounded to halves.
fn rounded(vgg: &Vgg, params: &Params) -> Params {
    let mut rounded = params.clone();
    let mut reference = Reference::<f32>::new();
    for (spec, tensor) in vgg.params().iter().zip(rounded.tensors_mut()) {
        if let Content::LinearWeight { out_features, c, h, w, .. } = spec.content {
            let weight_type = WeightType::F16;
            let half = Content::LinearWeight { out_features, c, h, w, weight_type };
            let mut buffer = reference.alloc(half).unwrap();
            reference.upload(half, tensor.data(), &mut buffer).unwrap();
            reference.download(half, &buffer, tensor.data_mut()).unwrap();
        }
    }
    rounded
}

#[test]
fn halves_are_rounded_once_and_computed_with_in_full() {
    let (vgg, input, params) = network();
    let rounded = rounded(&vgg, &params);
    assert_ne!(rounded, params);
    let pixels: Vec<u8> = (0..3 * 256).map(|i| (i * 37 % 251) as u8).collect();
    let backend = Reference::<f32>::new();
    let mut whole = Session::new(backend.clone(), &vgg, &input, rounded, 2).unwrap();
    let f16 = WeightType::F16;
    let mut half =
        Session::with_linear_weights(f16, backend.clone(), &vgg, &input, params.clone(), 2)
            .unwrap();
    assert_eq!(half.logits(&pixels).unwrap(), whole.logits(&pixels).unwrap());
    let mut exact = Session::new(backend, &vgg, &input, params, 2).unwrap();
    let (a, b) = (half.logits(&pixels).unwrap(), exact.logits(&pixels).unwrap());
    assert_ne!(a, b);
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3), "by little");
}

#[test]
fn a_weight_that_no_half_can_hold_is_refused() {
    let (vgg, input, mut params) = network();
    let set = |params: &mut Params, name: &str, x: f32| {
        let index = vgg.params().iter().position(|spec| spec.name == name).unwrap();
        params.tensors_mut().nth(index).unwrap().data_mut()[7] = x;
    };
    let session = |params: &Params, weight_type| {
        let backend = Reference::<f32>::new();
        Session::with_linear_weights(weight_type, backend, &vgg, &input, params.clone(), 1)
    };
    // Biases and convolutions stay what they are.
    set(&mut params, "classifier.0.bias", 1e6);
    set(&mut params, "features.0.weight", 1e6);
    set(&mut params, "classifier.3.weight", -65519.0);
    assert!(session(&params, WeightType::F16).is_ok());
    set(&mut params, "classifier.3.weight", -70000.0);
    assert!(session(&params, WeightType::F32).is_ok());
    let message = session(&params, WeightType::F16).err().unwrap().to_string();
    assert_eq!(
        message,
        "classifier.3.weight has -70000, but a number in f16 ends at 65504: keep its weights in f32"
    );
}

#[test]
fn images_of_other_sizes_share_a_session() {
    let (vgg, input, params) = network();
    let backend = Reference::<f32>::new();
    let mut shared = Session::new(backend.clone(), &vgg, &input, params.clone(), 3).unwrap();
    let pixels: Vec<u8> = (0..3 * 40 * 24).map(|i| (i * 53 % 241) as u8).collect();
    for (height, width, max_batch) in [(40, 24, 3), (20, 12, 1), (32, 32, 2), (16, 16, 7)] {
        let input = Input { height, width, ..input.clone() };
        shared.set_input(&input, max_batch).unwrap();
        let mut own =
            Session::new(backend.clone(), &vgg, &input, params.clone(), max_batch).unwrap();
        assert_eq!(shared.plan(), own.plan());
        let pixels = &pixels[..2 * height * width];
        assert_eq!(shared.logits(pixels).unwrap(), own.logits(pixels).unwrap());
    }
    let colour = Input::unnormalized(3, 16, 16);
    assert!(shared.set_input(&colour, 1).is_err());
    assert!(shared.logits(&pixels[..256]).is_ok(), "a refusal changes nothing");
}

#[test]
fn networks_with_the_same_parameters_share_a_session() {
    let (vgg, input, params) = network();
    let backend = Reference::<f32>::new();
    let mut shared = Session::new(backend.clone(), &vgg, &input, params.clone(), 1).unwrap();
    let pixels: Vec<u8> = (0..3 * 256).map(|i| (i * 53 % 241) as u8).collect();
    for (classes, sides, max_batch) in [(1000, [63, 40], 2), (1000, [32, 32], 3), (10, [32, 32], 1)]
    {
        let [h, w] = sides;
        let other = VggConfig { input: [1, h, w], classes, ..vgg.config().clone() };
        let other = Vgg::new(&other).unwrap();
        if classes == 10 {
            let message = shared.set_network(&other, &input, 1).unwrap_err().to_string();
            let expected = "the network has other parameters than the one that was loaded";
            assert_eq!(message, expected);
            continue;
        }
        shared.set_network(&other, &input, max_batch).unwrap();
        let mut own =
            Session::new(backend.clone(), &other, &input, params.clone(), max_batch).unwrap();
        assert_eq!(shared.logits(&pixels).unwrap(), own.logits(&pixels).unwrap(), "{sides:?}");
    }
}

#[test]
fn no_more_images_at_once_than_make_a_cpu_faster() {
    let (vgg, input, params) = network();
    let session = |max_batch| {
        let cpu = Cpu::new(Config { threads: Some(1), isa: None, ..Config::default() }).unwrap();
        Session::new(cpu, &vgg, &input, params.clone(), max_batch).unwrap()
    };
    let pixels: Vec<u8> = (0..40 * 256).map(|i| (i * 37 % 251) as u8).collect();
    let (mut many, mut one) = (session(40), session(1));
    assert_eq!([many.plan().batch(), many.at_once(40), one.at_once(3)], [16, 16, 3]);
    assert_eq!(many.logits(&pixels).unwrap(), one.logits(&pixels).unwrap());
    many.set_input(&input, 5).unwrap();
    assert_eq!(many.plan().batch(), 5);
    many.set_network(&vgg, &input, 40).unwrap();
    assert_eq!(many.plan().batch(), 16);
}

#[test]
fn weights_as_factors_take_less_and_change_nothing() {
    let (vgg, input, params) = network();
    let pixels: Vec<u8> = (0..3 * 256).map(|i| (i * 37 % 251) as u8).collect();
    for (precision, less) in [(Precision::F32, false), (Precision::Bf16, true)] {
        let [whole, factors] = [WeightType::F32, WeightType::Factors].map(|weight_type| {
            let cpu = Cpu::new(Config { precision, ..Config::default() }).unwrap();
            let params = params.clone();
            let mut session =
                Session::with_linear_weights(weight_type, cpu, &vgg, &input, params, 2).unwrap();
            let maps = session.grad_cam(&pixels, &[1, 0, 2]).unwrap();
            let bytes = session.plan().bytes_on(session.backend());
            (bytes, session.logits(&pixels).unwrap(), maps)
        });
        assert_eq!((factors.1, factors.2), (whole.1, whole.2), "{precision:?}");
        assert_eq!(factors.0 < whole.0, less, "{precision:?}");
    }
}
