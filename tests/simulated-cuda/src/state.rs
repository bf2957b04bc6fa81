//! Everything that the libraries know.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cudarc::driver::sys::CUresult;
use vgg_ptx::{DeviceMemory, Module};

mod cublas;
mod cudnn;
mod nccl;

pub(crate) use cublas::Blas;
pub(crate) use cudnn::{Convolution, Dnn, Filter, Tensor};
pub(crate) use nccl::{Call, Communicator, Nccl, Status, What};

use crate::ffi::{Handle, Host};
use crate::memory::Memory;
use crate::settings::Settings;
use crate::work::{Capture, Event, Scheduler, Task};

/// The result of a driver's call.
pub(crate) type Result<T = (), E = CUresult> = std::result::Result<T, E>;

/// What is loaded from a module.
pub(crate) struct Function {
    pub(crate) module: Handle,
    pub(crate) name: String,
}

/// The state of the process.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) initialised: bool,
    /// How often the primary context of each device was retained.
    pub(crate) contexts: Vec<u32>,
    pub(crate) memory: Memory,
    /// Pinned memory of the host: lengths by address.
    pub(crate) pinned: BTreeMap<usize, usize>,
    pub(crate) scheduler: Scheduler,
    pub(crate) events: HashMap<Handle, Event>,
    pub(crate) modules: HashMap<Handle, Arc<Module>>,
    /// Modules by their text: each device loads the same.
    pub(crate) parsed: HashMap<String, Arc<Module>>,
    pub(crate) functions: HashMap<Handle, Function>,
    pub(crate) graphs: HashMap<Handle, Capture>,
    pub(crate) executables: HashMap<Handle, Vec<Task>>,
    pub(crate) blas: HashMap<Handle, Blas>,
    pub(crate) dnn: Dnn,
    pub(crate) nccl: Nccl,
    last_handle: Handle,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

thread_local! {
    /// The device whose context is current, plus one.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

impl State {
    fn new() -> Self {
        let settings = Settings::from_environment();
        Self {
            settings,
            initialised: false,
            contexts: vec![0; settings.devices.max(0) as usize],
            memory: Memory {
                device: DeviceMemory::new(),
                allocations: HashMap::new(),
                fault: None,
            },
            pinned: BTreeMap::new(),
            scheduler: Scheduler::new(settings.seed),
            events: HashMap::new(),
            modules: HashMap::new(),
            parsed: HashMap::new(),
            functions: HashMap::new(),
            graphs: HashMap::new(),
            executables: HashMap::new(),
            blas: HashMap::new(),
            dnn: Dnn::default(),
            nccl: Nccl::default(),
            last_handle: 0x1000,
        }
    }

    /// A number that was no handle before.
    pub(crate) fn new_handle(&mut self) -> Handle {
        self.last_handle += 16;
        self.last_handle
    }

    /// Passes if the driver is initialised, a context is current, and nothing went wrong.
    pub(crate) fn check_context(&self) -> Result {
        self.check_initialised()?;
        match current().and_then(|device| self.contexts.get(device)) {
            Some(1..) => self.memory.fault.map_or(Ok(()), Err),
            _ => Err(CUresult::CUDA_ERROR_INVALID_CONTEXT),
        }
    }

    pub(crate) fn check_initialised(&self) -> Result {
        if self.initialised { Ok(()) } else { Err(CUresult::CUDA_ERROR_NOT_INITIALIZED) }
    }

    /// Passes unless memory of the device is given where the host's is meant.
    pub(crate) fn check_host(&self, memory: Host) -> Result {
        let device = self.memory.device.contains(memory.address() as u64);
        if device { Err(CUresult::CUDA_ERROR_INVALID_VALUE) } else { Ok(()) }
    }

    /// The length of the pinned memory that `address` is in, from there on.
    pub(crate) fn pinned_from(&self, address: usize) -> usize {
        let (begin, len) = self.pinned.range(..=address).next_back().unwrap_or((&0, &0));
        (begin + len).saturating_sub(address)
    }
}

/// The device whose context is current on this thread.
pub(crate) fn current() -> Option<usize> {
    CURRENT.get().checked_sub(1)
}

pub(crate) fn set_current(device: Option<usize>) {
    CURRENT.set(device.map_or(0, |device| device + 1));
}

/// Runs a call of a library. A panic, which is a bug of this one, is told and becomes `panicked`.
pub(crate) fn call<S>(
    success: S,
    panicked: S,
    body: impl FnOnce(&mut State) -> Result<(), S>,
) -> S {
    match once(|state| body(state)) {
        Some(Ok(())) => success,
        Some(Err(status)) => status,
        None => panicked,
    }
}

/// How long a call leaves other threads time to order what it waits for.
const NAP: Duration = Duration::from_micros(50);

/// Runs a call that waits, again and again until its body says that what it waits for is there. The body
/// is told whether it has run before.
pub(crate) fn wait<S>(
    success: S,
    panicked: S,
    mut body: impl FnMut(&mut State, bool) -> Result<bool, S>,
) -> S {
    let mut again = false;
    loop {
        match once(|state| body(state, again)) {
            Some(Ok(true)) => return success,
            Some(Ok(false)) => thread::sleep(NAP),
            Some(Err(status)) => return status,
            None => return panicked,
        }
        again = true;
    }
}

/// What a body gives, or nothing if it panics.
fn once<T>(body: impl FnOnce(&mut State) -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        body(state.get_or_insert_with(State::new))
    }))
    .ok()
}
