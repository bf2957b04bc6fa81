//! Between PyTorch's order on the host and ours on the device.

use half::{bf16, f16};
use vgg_tensor::Shape;

use crate::precision::Storage;

/// The bytes of numbers `[n, c, h, w]` as `[n, h, w, c]`, rounded to the storage type.
pub(crate) fn pack(storage: Storage, shape: Shape, nchw: &[f32]) -> Vec<u8> {
    match storage {
        Storage::F32 => channels_last(shape, nchw, f32::to_ne_bytes),
        Storage::Bf16 => channels_last(shape, nchw, |x| bf16::from_f32(x).to_ne_bytes()),
        Storage::F16 => channels_last(shape, nchw, |x| f16::from_f32(x).to_ne_bytes()),
    }
}

/// The inverse of [`pack`], into `nchw`.
pub(crate) fn unpack(storage: Storage, shape: Shape, bytes: &[u8], nchw: &mut [f32]) {
    match storage {
        Storage::F32 => channels_first(shape, bytes, nchw, f32::from_ne_bytes),
        Storage::Bf16 => channels_first(shape, bytes, nchw, |x| bf16::from_ne_bytes(x).to_f32()),
        Storage::F16 => channels_first(shape, bytes, nchw, |x| f16::from_ne_bytes(x).to_f32()),
    }
}

/// Whether none of the numbers is infinite or NaN.
pub(crate) fn is_finite(storage: Storage, bytes: &[u8]) -> bool {
    match storage {
        Storage::F32 => all(bytes, |x| f32::from_ne_bytes(x).is_finite()),
        Storage::Bf16 => all(bytes, |x| bf16::from_ne_bytes(x).is_finite()),
        Storage::F16 => all(bytes, |x| f16::from_ne_bytes(x).is_finite()),
    }
}

fn all<const N: usize>(bytes: &[u8], holds: impl Fn([u8; N]) -> bool) -> bool {
    let (numbers, _) = bytes.as_chunks::<N>();
    // No early end within a piece, so that it is done by vectors.
    numbers.chunks(4096).all(|piece| piece.iter().fold(true, |all, x| all & holds(*x)))
}

fn channels_last<const N: usize>(
    shape: Shape,
    nchw: &[f32],
    number: impl Fn(f32) -> [u8; N],
) -> Vec<u8> {
    let mut bytes = vec![0; N * nchw.len()];
    let (places, _) = bytes.as_chunks_mut::<N>();
    transpose(shape, |from, to| places[to] = number(nchw[from]));
    bytes
}

fn channels_first<const N: usize>(
    shape: Shape,
    bytes: &[u8],
    nchw: &mut [f32],
    number: impl Fn([u8; N]) -> f32,
) {
    let (places, _) = bytes.as_chunks::<N>();
    transpose(shape, |to, from| nchw[to] = number(places[from]));
}

/// Calls `copy` with the index in NCHW order and the index in NHWC order of every number.
fn transpose(shape: Shape, mut copy: impl FnMut(usize, usize)) {
    let Shape { n, c, h, w } = shape;
    for image in 0..n {
        let first = image * c * h * w;
        for channel in 0..c {
            for pixel in 0..h * w {
                copy(first + channel * h * w + pixel, first + pixel * c + channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_to_the_end_and_back() {
        let shape = Shape::new(2, 3, 1, 2);
        let numbers: Vec<f32> = (0..shape.len()).map(|i| i as f32).collect();
        for storage in [Storage::F32, Storage::Bf16, Storage::F16] {
            let bytes = pack(storage, shape, &numbers);
            assert_eq!(bytes.len(), storage.bytes() * shape.len());
            let mut packed = vec![0.0; shape.len()];
            unpack(storage, Shape::flat(1, shape.len()), &bytes, &mut packed);
            assert_eq!(packed[..6], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
            let mut back = vec![0.0; shape.len()];
            unpack(storage, shape, &bytes, &mut back);
            assert_eq!(back, numbers);
            assert!(is_finite(storage, &bytes));
            for bad in [f32::NAN, f32::NEG_INFINITY] {
                let bad = pack(storage, shape, &[&numbers[1..], &[bad]].concat());
                assert!(!is_finite(storage, &bad));
            }
        }
    }
}
