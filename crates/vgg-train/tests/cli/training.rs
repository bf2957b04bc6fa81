//! A run from its start to its end: what is printed and what is left behind.

use std::path::Path;
use std::time::Instant;

use super::{Workplace, metrics_without_times, sha256};

#[test]
fn statistics_of_averaged_weights_are_measured() {
    let place = Workplace::new();
    // Of the few steps an average would have a hundredth, and they change nothing else.
    let averaged = "--set optimizer.average_decay=0.999 --set optimizer.lr=1e-20";
    place.ok(&format!("tiny.toml -q --set model.batch_norm=true {averaged}"));
    let path = place.path("runs/tiny-1/checkpoints/last.safetensors");
    let checkpoint = vgg_model::Checkpoint::load(&path).unwrap();
    let statistics = |params: &vgg_model::Params| {
        let mean = params.get("features.1.running_mean").unwrap().data();
        mean.iter().fold(0.0, |most: f32, x| most.max(x.abs()))
    };
    let [own, weights] =
        [&checkpoint.params, checkpoint.unaveraged.as_ref().unwrap()].map(statistics);
    // Those of the weights are of ten steps, and have not come as far.
    assert!(own > 0.5 * weights && weights > 0.0, "{own} and {weights}");
}

#[test]
fn a_run_leaves_its_results() {
    let place = Workplace::new();
    let done = place.ok("tiny.toml");
    let result = "runs/tiny-1: test accuracy ";
    assert!(done.stdout.starts_with(result) && done.stdout.lines().count() == 1, "{}", done.stdout);
    for verb in
        ["Device cpu", "Dataset fashion-mnist-sample: 60 train", "Model vgg11", "Run runs/tiny-1"]
    {
        assert!(done.stderr.contains(verb), "{verb}: {}", done.stderr);
    }
    assert!(done.stderr.contains("Finished 2 epochs in "), "{}", done.stderr);
    let header = done.stderr.lines().take_while(|line| !line.contains("epoch"));
    assert!(header.map(|line| line.chars().count()).max() <= Some(80), "{}", done.stderr);
    assert!(done.stderr.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", done.stderr);

    let files = [
        "config.toml",
        "log.txt",
        "metrics.jsonl",
        "metrics.csv",
        "curves.svg",
        "confusion.csv",
        "confusion.svg",
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
    ];
    for file in files {
        assert!(place.path("runs/tiny-1").join(file).is_file(), "{file}");
    }
    // The best network is written once, under two names.
    let checkpoint = |name: &str| sha256(&place.path("runs/tiny-1/checkpoints").join(name));
    let last_is_best =
        done.stderr.lines().any(|line| line.contains("epoch 2/2") && line.ends_with("* best"));
    let same = checkpoint("last.safetensors") == checkpoint("best.safetensors");
    assert_eq!(same, last_is_best, "{}", done.stderr);
    let rows = place.read("runs/tiny-1/metrics.csv");
    assert_eq!(rows.lines().count(), 1 + 2);
    let records = metrics_without_times(&place.read("runs/tiny-1/metrics.jsonl"));
    let process = place.read("runs/tiny-1/metrics.jsonl").lines().nth(1).unwrap().to_owned();
    assert!(process.contains(r#""step":0,"device":"cpu"#), "{process}");
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    let epoch = ["step", "step", "step", "step", "epoch"];
    assert_eq!(kinds, [&["run"][..], &epoch, &epoch].concat());
    let confusion = place.read("runs/tiny-1/confusion.csv");
    let counts = confusion.lines().skip(1).flat_map(|row| row.split(',').skip(1).take(10));
    assert_eq!(counts.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(), 30);
    assert!(place.read("runs/tiny-1/log.txt").contains("Finished 2 epochs"));
}

/// The number before ` img/s` in a line, and the seconds before it.
fn rate_and_seconds(line: &str) -> (f64, f64) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| word.trim_end_matches(',').parse::<f64>().ok();
    let end = words.iter().position(|word| word.starts_with("img/s")).unwrap();
    // Thousands are groups of digits: `12 345 img/s`.
    let start = words[..end].iter().rposition(|word| number(word).is_none()).unwrap() + 1;
    let seconds = words.iter().position(|word| *word == "s" || *word == "s,").unwrap() - 1;
    (number(&words[start..end].concat()).unwrap(), number(words[seconds]).unwrap())
}

/// However long anything takes: the time that a rate is of is the time that is told.
#[test]
fn rates_are_of_wall_time() {
    let place = Workplace::new();
    // Most of the time goes to tests.
    let much_testing = "--set train.epochs=3 --set data.train_limit=48 --set data.test_limit=256 \
                        --set model.width=0.25 --set model.image_size=64";
    let start = Instant::now();
    let done = place.ok(&format!("tiny.toml {much_testing}"));
    let outside = start.elapsed().as_secs_f64();

    let line = done.stderr.lines().find(|line| line.contains("Finished")).unwrap();
    let (rate, seconds) = rate_and_seconds(line);
    assert!(seconds <= outside + 0.05, "{outside}: {line}");
    // What is told of 144 images is rounded to half a unit of its last digit.
    let rounding = rate * 0.05 + seconds * 0.5;
    assert!((rate * seconds - 144.0).abs() <= rounding, "{line}");

    let text = place.read("runs/tiny-1/metrics.jsonl");
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let (mut training, mut epochs) = (0.0, 0.0);
    let mut last_step = serde_json::Value::Null;
    for record in records {
        let record: serde_json::Value = record;
        if record["kind"] == "step" {
            last_step = record;
        } else if record["kind"] == "epoch" {
            assert_eq!(record["images_per_second"], last_step["images_per_second"]);
            assert_eq!(record["wait_share"], last_step["wait_share"]);
            let time = 48.0 / record["images_per_second"].as_f64().unwrap();
            let with_test = record["seconds"].as_f64().unwrap();
            assert!(time < with_test, "{record}");
            training += time;
            epochs += with_test;
        }
    }
    assert!(training < epochs && epochs <= seconds + 0.05, "{training}, {epochs}: {line}");

    let resumed = place.ok("resume runs/tiny-1 --set train.epochs=5").stderr;
    assert!(resumed.contains("Finished 5 epochs; since resuming 96 images in "), "{resumed}");

    let start = Instant::now();
    let eval = place.ok("eval runs/tiny-1").stderr;
    let line = eval.lines().find(|line| line.contains("Evaluated 256 images in ")).unwrap();
    let (rate, seconds) = rate_and_seconds(line);
    assert!(seconds <= start.elapsed().as_secs_f64() + 0.05, "{line}");
    assert!((rate * seconds - 256.0).abs() <= rate * 0.05 + seconds * 0.5, "{line}");
}

#[test]
fn runs_are_numbered_and_repeat_from_their_config() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    place.ok("runs/tiny-1/config.toml -q");
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_eq!(last("runs/tiny-1"), last("runs/tiny-2"));
    place.ok("tiny.toml -q --out elsewhere --set train.seed=1");
    assert_ne!(last("runs/tiny-1"), last("elsewhere/tiny-1"));
}

#[test]
fn threads_do_not_change_the_result() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --threads 1");
    place.ok("tiny.toml -q --threads 2");
    let last = |run: &str| sha256(&place.path(run).join("checkpoints/last.safetensors"));
    assert_eq!(last("runs/tiny-1"), last("runs/tiny-2"));
    let metrics = |run: &str| metrics_without_times(&place.read(&format!("{run}/metrics.jsonl")));
    assert_eq!(metrics("runs/tiny-1"), metrics("runs/tiny-2"));
}

#[test]
fn the_smoke_config_learns() {
    let place = Workplace::new();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml");
    let done = place.ok(config.to_str().unwrap());
    assert!(done.stderr.lines().count() < 200);
    let rows = place.read("runs/smoke-1/metrics.csv");
    let accuracy: f64 = rows.lines().last().unwrap().split(',').nth(5).unwrap().parse().unwrap();
    assert!(accuracy > 0.6, "ten classes, so guessing is 0.1\n{rows}");
}

#[test]
fn the_result_is_json_if_asked_for() {
    let place = Workplace::new();
    let json = |arguments: &str| {
        let done = place.ok(&format!("{arguments} --json -q"));
        assert_eq!(done.stderr, "");
        serde_json::from_str::<serde_json::Value>(&done.stdout).unwrap()
    };
    let result = json("tiny.toml");
    assert_eq!((&result["run"], &result["epochs"]), (&"runs/tiny-1".into(), &2.into()));
    assert_eq!(result["checkpoints"]["best"], "runs/tiny-1/checkpoints/best.safetensors");
    let last = place.read("runs/tiny-1/metrics.jsonl");
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    for key in ["train_loss", "test_loss", "test_accuracy", "test_top5"] {
        assert_eq!(result[key], last[key], "{key}");
    }
    assert!(result["best"]["accuracy"].as_f64() >= result["test_accuracy"].as_f64());
    assert!(result["seconds"].as_f64() > Some(0.0));
    assert_eq!(result["classes"].as_array().unwrap().len(), 10);

    // A run that is done already says again what came out.
    let again = json("resume runs/tiny-1");
    for key in ["run", "epochs", "test_accuracy", "best", "checkpoints"] {
        assert_eq!(again[key], result[key], "{key}");
    }
    let held_out = json("train tiny.toml --set data.hold_out=30");
    assert_eq!([&result["tested_on"], &held_out["tested_on"]], ["test", "held-out"]);
}

#[test]
fn nothing_is_said_twice() {
    let place = Workplace::new();
    for (filter, option) in [("", ""), ("debug", ""), ("", "-v"), ("debug", "-v"), ("info", "-v")] {
        let mut command = place.command(&format!("tiny.toml {option} --set train.epochs=1"));
        let output = command.env("VGG_LOG", filter).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.matches("10 classes, 1×28×28").count(), 1, "{filter} {option}: {stderr}");
        let mut command = place.command(&format!("resume nowhere {option}"));
        let output = command.env("VGG_LOG", filter).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.matches("there is no run").count(), 1, "{filter} {option}: {stderr}");
    }
    // Whatever is filtered, the log has what was said.
    let mut command = place.command("tiny.toml -q --set train.epochs=1 --out filtered");
    command.env("VGG_LOG", "vgg_cpu=trace").output().unwrap();
    assert!(place.read("filtered/tiny-1/log.txt").contains("Finished 1 epoch in"));
}

#[test]
fn quiet_is_quiet_and_colour_is_asked_for() {
    let place = Workplace::new();
    assert_eq!(place.ok("tiny.toml -q").stderr, "");
    let coloured = place.ok("tiny.toml --color always --progress none").stderr;
    assert!(coloured.contains("\x1b[1;32m"));
    assert!(!coloured.contains("  step "));
    let output = place.command("tiny.toml").env("NO_COLOR", "1").output().unwrap();
    assert!(!output.stderr.contains(&0x1b));
}

#[test]
fn settings_come_from_file_environment_and_options() {
    let place = Workplace::new();
    let config = |arguments: &str, threads: Option<&str>| {
        let mut command = place.command(&format!("--print-config tiny.toml {arguments}"));
        command.envs(threads.map(|threads| ("VGG_THREADS", threads)));
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("threads")).unwrap().to_owned();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(config("", None), "threads = 0 # default");
    assert_eq!(config("", Some("3")), "threads = 3 # --threads or VGG_THREADS");
    assert_eq!(config("--threads 4", Some("3")), "threads = 4 # --threads or VGG_THREADS");
    let set = config("--set device.threads=5 --threads 4", Some("3"));
    assert_eq!(set, "threads = 5 # --set device.threads=5");

    let output =
        place.command("--print-config tiny.toml").env("VGG_OFFLINE", "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("download = false"), "{text}");
    for (arguments, blamed) in [
        ("tiny.toml", "'VGG_THREADS (--threads <N>)'"),
        ("tiny.toml --threads many", "'--threads <N>'"),
    ] {
        let output = place.command(arguments).env("VGG_THREADS", "many").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with(&format!("error: invalid value 'many' for {blamed}")), "{error}");
    }
    place.command("tiny.toml -q").env("VGG_RUNS_DIR", "there").output().unwrap();
    assert!(place.path("there/tiny-1/config.toml").is_file());
}

#[test]
fn the_summary_is_a_table() {
    let place = Workplace::new();
    let summary = place.ok("summary tiny.toml").stdout;
    let (table, needs) = summary.rsplit_once("\n\n").unwrap();
    insta::assert_snapshot!(table, @r#"
    layer         kind                  output   parameters    MACs     memory
    ──────────────────────────────────────────────────────────────────────────
    images        resize, normalise     1×32×32                       64.1 KiB
    features.0    conv 3×3, relu, pool  4×16×16          40  36 864   80.3 KiB
    features.3    conv 3×3, relu, pool  8×8×8           296  73 728   38.3 KiB
    features.6    conv 3×3, relu        16×8×8        1 168  73 728   75.1 KiB
    features.8    conv 3×3, relu, pool  16×4×4        2 320  0.15 M   36.1 KiB
    features.11   conv 3×3, relu        32×4×4        4 640  73 728   69.2 KiB
    features.13   conv 3×3, relu, pool  32×2×2        9 248  0.15 M   81.2 KiB
    features.16   conv 3×3, relu        32×2×2        9 248  36 864   80.5 KiB
    features.18   conv 3×3, relu, pool  32            9 248  36 864   74.5 KiB
    classifier.0  linear, relu          16              528     512    5.2 KiB
    classifier.2  dropout 0.5           16
    classifier.3  linear, relu          16              272     256    3.2 KiB
    classifier.5  dropout 0.5           16
    classifier.6  linear                10              170     160    2.0 KiB
    gradients                                                        170.6 KiB
    ──────────────────────────────────────────────────────────────────────────
    total                                            37 178  0.63 M  780.3 KiB
    "#);

    // The same as a run says that it needs, and as the run's own summary.
    let said = place.ok("tiny.toml").stderr;
    let said = said.lines().find_map(|line| line.trim().strip_prefix("needs ")).unwrap();
    assert!(needs.starts_with(&format!("training needs {said} on cpu, ")), "{needs} for {said}");
    assert_eq!(place.ok("summary runs/tiny-1").stdout, summary);
    let none = place.ok("summary tiny.toml --set data.dataset=fashion-mnist --data-dir nowhere");
    let end = " at batch size 16 on cpu";
    assert!(none.stdout.contains(end), "{}", none.stdout);
}

#[test]
fn a_run_claims_what_it_used() {
    let place = Workplace::new();
    let has_bf16 = vgg_cpu::Isa::best().has_bf16();
    let without = "warning: this CPU has no instructions for bf16";
    for (run, asked, told, used) in [
        (1, "f16", "warning: f16 is for GPUs: the CPU computes in f32", "f32"),
        if has_bf16 { (2, "bf16", ", bf16\n", "bf16") } else { (2, "bf16", without, "f32") },
    ] {
        let done = place.ok(&format!("tiny.toml --precision {asked} --set train.epochs=1"));
        assert!(done.stderr.contains(told), "{}", done.stderr);
        let config = place.read(&format!("runs/tiny-{run}/config.toml"));
        let line = |key: &str| {
            let line = config.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("precision"), format!("precision = \"{used}\" # device"));
        assert_eq!(line("channels"), "channels = 1 # data");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Workplace::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = place.command("summary tiny.toml").stdout(writer).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_run_starts_from_another_ones_weights() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let start = "tiny.toml --set train.epochs=1 --set init.from=runs/tiny-1";
    // A frozen layer is the other run's to the bit.
    let done = place.ok(&format!("{start} --set optimizer.freeze=['features']"));
    assert!(done.stderr.contains("Starting from runs/tiny-1/checkpoints/best.safetensors"));
    assert!(done.stderr.contains("features.0: a copy of features.0"), "{}", done.stderr);
    let params = |run: &str| {
        let path = place.path(&format!("runs/{run}/checkpoints/best.safetensors"));
        vgg_model::Checkpoint::load_weights(&path).unwrap().params
    };
    let (first, second) = (params("tiny-1"), params("tiny-2"));
    assert_eq!(first.get("features.0.weight"), second.get("features.0.weight"));
    assert_ne!(first.get("classifier.6.weight"), second.get("classifier.6.weight"));

    let other = place.ok(&format!("{start} --set model.fc_width=9"));
    let said = "classifier.0: initialised, classifier.0.weight is";
    assert!(other.stderr.contains(said), "{}", other.stderr);
    let refused = place.run(&format!("{start} --set model.fc_width=9 --set model.width=1"));
    assert_eq!(refused.code, Some(7), "{}", refused.stderr);
    assert!(refused.stderr.contains("error: nothing of runs/tiny-1"), "{}", refused.stderr);
    let missing = place.run("tiny.toml --set init.from=runs/no");
    assert!(missing.stderr.contains("error: there is no run runs/no"), "{}", missing.stderr);
    assert!(!place.path("runs/tiny-4").exists(), "a run that cannot start leaves no folder");
}
