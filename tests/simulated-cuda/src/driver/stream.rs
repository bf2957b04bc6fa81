//! Streams and recording them.

use std::ffi::c_uint;

use cudarc::driver::sys::CUstreamCaptureStatus as Status;
use cudarc::driver::sys::{CUresult, CUstreamCaptureMode};

use super::{functions, needed};
use crate::ffi::Out;
use crate::state::{Handle, Result, State};
use crate::work::{Capture, Stream, Task};

/// A stream that exists.
pub(crate) fn check(state: &State, stream: Handle) -> Result {
    state.check_context()?;
    let exists = state.scheduler.streams.contains_key(&stream);
    if exists { Ok(()) } else { Err(CUresult::CUDA_ERROR_INVALID_HANDLE) }
}

/// Refuses what cannot be recorded, and spoils the recording.
pub(crate) fn check_not_capturing(state: &mut State) -> Result {
    if !state.scheduler.is_capturing() {
        return Ok(());
    }
    for stream in state.scheduler.streams.values_mut() {
        if let Some(capture) = &mut stream.capture {
            capture.invalid = true;
        }
    }
    Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
}

/// Adds work to a stream.
pub(crate) fn order(state: &mut State, stream: Handle, task: Task) -> Result {
    check(state, stream)?;
    state.scheduler.order(stream, task, &mut state.memory);
    Ok(())
}

functions! {
    fn cuStreamCreate(to: Out<Handle>, flags: c_uint) |state| {
        state.check_context()?;
        if flags > 1 {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        let handle = state.new_handle();
        state.scheduler.streams.insert(handle, Stream::default());
        needed(to.put(handle))
    }

    fn cuStreamDestroy_v2(stream: Handle) |state| {
        check(state, stream)?;
        if stream == 0 {
            return Err(CUresult::CUDA_ERROR_INVALID_HANDLE);
        }
        state.scheduler.finish(stream, &mut state.memory);
        state.scheduler.streams.remove(&stream);
        Ok(())
    }

    fn cuStreamSynchronize(stream: Handle) |state| {
        check(state, stream)?;
        check_not_capturing(state)?;
        state.scheduler.finish(stream, &mut state.memory);
        state.check_context()
    }

    fn cuStreamBeginCapture_v2(stream: Handle, _mode: CUstreamCaptureMode) |state| {
        check(state, stream)?;
        // The default stream cannot be recorded.
        if stream == 0 || state.scheduler.is_capturing() {
            return Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        if let Some(stream) = state.scheduler.streams.get_mut(&stream) {
            stream.capture = Some(Capture::default());
        }
        Ok(())
    }

    fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>) |state| {
        check(state, stream)?;
        let capture = state.scheduler.streams.get_mut(&stream).and_then(|s| s.capture.take());
        let capture = capture.ok_or(CUresult::CUDA_ERROR_ILLEGAL_STATE)?;
        if capture.invalid {
            needed(graph.put(0))?;
            return Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        }
        let handle = state.new_handle();
        state.graphs.insert(handle, capture);
        needed(graph.put(handle))
    }

    fn cuStreamIsCapturing(stream: Handle, to: Out<Status>) |state| {
        check(state, stream)?;
        let capture = state.scheduler.streams.get(&stream).and_then(|s| s.capture.as_ref());
        needed(to.put(match capture {
            None => Status::CU_STREAM_CAPTURE_STATUS_NONE,
            Some(capture) if capture.invalid => Status::CU_STREAM_CAPTURE_STATUS_INVALIDATED,
            Some(_) => Status::CU_STREAM_CAPTURE_STATUS_ACTIVE,
        }))
    }
}
