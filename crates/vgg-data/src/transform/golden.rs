//! What torchvision makes of a picture by the same operations: `tests/golden/augment.py` wrote it.

use std::path::Path;

use super::auto_augment::{AutoAugment, MAGNITUDES, Operation};
use super::{hue, place};
use crate::picture::Sampled;
use crate::{Decoding, Picture, rescale};

/// One operation on the picture, and what is to come of it.
struct Case {
    name: String,
    parameters: Vec<f64>,
    source: Picture,
    expected: Picture,
}

/// All cases in colour, then in grey.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/augment");
    let text = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let of = |channels, file| {
        let read = |file| Picture::read(&folder.join(file), &Decoding::stored(channels)).unwrap();
        let (source, all) = (read("source.png"), read(file));
        let size = [source.h, source.w];
        let lines = text.lines().enumerate().map(move |(i, line)| {
            let mut words = line.split(' ');
            Case {
                name: words.next().unwrap().into(),
                parameters: words.map(|word| word.parse().unwrap()).collect(),
                source: source.clone(),
                expected: Sampled::from(all.clone())
                    .view()
                    .cut([i * size[0], 0], size)
                    .to_picture(),
            }
        });
        lines.collect::<Vec<_>>()
    };
    [of(3, "expected.png"), of(1, "expected_grey.png")].into_iter().flatten().collect()
}

#[test]
fn parts_are_scaled_as_pillow_scales_them() {
    let crops: Vec<_> = cases().into_iter().filter(|case| case.name == "resized_crop").collect();
    assert_eq!(crops.len(), 8);
    for Case { parameters, source, expected, .. } in crops {
        let [top, left, h, w] = std::array::from_fn(|i| parameters[i] as usize);
        let wanted = [source.h, source.w];
        let sampled = Sampled::from(source);
        let actual = rescale::part(&sampled, [top, left], [h, w], wanted);
        assert_eq!(actual.into_picture(), expected, "{parameters:?}");
    }
}

/// The operation of a case, unless it is none of them.
fn operation(name: &str, parameter: f64) -> Option<Operation> {
    Some(match name {
        "ShearX" => Operation::ShearX(parameter),
        "ShearY" => Operation::ShearY(parameter),
        "TranslateX" => Operation::TranslateX(parameter),
        "TranslateY" => Operation::TranslateY(parameter),
        "Rotate" => Operation::Rotate(parameter),
        "Brightness" => Operation::Brightness(1.0 + parameter),
        "Color" => Operation::Saturation(1.0 + parameter),
        "Contrast" => Operation::Contrast(1.0 + parameter),
        "Sharpness" => Operation::Sharpness(1.0 + parameter),
        "Posterize" => Operation::Posterize(parameter as u32),
        "Solarize" => Operation::Solarize(parameter),
        "AutoContrast" => Operation::AutoContrast,
        "Equalize" => Operation::Equalize,
        _ => return None,
    })
}

/// `[c, h, w]`.
fn planes(picture: &Picture) -> Vec<u8> {
    let mut planes = vec![0; picture.pixels.len()];
    place::place(Sampled::from(picture.clone()).view(), false, [0, 0], &mut planes);
    planes
}

/// To the bit: a rotation has no pixel halfway between two others here, where torchvision takes either.
#[test]
fn operations_are_those_of_torchvision() {
    let mut compared = 0;
    for Case { name, parameters, source, expected } in cases() {
        let Some(operation) = operation(&name, parameters[0]) else { continue };
        let mut pixels = planes(&source);
        operation.apply([source.c, source.h, source.w], &mut pixels);
        assert!(pixels == planes(&expected), "{operation:?} of {} channels", source.c);
        compared += 1;
    }
    assert_eq!(compared, 2 * 49);
}

#[test]
fn hues_are_those_of_torchvision() {
    let turns: Vec<_> = cases().into_iter().filter(|case| case.name == "hue").collect();
    assert_eq!(turns.len(), 2 * 5);
    for Case { parameters, source, expected, .. } in turns {
        let mut pixels = planes(&source);
        hue::turn(parameters[0], [source.c, source.h, source.w], &mut pixels);
        assert!(pixels == planes(&expected), "{parameters:?} of {} channels", source.c);
    }
}

#[test]
fn strengths_are_those_of_torchvision() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/augment/magnitudes.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let policies = ["rand", "trivial-wide"].map(|policy| {
        text.lines().filter(move |line| line.split(' ').next() == Some(policy)).collect::<Vec<_>>()
    });
    let rand = AutoAugment::Rand { operations: 1, magnitude: 0 };
    for (auto, lines) in [rand, AutoAugment::TrivialWide].into_iter().zip(policies) {
        assert_eq!(lines.len(), 14);
        let strongest = auto.strongest([224, 224]);
        for (which, line) in lines.into_iter().enumerate() {
            let mut words = line.split(' ').skip(1);
            let name = words.next().unwrap();
            let values: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
            assert!(values.len() == 1 || values.len() == MAGNITUDES);
            for magnitude in 0..MAGNITUDES {
                let value = values[magnitude % values.len()];
                let told = match name {
                    "Identity" => Operation::Identity,
                    // Translations are by whole pixels.
                    "TranslateX" | "TranslateY" => operation(name, value.trunc()).unwrap(),
                    _ => operation(name, value).unwrap(),
                };
                let actual = strongest.operation(which, magnitude, 1.0);
                assert!(alike(actual, told), "{actual:?} of {magnitude}, not {told:?}");
                if name.starts_with("Translate") {
                    let back = strongest.operation(which, magnitude, -1.0);
                    assert!(alike(back, operation(name, -value.trunc()).unwrap()), "{back:?}");
                }
            }
        }
    }
}

/// The same operation, as strong in six digits.
fn alike(a: Operation, b: Operation) -> bool {
    let numbers = |operation: Operation| match operation {
        Operation::ShearX(by)
        | Operation::ShearY(by)
        | Operation::TranslateX(by)
        | Operation::TranslateY(by)
        | Operation::Rotate(by)
        | Operation::Brightness(by)
        | Operation::Saturation(by)
        | Operation::Contrast(by)
        | Operation::Sharpness(by)
        | Operation::Solarize(by) => by,
        Operation::Posterize(bits) => f64::from(bits),
        Operation::Identity | Operation::AutoContrast | Operation::Equalize => 0.0,
    };
    let same = std::mem::discriminant(&a) == std::mem::discriminant(&b);
    same && (numbers(a) - numbers(b)).abs() <= 1e-5 * numbers(b).abs()
}
