//! The paper's testing: views, scales and networks whose posteriors are averaged.

use serde_json::Value;

use super::{Workplace, failure, image_folder, sample};

fn json(place: &Workplace, arguments: &str) -> Value {
    let done = place.ok(&format!("eval {arguments} --json -q"));
    serde_json::from_str(&done.stdout).unwrap()
}

/// The probability that the true class of one image is given: a loss of one image is its logarithm.
fn posterior(place: &Workplace, arguments: &str) -> f64 {
    let one = json(place, &format!("{arguments} --set data.test_limit=1"));
    assert_eq!(one["images"], 1);
    (-one["loss"].as_f64().unwrap()).exp()
}

fn assert_near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-5 * b.abs(), "{a} for {b}");
}

/// Two tiny runs of different initial weights and normalisation.
fn two_runs() -> Workplace {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    place.ok("tiny.toml -q --set train.seed=1 --set data.mean=[0.3]");
    place
}

#[test]
fn posteriors_are_averaged_over_views_scales_and_networks() {
    let place = two_runs();
    let p = |arguments: &str| posterior(&place, &format!("runs/tiny-1 {arguments}"));
    let (dense, crops) = (p("--mode dense --scales 48"), p("--mode multicrop --scales 48"));
    assert_ne!(dense, crops);
    assert_near(p("--mode both --scales 48"), (dense + crops) / 2.0);
    let small = p("--mode dense");
    assert_ne!(small, dense);
    assert_near(p("--mode dense --scales 32,48"), (small + dense) / 2.0);
    // A view is averaged with its mirror image.
    assert_ne!(p("--mode dense --flip"), small);

    let alone = [1, 2].map(|run| posterior(&place, &format!("runs/tiny-{run} --mode dense")));
    let fused = posterior(&place, "runs/tiny-1 runs/tiny-2 --mode dense");
    assert_near(fused, (alone[0] + alone[1]) / 2.0);
}

#[test]
fn at_the_networks_own_size_all_views_are_the_same() {
    let place = two_runs();
    let loss = |options: &str| {
        let report = json(&place, &format!("runs/tiny-1 {options}"));
        assert_eq!(report["images"], 30);
        report["loss"].as_f64().unwrap()
    };
    let center = loss("--mode center");
    for mode in ["dense", "multicrop", "both"] {
        assert_near(loss(&format!("--mode {mode} --scales 32")), center);
    }
    // The device resizes to within a grey level as the program does.
    assert!((loss("") - center).abs() < 1e-3 * center, "{} for {center}", loss(""));
}

#[test]
fn a_network_fused_with_itself_is_itself() {
    let place = two_runs();
    let report = |runs: &str| {
        let mut report = json(&place, &format!("{runs} --mode center --flip"));
        let networks = report.as_object_mut().unwrap().remove("networks").unwrap();
        (report, networks.as_array().unwrap().len())
    };
    let (alone, together) = (report("runs/tiny-1"), report("runs/tiny-1 runs/tiny-1"));
    assert_eq!((alone.1, together.1), (1, 2));
    assert_eq!(alone.0, together.0);
    assert_ne!(alone.0, report("runs/tiny-1 runs/tiny-2").0);
}

#[test]
fn images_of_a_folder_have_any_size() {
    let place = image_folder::place();
    image_folder::ok(&place, "folder.toml -q");
    let report = |options: &str| {
        let done = image_folder::ok(&place, &format!("eval runs/folder-1 --json {options}"));
        serde_json::from_str::<Value>(&done.stdout).unwrap()
    };
    let loss = |options: &str| report(options)["loss"].as_f64().unwrap();
    // The scale that the run is tested at is the middle of those it is trained at.
    let plain = loss("");
    assert_near(loss("--mode center"), plain);
    assert_near(loss("--mode center --scales 36"), plain);
    assert_ne!(loss("--flip"), plain);
    let dense = report("--mode both --scales 32,40 --flip --confusion confusion.csv");
    assert_eq!(dense["networks"][0]["scales"], serde_json::json!([32, 40]));
    assert_eq!((&dense["mode"], &dense["flip"]), (&"both".into(), &true.into()));
    let counts = dense["confusion"].as_array().unwrap();
    let row = |i: usize| counts[i].as_array().unwrap().iter().map(|n| n.as_u64().unwrap());
    assert_eq!([row(0).sum::<u64>(), row(1).sum()], [5, 5]);
    let right = row(0).next().unwrap() + row(1).nth(1).unwrap();
    assert_near(dense["top1"].as_f64().unwrap(), right as f64 / 10.0);
    assert!(place.read("confusion.csv").starts_with("true class,green,red,accuracy\ngreen,"));

    // A network of grey images is shown grey ones.
    image_folder::ok(
        &place,
        "folder.toml -q --set data.channels=1 --set data.augment.color_shift=0 \
         --set data.normalize='given'",
    );
    let p = |runs: &str| {
        let one = "--mode dense --json -q --set data.test_limit=1";
        let done = image_folder::ok(&place, &format!("eval {runs} {one}"));
        let report: Value = serde_json::from_str(&done.stdout).unwrap();
        (-report["loss"].as_f64().unwrap()).exp()
    };
    let (colour, grey) = (p("runs/folder-1"), p("runs/folder-2"));
    assert_near(p("runs/folder-1 runs/folder-2"), (colour + grey) / 2.0);
}

#[test]
fn an_image_that_is_too_long_is_named() {
    let place = image_folder::place();
    let tall = image::RgbImage::new(2, 5000);
    tall.save(place.path("images/val/red/tall.png")).unwrap();
    image_folder::ok(&place, "folder.toml -q --set train.epochs=1");
    let tested = |mode: &str| {
        let arguments = format!("eval runs/folder-1 -q --mode {mode} --scales 64");
        let done = image_folder::run(&place, &arguments);
        format!("{}\n{}", done.code.unwrap(), done.stderr)
    };
    insta::assert_snapshot!(tested("dense"), @r"
    3
    error: cannot show all of val/red/tall.png at 160000×64
      caused by: images: 160000×64 is too large, a side has 65535 pixels at most
    help: images of lower --scales need less; or leave the image out, or cut it into parts
    ");
    assert_eq!(tested("both"), tested("dense"));
    assert_eq!(image_folder::run(&place, "eval runs/folder-1 -q --scales 64").code, Some(0));
}

#[test]
fn what_each_image_is_taken_for_is_written() {
    let place = image_folder::place();
    image_folder::ok(&place, "folder.toml -q");
    for options in ["", "--mode dense --flip"] {
        let arguments = format!("eval runs/folder-1 --json --predictions all.csv {options}");
        let report: Value =
            serde_json::from_str(&image_folder::ok(&place, &arguments).stdout).unwrap();
        let csv = place.read("all.csv");
        let (header, rows) = csv.split_once('\n').unwrap();
        assert_eq!(header, "image,file,true class,predicted class,probability,green,red");
        let rows: Vec<Vec<_>> = rows.lines().map(|row| row.split(',').collect()).collect();
        assert_eq!(rows[9][..3], ["9", "val/red/04.png", "red"]);
        let right = rows.iter().filter(|row| row[2] == row[3]).count();
        assert_near(report["top1"].as_f64().unwrap(), right as f64 / 10.0);
        let p = |text: &str| text.parse::<f32>().unwrap();
        for row in &rows {
            assert!((p(row[5]) + p(row[6]) - 1.0).abs() < 1e-6, "{row:?}");
            assert_eq!(p(row[4]), p(row[5]).max(p(row[6])));
        }
        let of = |class: &str| {
            rows.iter().filter(|row| row[2] == class).map(|row| p(row[6])).collect::<Vec<_>>()
        };
        let (red, green) = (of("red"), of("green"));
        let wins = red.iter().flat_map(|r| green.iter().map(move |g| (r >= g, r > g)));
        let wins: f64 = wins.map(|(a, b)| f64::from(u8::from(a) + u8::from(b)) / 50.0).sum();
        let classes = report["classes"].as_array().unwrap();
        assert_near(classes[1]["auc"].as_f64().unwrap(), wins);
        assert_eq!((&classes[1]["class"], &classes[1]["support"]), (&"red".into(), &5.into()));
        let confidences: f64 = rows.iter().map(|row| f64::from(p(row[4]))).sum();
        let bins = report["calibration"]["bins"].as_array().unwrap();
        let of_bin =
            |bin: &Value| Some(bin["images"].as_f64().unwrap() * bin["confidence"].as_f64()?);
        assert_near(bins.iter().filter_map(of_bin).sum(), confidences);
    }
    let twice = image_folder::run(&place, "eval runs/folder-1 -q --confusion a --predictions ./a");
    insta::assert_snapshot!(twice.stderr, @r"
    error: cannot write ./a: another result goes there
    help: name another file
    ");
}

#[test]
fn what_is_no_number_is_told_and_has_no_scores() {
    let place = two_runs();
    let checkpoint = place.path("runs/tiny-1/checkpoints/best.safetensors");
    let mut huge = vgg_model::Checkpoint::load_weights(&checkpoint).unwrap();
    let enlarged = |(name, tensor): (&str, &vgg_model::Tensor)| {
        let mut tensor = tensor.clone();
        tensor.data_mut().iter_mut().for_each(|weight| *weight = weight.signum() * 1e30);
        (name.to_owned(), tensor)
    };
    let vgg = vgg_model::Vgg::new(&huge.vgg).unwrap();
    let tensors: Vec<_> = huge.params.iter().map(enlarged).collect();
    huge.params = vgg_model::Params::new(&vgg, tensors).unwrap();
    huge.save(&checkpoint).unwrap();
    let done = place.ok("eval runs/tiny-1 --json --predictions all.csv");
    let told = "warning: 30 images have no probabilities: a logit is infinite or no number";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    for path in ["/loss", "/calibration/ece", "/calibration/bins/0/accuracy", "/macro/auc"] {
        assert_eq!(report.pointer(path), Some(&Value::Null), "{path}");
    }
    assert!(place.read("all.csv").lines().nth(1).unwrap().ends_with(",,,,,,,,,,,"));
    let plain = place.ok("eval runs/tiny-1 -q").stdout;
    assert!(!plain.contains("ECE") && !plain.contains("macro F1  NaN"), "{plain}");
    place.ok("eval runs/tiny-1 -q --mode multicrop --scales 40");
    let image = sample();
    let done = place.run(&format!("predict runs/tiny-1 {} --json", image.display()));
    assert_eq!(done.code, Some(7));
    let told = r#"{"error":"an output is infinite or no number""#;
    assert!(done.stdout.starts_with(told), "{}", done.stdout);
    let told = "error: the network has no prediction for 1 of 1 files";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}

#[test]
fn what_is_said_and_printed() {
    let place = two_runs();
    let done = place.ok("eval runs/tiny-1 runs/tiny-2 --mode both --scales 32,48 --flip");
    let said: Vec<_> = done.stderr.lines().filter(|line| line.contains("Evaluating")).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    Evaluating runs/tiny-1/checkpoints/best.safetensors on 30 images: dense and 5×5 crops at 32, 48, with mirror images
    Evaluating runs/tiny-2/checkpoints/best.safetensors on 30 images: dense and 5×5 crops at 32, 48, with mirror images
    ");
    let lines: Vec<_> = done.stdout.lines().take_while(|line| !line.is_empty()).collect();
    let words: Vec<_> = lines.iter().map(|line| line.split("  ").next().unwrap()).collect();
    let [images, accuracies] = [["test images", "loss"], ["top-1 accuracy", "top-5 accuracy"]];
    assert_eq!(words, [images, accuracies, ["macro F1", "ECE"]].as_flattened());
    insta::assert_snapshot!("eval-help", place.ok("eval --help").stdout);
}

#[test]
fn crops_that_are_equal_and_places_that_say_nothing_are_told() {
    let place = image_folder::place();
    let done = image_folder::ok(&place, "folder.toml");
    // Two classes: the true one is always among five.
    assert!(!done.stderr.contains("top-5"), "{}", done.stderr);
    let said = "help: the best epoch is the best on the test images, which flatters it: \
                data.hold_out keeps";
    assert_eq!(done.stderr.matches(said).count(), 1, "{}", done.stderr);
    let held_out = image_folder::ok(&place, "folder.toml --set data.hold_out=5");
    assert!(!held_out.stderr.contains("flatters"), "{}", held_out.stderr);
    assert!(held_out.stdout.contains("on the held-out images"), "{}", held_out.stdout);

    let eval = |scales: &str| {
        let arguments = format!("eval runs/folder-1 --mode multicrop --scales {scales}");
        let done = image_folder::ok(&place, &arguments);
        assert!(!done.stdout.contains("top-5"), "{}", done.stdout);
        done.stderr.matches("warning: at scale 32 the crops of 32×32 lie on each other").count()
    };
    assert_eq!([eval("32,40"), eval("40")], [1, 0]);
}

#[test]
fn what_cannot_be_evaluated_is_told() {
    let place = two_runs();
    insta::assert_snapshot!(failure(&place, "eval runs/tiny-1 --scales 48,31 -q"), @r"
    2
    error: the scale 31 is too small: runs/tiny-1/checkpoints/best.safetensors takes images of 32×32
    help: --scales can be from 32 on
    ");
    insta::assert_snapshot!(failure(&place, "eval runs/tiny-1 --mode dense --scales 99999 -q"), @r"
    2
    error: a short side of 99999, where 16384 is the largest
    ");
    insta::assert_snapshot!(failure(&place, "eval runs/tiny-1 --scales big"), @r"
    2
    error: invalid value 'big' for '--scales <SIDES>': invalid digit found in string

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(failure(&place, "eval runs/tiny-1 --mode sparse"), @r"
    2
    error: invalid value 'sparse' for '--mode <MODE>'
      [possible values: center, dense, multicrop, both]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(
        failure(&place, "eval runs/tiny-1 --mode dense --linear-weights f16 -q"), @r"
    2
    error: --linear-weights f16 is for --mode center and multicrop alone
    help: on whole images fully connected layers are convolutions, whose weights are f32
    ");
    insta::assert_snapshot!(failure(&place, "eval runs/tiny-1 runs/none"), @r"
    2
    error: there is no run runs/none
    help: a run's folder looks like runs/vgg11_small-1
    ");

    let checkpoint = place.path("runs/tiny-2/checkpoints/best.safetensors");
    let mut other = vgg_model::Checkpoint::load_weights(&checkpoint).unwrap();
    other.classes.swap(3, 4);
    other.save(&checkpoint).unwrap();
    insta::assert_snapshot!(failure(&place, "eval runs/tiny-1 runs/tiny-2 -q"), @r"
    7
    error: runs/tiny-2/checkpoints/best.safetensors has other classes than the images: class 3 is Coat, not Dress
    ");
}
