//! A trained network for a folder of images.

use vgg_tensor::Tensor;

use crate::weights::{golden_params, with_outputs, write_tensors};
use crate::{Workplace, failure};

/// A folder of two classes, of which one is dark, and a run to start from: `runs/tiny-1`.
fn place() -> Workplace {
    let place = Workplace::new();
    for (class, base) in [("bright", 160_u8), ("dark", 20)] {
        let folder = place.path("photos").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..10_u8 {
            let pixel = |x: u32, y: u32| image::Luma([base + i + ((x * y) % 32) as u8]);
            let image = image::GrayImage::from_fn(40, 48, pixel);
            image.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
    place.ok("tiny.toml --set train.epochs=1 --set report.page=false");
    place
}

const FINETUNE: &str = "finetune photos --from runs/tiny-1 --epochs 2 --batch-size 4 --set report.page=false --device cpu";

#[test]
fn a_new_last_layer_and_then_all_of_them_are_trained() {
    let place = place();
    let printed = place.ok(&format!("{FINETUNE} --print-config")).stdout;
    // From anywhere.
    let from = |file: &str| format!("from = \"{}\"", place.path(file).display());
    assert!(printed.contains(&from("runs/tiny-1")), "{printed}");
    assert!(!place.path("photos.toml").exists());

    // A file by itself is known, too, whatever wrote it.
    let file = "runs/tiny-1/checkpoints/best.safetensors";
    let printed = FINETUNE.replace("runs/tiny-1", file) + " --print-config";
    assert!(place.ok(&printed).stdout.contains(&from(file)));

    let done = place.ok(FINETUNE);
    assert!(done.stdout.starts_with("runs/photos-1: "), "{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), 1);
    let written = place.read("photos.toml");
    assert!(written.contains("split = 0.2"), "{written}");
    let of_head = place.read("runs/photos-head-1/config.toml");
    for line in
        ["freeze = [\"features\", \"classifier.0\", \"classifier.3\"]", "lr = 0.01", "epochs = 1"]
    {
        assert!(of_head.contains(line), "{line}:\n{of_head}");
    }
    let of_all = place.read("runs/photos-1/config.toml");
    for line in [&*from("runs/photos-head-1"), "lr = 0.001", "epochs = 2"] {
        assert!(of_all.contains(line), "{line}:\n{of_all}");
    }
    // What the first part leaves as it is, is as the trained network had it.
    assert!(done.stderr.contains("classifier.6: initialised"), "{}", done.stderr);
    assert!(done.stderr.contains("classifier.6: a copy of classifier.6"), "{}", done.stderr);

    // The config is the user's from here on.
    std::fs::write(place.path("photos.toml"), written + "# mine\n").unwrap();
    let error = failure(&place, FINETUNE);
    let said = "2\nerror: photos.toml is there, and is not what would be written\n";
    assert!(error.starts_with(said), "{error}");
}

/// Of a trained network with another head, what fits is kept, and what is new is trained from the start.
#[test]
fn what_a_file_lacks_is_new() {
    let place = place();
    let without = |layers: &[&str]| -> Vec<(String, Tensor)> {
        let all = golden_params();
        let kept = all.iter().filter(|(name, _)| !layers.iter().any(|l| name.starts_with(l)));
        kept.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
    };
    let mut two_layers = without(&["classifier.3", "classifier.6"]);
    two_layers.push(("classifier.3.weight".into(), Tensor::zeros([3, 16]).unwrap()));
    two_layers.push(("classifier.3.bias".into(), Tensor::zeros([3]).unwrap()));
    let known = ["features", "classifier.0", "classifier.3"];
    for (name, tensors, known) in [
        ("no_last", without(&["classifier.6"]), &known[..]),
        ("one_output", with_outputs(1), &known[..]),
        ("two_layers", two_layers, &known[..2]),
        ("no_head", without(&["classifier"]), &known[..1]),
    ] {
        write_tensors(&place.path("w.safetensors"), &tensors);
        // Of features alone the size of the images and of the hidden layers is not known.
        let size = if name == "no_head" {
            "--set model.image_size=64 --set model.fc_width=16"
        } else {
            ""
        };
        let done = place.ok(&format!(
            "finetune photos --from w.safetensors --epochs 1 --batch-size 8 --set report.page=false \
             --device cpu --config {name}.toml --out out/{name} {size}"
        ));
        let config = place.read(&format!("{name}.toml"));
        let of_head = place.read(&format!("out/{name}/{name}-head-1/config.toml"));
        let freeze = format!("freeze = {known:?}");
        assert!(of_head.contains(&freeze), "{freeze}:\n{of_head}");
        let given = format!("--set report.page=false {size}").trim_end().to_owned();
        let command = format!("vgg-train {name}.toml --out out/{name} {given} --set ");
        let part_1 = format!("{command}name={name}-head --set");
        let part_2 = format!("{command}init.from=out/{name}/{name}-head-1\n");
        for line in [&part_1, &part_2, &format!("optimizer.freeze='{known:?}'")] {
            assert!(config.contains(line), "{line}:\n{config}");
        }
        assert!(place.path(&format!("out/{name}/{name}-1")).is_dir());
        let several = name == "no_head";
        assert_eq!(config.contains("the new layers alone, classifier."), several, "{config}");
        assert_eq!(done.stderr.contains("classifier.3 is new, too: "), several, "{}", done.stderr);
    }
    // Nothing is written where nothing fits.
    let none = "finetune photos --from w.safetensors --config none.toml --set model.width=0.1";
    let error = failure(&place, none);
    let said = "2\nerror: nothing of w.safetensors fits the network that would be trained\n";
    assert!(error.starts_with(said), "{error}");
    assert!(!place.path("none.toml").exists());
}

/// Four times as many of one class, one of them twice, as many classes as the network had, and labels
/// in a file.
#[test]
fn unequal_classes_count_the_same() {
    let place = place();
    let labels: String = (0..10)
        .map(|i| format!("bright/{i}.png,day\n"))
        .chain((0..2).map(|i| format!("dark/{i}.png,night\n")))
        .collect();
    std::fs::write(place.path("labels.csv"), format!("path,label\n{labels}")).unwrap();
    let printed = "finetune photos --labels labels.csv --from runs/tiny-1 --print-config";
    let printed = place.ok(printed).stdout;
    for line in [
        "/labels.csv\"",
        "split = 0.2",
        "class_weights = \"balanced\"",
        "best_by = \"balanced_accuracy\"",
        // 10 images are one step: 500 would be too many epochs.
        "epochs = 60",
        "patience = 15",
    ] {
        assert!(printed.contains(line), "{line}:\n{printed}");
    }
}

#[test]
fn what_cannot_be_fine_tuned_is_told() {
    let place = Workplace::new();
    let error = failure(&place, "finetune photos --offline");
    assert!(error.starts_with("3\nerror: photos is no folder of images in two classes"), "{error}");
    for class in ["a", "b"] {
        std::fs::create_dir_all(place.path("photos").join(class)).unwrap();
    }
    let error = failure(&place, "finetune photos");
    let said = "3\nerror: cannot open the image folder photos\n  caused by: photos/a: no images in this class";
    assert!(error.starts_with(said), "{error}");
    for class in ["a", "b"] {
        image::GrayImage::new(8, 8).save(place.path("photos").join(class).join("1.png")).unwrap();
    }
    let error = failure(&place, "finetune photos --arch vgg11-lrn");
    assert!(error.starts_with("2\nerror: torchvision has no weights of vgg11-lrn\n"), "{error}");
}
