//! Recorded work.

use std::ffi::c_ulonglong;

use cudarc::driver::sys::CUresult;

use super::stream::{check, check_not_captured, order};
use super::{functions, needed};
use crate::ffi::{Handle, Out};

functions! {
    fn cuGraphInstantiateWithFlags(to: Out<Handle>, graph: Handle, _flags: c_ulonglong) |state| {
        state.check_context()?;
        let graph = state.graphs.get(&graph).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)?;
        let tasks = graph.tasks.clone();
        let handle = state.new_handle();
        state.executables.insert(handle, tasks);
        needed(to.put(handle))
    }

    fn cuGraphLaunch(executable: Handle, stream: Handle) |state| {
        check_not_captured(state, stream)?;
        let tasks = state.executables.get(&executable).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)?;
        for task in tasks.clone() {
            order(state, stream, task)?;
        }
        Ok(())
    }

    fn cuGraphUpload(executable: Handle, stream: Handle) |state| {
        check(state, stream)?;
        let known = state.executables.contains_key(&executable);
        if known { Ok(()) } else { Err(CUresult::CUDA_ERROR_INVALID_VALUE) }
    }

    fn cuGraphExecDestroy(executable: Handle) |state| {
        state.executables.remove(&executable).map(drop).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)
    }

    fn cuGraphDestroy(graph: Handle) |state| {
        state.graphs.remove(&graph).map(drop).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)
    }
}
