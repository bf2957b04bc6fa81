//! The optimisers.

use std::ops::Range;

use vgg_kernels::{BLOCK, Update, Updates};
use vgg_tensor::{Content, Optimizer, Result};

use crate::buffer::{self, Weight};
use crate::gpu::kernel;
use crate::memory::Address;
use crate::precision::Storage;
use crate::{Buffer, Cuda};

/// Steps of tensors that are waiting to be ordered as one kernel: most are too short for one of their
/// own.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// That of all that are waiting.
    rule: Option<Rule>,
    updates: Vec<Update>,
}

impl Steps {
    /// See [`vgg_tensor::Command::Step`].
    pub(crate) fn add(
        &mut self,
        cuda: &Cuda,
        optimizer: Optimizer<&mut Buffer>,
        content: Content,
        weight: &mut Buffer,
        dweight: &Buffer,
    ) -> Result<()> {
        let len = content.len();
        let storage = buffer::storage_of_copy(cuda.storage, content);
        let Weight { numbers, copy, .. } = weight.weight(storage, len);
        let optimizer = optimizer.map(|kept| kept.f32(len));
        let rule = Rule::of(&optimizer);
        if self.rule != Some(rule) || self.updates.len() == Updates::MOST {
            self.order(cuda)?;
        }
        self.rule = Some(rule);
        let part = Part { weight: numbers, copy, optimizer, len };
        self.updates.push(part.update(dweight.f32(len)));
        Ok(())
    }

    /// Orders those that are waiting.
    pub(crate) fn order(&mut self, cuda: &Cuda) -> Result<()> {
        let Self { rule, updates } = std::mem::take(self);
        match rule {
            None => Ok(()),
            // SAFETY: each tensor's buffers have room for its numbers, and no two buffers are the same.
            Some(rule) => unsafe { rule.order(cuda, &updates) },
        }
    }
}

/// A parameter, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    weight: Address,
    copy: Address,
    optimizer: Optimizer<Address>,
    len: usize,
}

impl Part {
    /// Some rows, of `columns` numbers each, of a weight.
    pub(crate) fn rows(
        weight: Weight,
        optimizer: Optimizer<Address>,
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
            optimizer: optimizer.map(|kept| kept.add(4 * first)),
            len: columns * rows.len(),
        }
    }

    /// Orders a step with the gradient at `dweight`.
    ///
    /// # Safety
    /// All addresses are of memory with room for its numbers.
    pub(crate) unsafe fn step(self, cuda: &Cuda, dweight: Address) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { Rule::of(&self.optimizer).order(cuda, &[self.update(dweight)]) }
    }

    fn update(self, dweight: Address) -> Update {
        let Self { weight, copy, optimizer, len } = self;
        let (first, second, rate, weight_decay) = match optimizer {
            Optimizer::Sgd { spec, velocity } => {
                let velocity = velocity.unwrap_or(Address::NULL);
                (velocity, Address::NULL, spec.rate, spec.weight_decay)
            }
            Optimizer::AdamW { spec, mean, square } => (mean, square, spec.rate, spec.weight_decay),
        };
        Update { weight, dweight, first, second, copy, len: len as u64, rate, weight_decay }
    }
}

/// What all steps of a kernel have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Sgd { momentum: f32, nesterov: bool },
    AdamW { betas: [f64; 2], eps: f32 },
}

impl Rule {
    fn of(optimizer: &Optimizer<Address>) -> Self {
        match optimizer {
            Optimizer::Sgd { spec, .. } => {
                Self::Sgd { momentum: spec.momentum, nesterov: spec.nesterov }
            }
            Optimizer::AdamW { spec, .. } => Self::AdamW { betas: spec.betas, eps: spec.eps },
        }
    }

    /// Orders steps as one kernel.
    ///
    /// # Safety
    /// All addresses are of memory with room for their numbers, and no two are the same.
    unsafe fn order(self, cuda: &Cuda, updates: &[Update]) -> Result<()> {
        let block = u64::from(BLOCK);
        let blocks: u64 = updates.iter().map(|update| update.len.div_ceil(4 * block)).sum();
        let (threads, count) = (block * blocks, updates.len() as u32);
        let (updates, lr) = (Updates::new(updates), cuda.scalars.lr());
        let [overflowed, skipped] = cuda.overflow_addresses();
        match self {
            Self::Sgd { momentum, nesterov } => {
                let nesterov = u32::from(nesterov);
                let kernel = kernel::Sgd { updates, count, overflowed, lr, momentum, nesterov };
                // SAFETY: as the caller promises.
                unsafe { cuda.gpu.launch(kernel, threads) }
            }
            Self::AdamW { betas: [beta1, beta2], eps } => {
                let step = cuda.scalars.step();
                let kernel = kernel::Adamw {
                    updates,
                    count,
                    overflowed,
                    lr,
                    step,
                    skipped,
                    beta1,
                    beta2,
                    eps,
                };
                // SAFETY: as the caller promises.
                unsafe { cuda.gpu.launch(kernel, threads) }
            }
        }
    }
}
