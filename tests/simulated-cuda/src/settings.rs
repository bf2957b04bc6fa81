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
            starts: number("VGG_SIMULATED_STARTS", 1),
            seed: number("VGG_SIMULATED_SEED", 0),
        }
    }
}

fn number<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
