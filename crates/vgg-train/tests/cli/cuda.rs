//! The program on CUDA, whose libraries are simulated: training, resuming, and what may be missing.

use vgg_simulated_cuda::Libraries;

use super::{Done, Workplace, metrics_without_times};

/// The program with CUDA: all libraries, or all but some, and a GPU as the variables say.
fn run(place: &Workplace, missing: &[&str], gpu: &[(&str, &str)], arguments: &str) -> Done {
    let libraries = Libraries::without(missing).unwrap();
    let mut command = place.command(arguments);
    command.env("LD_LIBRARY_PATH", libraries.folder());
    command.envs(gpu.iter().map(|(name, value)| (format!("VGG_SIMULATED_{name}"), value)));
    Done::of(command.output().unwrap())
}

fn ok(place: &Workplace, arguments: &str) -> Done {
    let done = run(place, &[], &[], arguments);
    assert_eq!(done.code, Some(0), "{arguments}\n{}", done.stderr);
    done
}

/// The exit code and the message of a run that fails.
fn failure(missing: &[&str], gpu: &[(&str, &str)], arguments: &str) -> String {
    let place = Workplace::new();
    let done = run(&place, missing, gpu, arguments);
    let message = done.stderr.lines().skip_while(|line| !line.starts_with("error"));
    assert!(!place.path("runs").exists(), "a run that cannot start leaves no folder");
    format!("{}\n{}", done.code.unwrap(), message.collect::<Vec<_>>().join("\n"))
}

#[test]
fn training_is_as_on_the_cpu() {
    let place = Workplace::new();
    place.ok("tiny.toml --device cpu --out cpu");
    let done = ok(&place, "tiny.toml --device cuda --precision f32 --out cuda");
    assert!(done.stderr.contains("Device cuda:0, Simulated GPU, f32"), "{}", done.stderr);

    let files = |folder: &str| {
        let files = std::fs::read_dir(place.path(folder)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(files("cuda/tiny-1"), files("cpu/tiny-1"));
    let losses = |run: &str| -> Vec<f64> {
        let text = place.read(&format!("{run}/tiny-1/metrics.jsonl"));
        let records = metrics_without_times(&text);
        records.iter().filter_map(|record| record["train_loss"].as_f64()).collect()
    };
    let (cpu, cuda) = (losses("cpu"), losses("cuda"));
    assert_eq!(cpu.len(), cuda.len());
    for (cpu, cuda) in cpu.iter().zip(&cuda) {
        assert!((cpu - cuda).abs() <= 1e-5 * cpu, "{cpu} on the CPU, {cuda} on CUDA");
    }

    // Checkpoints are the same files.
    let accuracy = |run: &str, device: &str| {
        let json = ok(&place, &format!("eval {run}/tiny-1 --json --device {device}")).stdout;
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["top1"].as_f64().unwrap()
    };
    assert_eq!(accuracy("cuda", "cpu"), accuracy("cuda", "cuda"));
    assert_eq!(accuracy("cpu", "cpu"), accuracy("cpu", "cuda"));
}

#[test]
fn whole_images_and_crops_are_evaluated_as_on_the_cpu() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --device cpu --set train.epochs=1");
    let loss = |device: &str| {
        let options = "--mode both --scales 40 --flip --set data.test_limit=1 --precision f32";
        let json = ok(&place, &format!("eval runs/tiny-1 --json {options} --device {device}"));
        let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        report["loss"].as_f64().unwrap()
    };
    let (cpu, cuda) = (loss("cpu"), loss("cuda"));
    assert!((cpu - cuda).abs() <= 1e-5 * cpu, "{cpu} on the CPU, {cuda} on CUDA");
}

#[test]
fn an_interrupted_run_goes_on_to_the_bit() {
    for precision in ["f32", "bf16", "f16"] {
        let place = Workplace::new();
        // The simulated cuDNN, too, proposes algorithms first that add in another order each time.
        let same = "--set device.deterministic=true";
        let train = format!("tiny.toml --device cuda --precision {precision} {same}");
        ok(&place, &format!("{train} --out whole"));
        ok(&place, &format!("{train} --out parts --set train.epochs=1"));
        ok(&place, "resume parts/tiny-1 --set train.epochs=2");
        let weights =
            |run: &str| super::sha256(&place.path(run).join("tiny-1/checkpoints/last.safetensors"));
        assert_eq!(weights("whole"), weights("parts"), "{precision}");
    }
}

#[test]
fn auto_takes_the_gpu_if_all_is_there() {
    let place = Workplace::new();
    let device = |missing: &[&str], gpu: &[(&str, &str)]| {
        let done = run(&place, missing, gpu, "tiny.toml --device auto --set train.epochs=1");
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        done.stderr.lines().take(2).map(str::trim).collect::<Vec<_>>().join("; ")
    };
    assert!(device(&[], &[]).starts_with("Device cuda:0, Simulated GPU, tf32"));
    for (missing, gpu, reason) in [
        (&["libcuda"][..], &[][..], "no GPU: the NVIDIA driver (libcuda.so.1) is not available"),
        (&["libcudnn"], &[], "no GPU: cuDNN (libcudnn.so.9) is not available"),
        (&[], &[("DEVICES", "0")], "no GPU: an NVIDIA GPU is not available: the driver finds none"),
        (
            &[],
            &[("CAPABILITY", "7.0")],
            "is not available: its compute capability is 7.0, but 7.5 is needed",
        ),
        (
            &[],
            &[("DRIVER", "11080")],
            "no GPU: the NVIDIA driver for CUDA 12.0 or later is not available: CUDA 11.8 is here",
        ),
        (
            &[],
            &[("STARTS", "0")],
            "no GPU: CUDA (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH) is not available",
        ),
    ] {
        let said = device(missing, gpu);
        assert!(said.starts_with("Device cpu") && said.contains(reason), "{said}");
    }

    // Who uses what was trained is told, too.
    image::GrayImage::new(28, 28).save(place.path("black.png")).unwrap();
    for command in ["eval runs/tiny-1", "predict runs/tiny-1 black.png"] {
        let done = run(&place, &["libcudnn"], &[], &format!("{command} --device auto"));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let reason = "no GPU: cuDNN (libcudnn.so.9) is not available";
        assert!(done.stderr.contains(reason), "{command}: {}", done.stderr);
    }
}

#[test]
fn what_is_missing_is_named() {
    const TRAIN: &str = "tiny.toml --device cuda";
    insta::assert_snapshot!(failure(&["libcuda"], &[], TRAIN), @r#"
    4
    error: the NVIDIA driver (libcuda.so.1) is not available: install NVIDIA's driver, version 525 or later
    "#);
    insta::assert_snapshot!(failure(&["libcu"], &[], "tiny.toml --device gpu"), @r#"
    2
    error: invalid value 'gpu' for '--device <DEVICE>': it can be auto, cpu, cuda, cuda:N

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(failure(&["libcudnn"], &[], TRAIN), @r#"
    4
    error: cuDNN (libcudnn.so.9) is not available: install cuDNN 9 for CUDA 12: the package cudnn9-cuda-12 of NVIDIA's repositories, or `pip install nvidia-cudnn-cu12` with its folder nvidia/cudnn/lib in LD_LIBRARY_PATH
    "#);
    insta::assert_snapshot!(failure(&["libcublas"], &[], TRAIN), @r#"
    4
    error: cuBLAS (libcublas.so.12) is not available: install cuBLAS 12: the package libcublas-12-6 of NVIDIA's repositories, or `pip install nvidia-cublas-cu12` with its folder nvidia/cublas/lib in LD_LIBRARY_PATH
    "#);
    insta::assert_snapshot!(failure(&[], &[("DRIVER", "11080")], TRAIN), @r#"
    4
    error: the NVIDIA driver for CUDA 12.0 or later is not available: CUDA 11.8 is here; install NVIDIA's driver, version 525 or later
    "#);
    insta::assert_snapshot!(failure(&[], &[("CAPABILITY", "7.0")], TRAIN), @r#"
    4
    error: cuda:0 (Simulated GPU) is not available: its compute capability is 7.0, but 7.5 is needed
    "#);
    let bf16 = format!("{TRAIN} --precision bf16");
    insta::assert_snapshot!(failure(&[], &[("CAPABILITY", "7.5")], &bf16), @r#"
    4
    error: bf16 on cuda:0 (Simulated GPU) is not available: its compute capability is 7.5, but 8.0 is needed; use f16 or f32
    "#);
    insta::assert_snapshot!(failure(&[], &[("DEVICES", "0")], TRAIN), @r#"
    4
    error: an NVIDIA GPU is not available: the driver finds none; `nvidia-smi` lists them, and CUDA_VISIBLE_DEVICES hides some
    "#);
    insta::assert_snapshot!(failure(&[], &[("STARTS", "0")], TRAIN), @r#"
    4
    error: CUDA (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH) is not available: the driver does not start; find out whether `nvidia-smi` works here
    "#);
    insta::assert_snapshot!(failure(&[], &[], "tiny.toml --device cuda:1"), @r#"
    4
    error: cuda:1 is not available: there is cuda:0 (Simulated GPU)
    "#);
}

#[test]
fn memory_that_does_not_suffice_is_told_before_and_in_training() {
    const TRAIN: &str =
        "tiny.toml --device cuda --set data.train_limit=300 --set train.batch_size=256";
    let small = |bytes: &str| failure(&[], &[("MEMORY", bytes)], TRAIN);
    // What the backend itself needs is allocated before.
    insta::assert_snapshot!(small("36000000"), @r#"
    5
    error: training at batch size 256 needs 9.1 MiB of the device's memory, but 2.3 MiB are free
    help: --set train.batch_size=32 would fit
    "#);
    insta::assert_snapshot!(small("1000000"), @r#"
    5
    error: the device's memory does not suffice
      caused by: out of memory: 33554432 bytes could not be allocated
    help: another program takes its memory: `nvidia-smi` says which
    "#);
}

#[test]
fn doctor_tells_what_there_is() {
    let place = Workplace::new();
    let doctor = |missing: &[&str], gpu: &[(&str, &str)]| {
        let done = run(&place, missing, gpu, "doctor --data-dir data");
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let lines = done.stdout.lines().skip_while(|line| !line.starts_with("CUDA"));
        let lines = lines.take_while(|line| !line.starts_with("data"));
        lines.map(str::trim_end).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(doctor(&[], &[("DEVICES", "2"), ("CAPABILITY", "7.5")]), @r#"
    CUDA       the NVIDIA driver (libcuda.so.1): CUDA 12.4
               cuDNN (libcudnn.so.9): 9.1.0
               cuBLAS (libcublas.so.12): 12.4.5
    GPU        cuda:0: Simulated GPU, compute capability 7.5; f32, tf32, f16
               132 multiprocessors, 8.0 GiB of 8.0 GiB free
    GPU        cuda:1: Simulated GPU, compute capability 7.5; f32, tf32, f16
               132 multiprocessors, 8.0 GiB of 8.0 GiB free
    device     --device auto is cuda:0
    "#);
    insta::assert_snapshot!(doctor(&["libcublas"], &[]), @r#"
    CUDA       the NVIDIA driver (libcuda.so.1): CUDA 12.4
               cuDNN (libcudnn.so.9): 9.1.0
               cuBLAS (libcublas.so.12): missing
                 install cuBLAS 12: the package libcublas-12-6 of NVIDIA's repositories, or `pip install nvidia-cublas-cu12` with its folder nvidia/cublas/lib in LD_LIBRARY_PATH
    GPU        cuda:0: Simulated GPU, compute capability 9.0; f32, tf32, bf16, f16
               132 multiprocessors, 8.0 GiB of 8.0 GiB free
    device     --device auto is cpu (no GPU: cuBLAS (libcublas.so.12) is not available: install cuBLAS 12: the package libcublas-12-6 of NVIDIA's repositories, or `pip install nvidia-cublas-cu12` with its folder nvidia/cublas/lib in LD_LIBRARY_PATH)
    "#);
}

#[test]
fn another_library_under_a_name_is_not_taken_for_it() {
    let place = Workplace::new();
    // Any library will do, such as one that this test itself uses.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let used = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let other = used.into_iter().find(|path| path.contains("libc.so")).expect("libc is used");
    for name in ["libcuda.so", "libcudnn.so", "libcublas.so"] {
        std::os::unix::fs::symlink(other, place.path(name)).unwrap();
    }
    let run = |arguments: &str| {
        let mut command = place.command(arguments);
        Done::of(command.env("LD_LIBRARY_PATH", place.folder.path()).output().unwrap())
    };
    let doctor = run("doctor");
    assert_eq!(doctor.code, Some(0), "{}", doctor.stderr);
    assert_eq!(doctor.stdout.matches("): missing").count(), 3, "{}", doctor.stdout);
    let train = run("tiny.toml --device cuda");
    assert_eq!(train.code, Some(4), "{}", train.stderr);
    assert!(train.stderr.contains("the NVIDIA driver (libcuda.so.1) is not"), "{}", train.stderr);
}
