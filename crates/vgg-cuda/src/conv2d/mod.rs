//! Convolutions: the sums by cuDNN, what follows them by our kernels. A network's first is ours alone
//! (`first_stage.rs`), and so are other ones of few channels (`few_channels.rs`).

mod algorithm;
mod cudnn;
mod descriptor;
mod direction;
mod few_channels;
mod first_stage;
#[cfg(test)]
mod tests;
mod tiling;
mod tuning;

use vgg_tensor::spec::{Conv2d, ConvEpilogue};
use vgg_tensor::{Command, Result, Shape};

pub(crate) use algorithm::Rules;
pub(crate) use cudnn::Cudnn;
use direction::{BackwardData, BackwardFilter, Forward, Workspace};
pub(crate) use tuning::Tuning;

use crate::bias::{BiasGradient, Epilogue, EpilogueBackward};
use crate::error::fits_31_bits;
use crate::gpu::{Gpu, kernel};
use crate::memory::Address;
use crate::precision::Storage;
use crate::{Buffer, Cuda};

/// Bytes of the map before a pool, in training also of its gradient, which an operation keeps besides
/// its buffers. cuDNN's workspace is not known before it is asked.
pub(crate) fn workspace(gpu: &Gpu, storage: Storage, command: &Command) -> u64 {
    let sums = |op: &Conv2d| (storage.bytes() * op.conv_y().len()) as u64;
    match command {
        _ if is_ours(gpu, command) => 0,
        Command::Conv2d { spec, .. } if pools(spec) => sums(spec),
        Command::Conv2dBackward { spec, .. } => sums(spec),
        _ => 0,
    }
}

/// Whether it takes nothing of cuDNN.
fn is_ours(gpu: &Gpu, command: &Command) -> bool {
    match command {
        Command::Conv2d { spec, .. } => {
            first_stage::takes(gpu, spec) || few_channels::takes(gpu, spec)
        }
        Command::Conv2dBackward { spec, dx, .. } => {
            first_stage::takes(gpu, spec) && dx.is_none() || few_channels::takes_backward(gpu, spec)
        }
        _ => false,
    }
}

/// Whether an operation is a 3×3 convolution that keeps the size: what our own kernels compute of few
/// channels.
fn is_3x3(op: &Conv2d) -> bool {
    (op.kernel(), op.padding(), op.stride()) == (3, 1, 1)
}

fn pools(op: &Conv2d) -> bool {
    op.epilogue() == ConvEpilogue::BiasReluMaxPool
}

/// The 2×2 windows of sums that our own kernels work on: without a pool, also those that an odd last row
/// or column begins.
fn windows(op: &Conv2d) -> Shape {
    let y = op.y();
    if pools(op) { y } else { Shape { h: y.h.div_ceil(2), w: y.w.div_ceil(2), ..y } }
}

/// `aux` as our own kernels take it: none without ReLU.
fn aux_address(op: &Conv2d, aux: Option<&Buffer>) -> Address {
    match op.epilogue() {
        ConvEpilogue::Bias => Address::NULL,
        _ => aux.map_or(Address::NULL, |aux| aux.room(op.aux_bytes())),
    }
}

/// See [`vgg_tensor::Backend::check_size`]: cuDNN counts the numbers of a map with 31 bits.
pub(crate) fn check_size(gpu: &Gpu, command: &Command) -> Result<()> {
    let op = match command {
        _ if is_ours(gpu, command) => return Ok(()),
        Command::Conv2d { spec, .. } | Command::Conv2dBackward { spec, .. } => spec,
        _ => return Ok(()),
    };
    let most = op.x().len().max(op.conv_y().len()).max(op.weight().len());
    fits_31_bits("cuDNN", "numbers", most)
}

/// See [`vgg_tensor::Command::Conv2d`].
pub(crate) fn forward(
    cuda: &mut Cuda,
    op: &Conv2d,
    x: &Buffer,
    weight: &Buffer,
    bias: &Buffer,
    y: &mut Buffer,
    aux: Option<&mut Buffer>,
) -> Result<()> {
    if first_stage::takes(&cuda.gpu, op) {
        return first_stage::forward(cuda, op, x, weight, bias, y, aux);
    }
    if few_channels::takes(&cuda.gpu, op) {
        return few_channels::forward(cuda, op, x, weight, bias, y, aux);
    }
    let storage = cuda.storage;
    let (sums, out) = (op.conv_y(), op.y());
    let y = y.numbers(storage, out.len());
    let pools = pools(op);
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

    // SAFETY: as above; what does not pool may work in place.
    unsafe { epilogue(op, aux).forward(&cuda.gpu, sums, to, bias, y) }
}

/// See [`vgg_tensor::Command::Conv2dBackward`].
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
    if first_stage::takes(&cuda.gpu, op) && dx.is_none() {
        return first_stage::backward(cuda, op, x, dy, aux, dweight, dbias);
    }
    if few_channels::takes_backward(&cuda.gpu, op) {
        return few_channels::backward(cuda, op, x, weight, dy, aux, dweight, dbias, dx);
    }
    let storage = cuda.storage;
    let dy = dy.numbers(storage, op.y().len());
    let aux = aux.room(op.aux_bytes());
    let x = x.numbers(storage, op.x().len());
    let len = op.weight().len();
    let factors = weight.weight(storage, len).factors;
    let dweight = dweight.f32(len);
    let dbias = dbias.f32(op.c_out());
    let dx = dx.map(|dx| dx.numbers(storage, op.x().len()));

    let epilogue = EpilogueBackward::new(&cuda.gpu, epilogue(op, aux), op.conv_y());
    let mut workspace = cuda.cudnn.workspace::<BackwardFilter>(op)?;
    if dx.is_some() {
        workspace = workspace.max(cuda.cudnn.workspace::<BackwardData>(op)?);
    }
    let rounded = if storage == Storage::F32 { 0 } else { storage.bytes() * len };
    let [at, dsums, rounded, rows] = cuda.scratch.split(
        &cuda.gpu.stream,
        [workspace, epilogue.dsums_bytes(storage), rounded, epilogue.row_bytes()],
    )?;
    let workspace = Workspace { at, bytes: workspace };
    let loss_scale = cuda.loss_scale_address();

    // SAFETY: the buffers have room for what the spec says, the scratch memory for what was asked
    // for above, and no two are the same.
    unsafe {
        let bias = BiasGradient { rows, dbias, loss_scale };
        let dsums = epilogue.launch(&cuda.gpu, dy, dsums, Some(bias))?;
        let to = if storage == Storage::F32 { dweight } else { rounded };
        cuda.cudnn.compute::<BackwardFilter>(op, [x, dsums], to, workspace)?;
        match storage {
            Storage::F32 => {}
            Storage::Bf16 | Storage::F16 => {
                let len = len as u64;
                let kernel = kernel::Widen { x: rounded, y: dweight, len, loss_scale };
                cuda.gpu.launch(kernel, len.div_ceil(8))?;
            }
        }
        match dx {
            Some(dx) => cuda.cudnn.compute::<BackwardData>(op, [factors, dsums], dx, workspace),
            None => Ok(()),
        }
    }
}

fn epilogue(op: &Conv2d, aux: Address) -> Epilogue {
    match op.epilogue() {
        ConvEpilogue::Bias => Epilogue::Bias,
        ConvEpilogue::BiasRelu => Epilogue::BiasRelu(aux),
        ConvEpilogue::BiasReluMaxPool => Epilogue::BiasReluMaxPool(aux),
    }
}
