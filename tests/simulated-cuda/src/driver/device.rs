//! Devices, contexts and errors.

use std::ffi::{CStr, c_char, c_int, c_uint};

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::sys::CUresult;

use super::{functions, needed};
use crate::ffi::{Handle, Out};
use crate::state::{Result, State, current, set_current};

const NAME: &CStr = c"Simulated GPU";

/// As an H100 has them.
const PROCESSORS: c_int = 132;
const THREADS_OF_A_PROCESSOR: c_int = 2048;

/// Contexts are devices' numbers plus this.
const CONTEXT: Handle = 0x100;

/// A device that exists.
fn device(state: &State, device: c_int) -> Result<usize> {
    state.check_initialised()?;
    let exists = (0..state.settings.devices).contains(&device);
    if exists { Ok(device as usize) } else { Err(CUresult::CUDA_ERROR_INVALID_DEVICE) }
}

functions! {
    fn cuInit(flags: c_uint) |state| {
        if flags != 0 {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        if state.settings.starts == 0 {
            return Err(CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
        }
        if state.settings.devices == 0 {
            return Err(CUresult::CUDA_ERROR_NO_DEVICE);
        }
        state.initialised = true;
        Ok(())
    }

    fn cuDriverGetVersion(version: Out<c_int>) |state| { needed(version.put(state.settings.driver)) }

    fn cuDeviceGetCount(count: Out<c_int>) |state| {
        state.check_initialised()?;
        needed(count.put(state.settings.devices))
    }

    fn cuDeviceGet(to: Out<c_int>, ordinal: c_int) |state| {
        device(state, ordinal)?;
        needed(to.put(ordinal))
    }

    fn cuDeviceGetName(name: Out<c_char>, len: c_int, of: c_int) |state| {
        device(state, of)?;
        let text = NAME.to_bytes_with_nul();
        if (len as usize) < text.len() {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        needed(name.put_all(text.iter().map(|byte| *byte as c_char)))
    }

    fn cuDeviceGetUuid(uuid: Out<[u8; 16]>, of: c_int) |state| {
        let number = device(state, of)?;
        needed(uuid.put((number as u128 + 1).to_be_bytes()))
    }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, of: c_int) |state| {
        device(state, of)?;
        needed(bytes.put(state.settings.memory))
    }

    fn cuDeviceGetAttribute(to: Out<c_int>, attribute: Attribute, of: c_int) |state| {
        device(state, of)?;
        let (major, minor) = state.settings.capability;
        needed(to.put(match attribute {
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR => major,
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR => minor,
            Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT => PROCESSORS,
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR => THREADS_OF_A_PROCESSOR,
            Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED => 1,
            _ => return Err(CUresult::CUDA_ERROR_NOT_SUPPORTED),
        }))
    }

    fn cuDevicePrimaryCtxRetain(context: Out<Handle>, of: c_int) |state| {
        let device = device(state, of)?;
        state.contexts[device] += 1;
        needed(context.put(CONTEXT + device))
    }

    fn cuDevicePrimaryCtxRelease_v2(of: c_int) |state| {
        let device = device(state, of)?;
        let count = &mut state.contexts[device];
        *count = count.checked_sub(1).ok_or(CUresult::CUDA_ERROR_INVALID_CONTEXT)?;
        Ok(())
    }

    fn cuCtxGetCurrent(context: Out<Handle>) |state| {
        state.check_initialised()?;
        needed(context.put(current().map_or(0, |device| CONTEXT + device)))
    }

    fn cuCtxSetCurrent(context: Handle) |state| {
        state.check_initialised()?;
        let device = context.checked_sub(CONTEXT);
        let retained = |device: usize| state.contexts.get(device).is_some_and(|count| *count > 0);
        if context != 0 && !device.is_some_and(retained) {
            return Err(CUresult::CUDA_ERROR_INVALID_CONTEXT);
        }
        set_current(device);
        Ok(())
    }

    fn cuCtxSynchronize() |state, _again| {
        state.check_context()?;
        // It would wait for the streams of other threads, too.
        super::stream::spoil(state.scheduler.captures())?;
        let done = state.scheduler.finish_all(&mut state.memory);
        state.check_context()?;
        Ok(done)
    }

    fn cuGetErrorName(error: CUresult, text: Out<*const c_char>) |_state| {
        needed(text.put(describe(error).0.as_ptr()))
    }

    fn cuGetErrorString(error: CUresult, text: Out<*const c_char>) |_state| {
        needed(text.put(describe(error).1.as_ptr()))
    }
}

const fn describe(error: CUresult) -> (&'static CStr, &'static CStr) {
    match error {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => (c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
        CUresult::CUDA_ERROR_NO_DEVICE => {
            (c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected")
        }
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS => {
            (c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered")
        }
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => (
            c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            c"the provided PTX was compiled with an unsupported toolchain",
        ),
        _ => (c"CUDA_ERROR", c"a call of the simulated driver failed"),
    }
}
