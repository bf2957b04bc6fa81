//! From bytes to feature maps.

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::CudaStream;
use vgg_kernels::BLOCK;
use vgg_tensor::Result;
use vgg_tensor::spec::{Normalize, PrepareImages, TapTable};

use crate::error::During;
use crate::gpu::kernel;
use crate::memory::{Address, Memory};
use crate::{Buffer, Cuda};

/// Rows that a thread computes: many share what the horizontal pass has of the images, few leave
/// enough threads where there is one image.
const ROWS: u32 = 8;

/// See [`vgg_tensor::Command::PrepareImages`].
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
    let kernel = kernel::PrepareImages {
        pixels,
        row_firsts: rows.firsts,
        row_weights: rows.weights,
        row_taps: rows.taps,
        column_firsts: columns.firsts,
        column_weights: columns.weights,
        column_taps: columns.taps,
        numbers,
        x,
        n: to.n as u64,
        c: to.c as u32,
        from_h: from.h as u32,
        from_w: from.w as u32,
        h: to.h as u32,
        w: to.w as u32,
        rows_per_block: ROWS,
    };
    // SAFETY: the buffers have room for what the spec says; the tables are those of its sides.
    unsafe {
        let columns = (to.n * to.w).div_ceil(BLOCK as usize);
        cuda.gpu.launch_grid(kernel, [columns as u32, to.h.div_ceil(ROWS as usize) as u32])
    }
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
        let TapTable { firsts, weights } = TapTable::new(from, to);
        let taps = weights.len() as u32;
        let firsts = table(stream, firsts.iter().flat_map(|first| first.to_ne_bytes()).collect())?;
        let weights = weights.iter().flatten().flat_map(|weight| weight.to_ne_bytes()).collect();
        let weights = table(stream, weights)?;
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
