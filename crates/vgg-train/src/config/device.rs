//! The keys of `[device]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where it is computed, and how exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Device {
    pub kind: DeviceKind,
    /// CPU threads; 0 means all. They do not change the result.
    pub threads: usize,
    /// On a GPU. The CPU computes in `f32`.
    pub precision: Precision,
    /// On a GPU: only algorithms that give the same bits in every run. The CPU has no others.
    pub deterministic: bool,
    /// On a GPU: measure cuDNN's algorithms for convolutions that are computed the first time.
    pub autotune: bool,
}

/// A device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    /// A GPU if there is one.
    #[default]
    Auto,
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

impl DeviceKind {
    /// What it can be, in words.
    const WORDS: [&str; 4] = ["auto", "cpu", "cuda", "cuda:N"];
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("cuda:").filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.map(str::parse::<u16>);
        match (text, number) {
            ("auto", _) => Ok(DeviceKind::Auto),
            ("cpu", _) => Ok(DeviceKind::Cpu),
            ("cuda", _) => Ok(DeviceKind::Cuda(0)),
            (_, Some(Ok(number))) => Ok(DeviceKind::Cuda(number.into())),
            _ => Err(format!("it can be {}", Self::WORDS.join(", "))),
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceKind::Auto => f.write_str("auto"),
            DeviceKind::Cpu => f.write_str("cpu"),
            DeviceKind::Cuda(0) => f.write_str("cuda"),
            DeviceKind::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Serialize for DeviceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::unknown_variant(&text, &Self::WORDS))
    }
}

/// What numbers are stored as and computed with on a GPU, or what products are of on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    /// All in f32
    F32,
    /// On a GPU stored as f32, multiplied by tensor cores with 11 bits; on a CPU f32
    #[default]
    Tf32,
    /// Half the memory traffic, 8 bits; on GPUs from Ampere on, and CPUs with AVX-512 BF16
    Bf16,
    /// Half the memory traffic, 11 bits, gradients scaled; for older GPUs
    F16,
}

impl From<Precision> for vgg_cuda::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Tf32 => Self::Tf32,
            Precision::Bf16 => Self::Bf16,
            Precision::F16 => Self::F16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for (text, kind) in [
            ("auto", DeviceKind::Auto),
            ("cpu", DeviceKind::Cpu),
            ("cuda", DeviceKind::Cuda(0)),
            ("cuda:3", DeviceKind::Cuda(3)),
        ] {
            assert_eq!((text.parse(), kind.to_string()), (Ok(kind), text.to_owned()));
        }
        for wrong in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "CPU", ""] {
            assert!(wrong.parse::<DeviceKind>().is_err(), "{wrong}");
        }
    }
}
