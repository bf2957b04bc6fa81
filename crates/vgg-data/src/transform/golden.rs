//! What torchvision makes of a picture by the same operations: `tests/golden/augment.py` wrote it.

use std::path::Path;

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
                expected: rescale::cut(&all, [i * size[0], 0], size),
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
        let sampled = Sampled::whole(source, wanted);
        let actual = rescale::part(&sampled, [top, left], [h, w], wanted);
        assert_eq!(actual, expected, "{parameters:?}");
    }
}
