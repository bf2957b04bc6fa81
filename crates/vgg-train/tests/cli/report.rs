//! Pages of runs.

use std::fs;

use image::{Rgb, RgbImage};
use serde_json::Value;

use super::{Workplace, failure};

/// The numbers in a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Checks that a page asks nobody for anything, and has no scripts but its data and its own.
fn is_alone(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert_eq!(page.matches("<script").count(), 2);
    for address in page.split("http").skip(1) {
        let known = ["-equiv=", "://www.w3.org/2000/svg"];
        let is_known = known.iter().any(|known| address.starts_with(known));
        assert!(is_known, "http{}", address.chars().take(60).collect::<String>());
    }
}

#[test]
fn training_leaves_a_page() {
    let place = Workplace::new();
    let done = place.ok("tiny.toml");
    assert!(done.stderr.contains("Report runs/tiny-1/report.html"), "{}", done.stderr);
    let page = place.read("runs/tiny-1/report.html");
    is_alone(&page);
    for section in
        ["curves", "confusion", "classes", "mistakes", "calibration", "dataset", "network"]
    {
        assert!(page.contains(&format!(r#"<h2 id="{section}">"#)), "{section}");
    }
    assert!(page.contains("Filters of the first convolution"));
    let written = data(&page);
    assert_eq!(written["epochs"].as_array().unwrap().len(), 2);
    assert_eq!(written["processes"][0]["step"], 0);
    // The same numbers as those of `eval`.
    let evaluated: Value =
        serde_json::from_str(&place.ok("eval runs/tiny-1 --json").stdout).unwrap();
    for (key, value) in evaluated.as_object().unwrap() {
        if !["checkpoint", "linear_weights"].contains(&&**key) {
            assert_eq!(&written["tested"][key], value, "{key}");
        }
    }
    // Made again, it is the same but for how fast it was told to be.
    fs::remove_file(place.path("runs/tiny-1/report.html")).unwrap();
    let again = place.ok("report runs/tiny-1");
    assert_eq!(again.stdout, "runs/tiny-1/report.html\n");
    assert!(!again.stderr.contains("Evaluated"), "{}", again.stderr);
    assert_eq!(data(&place.read("runs/tiny-1/report.html")), written);

    // Where the test is not at hand, or not to be trusted, the network is tested again.
    let predictions = place.path("runs/tiny-1/predictions.safetensors");
    let mut bytes = fs::read(&predictions).unwrap();
    let last_logit = bytes.len()
        - 4 * usize::try_from(written["tested"]["images"].as_u64().unwrap()).unwrap()
        - 1;
    bytes[last_logit] ^= 1;
    fs::write(&predictions, bytes).unwrap();
    let told = place.ok("report runs/tiny-1").stderr;
    assert!(told.contains("Evaluated"), "{told}");
    assert_eq!(data(&place.read("runs/tiny-1/report.html")), written);
    fs::write(&predictions, "{}").unwrap();
    let told = place.ok("report runs/tiny-1").stderr;
    assert!(told.contains("is damaged") && told.contains("the network is tested again"), "{told}");
    fs::remove_file(&predictions).unwrap();
    assert!(place.ok("report runs/tiny-1").stderr.contains("Evaluated"));

    place.ok("tiny.toml -q --set report.page=false");
    assert!(!place.path("runs/tiny-2/report.html").exists());
    assert!(!place.path("runs/tiny-2/mistakes.png").exists());
}

#[test]
fn the_first_batch_is_that_of_the_first_step() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let first = data(&place.read("runs/tiny-1/report.html"))["batch"].clone();
    assert_eq!(first.as_array().unwrap().len(), 16);
    place.ok("tiny.toml -q --set train.epochs=1 --set train.seed=1");
    let other = data(&place.read("runs/tiny-2/report.html"))["batch"].clone();
    assert_ne!(first, other);
}

#[test]
fn names_are_text() {
    let place = Workplace::new();
    let names =
        ["<script>alert(1)</script>".replace('/', "∕"), "\"' onload='x".into(), "قطة 🦊".into()];
    for part in ["train", "val"] {
        for (number, name) in names.iter().enumerate() {
            let folder = place.path("images").join(part).join(name);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..3 {
                let image = RgbImage::from_pixel(40, 32, Rgb([80 * number as u8, 50 * i, 9]));
                image.save(folder.join(format!("<b>{i}.png"))).unwrap();
            }
        }
    }
    let folder = "--set data.dataset=image-folder --set data.folder=images --set data.channels=3";
    place.ok(&format!("tiny.toml {folder}"));
    let page = place.read("runs/tiny-1/report.html");
    is_alone(&page);
    assert!(!page.contains("<b>0") && !page.contains("<script>alert"));
    let classes = data(&page)["tested"]["classes"].clone();
    let told: Vec<&str> =
        classes.as_array().unwrap().iter().map(|class| class["class"].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| told.contains(&&**name)), "{told:?}");

    // Without its images the page has the rest.
    fs::rename(place.path("images"), place.path("elsewhere")).unwrap();
    let told = place.ok("report runs/tiny-1 -q --output page.html").stderr;
    assert!(told.starts_with("warning: the report is without the data set: "), "{told}");
    let page = place.read("page.html");
    assert!(page.contains("Without the data set: "), "{page}");
    assert_eq!(data(&page)["tested"]["images"], 9);
    assert_eq!(data(&page)["tested"]["mistakes"], Value::Array(vec![]));
    assert_eq!(data(&page)["epochs"].as_array().unwrap().len(), 2);
}

#[test]
fn runs_are_compared() {
    let place = Workplace::new();
    for lr in ["0.01", "0.02"] {
        place.ok(&format!("tiny.toml -q --set report.page=false --set optimizer.lr={lr}"));
    }
    let done = place.ok("report runs/tiny-1 runs/tiny-2");
    assert_eq!(done.stdout, "report.html\n");
    let page = place.read("report.html");
    is_alone(&page);
    assert_eq!(data(&page)["runs"].as_array().unwrap().len(), 2);
    // Only the keys that differ.
    let (_, differences) = page.split_once(r#"<h2 id="differences">"#).unwrap();
    let (differences, _) = differences.split_once("</section>").unwrap();
    assert!(differences.contains("<code>optimizer.lr</code>"), "{differences}");
    assert_eq!(differences.matches("<tr>").count(), 1 + 1, "{differences}");
}

#[test]
fn what_cannot_be_reported_is_told() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let said = failure(&place, "report runs/tiny-2");
    assert!(
        said.starts_with("2\nerror: there is no run runs/tiny-2\nhelp: did you mean"),
        "{said}"
    );
    let said = failure(&place, "report runs/tiny-1 --output runs/tiny-1/config.toml");
    assert!(
        said.starts_with("2\nerror: cannot write runs/tiny-1/config.toml: it is a file of"),
        "{said}"
    );
    fs::remove_dir_all(place.path("runs/tiny-1/checkpoints")).unwrap();
    place.ok("report runs/tiny-1");
    let page = place.read("runs/tiny-1/report.html");
    assert!(page.contains("Without where the network looks: "), "{page}");
    assert!(page.contains(r#"<h2 id="mistakes">"#), "the test is known nevertheless");
}

/// As `runs` and `resume` do, it takes the epochs that the records lack from the table.
#[test]
fn a_page_of_damaged_records_has_all_epochs() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=3");
    let records = place.read("runs/tiny-1/metrics.jsonl");
    let accuracies = |page: &str| -> Vec<Value> {
        let epochs = data(page)["epochs"].as_array().cloned().unwrap();
        epochs.into_iter().map(|epoch| epoch["test_accuracy"].clone()).collect()
    };
    place.ok("report runs/tiny-1 --output whole.html");
    let whole = accuracies(&place.read("whole.html"));
    assert_eq!(whole.len(), 3);
    for damaged in [&records[..records.len() / 2], "no record"] {
        fs::write(place.path("runs/tiny-1/metrics.jsonl"), damaged).unwrap();
        place.ok("report runs/tiny-1 --output page.html");
        assert_eq!(accuracies(&place.read("page.html")), whole);
    }
}
