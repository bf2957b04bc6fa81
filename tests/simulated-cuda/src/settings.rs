//! What the GPU is like, from the environment.

use std::env;
use std::str::FromStr;

/// The simulated machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `VGG_SIMULATED_DEVICES`.
    pub(crate) devices: i32,
    /// `VGG_SIMULATED_MEMORY`: bytes of a device.
    pub(crate) memory: usize,
    /// `VGG_SIMULATED_CAPABILITY`: compute capability, as in `9.0`.
    pub(crate) capability: (i32, i32),
    /// `VGG_SIMULATED_DRIVER`: the CUDA version of the driver, as in 12040.
    pub(crate) driver: i32,
    /// `VGG_SIMULATED_TOOLKIT`: the version of CUDA that cuDNN and cuBLAS are of, 12 or 13. A copy of
    /// this library in a folder whose path has `cu12` or `cu13` in it is of that version.
    pub(crate) toolkit: i32,
    /// `VGG_SIMULATED_STARTS`: 0 where the driver does not fit the operating system's part of it.
    pub(crate) starts: u8,
    /// `VGG_SIMULATED_SEED`: decides the order of work.
    pub(crate) seed: u64,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        let capability = env::var("VGG_SIMULATED_CAPABILITY").unwrap_or_else(|_| "9.0".into());
        let (major, minor) = capability.split_once('.').unwrap_or((&capability, "0"));
        let digit = |text: &str| text.parse().unwrap_or_else(|_| panic!("capability {text}"));
        Self {
            devices: number("VGG_SIMULATED_DEVICES", 1),
            memory: number("VGG_SIMULATED_MEMORY", 8 << 30),
            capability: (digit(major), digit(minor)),
            driver: number("VGG_SIMULATED_DRIVER", 12_040),
            toolkit: own_toolkit().unwrap_or_else(|| number("VGG_SIMULATED_TOOLKIT", 12)),
            starts: number("VGG_SIMULATED_STARTS", 1),
            seed: number("VGG_SIMULATED_SEED", 0),
        }
    }
}

/// The version of CUDA that the path of this library has in it.
fn own_toolkit() -> Option<i32> {
    let here = own_toolkit as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let bounds = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let bounds = bounds.map(|(a, b)| [a, b].map(|bound| usize::from_str_radix(bound, 16)));
        matches!(bounds, Some([Ok(begin), Ok(end)]) if (begin..end).contains(&here))
    })?;
    [13, 12].into_iter().find(|version| line.contains(&format!("cu{version}")))
}

fn number<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
