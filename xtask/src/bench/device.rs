//! What is measured: a backend that the options choose, with its limits.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::Serialize;
use vgg_cpu::{Config, Cpu, Isa};
use vgg_cuda::{Cuda, Precision};
use vgg_tensor::Backend;

use super::machine::peak_memory_bytes;

/// What all measurements run on.
#[derive(Clone, clap::Args)]
pub(crate) struct Device {
    /// Device: cpu, cuda or cuda:N
    #[arg(long = "device", value_name = "DEVICE", default_value_t = Place::Cpu)]
    place: Place,

    /// What is computed with: f32, tf32 (on a CPU f32), bf16 or, on a GPU, f16
    #[arg(long, default_value = "tf32", value_parser = parse_precision)]
    precision: Precision,

    /// On a GPU, measure cuDNN's algorithms and remember the fastest in FILE
    #[arg(long, value_name = "FILE")]
    autotune: Option<PathBuf>,

    /// Threads [default: as many as the process may use at once]
    #[arg(long, value_name = "N", env = "VGG_THREADS", value_parser = at_least_1)]
    threads: Option<usize>,

    /// Instruction set, by the beginning of its name, as avx2 [default: the CPU's best]
    #[arg(long, value_parser = parse_isa)]
    isa: Option<Isa>,
}

/// Where it is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

/// A backend whose limits can be measured.
pub(super) trait Measurable: Backend {
    /// How often work is ordered before it is waited for, where the device works on its own: so
    /// often that waiting hardly counts.
    const AHEAD: u32;

    /// The most memory of the device that this process has had in use at once, where it is known.
    fn peak_bytes() -> Option<u64>;

    /// Its limits. A small measurement only shows that it can be done.
    fn roofs(&mut self, small: bool) -> Result<Roofs>;
}

/// A machine's limits, measured in the same run.
#[derive(Clone, Serialize)]
pub(super) struct Roofs {
    /// Of `what`, a multiply-add counted as two.
    pub(super) gflop_per_s: f64,
    /// What the arithmetic limit was measured with.
    pub(super) what: &'static str,
    /// Of a copy, bytes read plus bytes written.
    pub(super) copy_gb_per_s: f64,
}

impl Measurable for Cpu {
    const AHEAD: u32 = 1;

    fn peak_bytes() -> Option<u64> {
        peak_memory_bytes()
    }

    fn roofs(&mut self, _small: bool) -> Result<Roofs> {
        use vgg_cpu::roofline::{copy_bandwidth, fma_peak};
        Ok(Roofs {
            gflop_per_s: fma_peak(self),
            what: "multiply-adds",
            copy_gb_per_s: copy_bandwidth(self)?,
        })
    }
}

impl Measurable for Cuda {
    const AHEAD: u32 = 16;

    /// The driver tells what is free on the device at the moment, and other processes use it, too.
    fn peak_bytes() -> Option<u64> {
        None
    }

    fn roofs(&mut self, small: bool) -> Result<Roofs> {
        use vgg_cuda::roofline::{copy_bandwidth, product_rate};
        // Far beyond the caches, and far more work than ordering it is.
        let (side, bytes) = if small { (32, 1 << 12) } else { (8192, 1 << 30) };
        Ok(Roofs {
            gflop_per_s: product_rate(self, side)?,
            what: "a large matrix product",
            copy_gb_per_s: copy_bandwidth(self, bytes)?,
        })
    }
}

/// Work for any backend.
pub(super) trait Job {
    type Output;

    fn run<B: Measurable>(self, backend: B) -> Result<Self::Output>;
}

impl Device {
    /// Does `job` on it.
    pub(super) fn run<J: Job>(&self, job: J) -> Result<J::Output> {
        match self.place {
            Place::Cpu => {
                let precision = match self.precision {
                    Precision::Bf16 => vgg_cpu::Precision::Bf16,
                    Precision::F32 | Precision::Tf32 | Precision::F16 => vgg_cpu::Precision::F32,
                };
                job.run(Cpu::new(Config { threads: self.threads, isa: self.isa, precision })?)
            }
            Place::Cuda(device) => job.run(Cuda::new(vgg_cuda::Config {
                device,
                precision: self.precision,
                autotune: self.autotune.clone(),
                ..Default::default()
            })?),
        }
    }

    /// Passes if the options fit together.
    pub(super) fn check(&self) -> Result<()> {
        match self.place {
            Place::Cpu if self.autotune.is_some() => {
                bail!("--autotune is about cuDNN: leave it out with --device cpu")
            }
            Place::Cpu if self.precision == Precision::F16 => {
                bail!("--precision f16 is for GPUs: a CPU computes in f32 or bf16")
            }
            Place::Cuda(_) if self.isa.is_some() => {
                bail!("--isa is about the CPU: leave it out with --device {}", self.place)
            }
            // Threads are given to other programs, too.
            Place::Cpu | Place::Cuda(_) => Ok(()),
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// What a GPU computes with.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// The instruction set that a CPU is held to, the best one unless an option says another.
    pub(super) fn isa(&self) -> Isa {
        self.isa.unwrap_or_else(Isa::best)
    }

    /// What holds a program with PyTorch's CPU kernels, oneDNN's or MKL's to the same instruction set.
    pub(super) fn limits(&self) -> Vec<(&'static str, &'static str)> {
        let Some(isa) = self.isa else { return Vec::new() };
        let names = ["ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"];
        let values = match isa.to_string().as_str() {
            "AVX2+FMA" => ["avx2", "AVX2", "AVX2"],
            "portable code" => ["default", "SSE41", "SSE4_2"],
            _ => return Vec::new(),
        };
        names.into_iter().zip(values).collect()
    }

    /// The options that make a process of ours run on the same.
    pub(super) fn args(&self) -> Vec<OsString> {
        let mut args = vec![
            format!("--device={}", self.place).into(),
            format!("--precision={}", self.precision.name()).into(),
        ];
        if let Some(file) = &self.autotune {
            args.extend(["--autotune".into(), file.into()]);
        }
        args.extend(self.threads.map(|threads| format!("--threads={threads}").into()));
        args.extend(self.isa.map(|isa| format!("--isa={isa}").into()));
        args
    }

    /// Threads to give to another program.
    pub(super) fn threads(&self) -> usize {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(available)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Cpu => f.write_str("cpu"),
            Place::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("cuda:").map(str::parse::<u16>);
        match (text, number) {
            ("cpu", _) => Ok(Place::Cpu),
            ("cuda", _) => Ok(Place::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Place::Cuda(number.into())),
            _ => Err("it can be cpu, cuda, cuda:N"),
        }
    }
}

pub(super) fn at_least_1(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number and at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn parse_precision(text: &str) -> Result<Precision, &'static str> {
    let known = [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::F16];
    let found = known.into_iter().find(|precision| precision.name() == text);
    found.ok_or("it can be f32, tf32, bf16, f16")
}

fn parse_isa(text: &str) -> Result<Isa, String> {
    let available = Isa::available();
    let named = |isa: &&Isa| isa.to_string().to_lowercase().starts_with(&text.to_lowercase());
    available.iter().find(named).copied().ok_or_else(|| {
        let names: Vec<String> = available.iter().map(Isa::to_string).collect();
        format!("this CPU has {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for place in [Place::Cpu, Place::Cuda(0), Place::Cuda(3)] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
