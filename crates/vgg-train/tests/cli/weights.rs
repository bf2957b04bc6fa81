//! Weights of other programs, in and out.

use std::path::{Path, PathBuf};

use vgg_model::Params;

use crate::{Workplace, sample};

/// A file of the small network that PyTorch made for the golden tests.
fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights").join(file)
}

#[test]
fn pytorchs_weights_predict_and_leave_as_they_came() {
    let place = Workplace::new();
    let zip = golden("zip.pth");
    std::fs::write(place.path("names"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    let import = format!("import {} --arch vgg11 --to new/run --classes names", zip.display());
    let done = place.run(&import);
    assert_eq!((done.code, done.stderr.contains("Imported")), (Some(0), true), "{}", done.stderr);
    let done = place.run(&format!("predict new/run {} --top 10", sample().display()));
    assert_eq!((done.code, done.stdout.lines().count()), (Some(0), 11), "{}", done.stderr);
    assert!(done.stdout.lines().skip(1).all(|line| line.contains(" %  ")), "{}", done.stdout);

    let done = place.run("export new/run --format safetensors --output out.safetensors");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let vgg = vgg_model::VggConfig {
        width: 1.0 / 64.0,
        input: [3, 64, 64],
        classes: 10,
        fc_width: 16,
        ..Default::default()
    };
    let vgg = vgg_model::Vgg::new(&vgg).unwrap();
    assert_eq!(
        Params::load(&place.path("out.safetensors"), &vgg).unwrap(),
        Params::load(&zip, &vgg).unwrap()
    );

    let done = place.run("export new/run --format onnx --output out.onnx");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    // `tests/golden/round_trip.py` compares such a file's logits with torchvision's.
    let expected = std::fs::read(golden("network.onnx")).unwrap();
    assert!(std::fs::read(place.path("out.onnx")).unwrap() == expected);

    // It is a network of colour images, not of its config's data set.
    let done = place.run("eval new/run --offline --set data.dataset=fashion-mnist-sample");
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("tells other classes apart than the data set's"));
}

#[test]
fn a_run_of_imported_weights_is_evaluated_and_trained_on() {
    let place = Workplace::new();
    assert_eq!(place.run("tiny.toml --set train.epochs=1").code, Some(0));
    let done = place.run("export runs/tiny-1 --format safetensors --output out.safetensors");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let done = place.run("import out.safetensors --config tiny.toml --to again --mean 0 --std 1");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let report = |run: &str| {
        let done = place.run(&format!("eval {run} --json"));
        let mut report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        report.as_object_mut().unwrap().remove("checkpoint");
        report
    };
    assert_eq!(report("again"), report("runs/tiny-1"));
    let done = place.run("resume again");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(place.path("again/checkpoints/best.safetensors").is_file());
}

#[test]
fn what_cannot_be_imported_is_told_and_leaves_no_folder() {
    let place = Workplace::new();
    let legacy = golden("legacy.pth");
    let done = place.run(&format!("import {} --config tiny.toml --to run", legacy.display()));
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("error: cannot import the weights"), "{}", done.stderr);
    assert!(
        done.stderr.contains("features.0.weight is [1, 3, 3, 3], but [4, 1, 3, 3] in the network"),
        "{}",
        done.stderr
    );
    assert!(!place.path("run").exists());
    // An attack, in the format of old .pth files.
    std::fs::write(place.path("evil.pth"), b"\x80\x02cos\nsystem\nX\x04\0\0\0oops\x85R.").unwrap();
    let done = place.run("import evil.pth --arch vgg11 --to run");
    assert_eq!(done.code, Some(7));
    assert!(
        done.stderr
            .contains("it asks to run `os.system`: this file is not only weights, as of a `state_dict()`; nothing was run")
    );
    // Weights of a training that diverged.
    let mut params = std::fs::read(golden("half.safetensors")).unwrap();
    let end = params.len();
    params[end - 2..].copy_from_slice(&[0, 0x7e]);
    std::fs::write(place.path("nan.safetensors"), params).unwrap();
    let done = place.run("import nan.safetensors --arch vgg11 --to run");
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("numbers of"), "{}", done.stderr);
    assert!(!done.stderr.contains("--arch"), "the network is right: {}", done.stderr);
    let keras = golden("keras.safetensors");
    let done = place.run(&format!("import {} --arch vgg11 --to run", keras.display()));
    assert!(done.stderr.contains("the names of Keras"), "{}", done.stderr);
    let import = format!("import {} --arch vgg11 --to run --from keras", keras.display());
    assert_eq!(place.run(&import).code, Some(0));
    assert_eq!(place.run(&import).code, Some(2));
}
