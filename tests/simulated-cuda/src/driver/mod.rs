//! The driver's functions, `libcuda.so.1`.

mod device;
mod event;
mod graph;
mod memory;
mod module;
mod stream;

use cudarc::driver::sys::CUresult;
use cudarc::driver::sys::CUresult::{CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_UNKNOWN, CUDA_SUCCESS};

use crate::state::{self, Result, State};

pub(crate) use memory::check_range;
pub(crate) use stream::order;

/// Functions that C can call: `fn name(arguments) |state| { … }`, whose body gives a [`Result`]; or, where
/// they wait, `|state, again|`, whose body gives whether there is nothing more to wait for.
macro_rules! functions {
    (@run |$state:ident| $body:block) => { super::run(|$state| $body) };
    (@run |$state:ident, $again:ident| $body:block) => { super::wait(|$state, $again| $body) };
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) |$($state:ident),*| $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> cudarc::driver::sys::CUresult {
            functions!(@run |$($state),*| $body)
        }
    )*};
}
use functions;

fn run(body: impl FnOnce(&mut State) -> Result) -> CUresult {
    state::call(CUDA_SUCCESS, CUDA_ERROR_UNKNOWN, body)
}

fn wait(body: impl FnMut(&mut State, bool) -> Result<bool>) -> CUresult {
    state::wait(CUDA_SUCCESS, CUDA_ERROR_UNKNOWN, body)
}

/// A pointer that has to be there.
fn needed<T>(option: Option<T>) -> Result<T> {
    option.ok_or(CUDA_ERROR_INVALID_VALUE)
}
