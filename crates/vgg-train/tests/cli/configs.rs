//! Which config, run or folder is meant.

use std::fs;

use super::{Done, Workplace, failure, image_folder, sample};

#[test]
fn the_programs_own_configs_go_by_name() {
    let place = Workplace::new();
    let list = place.ok("configs").stdout;
    let about = "vgg11_small\n    The small VGG-11 of Dive into Deep Learning on Fashion-MNIST: \
                 the reference run.\n";
    assert!(list.contains(about), "{list}");
    let text = place.ok("configs smoke").stdout;
    fs::write(place.path("mine.toml"), &text).unwrap();
    let [own, path, file] = ["smoke", "configs/smoke.toml", "mine.toml"]
        .map(|name| place.ok(&format!("train {name} --print-config")).stdout);
    assert_eq!(own, path);
    assert!(own.contains("\"smoke\"") && file.contains("\"mine\""));
    let done = place.ok("smoke -q --set train.epochs=1 --set data.train_limit=32");
    assert!(place.path("runs/smoke-1").is_dir(), "{}", done.stderr);
    // A file of that name is the user's, and is meant.
    fs::write(place.path("smoke"), "name = \"other\"\n").unwrap();
    assert!(place.ok("smoke --print-config").stdout.contains("\"other\""));
}

/// Of those on image files, on a few that are there.
#[test]
fn every_config_of_the_program_has_a_network_and_a_summary_of_80_columns() {
    let place = image_folder::place();
    let list = place.ok("configs").stdout;
    let names: Vec<_> = list.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(names.len() > 10 && names.contains(&"imagenet"), "{names:?}");
    for name in names {
        let takes_files = place.ok(&format!("configs {name}")).stdout.contains("image-folder\"");
        let folder = if takes_files { "--set data.folder=images" } else { "" };
        let done = image_folder::ok(&place, &format!("summary {name} --data-dir none {folder}"));
        let widest = done.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{name}: {}", done.stdout);
        assert!(done.stdout.contains("training needs"), "{name}: {}", done.stdout);
    }
    for (arch, set) in [("vgg19", ""), ("vgg11-lrn", ""), ("vgg16-c", "--set train.accumulate=1")] {
        place.ok(&format!("summary paper --set model.arch={arch} {set} --data-dir none"));
    }
}

#[test]
fn words_with_typos_are_guessed() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let told = |arguments| failure(&place, arguments);
    for (arguments, error, help) in [
        ("tinny.toml", "there is no config tinny.toml", "did you mean `tiny.toml`?"),
        ("vgg11_smal", "there is no config vgg11_smal", "did you mean `vgg11_small`?"),
        (
            "configs/vgg13_acurate.toml",
            "there is no config configs/",
            "did you mean `vgg13_accurate`?",
        ),
        ("nowhere/to/be.toml", "there is no config nowhere", "`vgg-train configs` lists those"),
        ("resume runs/tin-1", "there is no run runs/tin-1", "did you mean `runs/tiny-1`?"),
        ("eval tiny-1", "there is no run tiny-1", "did you mean `runs/tiny-1`?"),
        ("resume elsewhere", "there is no run elsewhere", "a run's folder looks like"),
    ] {
        let expected = format!("2\nerror: {error}");
        let text = told(arguments);
        assert!(text.starts_with(&expected) && text.contains(&format!("\nhelp: {help}")), "{text}");
    }
    for mistyped in ["trian tiny.toml", "trian", "--threads 1 trian tiny.toml"] {
        let text = told(mistyped);
        assert!(text.starts_with("2\nerror: unrecognized subcommand 'trian'"), "{text}");
        assert!(text.contains("a similar subcommand exists: 'train'"), "{text}");
    }
}

#[test]
fn one_thing_given_for_another_is_called_what_it_is() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    fs::create_dir(place.path("empty")).unwrap();
    let image = sample();
    let image = image.display();
    for (arguments, code, error, help) in [
        (
            "runs/tiny-1".to_owned(),
            2,
            "runs/tiny-1 is the folder of a run, where a config is asked for",
            "`vgg-train resume runs/tiny-1` goes on with it",
        ),
        ("summary empty".into(), 2, "empty is a folder, where a config is asked for", ""),
        (
            "runs/tiny-1/checkpoints/best.safetensors".into(),
            2,
            "runs/tiny-1/checkpoints/best.safetensors is no config: it is a file of weights",
            "predict and export take a run or its checkpoint",
        ),
        (
            "resume tiny.toml".into(),
            2,
            "tiny.toml is a file, not the folder of a run",
            "`vgg-train tiny.toml` trains a new run of this config",
        ),
        (
            format!("predict tiny.toml {image}"),
            2,
            "tiny.toml is a file, not the folder of a run",
            "`vgg-train tiny.toml` trains",
        ),
        (
            "resume runs/tiny-1/checkpoints/last.safetensors".into(),
            2,
            "runs/tiny-1/checkpoints/last.safetensors is a file, not the folder of a run",
            "its run is runs/tiny-1",
        ),
        ("eval runs".into(), 2, "runs is not the folder of a run", "it has the run runs/tiny-1"),
        ("data check tiny.toml".into(), 2, "tiny.toml is a file, not a folder of images", ""),
        ("data stats nowhere".into(), 3, "there is no folder nowhere", ""),
        (
            format!("predict {image} runs/tiny-1"),
            2,
            "ankle_boot.png is an image, where a run is asked for",
            "the run comes first, then the images",
        ),
        (
            "import runs/tiny-1 --to run".into(),
            2,
            "runs/tiny-1 is a folder, where a file of weights is asked for",
            "it is a run already",
        ),
        ("predict runs/tiny-1 empty".into(), 3, "no image to classify", "a folder that has some"),
    ] {
        let done = place.run(&arguments);
        let Done { stderr, .. } = &done;
        assert_eq!(done.code, Some(code), "{arguments}: {stderr}");
        assert!(stderr.contains(error) && stderr.contains(help), "{arguments}: {stderr}");
    }
}

#[test]
fn an_image_folder_is_beside_its_config_or_here() {
    let place = image_folder::place();
    let folder = |name: &str| place.path(name).canonicalize().unwrap();
    let run_in = |from: &str, arguments: &str| {
        let mut command = place.command(arguments);
        command.env("XDG_CACHE_HOME", place.path("cache")).current_dir(place.path(from));
        Done::of(command.output().unwrap())
    };
    fs::create_dir(place.path("other")).unwrap();
    let short = "-q --set train.epochs=1";
    let done = run_in("other", &format!("../folder.toml {short}"));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let config = place.read("other/runs/folder-1/config.toml");
    let line = config.lines().find(|line| line.starts_with("folder = ")).unwrap();
    let stored = line.split('"').nth(1).unwrap();
    assert_eq!(std::path::Path::new(stored).canonicalize().unwrap(), folder("images"));
    // From anywhere, then.
    let done = run_in("cache", "resume ../other/runs/folder-1 -q --set train.epochs=2");
    assert_eq!(done.code, Some(0), "{}", done.stderr);

    // Not beside the config, but here.
    fs::create_dir(place.path("configs")).unwrap();
    fs::copy(place.path("folder.toml"), place.path("configs/folder.toml")).unwrap();
    let done = run_in(".", "configs/folder.toml --set train.epochs=1");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let note =
        "data.folder is that of the current folder: there is none beside configs/folder.toml";
    assert!(done.stderr.contains(note), "{}", done.stderr);

    let done = run_in("other", "../configs/folder.toml");
    assert_eq!(done.code, Some(3));
    for part in ["there is no image folder ", "beside the config, ", "in the current folder, "] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    // What the command line names is here.
    let done = run_in("other", &format!("../folder.toml {short} --set data.folder=images"));
    assert!(done.stderr.contains("there is no image folder images\n"), "{}", done.stderr);
    fs::rename(place.path("images"), place.path("moved")).unwrap();
    let done = run_in(".", "resume other/runs/folder-1 --set train.epochs=3");
    assert_eq!(done.code, Some(3));
    assert!(done.stderr.contains("help: --set data.folder=DIR says where"), "{}", done.stderr);
    let done =
        run_in(".", "resume other/runs/folder-1 -q --set data.folder=moved --set train.epochs=3");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}
