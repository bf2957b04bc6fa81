//! Which compiler and assembler it is.

use std::fmt;

/// An old compiler on purpose: a driver refuses PTX that is newer than itself, and this one's
/// (version 8.0) is taken by all drivers from 525 on.
pub(super) const NVRTC: Wheel = Wheel {
    name: "nvidia-cuda-nvrtc-cu12",
    version: "12.0.140",
    sha256: "8e94e991d85c422de4da87bdc7472fdc1364367bd4aace7000b559cd33122071",
};

/// A new assembler: only for its judgement, on GPUs that NVRTC does not know.
pub(super) const NVCC: Wheel = Wheel {
    name: "nvidia-cuda-nvcc-cu12",
    version: "12.9.86",
    sha256: "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
};

/// A Python package's file for Linux on x86-64.
pub(super) struct Wheel {
    name: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
}

impl fmt::Display for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=={}", self.name, self.version)
    }
}
