//! Other programs on the same work: PyTorch and ONNX Runtime, through a Python that has them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use vgg_cpu::Cpu;
use vgg_cuda::{Cuda, Precision};
use vgg_model::{Layer, Vgg};

use super::case::{Case, Pass};
use super::device::{Device, Measurable, Place};
use super::measured::Measured;
use super::statistics::Repeat;
use crate::{child, status};

/// A program that does the same work, in one of the ways that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Peer {
    /// In `channels_last`, its fastest layout for convolutions.
    PyTorch {
        /// After `torch.compile`.
        compiled: bool,
        /// What it computes with, at best.
        precision: Precision,
    },
    /// Inference only, on a CPU, in `f32`: it has no convolution in half precision there.
    OnnxRuntime,
}

/// An interpreter with PyTorch, and perhaps ONNX Runtime.
pub(super) struct Python {
    path: PathBuf,
    has_onnx_runtime: bool,
    /// Whether there is what `torch.compile` needs on a CPU.
    has_compiler: bool,
    /// The networks as ONNX Runtime reads them.
    models: TempDir,
}

impl Python {
    /// Checks that `path` can be run and has the modules.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let models = tempfile::tempdir().context("no temporary folder")?;
        let mut python =
            Self { path: path.into(), has_onnx_runtime: false, has_compiler: false, models };
        let names = ["torch", "numpy", "onnx", "onnxruntime"];
        let found = python.run(include_str!("peers/modules.py"), &json!(names))?;
        let Found { missing, compiler } = serde_json::from_str(&found)
            .with_context(|| format!("{} is not a Python 3: `{found}`", path.display()))?;
        python.has_compiler = compiler.is_some();
        if !python.has_compiler {
            let needs = "torch.compile needs a C++ compiler, such as g++";
            status("Skipping", format_args!("compiled PyTorch on a CPU: {needs}"));
        }
        let missing = |name: &&str| missing.iter().any(|missing| missing == name);
        let install = |names: &[&str]| {
            let names = names.join(" ");
            let python = path.display();
            format!("{python} has no module {names}; `{python} -m pip install {names}` installs it")
        };
        if missing(&"torch") {
            bail!(install(&["torch"]));
        }
        let missing_onnx: Vec<&str> = names[1..].iter().copied().filter(missing).collect();
        python.has_onnx_runtime = missing_onnx.is_empty();
        if !python.has_onnx_runtime {
            status("Skipping", format_args!("ONNX Runtime: {}", install(&missing_onnx)));
        }
        Ok(python)
    }

    /// Who can do `pass` on the device, in all ways that may be the fastest; inference always with
    /// weights of the precision that is computed with.
    pub(super) fn peers(&self, pass: Pass, device: &Device) -> Vec<Peer> {
        let (precisions, compiles) = match device.place() {
            // Without instructions for it, bf16 is many times slower than f32.
            Place::Cpu if has_bf16() => (vec![Precision::F32, Precision::Bf16], self.has_compiler),
            Place::Cpu => (vec![Precision::F32], self.has_compiler),
            Place::Cuda(_) => (vec![device.precision()], true),
        };
        let mut peers = Vec::new();
        for precision in precisions {
            peers.push(Peer::PyTorch { compiled: false, precision });
            if compiles {
                peers.push(Peer::PyTorch { compiled: true, precision });
            }
        }
        if device.place() == Place::Cpu && pass != Pass::Train && self.has_onnx_runtime {
            peers.push(Peer::OnnxRuntime);
        }
        peers
    }

    /// Measures one case in a new process.
    pub(super) fn measure(&self, peer: Peer, case: Case, device: &Device) -> Result<Measured> {
        let vgg = case.net.vgg()?;
        let (compiled, precision) = match peer {
            Peer::PyTorch { compiled, precision } => (compiled, precision),
            Peer::OnnxRuntime => (false, Precision::F32),
        };
        let model = self.models.path().join(format!("{}-{}.onnx", case.net, case.batch));
        let request = json!({
            "train": case.pass == Pass::Train,
            "batch": case.batch,
            "input": vgg.config().input,
            "classes": vgg.config().classes,
            "layers": layers(&vgg),
            "model": model,
            "device": device.place().to_string(),
            "precision": precision.name(),
            "compile": compiled,
            "ahead": match device.place() {
                Place::Cpu => Cpu::AHEAD,
                Place::Cuda(_) => Cuda::AHEAD,
            },
            "threads": device.threads(),
            "repeat": Repeat::STEP,
        });
        let script = match peer {
            Peer::PyTorch { .. } => include_str!("peers/torch.py"),
            Peer::OnnxRuntime => {
                // A process of its own, so that it does not count as the runtime's memory.
                if !model.exists() {
                    self.run(include_str!("peers/onnx_model.py"), &request)?;
                }
                include_str!("peers/onnxruntime.py")
            }
        };
        let script = [include_str!("peers/measure.py"), script].join("\n");
        Measured::parse(&self.run(&script, &request)?)
    }

    /// How fast torchvision makes batches of image files.
    pub(super) fn load_images(&self, request: &Value) -> Result<Measured> {
        Measured::parse(&self.run(include_str!("peers/torchvision.py"), request)?)
    }

    /// What a script prints when it is given `request`, in JSON, as its argument.
    fn run(&self, script: &str, request: &Value) -> Result<String> {
        let path = self.path.display();
        let mut command = Command::new(&self.path);
        command.args(["-", &request.to_string()]);
        let ended = child::run(&mut command, script, LIMIT)
            .with_context(|| format!("cannot run {path} as a Python interpreter"))?;
        ended.checked(&path.to_string())
    }
}

/// What `peers/modules.py` prints.
#[derive(Deserialize)]
struct Found {
    missing: Vec<String>,
    compiler: Option<PathBuf>,
}

/// Whether this CPU multiplies in bf16.
fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// What no script takes, compiling the network included: something hangs.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The layers as the scripts expect them, so that every program runs the same network.
fn layers(vgg: &Vgg) -> Vec<Value> {
    let [mut channels, ..] = vgg.config().input;
    let layer = |layer: &Layer| match *layer {
        Layer::Conv2d { c_out, kernel, stride, padding, relu, .. } => {
            let c_in = std::mem::replace(&mut channels, c_out);
            json!({
                "kind": "conv2d", "c_in": c_in, "c_out": c_out, "kernel": kernel, "stride": stride,
                "padding": padding, "relu": relu
            })
        }
        Layer::BatchNorm2d { .. } => json!({"kind": "batch_norm2d"}),
        Layer::Lrn { .. } => json!({"kind": "lrn"}),
        Layer::MaxPool2d { kernel, stride, .. } => {
            json!({"kind": "max_pool2d", "kernel": kernel, "stride": stride})
        }
        Layer::AvgPool2d { h, w, .. } => json!({"kind": "avg_pool2d", "h": h, "w": w}),
        Layer::Sigmoid { .. } => json!({"kind": "sigmoid"}),
        Layer::Linear { out_features, relu, .. } => {
            json!({"kind": "linear", "out_features": out_features, "relu": relu})
        }
        Layer::Dropout { p, .. } => json!({"kind": "dropout", "p": p}),
    };
    vgg.layers().iter().map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::super::case::Net;
    use super::*;

    #[test]
    fn peers_get_the_layers_of_the_network() {
        let layers = layers(&Net::Small.vgg().unwrap());
        let of = |kind| layers.iter().filter(move |layer| layer["kind"] == kind);
        let channels = of("conv2d").map(|conv| (&conv["c_in"], &conv["c_out"]));
        let expected = [1, 16, 32, 64, 64, 128, 128, 128, 128].map(Value::from);
        assert!(channels.eq(expected.iter().zip(&expected[1..])), "{layers:?}");
        assert_eq!(
            [of("max_pool2d").count(), of("linear").count(), of("dropout").count()],
            [5, 3, 2]
        );
    }

    #[test]
    fn a_missing_interpreter_is_named() {
        let error = Python::find(Path::new("no/such/python")).err().unwrap();
        assert!(error.to_string().contains("no/such/python"), "{error}");
    }
}
