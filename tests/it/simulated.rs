//! Tests that run on the simulated CUDA libraries, in a process of their own.

use std::env;
use std::process::Command;

use vgg_cuda::{Config, Cuda, Precision};
use vgg_simulated_cuda::Libraries;

/// Set where CUDA is to be used: in a process that was started for one test, or, by whoever has a GPU,
/// in all.
const REQUIRED: &str = "VGG_REQUIRE_CUDA";

/// As many simulated GPUs as ranks are tried.
pub(crate) const GPUS: [(&str, &str); 1] = [("VGG_SIMULATED_DEVICES", "4")];

/// Tests that have CUDA: `on_cuda! { fn name() { … } }`, in whose body `?` works.
macro_rules! on_cuda {
    ($(#[$doc:meta])* fn $name:ident() $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() -> Result<()> {
            if $crate::simulated::has_cuda(concat!(module_path!(), "::", stringify!($name))) $body
            Ok(())
        }
    };
}
pub(crate) use on_cuda;

/// A backend, in a process that has CUDA. Elsewhere runs the test of this path in such a process and
/// is nothing.
pub(crate) fn cuda(precision: Precision, test: &str) -> Option<Cuda> {
    let config = Config { precision, deterministic: true, unscaled: true, ..Config::default() };
    has_cuda(test).then(|| make(config))
}

/// A backend in a process that has CUDA.
pub(crate) fn make(config: Config) -> Cuda {
    Cuda::new(config).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether this process has CUDA. If not, runs the test of this path in a process that has.
pub(crate) fn has_cuda(test: &str) -> bool {
    has_gpu(test, &[])
}

/// The same, where a simulated GPU is as these settings say.
///
/// The dynamic linker looks for libraries where the environment said when a process was started.
#[expect(clippy::print_stdout, reason = "what the test has to say, for whoever asks for it")]
pub(crate) fn has_gpu(test: &str, settings: &[(&str, &str)]) -> bool {
    if env::var_os(REQUIRED).is_some() {
        return true;
    }
    let libraries = Libraries::all().expect("the simulated libraries are built");
    let (_, name) = test.split_once("::").expect("a path begins with the crate's name");
    let output = Command::new(env::current_exe().expect("this test"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("LD_LIBRARY_PATH", libraries.folder())
        .env(REQUIRED, "1")
        .envs(settings.iter().copied())
        .output()
        .expect("this test can be started");
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("{stdout}");
    assert!(output.status.success(), "{name} on simulated CUDA: {}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "{name} did not run");
    false
}
