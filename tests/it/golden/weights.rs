//! Files of PyTorch, and others that `golden/weights.py` made of the same network: the parameters
//! must be the same to the bit, and give the logits that PyTorch computed.

use std::path::PathBuf;

use half::{bf16, f16};
use vgg_model::weights::{Convention, WeightFile};
use vgg_model::{Arch, Input, Params, Session, Vgg, VggConfig};
use vgg_tensor::Result;

use super::{F32, check, golden};

fn path(file: &str) -> PathBuf {
    super::file("weights").join(file)
}

fn config() -> VggConfig {
    VggConfig {
        width: 1.0 / 64.0,
        input: [3, 64, 64],
        classes: 10,
        fc_width: 16,
        ..VggConfig::default()
    }
}

fn read(file: &str, convention: &Convention) -> Result<Params> {
    let file = WeightFile::open(&path(file))?;
    assert_eq!(file.config(&Arch::Vgg11, convention)?, config());
    file.params(&Vgg::new(&config())?, convention)
}

fn check_logits(params: Params, convention: &Convention, name: &str) -> Result<()> {
    let golden = golden("weights/expected");
    let (mean, std) = (convention.mean.to_vec(), convention.std.to_vec());
    let input = Input { mean, std, ..Input::unnormalized(3, 64, 64) };
    let cpu = vgg_cpu::Cpu::new(vgg_cpu::Config::default())?;
    let mut session = Session::new(cpu, &Vgg::new(&config())?, &input, params, 2)?;
    check(&golden, name, &session.logits(golden.bytes("images"))?, F32);
    Ok(())
}

#[test]
fn each_format_of_pytorch_has_the_same_parameters() -> Result<()> {
    let params = read("zip.pth", &Convention::TORCHVISION)?;
    let checkpoints = ["training.pth", "training_legacy.pth", "script2.pth", "script5.pth"];
    // Modules that were saved whole.
    let modules = ["whole.pth", "whole_legacy.pth"];
    for file in
        ["legacy.pth", "protocol4.pth", "double.pth"].iter().chain(&checkpoints).chain(&modules)
    {
        assert_eq!(read(file, &Convention::TORCHVISION)?, params, "{file}");
    }
    check_logits(params, &Convention::TORCHVISION, "logits.torchvision")
}

#[test]
fn each_convention_has_the_same_parameters() -> Result<()> {
    let params = read("zip.pth", &Convention::TORCHVISION)?;
    let others = [
        ("timm.safetensors", Convention::TIMM),
        ("keras.safetensors", Convention::KERAS),
        // Networks whose layers Keras has named: a whole model, its weights alone, as Keras 3 and as
        // Keras 1 and 2 write them, and the archive of Keras 3.
        ("keras.h5", Convention::KERAS),
        ("keras.weights.h5", Convention::KERAS),
        ("keras_weights.h5", Convention::KERAS),
        ("keras.keras", Convention::KERAS),
        ("caffe.safetensors", Convention::CAFFE),
    ];
    for (file, convention) in others {
        assert_eq!(read(file, &convention)?, params, "{file}");
    }
    // A head is found by its order and sizes, whatever its names.
    assert_eq!(read("timm.safetensors", &Convention::TORCHVISION)?, params);
    check_logits(params, &Convention::CAFFE, "logits.caffe")
}

#[test]
fn half_precisions_are_widened() -> Result<()> {
    let params = read("zip.pth", &Convention::TORCHVISION)?;
    type Round = fn(f32) -> f32;
    let roundings: [(&str, Round); 2] =
        [("half", |x| f16::from_f32(x).to_f32()), ("bfloat16", |x| bf16::from_f32(x).to_f32())];
    for (dtype, round) in roundings {
        for format in ["safetensors", "pth"] {
            let rounded = read(&format!("{dtype}.{format}"), &Convention::TORCHVISION)?;
            for ((name, exact), (_, rounded)) in params.iter().zip(rounded.iter()) {
                let expected: Vec<f32> = exact.data().iter().map(|x| round(*x)).collect();
                assert_eq!(rounded.data(), expected, "{dtype}.{format}: {name}");
            }
        }
    }
    Ok(())
}

/// What is said of a file of another convention, or for another network.
#[test]
fn what_does_not_fit_is_told_with_its_likely_cause() {
    let refused = |file: &str, config: VggConfig, convention: Convention| {
        let file = WeightFile::open(&path(file)).unwrap();
        let error = file.params(&Vgg::new(&config).unwrap(), &convention).unwrap_err().to_string();
        error.split_once(": ").unwrap().1.to_owned()
    };
    let torchvision = Convention::TORCHVISION;
    let of = |file, convention| refused(file, config(), convention);
    assert_eq!(
        of("keras.safetensors", torchvision),
        "features.0.weight is missing: the file has the names of \
         Keras, not of Torchvision"
    );
    assert!(of("zip.pth", Convention::CAFFE).ends_with("the names of Torchvision, not of Caffe"));
    let names_only = Convention { names: Convention::KERAS.names, ..torchvision };
    assert_eq!(
        of("keras.safetensors", names_only),
        "block1_conv1/kernel is [3, 3, 3, 1], but [1, 3, 3, 3] in the network: its kernels are \
         ordered Hwio, not Oihw"
    );
    let other = |config| refused("zip.pth", config, torchvision);
    assert_eq!(
        other(VggConfig { classes: 1000, ..config() }),
        "classifier.6.weight is [10, 16], but [1000, 16] in the network: the file's network tells \
         10 classes apart, this one 1000"
    );
    assert_eq!(
        other(VggConfig { input: [1, 64, 64], ..config() }),
        "features.0.weight is [1, 3, 3, 3], but [1, 1, 3, 3] in the network: the file's network \
         takes images of 3 channels, this one 1"
    );
    assert_eq!(
        other(VggConfig { input: [3, 96, 96], ..config() }),
        "classifier.0.weight is [16, 32], but [16, 72] in the network: the file's network has \
         last maps of 2×2, this one of 3×3: it takes images of another size, or pools them, as \
         model.avg_pool = 2 does"
    );
    assert!(
        other(VggConfig { width: 1.0 / 32.0, ..config() })
            .ends_with("the file's network has another width")
    );
}
