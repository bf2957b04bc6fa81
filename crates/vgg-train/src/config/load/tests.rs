//! From text and overrides to configs, and what is said of those that are wrong.

use super::super::{SHIPPED, Shipped, keys};
use super::*;

fn overrides(sets: &[&str]) -> Vec<Override> {
    sets.iter().map(|set| Override::parse(set).unwrap()).collect()
}

fn error(text: &str, sets: &[&str]) -> String {
    let error = parse("x.toml", text, "x", overrides(sets)).unwrap_err();
    crate::terminal::error::render(&error.into(), false)
}

#[test]
fn unknown_keys_name_the_nearest_and_the_line() {
    insta::assert_snapshot!(error("[train]\nepochs = 1\nbatchsize = 4\n", &[]), @r#"
    error: x.toml:3: unknown key `batchsize`
      |
    3 | batchsize = 4
      | ^^^^^^^^^
    help: did you mean `batch_size`?
    "#);
    insta::assert_snapshot!(error("[trian]\nepochs = 1\n", &[]), @r#"
    error: x.toml:1: unknown key `trian`
      |
    1 | [trian]
      |  ^^^^^
    help: did you mean `train`?
    "#);
    insta::assert_snapshot!(error("[optimizer]\nzzz = 1\n", &[]), @r#"
    error: x.toml:2: unknown key `zzz`
      |
    2 | zzz = 1
      | ^^^
    help: it can be kind, lr, momentum, weight_decay, decay, nesterov, betas, eps, clip_norm, average_decay, freeze, groups
    "#);
}

#[test]
fn wrong_types_say_what_was_found_and_what_is_expected() {
    insta::assert_snapshot!(error("[optimizer]\nlr = \"0.1\"\n", &[]), @r#"
    error: x.toml:2: expected a number, found the string "0.1"
      |
    2 | lr = "0.1"
      |      ^^^^^
    "#);
    insta::assert_snapshot!(error("[train]\nbatch_size = -1\n", &[]), @r#"
    error: x.toml:2: expected a whole number from 0 on, found the number -1
      |
    2 | batch_size = -1
      |              ^^
    "#);
    insta::assert_snapshot!(error("[train]\nepochs = 1.5\n", &[]), @r#"
    error: x.toml:2: expected a whole number from 0 on, found the number 1.5
      |
    2 | epochs = 1.5
      |          ^^^
    "#);
    for seed in ["9223372036854775808", "99999999999999999999999999"] {
        let text = error(&format!("[train]\nseed = {seed}\n"), &[]);
        let said = "error: x.toml:2: whole numbers go up to 9223372036854775807\n";
        assert!(text.starts_with(said), "{text}");
    }
    insta::assert_snapshot!(error("train = 3\n", &[]), @r#"
    error: x.toml:1: expected a table, found the number 3
      |
    1 | train = 3
      |         ^
    "#);
    insta::assert_snapshot!(error("[init]\nweights = \"xavier\"\n", &[]), @r#"
    error: x.toml:2: unknown value "xavier"
      |
    2 | weights = "xavier"
      |           ^^^^^^^^
    help: it can be xavier_uniform, kaiming_normal, kaiming_uniform, normal
    "#);
    insta::assert_snapshot!(error("[model]\narch = \"vgg12\"\n", &[]), @r#"
    error: x.toml:2: unknown value "vgg12"
      |
    2 | arch = "vgg12"
      |        ^^^^^^^
    help: did you mean `vgg11`?
    "#);
    insta::assert_snapshot!(error("[data]\nmean = true\n", &[]), @r#"
    error: x.toml:2: expected a number or a list of numbers, found true
      |
    2 | mean = true
      |        ^^^^
    "#);
    insta::assert_snapshot!(error("[data.augment]\nshort_side = 256.5\n", &[]), @r#"
    error: x.toml:2: expected a whole number from 0 on, found the number 256.5
      |
    2 | short_side = 256.5
      |              ^^^^^
    "#);
}

#[test]
fn a_number_alone_is_a_list_of_one() {
    let text = "[data]\ndataset = \"image-folder\"\nfolder = \"a\"\nmean = 0.5\nstd = 1\n\
                [data.augment]\nshort_side = 256\n";
    let data = parse("x.toml", text, "x", vec![]).unwrap().config.data;
    assert_eq!((data.mean, data.std, data.augment.short_side), (vec![0.5], vec![1.0], vec![256]));
}

#[test]
fn broken_toml_shows_the_place() {
    insta::assert_snapshot!(error("[train]\nepochs = \n", &[]), @r#"
    error: x.toml:2: string values must be quoted, expected literal string
      |
    2 | epochs = 
      |          ^
    "#);
    insta::assert_snapshot!(error("[train]\nepochs = 1\nepochs = 2\n", &[]), @r#"
    error: x.toml:3: duplicate key
      |
    3 | epochs = 2
      | ^^^^^^
    "#);
}

#[test]
fn values_out_of_limits_are_found_in_the_file() {
    insta::assert_snapshot!(error("[train]\n\nbatch_size = 0\n", &[]), @r#"
    error: x.toml:3: train.batch_size must be at least 1, not 0
      |
    3 | batch_size = 0
      |              ^
    "#);
    insta::assert_snapshot!(error("[optimizer]\nnesterov = true\n", &[]), @r#"
    error: x.toml:2: optimizer.nesterov needs a momentum above 0
      |
    2 | nesterov = true
      |            ^^^^
    "#);
    insta::assert_snapshot!(error("name = \"../x\"\n", &[]), @r#"
    error: x.toml:1: name must be a folder name, not "../x"
      |
    1 | name = "../x"
      |        ^^^^^^
    "#);
}

#[test]
fn a_part_that_is_cut_and_scaled_has_limits() {
    let of = |sets: &[&str]| error("", &[&["data.augment.resized_crop={}"], sets].concat());
    let folder = ["data.dataset=image-folder", "data.folder=a"];
    for beside in ["data.augment.random_crop=true", "data.augment.short_side=256"] {
        let text = of(&[&folder[..], &[beside]].concat());
        let told = "data.augment.resized_crop takes the place of short_side and random_crop";
        assert!(text.contains(told), "{text}");
    }
    for set in ["scale=[0.0, 1.0]", "scale=[0.5, 1.5]", "ratio=[2.0, 1.0]"] {
        let set = format!("data.augment.resized_crop.{set}");
        assert!(of(&[&set]).contains("must be two "), "{}", of(&[&set]));
    }
}

#[test]
fn operations_that_are_drawn_have_limits() {
    let rand = "data.augment.rand_augment={}";
    let text = error("", &["data.augment.trivial_augment_wide=true", rand]);
    assert!(text.contains("takes the place of trivial_augment_wide"), "{text}");
    for set in ["operations=0", "operations=17", "magnitude=31"] {
        let text = error("", &[rand, &format!("data.augment.rand_augment.{set}")]);
        assert!(text.contains(" must be from "), "{text}");
    }
}

#[test]
fn colour_jitter_has_limits() {
    for set in ["brightness=-0.1", "contrast=11.0", "saturation=nan", "hue=0.6"] {
        let text = error("", &[&format!("data.augment.color_jitter.{set}")]);
        assert!(text.contains(" must be from 0 to "), "{text}");
    }
}

#[test]
fn settings_of_another_optimiser_are_refused() {
    let adamw = "optimizer.kind=adamw";
    let own = [adamw, "optimizer.betas=[0.9, 0.99]", "optimizer.eps=1e-6"];
    assert!(parse("x.toml", "", "x", overrides(&own)).is_ok());
    for (sets, told) in [
        (
            &[adamw, "optimizer.momentum=0.9"][..],
            "momentum is for optimizer.kind = \"sgd\", not \"adamw\"",
        ),
        (
            &[adamw, "optimizer.nesterov=true"],
            "nesterov is for optimizer.kind = \"sgd\", not \"adamw\"",
        ),
        (&["optimizer.betas=[0.9, 0.99]"], "betas is for optimizer.kind = \"adamw\", not \"sgd\""),
        (&["optimizer.eps=1e-6"], "eps is for optimizer.kind = \"adamw\", not \"sgd\""),
        (&[adamw, "optimizer.betas=[0.9, 1.0]"], "betas must be from 0 to below 1, not 1"),
        (&[adamw, "optimizer.eps=0.0"], "eps must be a number above 0, not 0"),
    ] {
        let text = error("", sets);
        assert!(text.contains(&format!(": optimizer.{told}")), "{text}");
    }
}

#[test]
fn a_warm_up_is_steps_or_a_share() {
    let share = "schedule.warmup_share=0.1";
    assert!(parse("x.toml", "", "x", overrides(&[share])).is_ok());
    for (beside, told) in [
        ("schedule.warmup_steps=5", "and schedule.warmup_steps say the same"),
        ("schedule.kind=one-cycle", "must be 0, as one cycle rises by itself"),
        ("schedule.warmup_share=1.0", "must be from 0 to below 1"),
    ] {
        let text = error("", &[share, beside]);
        assert!(text.contains(&format!(": schedule.warmup_share {told}")), "{text}");
    }
}

#[test]
fn values_are_checked_as_they_are_computed_with() {
    for set in [
        "optimizer.lr=1e-50",
        "optimizer.lr=1e39",
        "optimizer.momentum=0.9999999999",
        "optimizer.weight_decay=1e39",
        "optimizer.clip_norm=1e-60",
        "optimizer.average_decay=0.9999999999",
        "schedule.factor=1e-60",
        "schedule.min_lr=1e-60",
        "train.label_smoothing=0.99999999999",
        "model.dropout=0.9999999999",
        "init.std=1e-60",
        "data.mean=[1e39]",
        "data.std=[1e-30]",
    ] {
        let (key, _) = set.split_once('=').unwrap();
        let text = error("", &[set]);
        assert!(text.contains(&format!(": {key} must be ")), "{text}");
    }
}

#[test]
fn errors_of_overrides_name_the_override() {
    insta::assert_snapshot!(error("", &["train.epochs=2", "train.epoch=3"]), @r#"
    error: --set train.epoch=3: unknown key `epoch`
    help: did you mean `epochs`?
    "#);
    insta::assert_snapshot!(error("", &["optimizer.lr=fast"]), @r#"error: --set optimizer.lr=fast: expected a number, found the string "fast""#);
    insta::assert_snapshot!(error("", &["train.batch_size=0"]), @"error: --set train.batch_size=0: train.batch_size must be at least 1, not 0");
    insta::assert_snapshot!(error("", &["name.x=1"]), @"error: --set name.x=1: expected a string, found a table");
}

#[test]
fn a_device_needs_no_file() {
    let of = |sets: &[&str]| {
        device(&sets.iter().map(|set| Override::parse(set).unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(of(&["train.epochs=2", "device.threads=3"]).unwrap().threads, 3);
    let error = |set| crate::terminal::error::render(&of(&[set]).unwrap_err(), false);
    insta::assert_snapshot!(error("device.kind=gpu"), @r#"
    error: --set device.kind=gpu: unknown value "gpu"
    help: did you mean `cpu`?
    "#);
    insta::assert_snapshot!(error("device.threads=9999"), @"error: --set device.threads=9999: device.threads must be at most 1024, not 9999");
    insta::assert_snapshot!(error("device=cpu"), @r#"error: --set device=cpu: expected a table, found the string "cpu""#);
}

#[test]
fn overrides_beat_the_file_beats_the_defaults() {
    let sets = ["train.epochs=3", "device.threads=2", "optimizer.lr=1"];
    let sets: Vec<_> = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
    let text = "[train]\nepochs = 2\nbatch_size = 7\n[device]\nthreads = 1\n";
    let loaded = parse("x.toml", text, "x", sets).unwrap();
    assert_eq!((loaded.config.train.epochs, loaded.config.train.batch_size), (3, 7));
    assert_eq!((loaded.config.device.threads, loaded.config.optimizer.lr), (2, 1.0));
    assert_eq!(loaded.config.model, crate::config::keys::Model::default());
}

#[test]
fn shipped_configs_load_and_name_quicker_ones_that_exist() {
    for shipped in SHIPPED {
        let config = load(Path::new(shipped.name), vec![]).unwrap().config;
        let quicker = Shipped::find(Path::new(&config.quicker));
        assert!(config.quicker.is_empty() || quicker.is_some(), "{}", shipped.name);
    }
}

#[test]
fn the_reference_config_documents_every_key() {
    assert!(keys().iter().any(|key| key == "data.pack"));
    let sets = [
        "model.avg_pool=7",
        "data.dir=a",
        "data.train_limit=1",
        "data.test_limit=1",
        "data.hold_out=1",
        "data.dataset=image-folder",
        "data.folder=a",
        "data.labels=a.csv",
        "data.test_part=test",
        "data.test_short_side=256",
        "data.background=[255, 255, 255]",
        "train.class_weights=balanced",
        "train.early_stop.patience=3",
        "train.max_minutes=30",
        "optimizer.groups=[{ layers = 'features', lr = 0.1 }]",
        "data.augment.color_values=[0.2, 0.1, 0.05]",
        "data.augment.color_vectors=[[1, 0, 0], [0, 1, 0], [0, 0, 1]]",
    ];
    let sets = sets.map(|set| Override::parse(set).unwrap()).to_vec();
    let all = parse("x.toml", "", "x", sets).unwrap().effective();
    let (mut table, documented) = (String::new(), keys());
    for line in all.lines().filter(|line| !line.is_empty()) {
        match line.split_once(" = ") {
            None => table = format!("{}.", line.trim_matches(['[', ']'])),
            Some((key, _)) => {
                let key = format!("{table}{key}");
                assert!(documented.contains(&key), "{key}");
            }
        }
    }
}

/// What a run has seen it sees when it is resumed, and what a new run does is what viewers show.
#[test]
fn images_of_runs_from_before_there_was_an_orientation_stay_as_they_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let orientation = |name: &str, text: &str, sets: &[&str]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let sets = sets.iter().map(|set| Override::parse(set).unwrap()).collect();
        load(&path, sets).unwrap().config.data.orientation
    };
    let of_a_run = parse("", "", "x", vec![]).unwrap().effective();
    let (before, after) = of_a_run.split_once("orientation = \"exif\"").unwrap();
    let before = format!("{before}{after}");
    assert_eq!(orientation("config.toml", &of_a_run, &[]), Orientation::Exif);
    assert_eq!(orientation("config.toml", &before, &[]), Orientation::Stored);
    assert_eq!(orientation("copy.toml", &before, &["train.epochs=2"]), Orientation::Stored);
    let given = ["data.orientation=exif"];
    assert_eq!(orientation("config.toml", &before, &given), Orientation::Exif);
    let new = "[data]\nskip_damaged = true\ndataset = \"image-folder\"\nfolder = \"a\"\n";
    assert_eq!(orientation("config.toml", new, &[]), Orientation::Exif);
}

#[test]
fn a_value_of_several_lines_reads_back() {
    let sets = vec![Override::parse("data.mean=[\n0.25,\r\n]").unwrap()];
    let loaded = parse("x.toml", "", "tiny", sets).unwrap();
    let again = parse("config.toml", &loaded.effective(), "config", vec![]).unwrap();
    assert_eq!(again.config.data.mean, loaded.config.data.mean);
}

#[test]
fn the_effective_config_reads_back_as_itself() {
    let sets = vec![Override::parse("data.dir=/some/where").unwrap()];
    let loaded = parse("x.toml", "[optimizer]\nlr = 0.1\n", "tiny", sets).unwrap();
    let text = loaded.effective();
    let again = parse("config.toml", &text, "config", vec![]).unwrap();
    assert_eq!(again.config, loaded.config);
    insta::assert_snapshot!(text, @r#"
    name = "tiny"                    # default

    [model]
    arch = "vgg11"                   # default
    width = 1.0                      # default
    image_size = 224                 # default
    fc_width = 4096                  # default
    fc_hidden = 2                    # default
    dropout = 0.5                    # default

    [init]
    weights = "xavier_uniform"       # default
    std = 0.01                       # default
    biases = "torch"                 # default
    copying = "all"                  # default

    [data]
    dataset = "fashion-mnist"        # default
    dir = "/some/where"              # --set data.dir=/some/where
    download = true                  # default
    sampler = "shuffled"             # default
    channels = 3                     # default
    skip_damaged = false             # default
    orientation = "exif"             # default
    decode = "full"                  # default
    normalize = "given"              # default
    mean = [0.0]                     # default
    std = [1.0]                      # default

    [data.augment]
    short_side = []                  # default
    random_crop = false              # default
    flip = false                     # default
    pad_crop = 0                     # default
    color_shift = 0.0                # default
    random_erasing = 0.0             # default
    mixup = 0.0                      # default
    cutmix = 0.0                     # default

    [train]
    epochs = 10                      # default
    batch_size = 128                 # default
    accumulate = 1                   # default
    shards = 1                       # default
    label_smoothing = 0.0            # default
    best_by = "accuracy"             # default
    seed = 0                         # default

    [optimizer]
    kind = "sgd"                     # default
    lr = 0.1                         # file
    momentum = 0.0                   # default
    weight_decay = 0.0               # default
    decay = "all"                    # default
    nesterov = false                 # default

    [schedule]
    kind = "constant"                # default
    warmup_steps = 0                 # default
    warmup_share = 0.0               # default
    every_epochs = 30                # default
    patience = 3                     # default
    factor = 0.1                     # default
    min_lr = 0.0                     # default
    rise = 0.3                       # default

    [checkpoint]
    every_minutes = 10.0             # default

    [guard]
    flat_loss = "warn"               # default

    [report]
    page = true                      # default
    tensorboard = false              # default
    gradient_norm = false            # default

    [device]
    kind = "auto"                    # default
    threads = 0                      # default
    precision = "tf32"               # default
    deterministic = false            # default
    autotune = false                 # default
    "#);
}
