//! The functions of `libnccl.so.2`, for ranks that are threads of one process.
//!
//! It is stricter than the real one, which waits for ever where calls do not fit: all ranks must make the
//! same groups of calls, and what does not fit is told with both ranks. What is ordered has only come to
//! its stream when the communicator is not in progress any more, and the calls of a group are done late
//! and in any order.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_uint};

use crate::driver::check_range;
use crate::ffi::{Handle, Out};
use crate::state::{self, Call, Communicator, State, Status, What, current};

type Result<T = (), E = Status> = std::result::Result<T, E>;

/// 2.18.3.
const VERSION: c_int = 21_803;

/// `ncclUint8`.
const BYTE: c_int = 1;

/// `NCCL_API_MAGIC`.
const MAGIC: c_uint = 0xCAFE_BEEF;

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct UniqueId([u8; 128]);

/// The first fields of `ncclConfig_t`: those that 2.14 has.
#[repr(C)]
pub(crate) struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
}

/// Groups that are open on a thread, one within another, and the calls in them: each with its communicator
/// and its stream.
struct Open {
    depth: usize,
    calls: Vec<(Handle, Handle, Call)>,
}

thread_local! {
    static OPEN: RefCell<Open> = const { RefCell::new(Open { depth: 0, calls: Vec::new() }) };
}

macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) |$state:ident| $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> Status {
            state::call(Status::Success, Status::InternalError, |$state| $body)
        }
    )*};
}

fn needed<T>(option: Option<T>) -> Result<T> {
    option.ok_or(Status::InvalidArgument)
}

/// Adds a call to the group that is open on this thread.
fn add(
    state: &State,
    comm: Handle,
    stream: Handle,
    what: What,
    places: &[u64],
    count: usize,
    kind: c_int,
) -> Result {
    let Communicator { device, .. } = needed(state.nccl.communicators.get(&comm))?;
    state.nccl.check(comm)?;
    if current() != Some(*device) {
        return Err(Status::InvalidUsage);
    }
    let in_range = |place: &u64| check_range(state, *place, count).is_ok();
    if kind != BYTE || count == 0 || !places.iter().all(in_range) {
        return Err(Status::InvalidArgument);
    }
    OPEN.with_borrow_mut(|open| {
        if open.depth == 0 {
            return Err(Status::InvalidUsage);
        }
        open.calls.push((comm, stream, Call { what, count }));
        Ok(())
    })
}

functions! {
    fn ncclGetVersion(version: Out<c_int>) |_state| { needed(version.put(VERSION)) }

    fn ncclGetUniqueId(id: Out<UniqueId>) |state| {
        let mut bytes = [0; 128];
        bytes[..4].copy_from_slice(&std::process::id().to_ne_bytes());
        bytes[8..16].copy_from_slice(&state.new_handle().to_ne_bytes());
        needed(id.put(UniqueId(bytes)))
    }

    fn ncclCommInitRankConfig(
        to: Out<Handle>,
        ranks: c_int,
        id: UniqueId,
        rank: c_int,
        config: *const Config,
    ) |state| {
        // SAFETY: by the C interface it is a config or null.
        let Config { size, magic, blocking, .. } = needed(unsafe { config.as_ref() })?;
        if *size < size_of::<Config>() || *magic != MAGIC || *blocking != 0 {
            return Err(Status::InvalidArgument);
        }
        if !(0..ranks).contains(&rank) {
            return Err(Status::InvalidArgument);
        }
        if id.0[..4] != std::process::id().to_ne_bytes() {
            // It joins threads alone.
            return Err(Status::SystemError);
        }
        let device = current().ok_or(Status::UnhandledCudaError)?;
        let handle = state.new_handle();
        state.nccl.join(handle, id.0, ranks as usize, rank as usize, device)?;
        needed(to.put(handle))?;
        Err(Status::InProgress)
    }

    fn ncclCommGetAsyncError(comm: Handle, to: Out<Status>) |state| {
        let status = match state.progress(comm) {
            Ok(()) => Status::Success,
            Err(status) => status,
        };
        needed(to.put(status))
    }

    fn ncclCommAbort(comm: Handle) |state| {
        let left = needed(state.nccl.abort(comm))?;
        left.into_iter().for_each(|meeting| state.scheduler.call_off(meeting));
        Ok(())
    }

    fn ncclGroupStart() |_state| {
        OPEN.with_borrow_mut(|open| open.depth += 1);
        Ok(())
    }

    fn ncclGroupEnd() |state| {
        let calls = OPEN.with_borrow_mut(|open| {
            open.depth = open.depth.checked_sub(1).ok_or(Status::InvalidUsage)?;
            Ok(if open.depth == 0 { std::mem::take(&mut open.calls) } else { Vec::new() })
        })?;
        let Some((comm, stream, _)) = calls.first().copied() else { return Ok(()) };
        if calls.iter().any(|(c, s, _)| (*c, *s) != (comm, stream)) {
            return Err(Status::InvalidUsage);
        }
        let calls = calls.into_iter().map(|(_, _, call)| call).collect();
        let delay = state.scheduler.random() % 3;
        state.nccl.submit(comm, stream, calls, delay)?;
        state.progress(comm)
    }

    fn ncclSend(
        from: u64,
        count: usize,
        kind: c_int,
        to: c_int,
        comm: Handle,
        stream: Handle,
    ) |state| {
        let what = What::Send { to: to as usize, from };
        add(state, comm, stream, what, &[from], count, kind)
    }

    fn ncclRecv(
        at: u64,
        count: usize,
        kind: c_int,
        from: c_int,
        comm: Handle,
        stream: Handle,
    ) |state| {
        let what = What::Receive { from: from as usize, at };
        add(state, comm, stream, what, &[at], count, kind)
    }

    fn ncclBroadcast(
        from: u64,
        at: u64,
        count: usize,
        kind: c_int,
        root: c_int,
        comm: Handle,
        stream: Handle,
    ) |state| {
        let what = What::Broadcast { root: root as usize, from, at };
        add(state, comm, stream, what, &[from, at], count, kind)
    }
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetErrorString(status: c_int) -> *const c_char {
    let text = match status {
        0 => c"no error",
        1 => c"unhandled cuda error",
        2 => c"unhandled system error",
        4 => c"invalid argument",
        5 => c"invalid usage",
        6 => c"remote process exited or there was a network error",
        7 => c"NCCL operation in progress",
        _ => c"internal error",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetLastError(comm: Handle) -> *const c_char {
    let mut text = CString::default();
    state::call((), (), |state| {
        let known = state.nccl.last_error(comm).unwrap_or_default();
        text = CString::new(known).unwrap_or_default();
        Ok(())
    });
    text.into_raw() // Nobody frees it, as nobody frees the real one's.
}
