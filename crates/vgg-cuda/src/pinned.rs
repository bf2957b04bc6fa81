//! Transfers that the host does not wait for: through host memory that the device can read itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaEvent, CudaStream, DriverError, PinnedHostSlice, result};
use vgg_tensor::{Download, Result};

use crate::error::During;
use crate::memory::Address;

/// Uploads under way: of a batch and its labels, for this step and the next one.
const SLOTS: usize = 4;

/// Pinned host memory, and when the last copy from or to it is done.
struct Slot {
    memory: PinnedHostSlice<u8>,
    copied: CudaEvent,
}

impl Slot {
    fn new(stream: &CudaStream, bytes: usize) -> Result<Self, DriverError> {
        let context = stream.context();
        // SAFETY: bytes of any value are bytes.
        let memory = unsafe { context.alloc_pinned_with_flags(bytes, 0) }?;
        Ok(Self { memory, copied: context.new_event(None)? })
    }
}

/// All pinned memory of a backend.
#[derive(Default)]
pub(crate) struct Pinned {
    uploads: [Option<Slot>; SLOTS],
    next: usize,
    /// What downloads have given back.
    downloads: Arc<Mutex<Vec<Slot>>>,
}

impl Pinned {
    /// Orders bytes to be copied to the device. They are taken when the call returns.
    ///
    /// Waits if the last but so many uploads is not done.
    pub(crate) fn upload(&mut self, stream: &CudaStream, src: &[u8], dst: Address) -> Result<()> {
        const OP: &str = "upload";
        let slot = &mut self.uploads[self.next];
        self.next = (self.next + 1) % SLOTS;
        if let Some(slot) = slot {
            slot.copied.synchronize().during(OP)?;
        }
        let slot = match slot {
            Some(slot) if slot.memory.len() >= src.len() => slot,
            _ => slot.insert(Slot::new(stream, src.len().max(1)).during(OP)?),
        };
        let memory = &mut slot.memory.as_mut_slice().during(OP)?[..src.len()];
        memory.copy_from_slice(src);
        // SAFETY: `dst` has room, as the buffer was asked for it; the pinned memory is not written
        // before the event below has been waited for.
        unsafe { result::memcpy_htod_async(dst.0, memory, stream.cu_stream()) }.during(OP)?;
        slot.copied.record(stream).during(OP)
    }

    /// Orders `len` numbers to be copied from the device.
    pub(crate) fn start_download(
        &mut self,
        stream: &CudaStream,
        src: Address,
        len: usize,
    ) -> Result<Landing> {
        const OP: &str = "download";
        let bytes = 4 * len;
        let free = lock(&self.downloads).pop().filter(|slot| slot.memory.len() >= bytes);
        let mut slot = match free {
            Some(slot) => slot,
            None => Slot::new(stream, bytes.max(1)).during(OP)?,
        };
        let memory = &mut slot.memory.as_mut_slice().during(OP)?[..bytes];
        // SAFETY: `src` has so many bytes, as the buffer was asked for them; the pinned memory lives
        // until the event below has been waited for.
        unsafe { result::memcpy_dtoh_async(memory, src.0, stream.cu_stream()) }.during(OP)?;
        slot.copied.record(stream).during(OP)?;
        Ok(Landing { slot: Some(slot), bytes, free: self.downloads.clone() })
    }
}

/// Numbers on their way from a [`crate::Cuda`].
pub struct Landing {
    /// There until it is dropped.
    slot: Option<Slot>,
    bytes: usize,
    free: Arc<Mutex<Vec<Slot>>>,
}

impl Download for Landing {
    fn is_done(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| !matches!(slot.copied.try_is_complete(), Ok(false)))
    }

    fn wait(self) -> Result<Vec<f32>> {
        const OP: &str = "download";
        let Some(slot) = &self.slot else { return Ok(Vec::new()) };
        slot.copied.synchronize().during(OP)?;
        let bytes = &slot.memory.as_slice().during(OP)?[..self.bytes];
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers.iter().map(|number| f32::from_ne_bytes(*number)).collect())
    }
}

/// The memory can be used again, or freed, when the copy is done.
impl Drop for Landing {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        match slot.copied.synchronize() {
            Ok(()) => lock(&self.free).push(slot),
            Err(error) => log::debug!("a download did not end: {error}"),
        }
    }
}

/// A list is whole, whoever panicked.
fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
