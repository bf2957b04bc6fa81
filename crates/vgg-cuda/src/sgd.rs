//! The optimiser.

use std::ops::Range;

use vgg_tensor::spec::Sgd;
use vgg_tensor::{Content, Result};

use crate::buffer::{self, Weight};
use crate::gpu::kernel;
use crate::memory::Address;
use crate::precision::Storage;
use crate::{Buffer, Cuda};

/// See [`vgg_tensor::Command::Sgd`].
pub(crate) fn step(
    cuda: &mut Cuda,
    settings: &Sgd,
    content: Content,
    weight: &mut Buffer,
    dweight: &Buffer,
    velocity: Option<&mut Buffer>,
) -> Result<()> {
    let len = content.len();
    let storage = buffer::storage_of_copy(cuda.storage, content);
    let Weight { numbers, copy, .. } = weight.weight(storage, len);
    let velocity = velocity.map_or(Address::NULL, |velocity| velocity.f32(len));
    let part = Part { weight: numbers, copy, velocity, len };
    let dweight = dweight.f32(len);
    // SAFETY: the buffers have room for `len` numbers, and no two are the same.
    unsafe { part.step(cuda, settings, dweight) }
}

/// A parameter, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    weight: Address,
    copy: Address,
    velocity: Address,
    len: usize,
}

impl Part {
    /// Some rows, of `columns` numbers each, of a weight.
    pub(crate) fn rows(
        weight: Weight,
        velocity: Option<Address>,
        storage: Storage,
        columns: usize,
        rows: &Range<usize>,
    ) -> Self {
        let first = columns * rows.start;
        let copy = match weight.copy {
            Address::NULL => Address::NULL,
            copy => copy.add(storage.bytes() * first),
        };
        Self {
            weight: weight.numbers.add(4 * first),
            copy,
            velocity: velocity.map_or(Address::NULL, |velocity| velocity.add(4 * first)),
            len: columns * rows.len(),
        }
    }

    /// Orders a step with the gradient at `dweight`.
    ///
    /// # Safety
    /// All addresses are of memory with room for its numbers.
    pub(crate) unsafe fn step(
        self,
        cuda: &mut Cuda,
        settings: &Sgd,
        dweight: Address,
    ) -> Result<()> {
        let Self { weight, copy, velocity, len } = self;
        let Sgd { rate, momentum, weight_decay, nesterov } = *settings;
        let kernel = kernel::Sgd {
            weight,
            dweight,
            velocity,
            copy,
            overflowed: cuda.overflow_address(),
            len: len as u64,
            lr: cuda.scalars.lr(),
            rate,
            momentum,
            weight_decay,
            nesterov: u32::from(nesterov),
        };
        // SAFETY: as the caller promises.
        unsafe { cuda.gpu.launch(kernel, len.div_ceil(4) as u64) }
    }
}
