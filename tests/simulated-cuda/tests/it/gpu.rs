//! A GPU for tests: addresses in place of typed slices, so that they can be used wrongly.

use std::any::type_name;
use std::env;
use std::process::Command;
use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DriverError, result};
use cudarc::nvrtc::Ptx;
use vgg_simulated_cuda::Libraries;

/// Set in a process that has the libraries.
const HAS_GPU: &str = "VGG_TEST_HAS_GPU";

/// Settings of the simulated machine.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// Runs a test in a process that has a GPU and returns what it printed on both streams. In that
/// process, runs `body` and returns nothing.
pub(crate) fn on_gpu<F: FnOnce(Gpu)>(body: F) -> String {
    in_process(type_name::<F>(), &Libraries::all().unwrap(), &[], || body(Gpu::new()))
        .unwrap_or_default()
}

/// The same for a machine of these settings, and without a device opened.
pub(crate) fn on_machine<F: FnOnce()>(settings: Settings<'_>, body: F) -> Option<String> {
    in_process(type_name::<F>(), &Libraries::all().unwrap(), settings, body)
}

/// The same where some libraries are missing.
pub(crate) fn without<F: FnOnce()>(missing: &[&str], body: F) -> Option<String> {
    in_process(type_name::<F>(), &Libraries::without(missing).unwrap(), &[], body)
}

/// The test is found by the name of its closure. The dynamic linker looks for libraries where the
/// environment said when a process was started.
fn in_process(
    closure: &str,
    libraries: &Libraries,
    settings: Settings<'_>,
    body: impl FnOnce(),
) -> Option<String> {
    if env::var_os(HAS_GPU).is_some() {
        body();
        return None;
    }
    let test = closure.trim_end_matches("::{{closure}}");
    let (_, test) = test.split_once("::").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("LD_LIBRARY_PATH", libraries.folder())
        .env(HAS_GPU, "1")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{test}, {settings:?}: {}\n{stdout}{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "{test} did not run");
    Some(stdout + &stderr)
}

pub(crate) type Result<T = ()> = std::result::Result<T, DriverError>;

/// The device with a stream.
pub(crate) struct Gpu {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
}

impl Gpu {
    pub(crate) fn new() -> Self {
        let context = CudaContext::new(0).unwrap();
        // SAFETY: the tests order their work themselves, or not, on purpose.
        unsafe { context.disable_event_tracking() };
        Self { stream: context.new_stream().unwrap(), context }
    }

    pub(crate) fn alloc(&self, bytes: usize) -> Result<u64> {
        // SAFETY: a wrong use of memory of the simulated GPU is reported.
        unsafe { result::malloc_async(self.stream.cu_stream(), bytes) }
    }

    pub(crate) fn free(&self, at: u64) -> Result {
        // SAFETY: as above.
        unsafe { result::free_async(at, self.stream.cu_stream()) }
    }

    pub(crate) fn upload<T: bytemuck::NoUninit>(&self, numbers: &[T]) -> u64 {
        let at = self.alloc(size_of_val(numbers)).unwrap();
        // SAFETY: this memory is not pinned, so it is read before the call returns.
        unsafe { result::memcpy_htod_async(at, numbers, self.stream.cu_stream()) }.unwrap();
        at
    }

    pub(crate) fn download<T: bytemuck::Pod>(&self, at: u64, len: usize) -> Result<Vec<T>> {
        let mut numbers = vec![T::zeroed(); len];
        // SAFETY: this memory is not pinned, so it is written before the call returns.
        unsafe { result::memcpy_dtoh_async(&mut numbers, at, self.stream.cu_stream()) }?;
        Ok(numbers)
    }

    pub(crate) fn fill(&self, stream: &CudaStream, at: u64, byte: u8, bytes: usize) -> Result {
        // SAFETY: a wrong use of memory of the simulated GPU is reported.
        unsafe { result::memset_d8_async(at, byte, bytes, stream.cu_stream()) }
    }

    pub(crate) fn copy(&self, stream: &CudaStream, to: u64, from: u64, bytes: usize) -> Result {
        // SAFETY: as above.
        unsafe { result::memcpy_dtod_async(to, from, bytes, stream.cu_stream()) }
    }

    pub(crate) fn axpy(&self) -> CudaFunction {
        let module = self.context.load_module(Ptx::from_src(include_str!("axpy.ptx"))).unwrap();
        module.load_function("axpy").unwrap()
    }

    /// `y += a · x` for `n` numbers.
    pub(crate) fn launch(&self, axpy: &CudaFunction, x: u64, y: u64, a: f32, n: u32) -> Result {
        self.launch_shape(axpy, [n.div_ceil(64), 64, 0], x, y, a, n)
    }

    /// The same with so many blocks, threads of a block, and bytes of shared memory.
    pub(crate) fn launch_shape(
        &self,
        axpy: &CudaFunction,
        [blocks, threads, shared_bytes]: [u32; 3],
        mut x: u64,
        mut y: u64,
        mut a: f32,
        mut n: u32,
    ) -> Result {
        let parameters = &mut [
            (&raw mut x).cast(),
            (&raw mut y).cast(),
            (&raw mut a).cast(),
            (&raw mut n).cast(),
        ];
        // SAFETY: these are the kernel's parameters; what it does with them is reported.
        unsafe {
            let (grid, block) = ((blocks, 1, 1), (threads, 1, 1));
            let stream = self.stream.cu_stream();
            result::launch_kernel(axpy.cu_function(), grid, block, shared_bytes, stream, parameters)
        }
    }
}

/// The code of an error.
#[track_caller]
pub(crate) fn code<T>(result: Result<T>) -> CUresult {
    match result {
        Err(DriverError(code)) => code,
        Ok(_) => panic!("no error"),
    }
}
