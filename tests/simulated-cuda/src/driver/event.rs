//! Events.

use std::ffi::c_uint;

use cudarc::driver::sys::CUresult;

use super::stream::{check_not_captured, check_not_capturing, order};
use super::{functions, needed};
use crate::ffi::{Handle, Out};
use crate::state::{Result, State};
use crate::work::{Event, Task};

fn event(state: &State, handle: Handle) -> Result<Event> {
    state.check_context()?;
    state.events.get(&handle).copied().ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)
}

functions! {
    fn cuEventCreate(to: Out<Handle>, _flags: c_uint) |state| {
        state.check_context()?;
        let handle = state.new_handle();
        state.events.insert(handle, Event::default());
        needed(to.put(handle))
    }

    fn cuEventDestroy_v2(handle: Handle) |state| {
        // Also after a fault, so that a process can end.
        state.check_initialised()?;
        state.events.remove(&handle).map(drop).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)
    }

    fn cuEventRecord(handle: Handle, stream: Handle) |state| {
        event(state, handle)?;
        check_not_captured(state, stream)?;
        let ticket = state.scheduler.new_ticket();
        state.events.insert(handle, Event { recorded: Some(ticket) });
        order(state, stream, Task::Record(ticket))
    }

    fn cuStreamWaitEvent(stream: Handle, handle: Handle, _flags: c_uint) |state| {
        match event(state, handle)?.recorded {
            Some(ticket) => {
                check_not_captured(state, stream)?;
                order(state, stream, Task::Wait(ticket))
            }
            None => super::stream::check(state, stream),
        }
    }

    fn cuEventQuery(handle: Handle) |state| {
        let event = event(state, handle)?;
        check_not_capturing(state)?;
        // A device works whether or not somebody waits for it.
        state.scheduler.pass_time(&mut state.memory);
        state.check_context()?;
        let done = event.recorded.is_none_or(|ticket| state.scheduler.is_done(ticket));
        if done { Ok(()) } else { Err(CUresult::CUDA_ERROR_NOT_READY) }
    }

    fn cuEventSynchronize(handle: Handle) |state, _again| {
        let event = event(state, handle)?;
        check_not_capturing(state)?;
        let done = match event.recorded {
            Some(ticket) => state.scheduler.reach(ticket, &mut state.memory),
            None => true,
        };
        state.check_context()?;
        Ok(done)
    }

    // Time means nothing here: an event is as many microseconds as recordings after another.
    fn cuEventElapsedTime(to: Out<f32>, start: Handle, end: Handle) |state| {
        let [start, end] = [start, end].map(|handle| event(state, handle));
        let (Some(start), Some(end)) = (start?.recorded, end?.recorded) else {
            return Err(CUresult::CUDA_ERROR_INVALID_HANDLE);
        };
        if !state.scheduler.is_done(start) || !state.scheduler.is_done(end) {
            return Err(CUresult::CUDA_ERROR_NOT_READY);
        }
        needed(to.put((end as f32 - start as f32) * 1e-3))
    }
}
