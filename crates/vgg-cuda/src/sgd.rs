//! The optimiser.

use std::ops::Range;

use vgg_kernels::{BLOCK, Update, Updates};
use vgg_tensor::spec::Sgd;
use vgg_tensor::{Content, Result};

use crate::buffer::{self, Weight};
use crate::gpu::kernel;
use crate::memory::Address;
use crate::precision::Storage;
use crate::{Buffer, Cuda};

/// Steps of tensors that are waiting to be ordered as one kernel: most are too short for one of their
/// own.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<Update>);

impl Steps {
    /// See [`vgg_tensor::Command::Sgd`].
    pub(crate) fn add(
        &mut self,
        cuda: &Cuda,
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
        self.0.push(part.update(settings, dweight.f32(len)));
        if self.0.len() == Updates::MOST { self.order(cuda) } else { Ok(()) }
    }

    /// Orders those that are waiting.
    pub(crate) fn order(&mut self, cuda: &Cuda) -> Result<()> {
        let updates = std::mem::take(&mut self.0);
        if updates.is_empty() {
            return Ok(());
        }
        // SAFETY: each tensor's buffers have room for its numbers, and no two buffers are the same.
        unsafe { order(cuda, &updates) }
    }
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
    pub(crate) unsafe fn step(self, cuda: &Cuda, settings: &Sgd, dweight: Address) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { order(cuda, &[self.update(settings, dweight)]) }
    }

    fn update(self, settings: &Sgd, dweight: Address) -> Update {
        let Self { weight, copy, velocity, len } = self;
        let Sgd { rate, momentum, weight_decay, nesterov } = *settings;
        let (len, nesterov) = (len as u64, u32::from(nesterov));
        Update { weight, dweight, velocity, copy, len, rate, momentum, weight_decay, nesterov }
    }
}

/// Orders steps as one kernel.
///
/// # Safety
/// All addresses are of memory with room for their numbers, and no two are the same.
unsafe fn order(cuda: &Cuda, updates: &[Update]) -> Result<()> {
    let kernel = kernel::Sgd {
        updates: Updates::new(updates),
        count: updates.len() as u32,
        overflowed: cuda.overflow_address(),
        lr: cuda.scalars.lr(),
    };
    let block = u64::from(BLOCK);
    let blocks: u64 = updates.iter().map(|update| update.len.div_ceil(4 * block)).sum();
    // SAFETY: as the caller promises.
    unsafe { cuda.gpu.launch(kernel, block * blocks) }
}
