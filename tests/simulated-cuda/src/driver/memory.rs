//! Memory, and copies from and to it.

use std::ffi::{c_uchar, c_uint};

use cudarc::driver::sys::{CUdeviceptr, CUresult};
use vgg_ptx::Memory as _;

use super::stream::{check_not_captured, check_not_capturing, order};
use super::{functions, needed};
use crate::ffi::{Handle, Host, Out};
use crate::memory::Memory;
use crate::state::{Result, State, current};
use crate::work::Task;

fn allocate(state: &mut State, bytes: usize) -> Result<u64> {
    state.check_context()?;
    let memory = &mut state.memory;
    let device = current().ok_or(CUresult::CUDA_ERROR_INVALID_CONTEXT)?;
    if bytes == 0 {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    if bytes > state.settings.memory - memory.used(device) {
        return Err(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    }
    let address = memory.device.alloc(bytes);
    memory.allocations.insert(address, (bytes, device));
    Ok(address)
}

/// Memory that is freed is found if it is used after that. Its bytes count at once.
fn forget(state: &mut State, address: u64) -> Result {
    let known = state.memory.allocations.remove(&address);
    known.map(drop).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)
}

/// Bytes that are inside of an allocation on this device, whatever has become of it when they are used.
pub(crate) fn check_range(state: &State, address: u64, bytes: usize) -> Result {
    let inside = |(begin, (size, device)): (&u64, &(usize, usize))| {
        let offset = address.checked_sub(*begin);
        let end = offset.and_then(|offset| offset.checked_add(bytes as u64));
        end.is_some_and(|end| end <= *size as u64) && Some(*device) == current()
    };
    let known = state.memory.allocations.iter().any(inside);
    if known || bytes == 0 { Ok(()) } else { Err(CUresult::CUDA_ERROR_INVALID_VALUE) }
}

fn write(memory: &mut Memory, what: &str, address: u64, bytes: &[u8]) {
    if let Err(error) = memory.device.write(address, bytes) {
        memory.fail(&format!("{what}: {error}"));
    }
}

fn fill(state: &mut State, at: u64, unit: &[u8], count: usize, stream: Handle) -> Result {
    check_range(state, at, unit.len().saturating_mul(count))?;
    let bytes = unit.repeat(count);
    order(state, stream, Task::run(move |memory, _| write(memory, "filling memory", at, &bytes)))
}

functions! {
    fn cuMemAllocAsync(to: Out<CUdeviceptr>, bytes: usize, stream: Handle) |state| {
        check_not_captured(state, stream)?;
        let address = allocate(state, bytes)?;
        needed(to.put(address))
    }

    fn cuMemAlloc_v2(to: Out<CUdeviceptr>, bytes: usize) |state| {
        check_not_capturing(state)?;
        let address = allocate(state, bytes)?;
        needed(to.put(address))
    }

    fn cuMemFreeAsync(address: CUdeviceptr, stream: Handle) |state| {
        check_not_captured(state, stream)?;
        forget(state, address)?;
        order(state, stream, Task::run(move |memory, _| {
            memory.device.free(address);
        }))
    }

    fn cuMemFree_v2(address: CUdeviceptr) |state, _again| {
        state.check_context()?;
        check_not_capturing(state)?;
        let done = state.scheduler.finish_all(&mut state.memory);
        if done {
            forget(state, address)?;
            state.memory.device.free(address);
        }
        Ok(done)
    }

    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) |state| {
        state.check_context()?;
        let device = current().ok_or(CUresult::CUDA_ERROR_INVALID_CONTEXT)?;
        needed(free.put(state.settings.memory - state.memory.used(device)))?;
        needed(total.put(state.settings.memory))
    }

    fn cuMemHostAlloc(to: Out<*mut u8>, bytes: usize, _flags: c_uint) |state| {
        state.check_context()?;
        check_not_capturing(state)?;
        if bytes == 0 {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        let memory = Box::leak(vec![0xA5u8; bytes].into_boxed_slice());
        state.pinned.insert(memory.as_ptr().addr(), bytes);
        needed(to.put(memory.as_mut_ptr()))
    }

    // The memory stays: somebody may still write to it, and that would be found by nobody.
    fn cuMemFreeHost(memory: Host) |state| {
        state.check_initialised()?;
        let known = state.pinned.remove(&memory.address());
        known.map(drop).ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)
    }

    // Pinned memory is read when the copy is done, other memory at once, as by the real driver.
    fn cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: Host, bytes: usize, stream: Handle) |state| {
        super::stream::check(state, stream)?;
        state.check_host(from)?;
        check_range(state, to, bytes)?;
        if state.pinned_from(from.address()) >= bytes {
            return order(state, stream, Task::run(move |memory, _| {
                write(memory, "copying to the device", to, &from.read(bytes));
            }));
        }
        check_not_captured(state, stream)?;
        let copy = from.read(bytes);
        order(state, stream, Task::run(move |memory, _| {
            write(memory, "copying to the device", to, &copy);
        }))
    }

    fn cuMemcpyDtoHAsync_v2(
        to: Host,
        from: CUdeviceptr,
        bytes: usize,
        stream: Handle,
    ) |state, again| {
        super::stream::check(state, stream)?;
        state.check_host(to)?;
        check_range(state, from, bytes)?;
        let pinned = state.pinned_from(to.address()) >= bytes;
        if !pinned {
            check_not_captured(state, stream)?;
        }
        if !again {
            order(state, stream, Task::run(move |memory, _| {
                match memory.device.download(from, bytes) {
                    Ok(bytes) => to.write(&bytes),
                    Err(error) => memory.fail(&format!("copying from the device: {error}")),
                }
            }))?;
        }
        let done = pinned || state.scheduler.finish(stream, &mut state.memory);
        state.check_context()?;
        Ok(done)
    }

    fn cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: Handle) |state| {
        check_range(state, to, bytes)?;
        check_range(state, from, bytes)?;
        order(state, stream, Task::run(move |memory, _| {
            match memory.device.download(from, bytes) {
                Ok(bytes) => write(memory, "copying on the device", to, &bytes),
                Err(error) => memory.fail(&format!("copying on the device: {error}")),
            }
        }))
    }

    fn cuMemsetD8Async(at: CUdeviceptr, byte: c_uchar, count: usize, stream: Handle) |state| {
        fill(state, at, &[byte], count, stream)
    }

    fn cuMemsetD32Async(at: CUdeviceptr, word: c_uint, count: usize, stream: Handle) |state| {
        if !at.is_multiple_of(4) {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        fill(state, at, &word.to_ne_bytes(), count, stream)
    }
}
