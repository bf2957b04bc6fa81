//! Memory: zeros at first, and what goes up comes down, rounded where halves are stored.

use half::f16;
use vgg_tensor::spec::WeightType;
use vgg_tensor::{Backend, Content, Download as _, Shape};

use super::bench::{downloaded, poisoned};
use super::linear_weight;
use crate::{Arithmetic, inputs};

const CONTENTS: [Content; 20] = [
    Content::Vector(1),
    Content::Vector(33),
    Content::Maps(Shape::new(1, 1, 1, 1)),
    Content::Maps(Shape::new(2, 3, 5, 4)),
    Content::Maps(Shape::new(3, 17, 2, 7)),
    Content::Maps(Shape::new(1, 64, 4, 4)),
    Content::Maps(Shape::flat(5, 10)),
    Content::ConvWeight { c_out: 1, c_in: 1, kernel: 1 },
    Content::ConvWeight { c_out: 17, c_in: 3, kernel: 3 },
    Content::ConvWeight { c_out: 5, c_in: 33, kernel: 5 },
    Content::ConvWeight { c_out: 64, c_in: 16, kernel: 3 },
    linear_weight(10, [40, 1, 1], WeightType::F32),
    linear_weight(17, [5, 3, 2], WeightType::F32),
    linear_weight(128, [16, 7, 7], WeightType::F32),
    linear_weight(10, [40, 1, 1], WeightType::F16),
    linear_weight(17, [5, 3, 2], WeightType::F16),
    linear_weight(128, [16, 7, 7], WeightType::F16),
    linear_weight(10, [41, 1, 1], WeightType::Factors),
    linear_weight(17, [5, 3, 2], WeightType::Factors),
    linear_weight(128, [15, 7, 7], WeightType::Factors),
];

/// Checks `alloc`, `upload`, `upload_rows`, `download` and `start_download`.
///
/// # Panics
/// If a number changes on its way.
pub fn check_transfer<B: Backend>(backend: &mut B, arithmetic: Arithmetic) {
    for content in CONTENTS {
        let buffer = backend.alloc(content).expect("alloc");
        let zeros = downloaded(backend, content, &buffer).expect("download");
        assert_eq!(zeros, vec![0.0; content.len()], "{content:?} after alloc");
        check_round_trip(backend, content, content, arithmetic);
        check_rows(backend, content);
        let mut buffer = buffer;
        let arriving = backend.start_download(content, &buffer).expect("start_download");
        backend.upload(content, &vec![1.0; content.len()], &mut buffer).expect("upload");
        assert!(arriving.is_finite().expect("is_finite"), "{content:?}");
        assert_eq!(arriving.wait().expect("wait"), zeros, "{content:?}, changed afterwards");
    }
    // A buffer of maps takes any other maps of no more numbers.
    let room = Content::Maps(Shape::new(2, 6, 4, 5));
    for shape in [[2, 6, 4, 5], [1, 6, 4, 5], [2, 240 / 2, 1, 1], [3, 16, 5, 1], [2, 1, 10, 12]] {
        let [n, c, h, w] = shape;
        check_round_trip(backend, room, Content::Maps(Shape::new(n, c, h, w)), arithmetic);
    }
    // One of bytes takes whatever is no larger.
    for content in CONTENTS {
        let room = Content::Bytes(backend.bytes(content) as usize);
        check_round_trip(backend, room, content, arithmetic);
    }
}

/// Numbers that go up in rows are those that go up together, and other rows stay as they are.
fn check_rows<B: Backend>(backend: &mut B, content: Content) {
    let numbers = inputs::uniform(2, content.len(), 1.0);
    let mut whole = poisoned(backend, content).expect("alloc");
    backend.upload(content, &numbers, &mut whole).expect("upload");
    let expected = downloaded(backend, content, &whole).expect("download");
    let (rows, row) = (content.rows(), content.len() / content.rows());
    for per_part in [1, 3, 7, rows.div_ceil(2)] {
        let mut buffer = poisoned(backend, content).expect("alloc");
        for first in (0..rows).step_by(per_part).rev() {
            let last = rows.min(first + per_part);
            let src = &numbers[row * first..row * last];
            backend.upload_rows(content, first, src, &mut buffer).expect("upload_rows");
        }
        let back = downloaded(backend, content, &buffer).expect("download");
        assert_eq!(back, expected, "{content:?}, {per_part} rows at a time");
    }
}

fn check_round_trip<B: Backend>(
    backend: &mut B,
    room: Content,
    content: Content,
    arithmetic: Arithmetic,
) {
    let mut numbers = inputs::uniform(1, content.len(), 1.0);
    let special = [
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE / 2.0,
        f32::MAX,
        // As halves: the largest, infinite, two ties, and two that are subnormal.
        65519.99,
        65520.0,
        2049.0,
        -2051.0,
        1e-6,
        -6e-8,
    ];
    numbers.iter_mut().skip(1).step_by(3).zip(special).for_each(|(number, s)| *number = s);
    let stored = |x: &f32| match content {
        Content::LinearWeight { weight_type: WeightType::F16, .. } => f16::from_f32(*x).to_f32(),
        Content::Maps(_) => arithmetic.store(*x),
        _ => *x,
    };
    let mut buffer = poisoned(backend, room).expect("alloc");
    backend.upload(content, &numbers, &mut buffer).expect("upload");
    let back = downloaded(backend, content, &buffer).expect("download");
    let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut expected: Vec<f32> = numbers.iter().map(stored).collect();
    if let Content::LinearWeight { weight_type: WeightType::Factors, .. } = content {
        // Those of a backend may be rounded, or not before they are multiplied.
        let factors = arithmetic.factors(numbers);
        if bits(&back) == bits(&factors) {
            expected = factors;
        }
    }
    assert_eq!(bits(&back), bits(&expected), "{content:?} in a buffer for {room:?}");
    let arriving = backend.start_download(content, &buffer).expect("start_download");
    let finite = expected.iter().all(|x| x.is_finite());
    assert_eq!(arriving.is_finite().expect("is_finite"), finite, "{content:?}");
    let arrived = std::thread::spawn(|| arriving.wait().expect("wait")).join().expect("a thread");
    assert_eq!(bits(&arrived), bits(&expected), "{content:?} on another thread");
}
