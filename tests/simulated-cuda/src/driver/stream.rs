//! Streams and recording them.

use std::ffi::c_uint;
use std::thread;

use cudarc::driver::sys::CUstreamCaptureStatus as Status;
use cudarc::driver::sys::{CUresult, CUstreamCaptureMode};

use super::{functions, needed};
use crate::ffi::{Handle, Out};
use crate::state::{Result, State, current};
use crate::work::{Capture, Stream, Task};

/// A stream that exists, of the device whose context is current.
pub(crate) fn check(state: &State, stream: Handle) -> Result {
    state.check_context()?;
    let stream = state.scheduler.streams.get(&stream).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
    let is_here = stream.device.is_none() || stream.device == current();
    if is_here { Ok(()) } else { Err(CUresult::CUDA_ERROR_INVALID_CONTEXT) }
}

/// Refuses what a thread that records must not do, and spoils its recordings: whatever the driver
/// does by waiting for other work.
pub(crate) fn check_not_capturing(state: &mut State) -> Result {
    let thread = thread::current().id();
    spoil(state.scheduler.captures().filter(|capture| capture.thread == thread))
}

/// Refuses what cannot be recorded on this stream, and spoils its recording.
pub(crate) fn check_not_captured(state: &mut State, stream: Handle) -> Result {
    check(state, stream)?;
    let stream = state.scheduler.streams.get_mut(&stream);
    spoil(stream.and_then(|stream| stream.capture.as_mut()).into_iter())
}

/// An error, if there is a recording, and an end of it.
pub(super) fn spoil<'a>(captures: impl Iterator<Item = &'a mut Capture>) -> Result {
    let mut result = Ok(());
    for capture in captures {
        capture.invalid = true;
        result = Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    result
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
        let device = current().ok_or(CUresult::CUDA_ERROR_INVALID_CONTEXT)?;
        state.scheduler.streams.insert(handle, Stream::of(device));
        needed(to.put(handle))
    }

    fn cuStreamDestroy_v2(stream: Handle) |state, _again| {
        check(state, stream)?;
        if stream == 0 {
            return Err(CUresult::CUDA_ERROR_INVALID_HANDLE);
        }
        let done = state.scheduler.finish(stream, &mut state.memory);
        if done {
            state.scheduler.streams.remove(&stream);
        }
        Ok(done)
    }

    fn cuStreamSynchronize(stream: Handle) |state, _again| {
        check_not_captured(state, stream)?;
        check_not_capturing(state)?;
        let done = state.scheduler.finish(stream, &mut state.memory);
        state.check_context()?;
        Ok(done)
    }

    // Every mode is taken for that of the backend, in which other threads are not concerned.
    fn cuStreamBeginCapture_v2(stream: Handle, _mode: CUstreamCaptureMode) |state| {
        check(state, stream)?;
        // The default stream cannot be recorded.
        if stream == 0 {
            return Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        match state.scheduler.streams.get_mut(&stream) {
            Some(stream) if stream.capture.is_none() => stream.capture = Some(Capture::new()),
            _ => return Err(CUresult::CUDA_ERROR_ILLEGAL_STATE),
        }
        Ok(())
    }

    fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>) |state| {
        check(state, stream)?;
        let recording = state.scheduler.streams.get_mut(&stream).map(|s| &mut s.capture);
        let recording = recording.ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
        if recording.as_ref().is_some_and(|capture| capture.thread != thread::current().id()) {
            return Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        }
        let capture = recording.take().ok_or(CUresult::CUDA_ERROR_ILLEGAL_STATE)?;
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
