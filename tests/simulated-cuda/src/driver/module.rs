//! Modules of kernels, and launching them.

use std::ffi::{c_char, c_uint};
use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use vgg_ptx::{Fault, Module};

use super::stream::order;
use super::{functions, needed};
use crate::ffi::{Handle, Host, Out, string};
use crate::memory::{Memory, tell};
use crate::state::Function;
use crate::work::Task;

/// The driver that came with CUDA 12.0 is the first to know PTX 8.0.
const DRIVER_OF_PTX_8: i32 = 12_000;

/// Shared memory of a block that has not asked for more.
const MOST_SHARED: usize = 48 << 10;

functions! {
    fn cuModuleLoadData(to: Out<Handle>, image: *const c_char) |state| {
        state.check_context()?;
        if state.settings.driver < DRIVER_OF_PTX_8 {
            return Err(CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
        }
        let text = needed(string(image))?;
        let module = match state.parsed.get(&text) {
            Some(module) => module.clone(),
            None => {
                let module = Module::parse(&text).map_err(|error| {
                    tell(&error.to_string());
                    CUresult::CUDA_ERROR_INVALID_PTX
                })?;
                state.parsed.entry(text).or_insert(Arc::new(module)).clone()
            }
        };
        let (major, minor) = state.settings.capability;
        if module.target().is_none_or(|target| target > 10 * major + minor) {
            tell("PTX for another GPU");
            return Err(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
        }
        let handle = state.new_handle();
        state.modules.insert(handle, module);
        needed(to.put(handle))
    }

    fn cuModuleUnload(module: Handle) |state| {
        state.functions.retain(|_, function| function.module != module);
        state.modules.remove(&module).map(drop).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)
    }

    fn cuModuleGetFunction(to: Out<Handle>, module: Handle, name: *const c_char) |state| {
        state.check_context()?;
        let code = state.modules.get(&module).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
        let name = needed(string(name))?;
        if code.kernel(&name).is_none() {
            return Err(CUresult::CUDA_ERROR_NOT_FOUND);
        }
        let handle = state.new_handle();
        state.functions.insert(handle, Function { module, name });
        needed(to.put(handle))
    }

    fn cuLaunchKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: Handle,
        parameters: Host,
        extra: Host,
    ) |state| {
        state.check_context()?;
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        if extra.address() != 0 || parameters.address() == 0 {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        let function = state.functions.get(&function).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
        let module = state.modules.get(&function.module);
        let module = module.ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?.clone();
        let name = function.name.clone();
        let kernel = module.kernel(&name).ok_or(CUresult::CUDA_ERROR_NOT_FOUND)?;
        let shared_bytes = shared_bytes as usize;
        let fits = kernel.static_shared_bytes() + shared_bytes <= MOST_SHARED;
        if !fits || kernel.check(grid, block, shared_bytes).is_err() {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        let places: Vec<(usize, usize)> = kernel.params().collect();
        let sizes: Vec<usize> = places.iter().map(|(_, size)| *size).collect();
        let mut packed = vec![0; kernel.param_bytes()];
        for ((offset, size), bytes) in places.iter().zip(parameters.parameters(&sizes)) {
            packed[*offset..offset + size].copy_from_slice(&bytes);
        }
        let launch = move |memory: &mut Memory, seed: u64| {
            let Some(kernel) = module.kernel(&name) else { return };
            let device = &mut memory.device;
            if let Err(error) = kernel.launch(grid, block, shared_bytes, &packed, device, seed) {
                memory.fail_with(result_of(&error.fault), &error.to_string());
            }
        };
        order(state, stream, Task::run(launch))
    }
}

/// What the real driver says of a fault, as far as a GPU sees it.
fn result_of(fault: &Fault) -> CUresult {
    match fault {
        Fault::Misaligned { .. } => CUresult::CUDA_ERROR_MISALIGNED_ADDRESS,
        Fault::Global { .. }
        | Fault::OutOfBounds { .. }
        | Fault::Uninitialised { .. }
        | Fault::ReadOnly { .. } => CUresult::CUDA_ERROR_ILLEGAL_ADDRESS,
        _ => CUresult::CUDA_ERROR_LAUNCH_FAILED,
    }
}
