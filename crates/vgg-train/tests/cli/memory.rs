//! Memory and threads that do not suffice.

use super::{Done, Workplace};

/// A stack that no machine has room for: threads cannot be started.
const NO_THREADS: (&str, &str) = ("RUST_MIN_STACK", "1125899906842624");

/// Runs the program with an address space of so many KiB.
#[cfg(target_os = "linux")]
fn limited(place: &Workplace, kib: u32, arguments: &str) -> Done {
    Done::of(place.command_after(&format!("ulimit -v {kib}"), arguments).output().unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_space_limit_is_respected() {
    let place = Workplace::new();
    let done = limited(&place, 400_000, "tiny.toml --set model.width=1 --set model.fc_width=4096");
    assert_eq!(done.code, Some(5), "{}", done.stderr);
    assert!(done.stderr.contains("error: training at batch size 16 needs "), "{}", done.stderr);
    assert!(!place.path("runs").exists());
}

/// Wherever it is that memory ends.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_runs_out_has_a_code() {
    for kib in [48_000, 52_000, 56_000, 60_000, 75_000, 120_000] {
        let place = Workplace::new();
        let done = limited(&place, kib, "tiny.toml --set device.threads=1 --set train.epochs=1");
        assert!(matches!(done.code, Some(0 | 4 | 5)), "{kib} KiB: {:?} {}", done.code, done.stderr);
        assert!(!done.stderr.contains("panicked"), "{kib} KiB: {}", done.stderr);
    }
}

/// The images take 360 MB.
#[test]
#[cfg(target_os = "linux")]
fn many_large_images_pass_one_after_the_other() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    image::RgbImage::from_pixel(2000, 1500, image::Rgb([9, 90, 200]))
        .save(place.path("large.png"))
        .unwrap();
    let files = "large.png ".repeat(40);
    for command in [
        format!("predict runs/tiny-1 {files} --top 1"),
        format!("extract runs/tiny-1 {files} --output out.npy"),
    ] {
        let done = limited(&place, 350_000, &format!("{command} -q --set device.threads=1"));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
}

#[test]
fn threads_that_cannot_be_started_are_told() {
    let place = Workplace::new();
    let done =
        Done::of(place.command("tiny.toml").env(NO_THREADS.0, NO_THREADS.1).output().unwrap());
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("threads is not available: "), "{}", done.stderr);
    assert!(done.stderr.contains("a limit on processes or memory"), "{}", done.stderr);
}
