//! Dynamic loss scaling, for gradients in `f16`.
//!
//! Small gradients would vanish in `f16`, so the loss's gradient is multiplied by a power of two, and
//! what comes of it divided by the same one. Where gradients overflow, the optimiser leaves those
//! parameters as they are and notes it; the next step halves the scale. After many steps without, it
//! doubles (the rule of `torch.amp.GradScaler`). All of that is on the device.
//!
//! It is decided once a step, however many losses the step has, and from what the optimiser is given: a
//! gradient of all shards. So ranks, which have different shards, have the same scale.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use vgg_tensor::Result;

use crate::error::During;
use crate::gpu::{Gpu, kernel};
use crate::memory::{Address, Memory};

/// The scale at the start, as in PyTorch.
const START: f32 = 65536.0;

const SETTING: &str = "setting the loss scale";

/// Words there are, and where some of them begin.
const WORDS: usize = 6;
const GOOD_STEPS: usize = 12;
const OVERFLOWED: usize = 16;
const SKIPPED: usize = 20;

/// The scale and what decides about it: the scale, its reciprocal, a zero, steps without overflow,
/// whether the last one had one, and how many had one in all, each of four bytes.
pub(crate) struct LossScale {
    memory: Memory,
    dynamic: bool,
    /// The step that it was decided for last.
    step: Option<u64>,
}

impl LossScale {
    /// One that adapts itself, or, for exact comparisons, stays at 1.
    pub(crate) fn new(stream: &Arc<CudaStream>, dynamic: bool) -> Result<Self> {
        let scale = if dynamic { START } else { 1.0 };
        let mut memory = Memory::uninitialised(stream, 4 * WORDS)?;
        let words = [scale.to_bits(), scale.recip().to_bits(), 0, 0, 0, 0];
        stream.memcpy_htod(&bytes(&words), memory.slice_mut()).during(SETTING)?;
        Ok(Self { memory, dynamic, step: None })
    }

    /// All words, for [`LossScale::restore`].
    pub(crate) fn state(&self, gpu: &Gpu) -> Result<Vec<u32>> {
        let mut bytes = [0; 4 * WORDS];
        gpu.synchronize()?;
        gpu.stream.memcpy_dtoh(self.memory.slice(), &mut bytes).during("reading the loss scale")?;
        Ok(bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect())
    }

    /// Goes on from other words; where they are none of its own, as it is. Older ones end before the
    /// steps that overflowed are counted.
    pub(crate) fn restore(&mut self, gpu: &Gpu, state: &[u32]) -> Result<()> {
        if state.len() != WORDS && state.len() != WORDS - 1 {
            return Ok(());
        }
        let mut words = [0; WORDS];
        words[..state.len()].copy_from_slice(state);
        self.step = None;
        gpu.stream.memcpy_htod(&bytes(&words), self.memory.slice_mut()).during(SETTING)
    }

    /// Where the scale is.
    pub(crate) fn address(&self) -> Address {
        self.memory.address()
    }

    /// Where its reciprocal is, followed by a zero.
    pub(crate) fn reciprocal(&self) -> Address {
        self.memory.address().add(4)
    }

    /// Where an overflow is noted.
    pub(crate) fn overflowed(&self) -> Address {
        self.memory.address().add(OVERFLOWED)
    }

    /// Where it is counted how many steps overflowed.
    pub(crate) fn skipped(&self) -> Address {
        self.memory.address().add(SKIPPED)
    }

    /// Decides about the scale of a step, unless that has begun before.
    pub(crate) fn begin(&mut self, gpu: &Gpu, step: u64) -> Result<()> {
        if !self.dynamic || self.step == Some(step) {
            return Ok(());
        }
        self.step = Some(step);
        let kernel = kernel::UpdateLossScale {
            scale: self.address(),
            good_steps: self.memory.address().add(GOOD_STEPS),
            overflowed: self.overflowed(),
            skipped: self.skipped(),
        };
        // SAFETY: the memory has these words.
        unsafe { gpu.launch_grid(kernel, [1, 1]) }
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
