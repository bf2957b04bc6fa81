//! Transfers that the host does not wait for: through host memory that the device can read itself.
//!
//! Nor does the device wait for a large download: the bus is many times slower than the device's memory.
//! A copy within the device is ordered with the other work, and that copy's way to the host on another
//! stream, beside the work that follows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaEvent, CudaStream, DriverError, PinnedHostSlice, result};
use vgg_tensor::{Download, Error, Result, Shape, zeros};

use crate::error::During;
use crate::gpu::{self, Gpu};
use crate::layout;
use crate::memory::{Address, Memory};
use crate::nccl::Line;
use crate::precision::Storage;

/// Uploads under way: of a batch and its labels, for this step and the next one.
const SLOTS: usize = 4;

/// A download of so many bytes takes the bus about five microseconds. Of fewer, ordering a second
/// copy costs as much as it saves.
pub(crate) const LARGE: usize = 256 << 10;

/// Pinned host memory, and when the last copy from or to it is done.
struct Slot {
    memory: PinnedHostSlice<u8>,
    copied: CudaEvent,
}

impl Slot {
    fn new(stream: &CudaStream, bytes: usize) -> Result<Self> {
        const OP: &str = "allocating pinned memory";
        let context = stream.context();
        // SAFETY: bytes of any value are bytes.
        let memory = match unsafe { context.alloc_pinned_with_flags(bytes.max(1), 0) } {
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                return Err(Error::OutOfMemory { bytes: bytes as u64 });
            }
            memory => memory.during(OP)?,
        };
        Ok(Self { memory, copied: context.new_event(None).during(OP)? })
    }
}

/// All pinned memory of a backend.
#[derive(Default)]
pub(crate) struct Pinned {
    uploads: [Option<Slot>; SLOTS],
    next: usize,
    /// What downloads have given back. The same ones come again and again, so none is freed.
    downloads: Arc<Mutex<Vec<Slot>>>,
}

impl Pinned {
    /// Orders bytes to be copied to the device. They are taken when the call returns.
    ///
    /// Waits if the last but so many uploads is not done.
    pub(crate) fn upload(&mut self, gpu: &Gpu, src: &[u8], dst: Address) -> Result<()> {
        const OP: &str = "upload";
        let slot = &mut self.uploads[self.next];
        self.next = (self.next + 1) % SLOTS;
        if let Some(slot) = slot {
            gpu::wait(&slot.copied, gpu.line.as_deref(), OP)?;
        }
        let stream = &gpu.stream;
        let slot = match slot {
            Some(slot) if slot.memory.len() >= src.len() => slot,
            _ => slot.insert(Slot::new(stream, src.len())?),
        };
        let memory = &mut slot.memory.as_mut_slice().during(OP)?[..src.len()];
        memory.copy_from_slice(src);
        // SAFETY: `dst` has room, as the buffer was asked for it; the pinned memory is not written
        // before the event below has been waited for.
        unsafe { result::memcpy_htod_async(dst.0, memory, stream.cu_stream()) }.during(OP)?;
        slot.copied.record(stream).during(OP)
    }

    /// Orders numbers in our order to be copied from the device, as they are now.
    pub(crate) fn start_download(
        &mut self,
        gpu: &Gpu,
        src: Address,
        storage: Storage,
        shape: Shape,
    ) -> Result<Landing> {
        const OP: &str = "download";
        let bytes = storage.bytes() * shape.len();
        // Small ones are of many sizes, as logits of images of any size are: slots of few do for them.
        let room = if bytes < LARGE { bytes.next_power_of_two() } else { bytes };
        let mut free = lock(&self.downloads);
        let mut slot = match free.iter().position(|slot| slot.memory.len() == room) {
            Some(i) => free.swap_remove(i),
            None => Slot::new(&gpu.stream, room)?,
        };
        drop(free);
        let staged = if bytes < LARGE { None } else { stage(gpu, src, bytes)? };
        let (from, stream) = match &staged {
            Some(copy) => (copy.address(), &gpu.copies),
            None => (src, &gpu.stream),
        };
        let memory = &mut slot.memory.as_mut_slice().during(OP)?[..bytes];
        // SAFETY: `src` has so many bytes, as the buffer was asked for them, and so has its copy,
        // which is freed after this on the same stream; the pinned memory lives until the event below
        // has been waited for.
        unsafe { result::memcpy_dtoh_async(memory, from.0, stream.cu_stream()) }.during(OP)?;
        slot.copied.record(stream).during(OP)?;
        let (line, free) = (gpu.line.clone(), self.downloads.clone());
        Ok(Landing { slot: Some(slot), storage, shape, line, free })
    }
}

/// Orders a copy within the device, for [`Gpu::copies`] to read and to free. Nothing where memory is
/// scarce.
///
/// Nobody counts this memory as needed, as it is in nobody's way: at least as much stays free, and an
/// allocation that finds no other memory gets this one, as the driver lets it wait for the stream that
/// frees it.
fn stage(gpu: &Gpu, src: Address, bytes: usize) -> Result<Option<Memory>> {
    const OP: &str = "download";
    let (free, _) = gpu.context().mem_get_info().during(OP)?;
    // Without the driver's pools of memory, freeing is not ordered but waits.
    if free / 2 < bytes || !gpu.context().has_async_alloc() {
        return Ok(None);
    }
    let copy = match Memory::uninitialised(&gpu.stream, bytes) {
        Err(Error::OutOfMemory { .. }) => return Ok(None),
        copy => copy?,
    };
    // SAFETY: `src` has so many bytes, as the buffer was asked for them, and the copy was made so.
    unsafe { gpu::copy(&gpu.stream, src, copy.address(), bytes) }?;
    gpu.copies.join(&gpu.stream).during(OP)?;
    // SAFETY: the stream has just been told to wait for the copy.
    Ok(Some(unsafe { copy.hand_over(&gpu.copies) }))
}

/// Numbers on their way from a [`crate::Cuda`].
pub struct Landing {
    /// There until it is dropped.
    slot: Option<Slot>,
    storage: Storage,
    shape: Shape,
    line: Option<Arc<Line>>,
    free: Arc<Mutex<Vec<Slot>>>,
}

impl Landing {
    /// Waits for the bytes, which are in our order.
    fn bytes(&self) -> Result<&[u8]> {
        const OP: &str = "download";
        let Some(slot) = &self.slot else { return Ok(&[]) };
        gpu::wait(&slot.copied, self.line.as_deref(), OP)?;
        Ok(&slot.memory.as_slice().during(OP)?[..self.storage.bytes() * self.shape.len()])
    }

    /// Waits for the numbers.
    pub(crate) fn read_into(&self, numbers: &mut [f32]) -> Result<()> {
        layout::unpack(self.storage, self.shape, self.bytes()?, numbers);
        Ok(())
    }
}

impl Download for Landing {
    fn is_done(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| !matches!(slot.copied.try_is_complete(), Ok(false)))
    }

    fn is_finite(&self) -> Result<bool> {
        Ok(layout::is_finite(self.storage, self.bytes()?))
    }

    fn wait(self) -> Result<Vec<f32>> {
        let mut numbers = zeros(self.shape.len())?;
        self.read_into(&mut numbers)?;
        Ok(numbers)
    }
}

/// The memory can be used again, or freed, when the copy is done.
impl Drop for Landing {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        match gpu::wait(&slot.copied, self.line.as_deref(), "download") {
            Ok(()) => lock(&self.free).push(slot),
            Err(error) => log::debug!("a download did not end: {error}"),
        }
    }
}

/// A list is whole, whoever panicked.
fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
