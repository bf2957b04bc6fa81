//! Other programs on the same work: PyTorch, ONNX Runtime and OpenVINO, through a Python that has them.

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
    /// Inference only, on a CPU.
    OpenVino {
        /// What it computes with, at best.
        precision: Precision,
    },
}

/// An interpreter with PyTorch, and perhaps ONNX Runtime and OpenVINO.
pub(super) struct Python {
    path: PathBuf,
    has_onnx_runtime: bool,
    has_open_vino: bool,
    /// Whether there is what `torch.compile` needs on a CPU.
    has_compiler: bool,
    /// The networks as ONNX Runtime and OpenVINO read them.
    models: TempDir,
}

impl Python {
    /// Checks that `path` can be run and has the modules.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let models = tempfile::tempdir().context("no temporary folder")?;
        let mut python = Self {
            path: path.into(),
            has_onnx_runtime: false,
            has_open_vino: false,
            has_compiler: false,
            models,
        };
        let names = ["torch", "numpy", "onnx", "onnxruntime", "openvino"];
        let found = python.run(include_str!("peers/modules.py"), &json!(names))?;
        let Found { missing, compiler } = serde_json::from_str(&found)
            .with_context(|| format!("{} is not a Python 3: `{found}`", path.display()))?;
        python.has_compiler = compiler.is_some();
        if !python.has_compiler {
            let needs = "torch.compile needs a C++ compiler, such as g++";
            status("Skipping", format_args!("compiled PyTorch on a CPU: {needs}"));
        }
        // What installs those of some modules that are missing.
        let install = |needed: &[&str]| {
            let is_missing = |name: &&str| missing.iter().any(|missing| missing == name);
            let names: Vec<&str> = needed.iter().copied().filter(is_missing).collect();
            let (python, names) = (path.display(), names.join(" "));
            (!names.is_empty()).then(|| {
                format!(
                    "{python} has no module {names}; `{python} -m pip install {names}` installs it"
                )
            })
        };
        if let Some(install) = install(&["torch"]) {
            bail!(install);
        }
        let has = |program: &str, module| {
            let install = install(&["numpy", "onnx", module]);
            if let Some(install) = &install {
                status("Skipping", format_args!("{program}: {install}"));
            }
            install.is_none()
        };
        python.has_onnx_runtime = has("ONNX Runtime", "onnxruntime");
        python.has_open_vino = has("OpenVINO", "openvino");
        Ok(python)
    }

    /// Who can do `pass` on the device, in all ways that may be the fastest; inference always with
    /// weights of the precision that is computed with. ONNX Runtime uses what the CPU has, whatever
    /// instruction set ours is held to: nothing limits it.
    pub(super) fn peers(&self, pass: Pass, device: &Device) -> Vec<Peer> {
        let (precisions, compiles) = match device.place() {
            // Without instructions for it, bf16 is many times slower than f32.
            Place::Cpu if device.isa().has_bf16() => {
                (vec![Precision::F32, Precision::Bf16], self.has_compiler)
            }
            Place::Cpu => (vec![Precision::F32], self.has_compiler),
            Place::Cuda(_) => (vec![device.precision()], true),
        };
        let mut peers = Vec::new();
        let infers = device.place() == Place::Cpu && !pass.trains();
        for precision in precisions {
            peers.push(Peer::PyTorch { compiled: false, precision });
            if compiles {
                peers.push(Peer::PyTorch { compiled: true, precision });
            }
            if infers && self.has_open_vino {
                peers.push(Peer::OpenVino { precision });
            }
        }
        if infers && self.has_onnx_runtime {
            peers.push(Peer::OnnxRuntime);
        }
        peers
    }

    /// Measures one case in a new process.
    pub(super) fn measure(&self, peer: Peer, case: Case, device: &Device) -> Result<Measured> {
        let vgg = case.net.vgg()?;
        let (compiled, precision) = match peer {
            Peer::PyTorch { compiled, precision } => (compiled, precision),
            Peer::OpenVino { precision } => (false, precision),
            Peer::OnnxRuntime => (false, Precision::F32),
        };
        let model = self.models.path().join(format!("{}-{}.onnx", case.net, case.batch));
        let request = json!({
            "train": case.pass.trains(),
            "frozen": case.pass == Pass::Finetune,
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
            Peer::OnnxRuntime => include_str!("peers/onnxruntime.py"),
            Peer::OpenVino { .. } => include_str!("peers/openvino.py"),
        };
        // A process of its own, so that it does not count as the runtime's memory.
        if !matches!(peer, Peer::PyTorch { .. }) && !model.exists() {
            self.run(include_str!("peers/onnx_model.py"), &request)?;
        }
        let script = [include_str!("peers/measure.py"), script].join("\n");
        Measured::parse(&self.run_within(&device.limits(), &script, &request)?)
    }

    /// How fast torchvision makes batches of image files.
    pub(super) fn load_images(&self, request: &Value) -> Result<Measured> {
        Measured::parse(&self.run(include_str!("peers/torchvision.py"), request)?)
    }

    /// What a script prints when it is given `request`, in JSON, as its argument.
    fn run(&self, script: &str, request: &Value) -> Result<String> {
        self.run_within(&[], script, request)
    }

    /// As [`Python::run`], in an environment that limits it.
    fn run_within(&self, limits: &[(&str, &str)], script: &str, request: &Value) -> Result<String> {
        let path = self.path.display();
        let mut command = Command::new(&self.path);
        command.args(["-", &request.to_string()]).envs(limits.iter().copied());
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
