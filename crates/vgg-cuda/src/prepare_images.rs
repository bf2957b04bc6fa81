//! From bytes to feature maps.

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::CudaStream;
use vgg_tensor::Result;
use vgg_tensor::spec::{Normalize, PrepareImages, Taps};

use crate::error::During;
use crate::gpu::list;
use crate::memory::{Address, Memory};
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Backend::prepare_images`].
pub(crate) fn forward(
    cuda: &mut Cuda,
    op: &PrepareImages,
    normalize: &Normalize,
    pixels: &Buffer,
    x: &mut Buffer,
) -> Result<()> {
    let (from, to) = (op.source(), op.x());
    assert_eq!(normalize.channels(), to.c, "normalisation for each channel");
    let pixels = pixels.room(from.len());
    let x = x.numbers(cuda.storage, to.len());
    let stream = &cuda.gpu.stream;
    let numbers = cuda.tables.numbers(stream, normalize)?;
    let rows = cuda.tables.axis(stream, from.h, to.h)?;
    let columns = cuda.tables.axis(stream, from.w, to.w)?;
    let arguments = list![
        pixels,
        rows.firsts,
        rows.weights,
        rows.taps,
        columns.firsts,
        columns.weights,
        columns.taps,
        numbers,
        x,
        to.n,
        to.c as u32,
        from.h as u32,
        from.w as u32,
        to.h as u32,
        to.w as u32,
    ];
    // SAFETY: the buffers have room for what the spec says; the tables are those of its sides.
    unsafe { cuda.gpu.launch("prepare_images", (to.n * to.h * to.w) as u64, arguments) }
}

/// What the kernel looks up, for all sizes and normalisations so far.
#[derive(Default)]
pub(crate) struct Tables {
    axes: HashMap<[usize; 2], (Axis, [Memory; 2])>,
    numbers: Vec<(Normalize, Memory)>,
}

/// The taps of a pass along one axis, on the device.
#[derive(Clone, Copy)]
struct Axis {
    firsts: Address,
    weights: Address,
    taps: u32,
}

impl Tables {
    fn axis(&mut self, stream: &Arc<CudaStream>, from: usize, to: usize) -> Result<Axis> {
        if let Some((axis, _)) = self.axes.get(&[from, to]) {
            return Ok(*axis);
        }
        let (firsts, weights) = taps(from, to);
        let taps = (weights.len() / to) as u32;
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let firsts = table(stream, bytes(&firsts))?;
        let weights = table(stream, bytes(&weights))?;
        let axis = Axis { firsts: firsts.address(), weights: weights.address(), taps };
        self.axes.insert([from, to], (axis, [firsts, weights]));
        Ok(axis)
    }

    fn numbers(&mut self, stream: &Arc<CudaStream>, normalize: &Normalize) -> Result<Address> {
        if let Some((_, memory)) = self.numbers.iter().find(|(known, _)| known == normalize) {
            return Ok(memory.address());
        }
        let number = |i: usize| normalize.apply(i / 256, (i % 256) as u8).to_ne_bytes();
        let memory = table(stream, (0..256 * normalize.channels()).flat_map(number).collect())?;
        let address = memory.address();
        self.numbers.push((normalize.clone(), memory));
        Ok(address)
    }
}

fn table(stream: &Arc<CudaStream>, bytes: Vec<u8>) -> Result<Memory> {
    let mut memory = Memory::uninitialised(stream, bytes.len())?;
    stream.memcpy_htod(&bytes, memory.slice_mut()).during("uploading a table")?;
    Ok(memory)
}

/// The first input of each output, and `[taps, to]` weights: all outputs have as many taps, of
/// inputs that exist, and those in excess weigh nothing. A side that stays has one tap.
fn taps(from: usize, to: usize) -> (Vec<u32>, Vec<u32>) {
    let mut taps = PrepareImages::taps(from, to);
    for Taps { first, weights } in &mut taps {
        let zeros = weights.iter().take_while(|weight| **weight == 0).count();
        weights.drain(..zeros);
        *first += zeros;
        weights.truncate(weights.iter().rposition(|weight| *weight != 0).map_or(0, |i| i + 1));
    }
    let count = taps.iter().map(|taps| taps.weights.len()).max().unwrap_or(0).max(1);
    let (mut firsts, mut all) = (vec![0; to], vec![0; count * to]);
    for (position, Taps { first, weights }) in taps.iter().enumerate() {
        let start = (*first).min(from - count);
        firsts[position] = start as u32;
        for (i, weight) in weights.iter().enumerate() {
            all[(first - start + i) * to + position] = weight.cast_unsigned();
        }
    }
    (firsts, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_sums_to_one_and_stays_inside() {
        for (from, to) in [(1, 1), (5, 5), (28, 224), (224, 28), (1, 7), (7, 1), (31, 17)] {
            let (firsts, weights) = taps(from, to);
            let count = weights.len() / to;
            for (position, first) in firsts.iter().enumerate() {
                assert!(*first as usize + count <= from);
                let all = (0..count).map(|i| weights[i * to + position].cast_signed());
                assert!((all.sum::<i32>() - (1 << Taps::BITS)).abs() <= count as i32);
            }
        }
        assert_eq!(taps(5, 5), (vec![0, 1, 2, 3, 4], vec![1 << Taps::BITS; 5]));
    }
}
