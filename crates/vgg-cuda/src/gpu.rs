//! A GPU: its streams, our kernels, and what every operation needs of it.

use std::collections::HashMap;
use std::env;
use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR;
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaStream, result};
use cudarc::nvrtc::Ptx;
pub(crate) use vgg_kernels::signatures as kernel;
use vgg_kernels::{BLOCK, Kernel, MODULES};
use vgg_tensor::{Error, Result};

use crate::Device;
use crate::error::During;
use crate::memory::Address;
use crate::nccl::Line;
use crate::precision::Storage;

/// Which kernels to use where there is a choice: `cudnn` for what there was before products were ours,
/// to time both in one program.
const CHOICE: &str = "VGG_CUDA_KERNELS";

/// Channels of a pixel that a thread works on.
const GROUP: usize = 8;

/// Groups of channels of a pixel.
pub(crate) const fn groups(c: usize) -> u64 {
    c.div_ceil(GROUP) as u64
}

/// A GPU and the work that is ordered on it.
pub(crate) struct Gpu {
    /// All work, but for some copies.
    pub(crate) stream: Arc<CudaStream>,
    /// Copies to the host that are made beside the work: of memory that no other work uses.
    pub(crate) copies: Arc<CudaStream>,
    /// The line to the other ranks' GPUs: work may wait for those.
    pub(crate) line: Option<Arc<Line>>,
    /// What activations are stored as.
    storage: Storage,
    /// All kernels by their names.
    kernels: HashMap<&'static str, CudaFunction>,
    processors: u64,
    /// Blocks that fit on the device at once.
    blocks: u64,
    multiplies: bool,
}

/// Whether a GPU has the kernels that multiply matrices, and nobody wants others.
fn has_matrix_products(device: &Device) -> bool {
    device.capability >= vgg_kernels::FIRST_STAGE_SM80.capability()
        && env::var_os(CHOICE).is_none_or(|choice| choice != "cudnn")
}

/// Waits for an event, which may wait for other ranks.
pub(crate) fn wait(event: &CudaEvent, line: Option<&Line>, op: &'static str) -> Result<()> {
    match line {
        None => event.synchronize().during(op),
        Some(line) => line.wait(|| event.try_is_complete().during(op)),
    }
}

/// Orders bytes to be copied within a device.
///
/// # Safety
/// The addresses are of memory of the stream's device with so many bytes each, which do not overlap.
pub(crate) unsafe fn copy(
    stream: &CudaStream,
    from: Address,
    to: Address,
    bytes: usize,
) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, stream.cu_stream()) }.during("copying")
}

impl Gpu {
    /// A GPU, with all kernels loaded that it can run.
    pub(crate) fn new(device: &Device, storage: Storage) -> Result<Self> {
        let context = CudaContext::new(device.ordinal).during("opening the device")?;
        // SAFETY: events would order the work of the two streams. Downloads, which alone use both,
        // order it themselves.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().during("making a stream")?;
        let copies = context.new_stream().during("making a stream")?;
        let mut kernels = HashMap::new();
        for module in MODULES.iter().filter(|module| module.capability() <= device.capability) {
            let loaded =
                context.load_module(Ptx::from_src(module.ptx)).during("loading kernels")?;
            for name in module.kernels {
                let kernel = loaded.load_function(name).during("loading kernels")?;
                kernels.insert(*name, kernel);
            }
        }
        let threads = context
            .attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)
            .during("asking the device")?;
        let processors = device.processors as u64;
        let blocks = (processors * threads as u64 / u64::from(BLOCK)).max(1);
        let multiplies = has_matrix_products(device) && storage != Storage::F32;
        Ok(Self { stream, copies, line: None, storage, kernels, processors, blocks, multiplies })
    }

    /// Whether kernels of ours multiply matrices of the storage type on tensor cores.
    pub(crate) fn multiplies(&self) -> bool {
        self.multiplies
    }

    /// Its multiprocessors.
    pub(crate) fn processors(&self) -> u64 {
        self.processors
    }

    /// Its context.
    pub(crate) fn context(&self) -> &CudaContext {
        self.stream.context()
    }

    /// Blocks that fit on the device at once.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A grid with enough threads for `work`, as `vgg_kernels` has it.
    pub(crate) fn grid(&self, work: u64) -> [u32; 2] {
        [work.div_ceil(u64::from(BLOCK)).clamp(1, self.blocks) as u32, 1]
    }

    /// Orders a kernel to run with enough threads for `work`, on numbers of the storage type.
    ///
    /// # Safety
    /// As [`Gpu::launch_as`].
    pub(crate) unsafe fn launch(&self, kernel: impl Kernel, work: u64) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.launch_as(self.storage, kernel, self.grid(work)) }
    }

    /// Orders a kernel to run on a grid of blocks, on numbers of the storage type.
    ///
    /// # Safety
    /// As [`Gpu::launch_as`].
    pub(crate) unsafe fn launch_grid(&self, kernel: impl Kernel, grid: [u32; 2]) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.launch_as(self.storage, kernel, grid) }
    }

    /// Orders a kernel to run on a grid of blocks, and on numbers of a type, if it is one of several.
    ///
    /// # Safety
    /// The addresses are of memory of this device with the sizes that `vgg_kernels` says.
    pub(crate) unsafe fn launch_as<K: Kernel>(
        &self,
        storage: Storage,
        kernel: K,
        grid: [u32; 2],
    ) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.launch_on(&self.stream, storage, kernel, grid) }
    }

    /// As [`Gpu::launch_as`], on another stream.
    ///
    /// # Safety
    /// As [`Gpu::launch_as`].
    pub(crate) unsafe fn launch_on<K: Kernel>(
        &self,
        stream: &CudaStream,
        storage: Storage,
        kernel: K,
        [x, y]: [u32; 2],
    ) -> Result<()> {
        let name = match K::NAME.strip_suffix("_T") {
            Some(name) => format!("{name}{}", storage.suffix()),
            None => K::NAME.into(),
        };
        let function = self.kernels.get(&*name).ok_or_else(|| Error::Unavailable {
            what: format!("the kernel {name}"),
            hint: "this is a bug: please report it".into(),
        })?;
        self.context().bind_to_thread().during(K::NAME)?;
        let (grid, block, stream) = ((x, y, 1), (BLOCK, 1, 1), stream.cu_stream());
        // SAFETY: the function is loaded as long as `self` lives, and its arguments are those of its
        // signature. The driver copies them before it returns. What the kernel does with them is as
        // the caller promises.
        kernel
            .with_pointers(|pointers| unsafe {
                result::launch_kernel(function.cu_function(), grid, block, 0, stream, pointers)
            })
            .during(K::NAME)
    }

    /// Waits until all work is done.
    pub(crate) fn synchronize(&self) -> Result<()> {
        const OP: &str = "waiting for the device";
        if self.line.is_none() {
            return self.stream.synchronize().during(OP);
        }
        let event = self.stream.context().new_event(None).during(OP)?;
        event.record(&self.stream).during(OP)?;
        wait(&event, self.line.as_deref(), OP)
    }
}
