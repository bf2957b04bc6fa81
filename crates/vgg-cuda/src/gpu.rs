//! A GPU: its streams, our kernels, and what every operation needs of it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute::{
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream, result};
use cudarc::nvrtc::Ptx;
use vgg_kernels::{BLOCK, MODULES};
use vgg_tensor::{Error, Result};

use crate::error::During;
use crate::memory::Address;
use crate::precision::Storage;

/// Channels of a pixel that a thread works on.
const GROUP: usize = 8;

/// Groups of channels of a pixel.
pub(crate) const fn groups(c: usize) -> u64 {
    c.div_ceil(GROUP) as u64
}

/// The most parameters that a kernel has.
const PARAMETERS: usize = 24;

/// A GPU and the work that is ordered on it.
pub(crate) struct Gpu {
    /// All work, but for some copies.
    pub(crate) stream: Arc<CudaStream>,
    /// Copies to the host that are made beside the work: of memory that no other work uses.
    pub(crate) copies: Arc<CudaStream>,
    /// All kernels by their names, and those of the storage type also by their names without it.
    kernels: HashMap<&'static str, CudaFunction>,
    /// Blocks that fit on the device at once.
    blocks: u64,
}

impl Gpu {
    /// The GPU of this number, with all kernels loaded.
    pub(crate) fn new(ordinal: usize, storage: Storage) -> Result<Self> {
        let context = CudaContext::new(ordinal).during("opening the device")?;
        // SAFETY: events would order the work of the two streams. Downloads, which alone use both,
        // order it themselves.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().during("making a stream")?;
        let copies = context.new_stream().during("making a stream")?;
        let mut kernels = HashMap::new();
        for module in MODULES {
            let loaded =
                context.load_module(Ptx::from_src(module.ptx)).during("loading kernels")?;
            for name in module.kernels {
                let kernel = loaded.load_function(name).during("loading kernels")?;
                if let Some(short) = name.strip_suffix(storage.suffix()) {
                    kernels.insert(short, kernel.clone());
                }
                kernels.insert(*name, kernel);
            }
        }
        let attribute = |which| context.attribute(which).during("asking the device");
        let processors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let threads = attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?;
        let blocks = (processors as u64 * threads as u64 / u64::from(BLOCK)).max(1);
        Ok(Self { stream, copies, kernels, blocks })
    }

    /// Its context.
    pub(crate) fn context(&self) -> &CudaContext {
        self.stream.context()
    }

    /// Blocks that fit on the device at once.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Orders a kernel to run with enough threads for `work`, as `vgg_kernels` has it.
    ///
    /// # Safety
    /// The arguments are those that `vgg_kernels` lists for the kernel: as many, of the same types,
    /// in order; the pointers are to memory of this device with the sizes it says.
    pub(crate) unsafe fn launch(
        &self,
        name: &'static str,
        work: u64,
        arguments: &[Argument],
    ) -> Result<()> {
        let blocks = work.div_ceil(u64::from(BLOCK)).clamp(1, self.blocks);
        // SAFETY: as the caller promises.
        unsafe { self.launch_grid(name, [blocks as u32, 1], arguments) }
    }

    /// Orders a kernel to run on a grid of blocks.
    ///
    /// # Safety
    /// As [`Gpu::launch`].
    pub(crate) unsafe fn launch_grid(
        &self,
        name: &'static str,
        [x, y]: [u32; 2],
        arguments: &[Argument],
    ) -> Result<()> {
        let kernel = self.kernels.get(name).ok_or_else(|| Error::Unavailable {
            what: format!("the kernel {name}"),
            hint: "this is a bug: please report it".into(),
        })?;
        let mut pointers = [std::ptr::null_mut(); PARAMETERS];
        let pointers = &mut pointers[..arguments.len()];
        for (pointer, argument) in pointers.iter_mut().zip(arguments) {
            *pointer = (&raw const argument.0).cast_mut().cast::<c_void>();
        }
        self.context().bind_to_thread().during(name)?;
        let stream = self.stream.cu_stream();
        // SAFETY: the function is loaded as long as `self` lives. The driver copies the arguments
        // before it returns; each pointer is to eight bytes, whose first ones are the argument.
        // What the kernel does with them is as the caller promises.
        unsafe {
            let (grid, block) = ((x, y, 1), (BLOCK, 1, 1));
            result::launch_kernel(kernel.cu_function(), grid, block, 0, stream, pointers)
        }
        .during(name)
    }

    /// Waits until all work is done.
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().during("waiting for the device")
    }
}

/// An argument of a kernel: its bytes, from the lowest address on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument(u64);

impl From<Address> for Argument {
    fn from(Address(address): Address) -> Self {
        Self(address)
    }
}

impl From<u64> for Argument {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

/// A size: `u64` in kernels.
impl From<usize> for Argument {
    fn from(value: usize) -> Self {
        Self(value as u64)
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self(value.into()) // x86 and Arm are little endian, as is every GPU
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        value.to_bits().into()
    }
}

/// `list![x, n, …]`: arguments of a kernel.
macro_rules! list {
    ($($argument:expr),* $(,)?) => {
        &[$($crate::gpu::Argument::from($argument)),*]
    };
}
pub(crate) use list;
