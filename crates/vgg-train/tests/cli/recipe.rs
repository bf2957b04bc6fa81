//! How gradients come about and what they do: the keys of the loss and the optimiser.

use super::{Workplace, failure};

#[test]
fn classes_have_weights_in_the_loss() {
    let place = Workplace::new();
    let weights = "--set train.class_weights=balanced";
    let done = place.ok(&format!("tiny.toml --set train.epochs=1 {weights}"));
    assert!(done.stderr.contains("classes count from 0."), "{}", done.stderr);
    place.ok("resume runs/tiny-1 -q --set train.epochs=2");
    place.ok(&format!("tiny.toml -q {weights} --set train.accumulate=1"));
    place.ok("tiny.toml -q");
    let weights = |run: u32| {
        std::fs::read(place.path(&format!("runs/tiny-{run}/checkpoints/last.safetensors"))).unwrap()
    };
    assert!(weights(1) == weights(2), "it goes on to the bit");
    assert!(weights(1) != weights(3), "it is another loss");
}

#[test]
fn weights_that_are_none_are_refused() {
    let place = Workplace::new();
    let refused = |value: &str, said: &str| {
        let done = failure(&place, &format!("tiny.toml --set train.class_weights={value}"));
        assert!(done.starts_with("2\n") && done.contains(said), "{done}");
    };
    refused("[1,2]", "class_weights = 2, but it must be 10, one a class");
    refused("[1,0]", "train.class_weights must be a number above 0, not 0");
    refused("equal", "unknown value \"equal\"");
    refused("2", "expected \"balanced\" or a list of numbers, found the number 2");
    refused(
        "balanced --set data.sampler=balanced",
        "train.class_weights evens out what data.sampler has evened out already",
    );
}
