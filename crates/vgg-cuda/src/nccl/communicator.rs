//! A communicator, and the calls of NCCL.

use std::ffi::{CStr, c_char, c_int, c_void};

use cudarc::driver::CudaStream;

use super::Transfer;
use crate::error::Status;
use crate::libraries::functions::{NcclComm, NcclConfig, NcclUniqueId, nccl};
use crate::memory::Address;

/// What NCCL says of a failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub(super) String);

impl Status for Failure {}

type Result<T = ()> = std::result::Result<T, Failure>;

const SUCCESS: c_int = 0;
const IN_PROGRESS: c_int = 7;

/// `ncclUint8`: numbers move as their bytes.
const BYTE: c_int = 1;

/// What all ranks are told by the first one, to find each other.
pub(super) struct UniqueId(pub(super) [u8; 128]);

impl UniqueId {
    pub(super) fn new() -> vgg_tensor::Result<Self> {
        let mut id = NcclUniqueId([0; 128]);
        // SAFETY: `id` lives.
        let code = unsafe { nccl::ncclGetUniqueId(&raw mut id) };
        crate::error::During::during(check(code, std::ptr::null_mut()), super::OP)?;
        Ok(Self(id.0))
    }

    /// From the first rank's message, if it has one.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        message.try_into().ok().map(Self)
    }
}

/// This rank's part in a clique. It is aborted when it is dropped: what is under way is given up.
pub(super) struct Communicator(NcclComm);

// SAFETY: NCCL's communicators are no thread's own, and this one is called by one thread at a time.
unsafe impl Send for Communicator {}

impl Communicator {
    /// Begins to join all ranks, with the device whose context is this thread's.
    pub(super) fn new(ranks: usize, UniqueId(id): UniqueId, rank: usize) -> Result<Self> {
        let (mut comm, mut config) = (std::ptr::null_mut(), NcclConfig::non_blocking());
        let (ranks, rank, id) = (ranks as c_int, rank as c_int, NcclUniqueId(id));
        // SAFETY: `comm` and `config` live.
        let code = unsafe {
            nccl::ncclCommInitRankConfig(&raw mut comm, ranks, id, rank, &raw mut config)
        };
        check(code, comm)?;
        Ok(Self(comm))
    }

    /// Whether nothing that was asked for has still to be ordered.
    pub(super) fn is_ready(&self) -> Result<bool> {
        let mut state = SUCCESS;
        // SAFETY: the communicator lives, and so does `state`.
        let code = unsafe { nccl::ncclCommGetAsyncError(self.0, &raw mut state) };
        check(code, self.0)?;
        check(state, self.0)?;
        Ok(state == SUCCESS)
    }

    /// Begins to order transfers as one group.
    pub(super) fn order(&self, stream: &CudaStream, transfers: &[Transfer]) -> Result {
        // SAFETY: it has no arguments.
        check(unsafe { nccl::ncclGroupStart() }, self.0)?;
        let called = transfers.iter().try_for_each(|transfer| self.call(stream, *transfer));
        // Also where a call failed: a group that is open stays so.
        // SAFETY: as above.
        let ended = check(unsafe { nccl::ncclGroupEnd() }, self.0);
        called.and(ended)
    }

    fn call(&self, stream: &CudaStream, transfer: Transfer) -> Result {
        let (comm, stream) = (self.0, stream.cu_stream().cast());
        // SAFETY: the addresses are of memory of this device with so many bytes, which is freed in the
        // order of the stream, and so after this.
        let code = unsafe {
            match transfer {
                Transfer::Send { bytes: 0, .. }
                | Transfer::Receive { bytes: 0, .. }
                | Transfer::Broadcast { bytes: 0, .. } => SUCCESS,
                Transfer::Send { to, from, bytes } => {
                    nccl::ncclSend(pointer(from), bytes, BYTE, to as c_int, comm, stream)
                }
                Transfer::Receive { from, at, bytes } => {
                    nccl::ncclRecv(pointer(at), bytes, BYTE, from as c_int, comm, stream)
                }
                Transfer::Broadcast { root, at, bytes } => {
                    let (root, at) = (root as c_int, pointer(at));
                    nccl::ncclBroadcast(at, at, bytes, BYTE, root, comm, stream)
                }
            }
        };
        check(code, comm)
    }
}

/// A rank ends when its own part is done. To ask the others whether theirs is, as `ncclCommFinalize` does,
/// would be to wait for those that have gone.
impl Drop for Communicator {
    fn drop(&mut self) {
        // SAFETY: the communicator lives, and nobody calls it after this.
        if let Err(failure) = check(unsafe { nccl::ncclCommAbort(self.0) }, std::ptr::null_mut()) {
            log::debug!("a communicator of NCCL did not end: {failure}");
        }
    }
}

fn pointer(Address(address): Address) -> *mut c_void {
    std::ptr::without_provenance_mut(address as usize)
}

/// Passes unless a call has failed.
fn check(code: c_int, comm: NcclComm) -> Result {
    if code == SUCCESS || code == IN_PROGRESS {
        return Ok(());
    }
    // SAFETY: both give a text that ends with a zero, or null, for any number and communicator.
    let [what, more] = unsafe { [nccl::ncclGetErrorString(code), nccl::ncclGetLastError(comm)] };
    let [what, more] = [what, more].map(words);
    Err(Failure(if more.is_empty() { what } else { format!("{what}: {more}") }))
}

fn words(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: it is a text of NCCL's, which ends with a zero.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().trim().to_owned()
}
