//! Several ranks train one network, each on a simulated GPU of its own.

use vgg_simulated_cuda::Libraries;

use super::cuda::{failure_on, run};
use super::ranks::{MOMENTUM, SHARDS, assert_same_runs};
use super::{Done, Workplace};

/// A batch of 16 images, and one of three: fewer than there are shards.
const SHORT: &str = "--set train.epochs=1 --set data.train_limit=19 --set data.test_limit=9";

const GPUS: [(&str, &str); 1] = [("DEVICES", "4")];

fn ok(place: &Workplace, arguments: &str) -> Done {
    let done = run(place, &[], &GPUS, arguments);
    assert_eq!(done.code, Some(0), "{arguments}\n{}", done.stderr);
    done
}

/// In `f16`, whose loss scale they share, too.
#[test]
fn ranks_on_gpus_come_to_what_one_comes_to() {
    let place = Workplace::new();
    let settings = format!("{SHARDS} {MOMENTUM} {SHORT} --device auto --precision f16");
    ok(&place, &format!("tiny.toml -q {settings}"));
    let done = ok(&place, &format!("tiny.toml {settings} --ranks 4"));
    assert!(done.stderr.contains("Ranks 4 ranks in one process"), "{}", done.stderr);
    let way = "gradients go from GPU to GPU, by NCCL 2.18.3";
    assert!(done.stderr.contains(way), "{}", done.stderr);
    assert_same_runs(&place, "tiny-1", "tiny-2");
    let done = run(&place, &["libnccl"], &GPUS, &format!("tiny.toml {settings} --ranks 2"));
    let way = "NCCL is not installed: gradients go through the host";
    assert!(done.stderr.contains(way), "{}", done.stderr);
    assert_same_runs(&place, "tiny-1", "tiny-3");
    // What they come to is the same in every run.
    assert!(place.read("runs/tiny-2/config.toml").contains("deterministic = true"));
}

#[test]
fn each_rank_needs_a_gpu_of_its_own() {
    let three = "tiny.toml --device cuda --set train.shards=4 --ranks 3";
    insta::assert_snapshot!(failure_on(&[("DEVICES", "2")], three), @r"
    4
    error: 3 ranks need a GPU each, but there are 2
    help: take as many ranks as there are GPUs; --set device.kind=cpu has them share the CPU
    ");
    let beyond = "tiny.toml --device cuda:1 --set train.shards=4 --ranks 2";
    insta::assert_snapshot!(failure_on(&[("DEVICES", "2")], beyond), @r"
    4
    error: 2 ranks need a GPU each, but there are 1
    help: take as many ranks as there are GPUs; --set device.kind=cpu has them share the CPU
    ");
    let measured = "tiny.toml --device cuda --set device.autotune=true --set train.shards=2";
    insta::assert_snapshot!(failure_on(&[], measured), @r"
    2
    error: --set device.autotune=true: device.autotune chooses by time, which differs from rank to rank: with train.shards all must compute alike
    ");
}

/// Which GPU is whose they find out together: all see both.
#[test]
#[cfg(target_os = "linux")]
fn processes_take_a_gpu_each() {
    let Some(mpi) = super::processes::launchers::found().into_iter().next() else { return };
    let place = Workplace::new();
    let settings = format!("{SHARDS} {SHORT} --device cuda");
    ok(&place, &format!("tiny.toml -q {settings}"));
    // The simulated NCCL joins threads alone.
    let libraries = Libraries::without(&["libnccl"]).unwrap();
    let launched = |gpus: &str| {
        let mut command = place.launch(&mpi, 2, &format!("tiny.toml {settings}"));
        command.env("LD_LIBRARY_PATH", libraries.folder()).env("VGG_SIMULATED_DEVICES", gpus);
        Done::of(command.output().unwrap())
    };
    let done = launched("2");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("Device cuda:0, Simulated GPU"), "{}", done.stderr);
    assert!(done.stderr.contains("gradients go through the host"), "{}", done.stderr);
    assert_same_runs(&place, "tiny-1", "tiny-2");
    let done = launched("1");
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("2 ranks need a GPU each, but there are 1"), "{}", done.stderr);
    assert!(!place.path("runs/tiny-3").exists());
}
