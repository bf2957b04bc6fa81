//! Device memory.

use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError};
pub(crate) use vgg_kernels::Address;
use vgg_tensor::{Error, Result};

use crate::error::During;

/// Where an allocation, or a part of one, must begin: enough for every vector instruction.
const ALIGN: usize = 256;

/// An allocation.
pub(crate) struct Memory {
    slice: CudaSlice<u8>,
    address: Address,
}

impl Memory {
    /// Memory that holds zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with the size.
    pub(crate) fn zeroed(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        let mut memory = Self::uninitialised(stream, bytes)?;
        stream.memset_zeros(&mut memory.slice).during("clearing memory")?;
        Ok(memory)
    }

    /// Memory that holds anything.
    ///
    /// # Errors
    /// As [`Memory::zeroed`].
    pub(crate) fn uninitialised(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        // No bytes cannot be allocated, but have an address nevertheless.
        // SAFETY: bytes of any value are bytes, and nobody reads them on the host before a copy
        // has written them.
        let slice = match unsafe { stream.alloc::<u8>(bytes.max(1)) } {
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                return Err(Error::OutOfMemory { bytes: bytes as u64 });
            }
            result => result.during("allocating memory")?,
        };
        let (address, _) = slice.device_ptr(stream);
        Ok(Self { address: Address(address), slice })
    }

    /// The same memory for the use of another stream, in whose order it is freed.
    ///
    /// # Safety
    /// That stream waits for all work that was ordered on this memory before.
    pub(crate) unsafe fn hand_over(self, stream: &Arc<CudaStream>) -> Self {
        let Self { slice, address } = self;
        let len = slice.len();
        // SAFETY: this is the slice's memory, which the slice gives up. The stream frees it after
        // all work on it, as the caller promises.
        let slice = unsafe { stream.upgrade_device_ptr(slice.leak(), len) };
        Self { slice, address }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.slice.len()
    }

    /// Its beginning.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Its first bytes, to be copied from.
    pub(crate) fn slice(&self) -> &CudaSlice<u8> {
        &self.slice
    }

    /// Its first bytes, to be copied to.
    pub(crate) fn slice_mut(&mut self) -> &mut CudaSlice<u8> {
        &mut self.slice
    }
}

/// Memory that one operation at a time uses as it likes. It grows to what the greediest one needs.
pub(crate) struct Scratch {
    memory: Memory,
}

impl Scratch {
    pub(crate) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        Ok(Self { memory: Memory::uninitialised(stream, 0)? })
    }

    /// Where it is at the moment.
    pub(crate) fn address(&self) -> Address {
        self.memory.address()
    }

    /// Makes it at least so large.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where it has to grow and cannot.
    pub(crate) fn reserve(&mut self, stream: &Arc<CudaStream>, bytes: usize) -> Result<()> {
        if bytes > self.memory.len() {
            // Work that was ordered before still uses the old memory; freeing it is ordered, too.
            self.memory = Memory::uninitialised(stream, bytes)?;
        }
        Ok(())
    }

    /// Parts of the given sizes in bytes, until the next call.
    ///
    /// # Errors
    /// As [`Scratch::reserve`].
    pub(crate) fn split<const N: usize>(
        &mut self,
        stream: &Arc<CudaStream>,
        bytes: [usize; N],
    ) -> Result<[Address; N]> {
        let mut end = 0;
        let offsets = bytes.map(|bytes| {
            let begin = end;
            end = (begin + bytes).next_multiple_of(ALIGN);
            begin
        });
        self.reserve(stream, end)?;
        Ok(offsets.map(|offset| self.memory.address().add(offset)))
    }
}
