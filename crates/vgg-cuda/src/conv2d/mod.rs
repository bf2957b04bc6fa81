//! Convolutions: the sums by cuDNN, what follows them by our kernels. A first stage of one channel is
//! ours alone (`first_stage.rs`).

mod algorithm;
mod cudnn;
mod descriptor;
mod direction;
mod first_stage;
#[cfg(test)]
mod tests;
mod tuning;

use vgg_tensor::Result;
use vgg_tensor::profile::Operation;
use vgg_tensor::spec::{Conv2d, ConvEpilogue};

pub(crate) use algorithm::Rules;
pub(crate) use cudnn::Cudnn;
use direction::{BackwardData, BackwardFilter, Forward, Workspace};
pub(crate) use tuning::Tuning;

use crate::bias::{BiasGradient, Mask};
use crate::error::fits_31_bits;
use crate::gpu::{groups, list};
use crate::memory::Address;
use crate::precision::Storage;
use crate::{Buffer, Cuda};

/// Bytes of the map before a pool, in training also of its gradient, which an operation keeps besides
/// its buffers. cuDNN's workspace is not known before it is asked.
pub(crate) fn workspace(storage: Storage, operation: &Operation) -> u64 {
    let sums = |op: &Conv2d| (storage.bytes() * op.conv_y().len()) as u64;
    match operation {
        Operation::Conv2d(op) if op.epilogue() == ConvEpilogue::BiasReluMaxPool => {
            if first_stage::takes(op) {
                0
            } else {
                sums(op)
            }
        }
        Operation::Conv2dBackward { op, dx } if *dx || !first_stage::takes(op) => sums(op),
        _ => 0,
    }
}

/// See [`vgg_tensor::Backend::check_size`]: cuDNN counts the numbers of a map with 31 bits.
pub(crate) fn check_size(operation: &Operation) -> Result<()> {
    let op = match operation {
        Operation::Conv2d(op) if !first_stage::takes(op) => op,
        Operation::Conv2dBackward { op, dx } if *dx || !first_stage::takes(op) => op,
        _ => return Ok(()),
    };
    let most = op.x().len().max(op.conv_y().len()).max(op.weight().len());
    fits_31_bits("cuDNN", "numbers", most)
}

/// See [`vgg_tensor::Backend::conv2d`].
pub(crate) fn forward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    if first_stage::takes(op) {
        return first_stage::forward(cuda, op, x, weight, bias, y, aux);
    }
    let storage = cuda.storage;
    let (sums, out) = (op.conv_y(), op.y());
    let y = y.numbers(storage, out.len());
    let pools = op.epilogue() == ConvEpilogue::BiasReluMaxPool;
    let bytes = cuda.cudnn.workspace::<Forward>(op)?;
    let unpooled = if pools { storage.bytes() * sums.len() } else { 0 };
    let [at, unpooled] = cuda.scratch.split(&cuda.gpu.stream, [bytes, unpooled])?;
    let to = if pools { unpooled } else { y };
    let from = x.numbers(storage, op.x().len());
    let weight = weight.weight(storage, op.weight().len()).factors;
    let bias = bias.f32(op.c_out());
    let aux = aux.map_or(Address::NULL, |aux| aux.room(op.aux_bytes()));
    let workspace = Workspace { at, bytes };
    // SAFETY: the buffers have room for what the spec says, the scratch memory for sums and
    // workspace, and no two are the same.
    unsafe { cuda.cudnn.compute::<Forward>(op, [from, weight], to, workspace) }?;

    let (c, pixels) = (sums.c as u32, sums.n * sums.h * sums.w);
    let groups = groups(sums.c);
    match op.epilogue() {
        // SAFETY: as above; these two kernels may work in place.
        ConvEpilogue::Bias => unsafe {
            let arguments = list![y, bias, y, pixels, c];
            cuda.gpu.launch("bias_forward", pixels as u64 * groups, arguments)
        },
        // SAFETY: as above.
        ConvEpilogue::BiasRelu => unsafe {
            let arguments = list![y, bias, y, aux, pixels, c];
            cuda.gpu.launch("bias_relu_forward", pixels as u64 * groups, arguments)
        },
        // SAFETY: as above.
        ConvEpilogue::BiasReluMaxPool => unsafe {
            let (h, w) = (sums.h as u32, sums.w as u32);
            let arguments = list![unpooled, bias, y, aux, sums.n, h, w, c];
            let work = (out.n * out.h * out.w) as u64 * groups;
            cuda.gpu.launch("bias_relu_max_pool_forward", work, arguments)
        },
    }
}

/// See [`vgg_tensor::Backend::conv2d_backward`].
pub(crate) fn backward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    dy: &Buffer,
    aux: &Buffer,
    dweight: &mut Buffer,
    dbias: &mut Buffer,
    dx: Option<&mut Buffer>,
) -> Result<()> {
    if first_stage::takes(op) && dx.is_none() {
        return first_stage::backward(cuda, op, x, dy, aux, dweight, dbias);
    }
    let storage = cuda.storage;
    let (sums, out) = (op.conv_y(), op.y());
    let dy = dy.numbers(storage, out.len());
    let aux = aux.room(op.aux_bytes());
    let x = x.numbers(storage, op.x().len());
    let len = op.weight().len();
    let factors = weight.weight(storage, len).factors;
    let dweight = dweight.f32(len);
    let dbias = dbias.f32(op.c_out());
    let dx = dx.map(|dx| dx.numbers(storage, op.x().len()));

    let (c, pixels) = (sums.c as u32, sums.n * sums.h * sums.w);
    let out_pixels = out.n * out.h * out.w;
    let mask = match op.epilogue() {
        ConvEpilogue::Bias => Mask::All,
        ConvEpilogue::BiasRelu => Mask::Relu(aux),
        ConvEpilogue::BiasReluMaxPool => Mask::ReluMaxPool(aux),
    };
    let gradient = BiasGradient::new(&cuda.gpu, out_pixels, sums.c);
    let mut workspace = cuda.cudnn.workspace::<BackwardFilter>(op)?;
    if dx.is_some() {
        workspace = workspace.max(cuda.cudnn.workspace::<BackwardData>(op)?);
    }
    let expanded = if op.epilogue() == ConvEpilogue::Bias { 0 } else { sums.len() };
    let rounded = if storage == Storage::F32 { 0 } else { len };
    let [at, dsums, rounded, rows] = cuda.scratch.split(
        &cuda.gpu.stream,
        [workspace, storage.bytes() * expanded, storage.bytes() * rounded, gradient.bytes()],
    )?;
    let workspace = Workspace { at, bytes: workspace };
    let loss_scale = cuda.loss_scale_address();

    // SAFETY: the buffers have room for what the spec says, the scratch memory for what was asked
    // for above, and no two are the same.
    unsafe {
        gradient.launch(&cuda.gpu, dy, mask, rows, dbias, loss_scale)?;
        let groups = groups(sums.c);
        let dsums = match op.epilogue() {
            ConvEpilogue::Bias => dy,
            ConvEpilogue::BiasRelu => {
                let arguments = list![dy, aux, dsums, pixels, c];
                cuda.gpu.launch("relu_backward", pixels as u64 * groups, arguments)?;
                dsums
            }
            ConvEpilogue::BiasReluMaxPool => {
                let (h, w) = (sums.h, sums.w);
                let arguments = list![dy, aux, dsums, sums.n, h as u32, w as u32, c];
                let work = (sums.n * h.div_ceil(2) * w.div_ceil(2)) as u64 * groups;
                cuda.gpu.launch("relu_max_pool_backward", work, arguments)?;
                dsums
            }
        };
        let to = if storage == Storage::F32 { dweight } else { rounded };
        cuda.cudnn.compute::<BackwardFilter>(op, [x, dsums], to, workspace)?;
        match storage {
            Storage::F32 => {}
            Storage::Bf16 | Storage::F16 => {
                let arguments = list![rounded, dweight, len, loss_scale];
                cuda.gpu.launch("widen", len.div_ceil(8) as u64, arguments)?;
            }
        }
        match dx {
            Some(dx) => cuda.cudnn.compute::<BackwardData>(op, [factors, dsums], dx, workspace),
            None => Ok(()),
        }
    }
}
