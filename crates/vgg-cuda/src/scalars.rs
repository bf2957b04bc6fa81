//! What may differ from one run of a program to the next, where kernels read it: in device memory.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use cudarc::driver::sys::cuMemsetD32Async;
use vgg_tensor::{Result, Scalars};

use crate::error::During;
use crate::memory::{Address, Memory};

/// Where the step is, behind the learning rate.
const STEP: usize = 8;

/// The scalars of the run that was ordered last.
pub(crate) struct ScalarMemory {
    stream: Arc<CudaStream>,
    memory: Memory,
    now: Scalars,
}

impl ScalarMemory {
    pub(crate) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let memory = Memory::zeroed(stream, STEP + 8)?;
        Ok(Self { stream: stream.clone(), memory, now: Scalars::default() })
    }

    /// Orders those to be written that are others than now.
    pub(crate) fn set(&mut self, Scalars { lr, step }: Scalars) -> Result<()> {
        if self.now.lr.to_bits() != lr.to_bits() {
            self.set_word(0, lr.to_bits())?;
            self.now.lr = lr;
        }
        if self.now.step != step {
            self.set_word(STEP, step as u32)?;
            self.set_word(STEP + 4, (step >> 32) as u32)?;
            self.now.step = step;
        }
        Ok(())
    }

    /// Where kernels find the learning rate.
    pub(crate) fn lr(&self) -> Address {
        self.memory.address()
    }

    /// Where kernels find dropout's step.
    pub(crate) fn step(&self) -> Address {
        self.memory.address().add(STEP)
    }

    /// Orders a word to be written. It is part of the call, so no host memory has to live on.
    fn set_word(&self, offset: usize, word: u32) -> Result<()> {
        const OP: &str = "setting a scalar";
        let address = self.memory.address().add(offset).0;
        self.stream.context().bind_to_thread().during(OP)?;
        // SAFETY: the memory has room for a word at every offset used above.
        unsafe { cuMemsetD32Async(address, word, 1, self.stream.cu_stream()) }.result().during(OP)
    }
}
