//! Weights of other programs, in and out.

use std::path::{Path, PathBuf};

use vgg_model::Params;
use vgg_tensor::Tensor;

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

    let done = place.run("export new/run --output out.ONNX");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    std::fs::rename(place.path("out.ONNX"), place.path("out.onnx")).unwrap();
    let done = place.run("export new/run --output out.pth");
    let said = "error: out.pth ends with neither .safetensors nor .onnx\nhelp: --format says";
    assert!(done.code == Some(2) && done.stderr.contains(said), "{}", done.stderr);
    // `tests/golden/round_trip.py` compares such a file's logits with torchvision's.
    let expected = std::fs::read(golden("network.onnx")).unwrap();
    assert!(std::fs::read(place.path("out.onnx")).unwrap() == expected);

    // It is a network without a data set: none is claimed, loaded or fetched.
    for command in ["eval new/run", "resume new/run"] {
        let done = place.run(command);
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{command}");
        assert!(
            done.stderr.contains("error: the run has no data set: it was imported without one")
        );
        assert!(!done.stderr.contains("Fashion"), "{}", done.stderr);
    }
    let config = place.read("new/run/config.toml");
    assert!(config.contains("dataset = \"none\"") && config.contains("test_short_side = 64"));
}

/// A safetensors file of networks under prefixes.
fn write_networks(path: &Path, networks: &[(&str, &Params)]) {
    let of = |(prefix, params): &(&str, &Params)| -> Vec<(String, Tensor)> {
        params.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
    };
    write_tensors(path, &networks.iter().flat_map(of).collect::<Vec<_>>());
}

/// A safetensors file.
pub(crate) fn write_tensors(path: &Path, tensors: &[(String, Tensor)]) {
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = bytes.len();
        bytes.extend(tensor.data().iter().flat_map(|x| x.to_le_bytes()));
        let (dims, end) = (tensor.dims(), bytes.len());
        entries.push(format!(
            r#""{name}":{{"dtype":"F32","shape":{dims:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let header = format!("{{{}}}", entries.join(","));
    let len = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&len[..], header.as_bytes(), &bytes].concat()).unwrap();
}

/// The parameters of the golden files' network.
pub(crate) fn golden_params() -> Params {
    let config = vgg_model::VggConfig {
        width: 1.0 / 64.0,
        input: [3, 64, 64],
        fc_width: 16,
        classes: 10,
        ..Default::default()
    };
    Params::load(&golden("zip.pth"), &vgg_model::Vgg::new(&config).unwrap()).unwrap()
}

/// Those of a network whose last layer has so many outputs.
pub(crate) fn with_outputs(outputs: usize) -> Vec<(String, Tensor)> {
    let resized = |(name, tensor): (&str, &Tensor)| {
        let last = name.starts_with("classifier.6");
        let dims = [&[outputs], &tensor.dims()[1..]].concat();
        let tensor = if last { Tensor::zeros(dims).unwrap() } else { tensor.clone() };
        (name.to_owned(), tensor)
    };
    golden_params().iter().map(resized).collect()
}

#[test]
fn a_network_of_one_output_is_no_classifier() {
    let place = Workplace::new();
    for (outputs, said) in [(1, "1 output"), (0, "no outputs")] {
        write_tensors(&place.path("one.safetensors"), &with_outputs(outputs));
        let done = place.run("import one.safetensors --to run");
        assert_eq!(done.code, Some(7), "{}", done.stderr);
        let told = format!("classifier.6 has {said}: a network tells two classes or more apart");
        assert!(done.stderr.contains(&told), "{}", done.stderr);
        assert!(done.stderr.ends_with("init.from = FILE in its config\n"), "{}", done.stderr);
    }
}

#[test]
fn of_several_networks_in_a_file_one_is_chosen() {
    let place = Workplace::new();
    let params = golden_params();
    let both = [("model.", &params), ("model_ema.module.", &params)];
    write_networks(&place.path("both.safetensors"), &both);
    let done = place.run("import both.safetensors --arch vgg11 --to run");
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("it has 2 such networks, whose names begin differently: model, "));
    assert!(done.stderr.ends_with("as in --prefix \"model\"\n"), "{}", done.stderr);
    let done = place.ok("import both.safetensors --to run --prefix model_ema");
    assert!(done.stderr.contains("their names begin with model_ema.module"), "{}", done.stderr);
    let done = place.run("import both.safetensors --to other --prefix ema");
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("it has no network under \"ema\", but under model, model_ema"));
    assert!(!place.path("other").exists());
}

#[test]
fn of_different_networks_in_a_file_one_is_chosen() {
    let place = Workplace::new();
    let student = golden_params();
    let config = vgg_model::VggConfig {
        arch: vgg_model::Arch::Vgg16,
        width: 1.0 / 64.0,
        input: [3, 64, 64],
        fc_width: 16,
        classes: 10,
        ..Default::default()
    };
    let vgg = vgg_model::Vgg::new(&config).unwrap();
    let teacher = Params::init(&vgg, &vgg_model::Init::default(), 1).unwrap();
    let both = [("student.", &student), ("teacher.", &teacher)];
    write_networks(&place.path("both.safetensors"), &both);
    let done = place.run("import both.safetensors --to run");
    assert_eq!(done.code, Some(7));
    let several = "it has 2 such networks, whose names begin differently: student, teacher";
    assert!(done.stderr.contains(several), "{}", done.stderr);
    assert!(done.stderr.ends_with("as in --prefix \"student\"\n"), "{}", done.stderr);
    for (run, chosen) in [("a", "--arch vgg16"), ("b", "--prefix teacher")] {
        let done = place.ok(&format!("import both.safetensors --to {run} {chosen}"));
        assert!(done.stderr.contains("their names begin with teacher"), "{}", done.stderr);
    }
}

#[test]
fn a_photograph_is_cut_and_not_stretched() {
    let place = Workplace::new();
    // All that the network sees is the square in the middle.
    let color = |x: u32, y: u32| image::Rgb([(x * 4) as u8, (y * 4) as u8, (x * y) as u8]);
    image::RgbImage::from_fn(64, 64, color).save(place.path("square.png")).unwrap();
    let wide = |x: u32, y: u32| match x.checked_sub(32) {
        Some(x) if x < 64 => color(x, y),
        _ => image::Rgb([255, 0, 200]),
    };
    image::RgbImage::from_fn(128, 64, wide).save(place.path("wide.png")).unwrap();
    let zip = golden("zip.pth");
    place.ok(&format!("import {} --to cut", zip.display()));
    place.ok(&format!("import {} --to stretched --short-side stretch", zip.display()));
    let predictions = |run: &str| {
        let done = place.ok(&format!("predict {run} square.png wide.png --json --top 10"));
        let predictions =
            done.stdout.lines().map(|line| line.split_once("\"predictions\"").unwrap().1);
        let predictions: Vec<_> = predictions.map(str::to_owned).collect();
        (predictions[0].clone(), predictions[1].clone(), done.stderr)
    };
    let (square, wide, told) = predictions("cut");
    assert_eq!(square, wide);
    assert!(told.contains("Input images scaled to a short side of 64, 64×64 cut"), "{told}");
    let (_, stretched, told) = predictions("stretched");
    assert_ne!(square, stretched);
    assert!(told.contains("Input images stretched to 64×64"), "{told}");
    // A checkpoint alone knows it, and so does what is exported, and imported again.
    place.ok("export cut --format safetensors --output w.safetensors");
    place.ok("import w.safetensors --to again");
    for run in ["cut/checkpoints/last.safetensors", "w.safetensors", "again"] {
        assert_eq!(predictions(run).1, wide, "{run}");
    }
    let narrow = place.run("import w.safetensors --to narrow --short-side 32");
    assert_eq!(narrow.code, Some(2), "{}", narrow.stderr);
}

#[test]
fn a_checkpoint_says_itself_what_it_is() {
    let place = Workplace::new();
    place.ok("tiny.toml --set train.epochs=1 --set data.mean=[0.286] --set data.std=[0.353]");
    let predict = |run: &str| {
        place.ok(&format!("predict {run} {} --json --top 10", sample().display())).stdout
    };
    let expected = predict("runs/tiny-1");
    place.ok("import runs/tiny-1/checkpoints/best.safetensors --to again");
    place.ok("export runs/tiny-1 --format safetensors --output w.safetensors");
    place.ok("import w.safetensors --arch vgg11 --to exported");
    for run in ["again", "exported", "w.safetensors"] {
        assert_eq!(predict(run), expected, "{run}");
    }
    // With a config, it keeps its normalisation, and goes on.
    place.ok("import w.safetensors --config tiny.toml --to more");
    assert!(place.read("more/config.toml").contains("mean = [0.286]"));
    // What is printed is what is made.
    let import = "import w.safetensors --config tiny.toml --std 0.5 --set train.epochs=2";
    let printed = place.ok(&format!("{import} --to printed --print-config")).stdout;
    assert!(!place.path("printed").exists());
    place.ok(&format!("{import} --to made"));
    // But for what only the data set tells, which is not opened to print.
    let told = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("channels = "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(told(&printed), told(&place.read("made/config.toml")));
    assert!(printed.contains("mean = [0.286]") && printed.contains("std = [0.5]"), "{printed}");
    place.ok("resume more --set train.epochs=1");
    for (options, said) in [
        ("--arch vgg13", "w.safetensors is a checkpoint of vgg11, not of vgg13"),
        ("--from keras", "--from is for other programs' weights"),
        ("--config tiny.toml --set model.fc_width=8", "w.safetensors is of another network than"),
        ("--set model.arch=vgg16", "--set changes what the weights decide"),
        ("--set data.mean=[0.1]", "--set changes what the weights decide"),
        ("--short-side 99999", "a short side of 99999, where 16384 is the largest"),
    ] {
        let done = place.run(&format!("import w.safetensors --to other {options}"));
        assert!(done.code != Some(0) && done.stderr.contains(said), "{}", done.stderr);
        assert!(!place.path("other").exists());
    }
}

#[test]
fn training_starts_from_weights_of_any_program() {
    let place = Workplace::new();
    let params = golden_params();
    write_networks(&place.path("whole.safetensors"), &[("net.", &params)]);
    let sets = "--set model.width=0.015625 --set model.image_size=64 --set train.epochs=1 \
                --set data.dataset=image-folder --set data.folder=set";
    for (part, class) in [("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")] {
        let folder = place.path(&format!("set/{part}/{class}"));
        std::fs::create_dir_all(&folder).unwrap();
        let shade = if class == "a" { 30 } else { 220 };
        let image = image::RgbImage::from_pixel(64, 64, image::Rgb([shade; 3]));
        image.save(folder.join("1.png")).unwrap();
    }
    let text = place.read("tiny.toml").replace("train_limit = 60\ntest_limit = 30\n", "");
    std::fs::write(place.path("own.toml"), text).unwrap();
    let done = place.ok(&format!("own.toml {sets} --set init.from=whole.safetensors"));
    assert!(done.stderr.contains("weights of vgg11, by Torchvision's names"), "{}", done.stderr);
    assert!(done.stderr.contains("classifier.3: a copy of classifier.3"), "{}", done.stderr);
    assert!(done.stderr.contains("data.mean and data.std are others here"), "{}", done.stderr);
    // What fits stays as it is if that is asked; what does not may not.
    let freeze = |what: &str| {
        place.run(&format!(
            "own.toml {sets} --set init.from=whole.safetensors --set optimizer.freeze=[\"{what}\"]"
        ))
    };
    assert_eq!(freeze("features").code, Some(0));
    let done = freeze("classifier");
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    let said = "optimizer.freeze keeps classifier.6 as it is, but it was just initialised at random: \
                classifier.6.weight is [10, 16] there, but [2, 16] here";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    let done = place.ok(&format!("own.toml {sets} --set optimizer.freeze=[\"features.0\"]"));
    assert!(done.stderr.contains("features.0 stay as they are initialised"), "{}", done.stderr);
}

#[test]
fn a_failed_import_leaves_nothing_and_says_why() {
    let place = Workplace::new();
    std::fs::write(place.path("two"), "\u{feff}cat\r\ndog\r\n").unwrap();
    std::fs::write(place.path("same"), "a\nb\n\nc\nb\nd\ne\nf\ng\nh\ni\n").unwrap();
    let zip = golden("zip.pth");
    let import = |options: &str| place.run(&format!("import {} --to run {options}", zip.display()));
    for (options, said) in [
        ("--classes two", "two has 2 names, and the network tells 10 classes apart"),
        ("--classes same", "same has the class \"b\" in lines 2 and 5"),
        ("--mean 123.68,116.78,103.94", "help: divided by 255: --mean 0.485,0.458,0.4076"),
        ("--mean 0.5,0.5", "--mean must have a number a channel, 3, not 2"),
        ("--short-side x", "expected a number of pixels, or stretch"),
    ] {
        let done = import(options);
        assert_eq!(done.code, Some(2), "{}", done.stderr);
        assert!(done.stderr.contains(said), "{}", done.stderr);
        assert!(!place.path("run").exists(), "{options}");
    }
    assert_eq!(import("--mean 0.5 --std 0.25").code, Some(0));
    // Weights where a run is asked for.
    let done = place.run(&format!("predict {} {}", zip.display(), sample().display()));
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("zip.pth has weights alone, and is no checkpoint"));
    assert!(done.stderr.contains("--to RUN makes a run of them"), "{}", done.stderr);
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
    // Beside weights, whatever a training script saves is left aside, and told.
    let done = place.ok(&format!("import {} --to script", golden("script2.pth").display()));
    assert!(done.stderr.contains("the file also asks for argparse.Namespace, torch.device, "));
    // And what is beside the network.
    let mut tensors = with_outputs(10);
    tensors.push(("fc_extra.weight".into(), Tensor::zeros([3, 10]).unwrap()));
    write_tensors(&place.path("extra.safetensors"), &tensors);
    let done = place.ok("import extra.safetensors --to extra");
    let said = "beside the network, and left out: fc_extra.weight\n";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    tensors.push(("decoder.weight".into(), Tensor::zeros([1, 8, 3, 3]).unwrap()));
    write_tensors(&place.path("more.safetensors"), &tensors);
    let done = place.run("import more.safetensors --to more");
    assert_eq!(done.code, Some(7));
    assert!(done.stderr.contains("decoder.weight [1, 8, 3, 3] is of a layer beside the network"));
    assert!(done.stderr.ends_with("init.from = FILE in its config\n"), "{}", done.stderr);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("loop.pth", place.path("loop.pth")).unwrap();
        let done = place.run("import loop.pth --to run");
        assert!(done.stderr.contains("caused by: "), "{}", done.stderr);
        assert!(!done.stderr.contains("there is no file"), "{}", done.stderr);
        let done = place.run("predict loop.pth 1.png");
        assert!(done.stderr.contains("loop.pth is a link that leads nowhere"), "{}", done.stderr);
    }
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

/// A network whose layers Keras has named says what was taken for what.
#[test]
fn networks_of_keras_say_what_is_assumed() {
    let place = Workplace::new();
    let import = format!("import {}", golden("keras.keras").display());
    let done = place.run(&format!("{import} --to run"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let said = [
        "features.0 to features.18 are conv2d_8 to conv2d_15 of the file, in their order",
        "classifier.6 is dense_5 of the file",
        "they are taken red first, with pixels from 0 to 1; --mean",
    ];
    for expected in said {
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
    let done = place.run(&format!("{import} --to keras --from keras"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("red first"), "{}", done.stderr);
    assert!(done.stderr.contains("less [0.4850196, 0.45795685, 0.40760392]"), "{}", done.stderr);
}
