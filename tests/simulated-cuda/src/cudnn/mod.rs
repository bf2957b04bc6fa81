//! The functions of `libcudnn.so.9`.

mod algorithm;
mod compute;
mod convolution;
mod descriptor;
mod problem;

use std::ffi::{CStr, c_char, c_int};

use cudarc::cudnn::sys::cudnnStatus_t as Status;

use crate::ffi::{Handle, Out};
use crate::state::{self, Result, State};

const VERSION: usize = 90_100;

macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) |$state:ident| $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> cudarc::cudnn::sys::cudnnStatus_t {
            crate::cudnn::run(|$state| $body)
        }
    )*};
}
use functions;

fn run(body: impl FnOnce(&mut State) -> Result<(), Status>) -> Status {
    state::call(Status::CUDNN_STATUS_SUCCESS, Status::CUDNN_STATUS_INTERNAL_ERROR, body)
}

fn needed<T>(option: Option<T>) -> Result<T, Status> {
    option.ok_or(Status::CUDNN_STATUS_BAD_PARAM_NULL_POINTER)
}

/// The stream of a handle that exists.
fn stream(state: &State, handle: Handle) -> Result<Handle, Status> {
    state.dnn.handles.get(&handle).copied().ok_or(Status::CUDNN_STATUS_BAD_PARAM)
}

functions! {
    fn cudnnCreate(to: Out<Handle>) |state| {
        state.check_context().map_err(|_| Status::CUDNN_STATUS_NOT_INITIALIZED)?;
        let handle = state.new_handle();
        state.dnn.handles.insert(handle, 0);
        needed(to.put(handle))
    }

    fn cudnnDestroy(handle: Handle) |state| {
        state.dnn.handles.remove(&handle).map(drop).ok_or(Status::CUDNN_STATUS_BAD_PARAM)
    }

    fn cudnnSetStream(handle: Handle, stream: Handle) |state| {
        let set = state.dnn.handles.get_mut(&handle).map(|to| *to = stream);
        set.ok_or(Status::CUDNN_STATUS_BAD_PARAM)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cudnnGetVersion() -> usize {
    VERSION
}

#[unsafe(no_mangle)]
extern "C" fn cudnnGetCudartVersion() -> usize {
    let mut version = 0;
    state::call((), (), |state| {
        version = 1000 * state.settings.toolkit as usize + 40;
        Ok(())
    });
    version
}

#[unsafe(no_mangle)]
extern "C" fn cudnnGetErrorString(_status: Status) -> *const c_char {
    const TEXT: &CStr = c"a status of the simulated cuDNN";
    TEXT.as_ptr()
}

/// A size that is above zero.
fn size(value: c_int) -> Result<usize, Status> {
    match usize::try_from(value) {
        Ok(1..) => Ok(value as usize),
        _ => Err(Status::CUDNN_STATUS_BAD_PARAM),
    }
}
