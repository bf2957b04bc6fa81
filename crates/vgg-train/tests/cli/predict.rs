//! Using what was trained.

use serde_json::Value;
use vgg_data::fashion_mnist::Split;

use super::Workplace;

/// A trained tiny run, and the first test images as files.
fn trained() -> Workplace {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let data = vgg_data::sample::load(Split::Test).unwrap();
    for i in 0..3 {
        let image = image::GrayImage::from_raw(28, 28, data.image(i).to_vec()).unwrap();
        image.save(place.path(&format!("{i}.png"))).unwrap();
    }
    // A photo of another size, in colour.
    let photo = image::RgbImage::from_fn(90, 60, |x, y| image::Rgb([x as u8, y as u8, 200]));
    photo.save(place.path("photo.jpg")).unwrap();
    place
}

fn json(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn image_files_of_any_size_are_classified() {
    let place = trained();
    let done = place.ok("predict runs/tiny-1 0.png photo.jpg 1.png --top 10 --json");
    assert_eq!(done.stderr, "");
    let predictions = json(&done.stdout);
    let files: Vec<_> = predictions.iter().map(|p| p["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["0.png", "photo.jpg", "1.png"]);
    for prediction in &predictions {
        let classes = prediction["predictions"].as_array().unwrap();
        let probabilities: Vec<f64> =
            classes.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
        assert_eq!(probabilities.len(), 10);
        assert!(probabilities.is_sorted_by(|a, b| a >= b));
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    }
    // Neither its company nor its order changes what an image is.
    let alone = json(&place.ok("predict runs/tiny-1 1.png --top 10 --json").stdout);
    assert_eq!(alone[0], predictions[2]);

    let text = place.ok("predict runs/tiny-1/checkpoints/best.safetensors 0.png").stdout;
    assert_eq!(text.lines().count(), 1 + 5, "{text}");
    assert!(text.starts_with("0.png\n") && text.contains(" %  "), "{text}");
}

#[test]
fn files_that_are_not_images() {
    let place = trained();
    std::fs::write(place.path("notes.txt"), "shirts, shoes\n").unwrap();
    for file in ["notes.txt", "tiny.toml", "nowhere.png"] {
        let done = place.run(&format!("predict runs/tiny-1 0.png {file}"));
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        assert!(done.stderr.contains("error: cannot read an image"), "{}", done.stderr);
        assert!(done.stderr.contains(file), "{}", done.stderr);
        assert_eq!(done.stdout, "", "nothing before all files are known to be images");
    }
}

#[test]
fn evaluation_agrees_with_training() {
    let place = trained();
    let rows = place.read("runs/tiny-1/metrics.csv");
    let last: Vec<f64> =
        rows.lines().last().unwrap().split(',').map(|value| value.parse().unwrap()).collect();
    let report = json(&place.ok("eval runs/tiny-1 --checkpoint last --json").stdout).remove(0);
    assert_eq!(report["images"], 30);
    assert_eq!(report["loss"].as_f64().unwrap(), last[4]);
    assert_eq!(report["top1"].as_f64().unwrap(), last[5]);
    assert_eq!(report["top5"].as_f64().unwrap(), last[6]);
    let text = place.ok("eval runs/tiny-1").stdout;
    assert!(text.contains("top-1") && text.contains("Ankle boot"), "{text}");
}
