//! The program on CUDA, whose libraries are simulated: training, resuming, and what may be missing.

use vgg_simulated_cuda::Libraries;

use super::resume::{ADAMW, MOMENTUM};
use super::{Done, Workplace, metrics_without_times};

/// Variables by which libraries are found.
const PLACES: [&str; 7] = [
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "PYENV_VERSION",
    "CUDA_HOME",
    "CUDA_PATH",
];

/// The program where libraries are found by these variables alone, and a GPU as the others say.
fn run_with(
    place: &Workplace,
    variables: &[(&str, &str)],
    gpu: &[(&str, &str)],
    arguments: &str,
) -> Done {
    let mut command = place.command(arguments);
    for name in PLACES {
        command.env_remove(name);
    }
    command.env("PATH", "").env("HOME", place.folder.path());
    command.envs(variables.iter().copied());
    command.envs(gpu.iter().map(|(name, value)| (format!("VGG_SIMULATED_{name}"), value)));
    Done::of(command.output().unwrap())
}

/// The program with CUDA: all libraries, or all but some, and a GPU as the variables say.
pub(super) fn run(
    place: &Workplace,
    missing: &[&str],
    gpu: &[(&str, &str)],
    arguments: &str,
) -> Done {
    let libraries = Libraries::without(missing).unwrap();
    let folder = libraries.folder().to_str().unwrap();
    run_with(place, &[("LD_LIBRARY_PATH", folder)], gpu, arguments)
}

fn ok(place: &Workplace, arguments: &str) -> Done {
    let done = run(place, &[], &[], arguments);
    assert_eq!(done.code, Some(0), "{arguments}\n{}", done.stderr);
    done
}

/// A text without the path of the simulated library and of temporary folders.
fn without_paths(text: &str) -> String {
    let library = std::fs::canonicalize(Libraries::file().unwrap()).unwrap();
    let text = text.replace(library.to_str().unwrap(), "SIMULATED");
    let temporary = format!("{}/", std::env::temp_dir().display());
    let mut parts = text.split(&temporary);
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + "TMP" + &part[part.find('/').unwrap_or(0)..])
}

/// The exit code and the message of a run that fails on such a GPU.
pub(super) fn failure_on(gpu: &[(&str, &str)], arguments: &str) -> String {
    failure(&[], gpu, arguments)
}

/// The same, where some libraries are missing.
fn failure(missing: &[&str], gpu: &[(&str, &str)], arguments: &str) -> String {
    let place = Workplace::new();
    let done = run(&place, missing, gpu, arguments);
    let message = done.stderr.lines().skip_while(|line| !line.starts_with("error"));
    assert!(!place.path("runs").exists(), "a run that cannot start leaves no folder");
    let message = message.collect::<Vec<_>>().join("\n");
    format!("{}\n{}", done.code.unwrap(), without_paths(&message))
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
    // The page, too, with where the network looks.
    let page = place.read("cuda/tiny-1/report.html");
    assert!(page.contains("Trained on cuda:0, Simulated GPU"), "{page}");
    let looks = |page: &str| page.matches(r#"<figure class="explained""#).count();
    assert_eq!(looks(&page), looks(&place.read("cpu/tiny-1/report.html")));
    assert!(looks(&page) > 0);
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
fn boxes_are_regressed_as_on_the_cpu() {
    let place = super::localisation::place();
    let losses = |device: &str, out: &str| -> Vec<f64> {
        ok(&place, &format!("tiny.toml -q --set train.epochs=1 --device {device} --out {out}"));
        let text = place.read(&format!("{out}/tiny-1/metrics.jsonl"));
        let records = metrics_without_times(&text);
        records.iter().filter_map(|record| record["train_loss"].as_f64()).collect()
    };
    let cpu = losses("cpu", "cpu");
    for (precision, tolerance) in [("f32", 1e-5), ("bf16", 0.05), ("f16", 0.05)] {
        let cuda = losses(&format!("cuda --precision {precision}"), precision);
        assert_eq!(cpu.len(), cuda.len());
        for (cpu, cuda) in cpu.iter().zip(&cuda) {
            assert!((cpu - cuda).abs() <= tolerance * cpu, "{precision}: {cpu} and {cuda}");
        }
    }
    let error = |device: &str| {
        let json = ok(&place, &format!("eval f32/tiny-1 --mode dense --json --device {device}"));
        serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap()["top1"]["mean_iou"]
            .as_f64()
            .unwrap()
    };
    let (cpu, cuda) = (error("cpu"), error("cuda --precision f32"));
    assert!((cpu - cuda).abs() < 1e-3, "{cpu} and {cuda}");
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

/// In `f16` the scale of the loss is found while the rate is still too low to matter.
#[test]
fn a_rate_is_looked_for_as_on_the_cpu() {
    let place = Workplace::new();
    let losses = |device: &str| -> Vec<f64> {
        let arguments = format!("find-lr tiny.toml --steps 20 --json --device {device}");
        let found: serde_json::Value =
            serde_json::from_str(&ok(&place, &arguments).stdout).unwrap();
        let steps = found["steps"].as_array().unwrap().iter();
        steps.map(|step| step["loss"].as_f64().unwrap()).collect()
    };
    let cpu = losses("cpu");
    for (precision, tolerance) in [("f32", 1e-4), ("f16", 0.02)] {
        let cuda = losses(&format!("cuda --precision {precision}"));
        // Before the rate is so high that a small difference becomes a large one.
        for (cpu, cuda) in cpu.iter().zip(&cuda).take(8) {
            assert!((cpu - cuda).abs() <= tolerance * cpu, "{precision}: {cpu}, {cuda}");
        }
    }
}

#[test]
fn an_interrupted_run_goes_on_to_the_bit() {
    for (precision, recipe) in [("f32", MOMENTUM), ("bf16", ADAMW), ("f16", "")] {
        let place = Workplace::new();
        // The simulated cuDNN, too, proposes algorithms first that add in another order each time.
        let same = "--set device.deterministic=true";
        let train = format!("tiny.toml --device cuda --precision {precision} {same} {recipe}");
        ok(&place, &format!("{train} --out whole"));
        ok(&place, &format!("{train} --out parts --set train.epochs=1"));
        ok(&place, "resume parts/tiny-1 --set train.epochs=2");
        let weights =
            |run: &str| super::sha256(&place.path(run).join("tiny-1/checkpoints/last.safetensors"));
        assert_eq!(weights("whole"), weights("parts"), "{precision} {recipe}");
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
    error: cuDNN (libcudnn.so.9) is not available: TMP/libcudnn.so.9: file too short; install cuDNN 9 for CUDA 12: `pip install nvidia-cudnn-cu12` in the Python environment that is active, or the package cudnn9-cuda-12 of NVIDIA's repositories
    "#);
    insta::assert_snapshot!(failure(&["libcublas"], &[], TRAIN), @r#"
    4
    error: cuBLAS (libcublas.so.12) is not available: TMP/libcublas.so.12: file too short; install cuBLAS 12: `pip install nvidia-cublas-cu12` in the Python environment that is active, or the package libcublas-12-6 of NVIDIA's repositories
    "#);
    insta::assert_snapshot!(failure(&[], &[("DRIVER", "11080")], TRAIN), @r#"
    4
    error: the NVIDIA driver for CUDA 12.0 or later is not available: CUDA 11.8 is here, SIMULATED; install NVIDIA's driver, version 525 or later
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
    error: training at batch size 256 needs 8.4 MiB of the device's memory, but 2.3 MiB are free
    help: --set train.accumulate=5 would fit
    "#);
    insta::assert_snapshot!(small("1000000"), @r#"
    5
    error: the device's memory does not suffice
      caused by: out of memory: 33554432 bytes could not be allocated
    help: another program takes its memory: `nvidia-smi` says which
    "#);
}

/// cuDNN takes maps of less than 2³¹ numbers: here, 7 × 8 × 6000 × 6000.
#[test]
fn maps_that_are_too_large_for_cudnn_are_told_before() {
    const LARGE: &str = "tiny.toml --device cuda --set model.arch=vgg13 --set model.width=0.125 \
                         --set model.image_size=6000 --set train.batch_size=16";
    let memory = [("MEMORY", "9000000000000")];
    insta::assert_snapshot!(failure(&[], &memory, LARGE), @r#"
    5
    error: batch size 16 is too large for cuda:0, Simulated GPU, tf32
      caused by: an operation on 4608000000 numbers is not available: cuDNN takes 2147483647 at most
    help: --set train.accumulate=3 would fit
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
        let text = lines.map(str::trim_end).collect::<Vec<_>>().join("\n");
        without_paths(&text)
    };
    insta::assert_snapshot!(doctor(&[], &[("DEVICES", "2"), ("CAPABILITY", "7.5")]), @r#"
    CUDA       the NVIDIA driver (libcuda.so.1): CUDA 12.4, SIMULATED
               cuDNN (libcudnn.so.9): 9.1.0 for CUDA 12, SIMULATED
               cuBLAS (libcublas.so.12): 12.4.5, SIMULATED
               NCCL (libnccl.so.2): 2.18.3, SIMULATED
    GPU        cuda:0: Simulated GPU, compute capability 7.5; f32, tf32, f16
               132 multiprocessors, 8.0 GiB of 8.0 GiB free
    GPU        cuda:1: Simulated GPU, compute capability 7.5; f32, tf32, f16
               132 multiprocessors, 8.0 GiB of 8.0 GiB free
    device     --device auto is cuda:0
    "#);
    insta::assert_snapshot!(doctor(&["libcublas"], &[]), @r#"
    CUDA       the NVIDIA driver (libcuda.so.1): CUDA 12.4, SIMULATED
               cuDNN (libcudnn.so.9): 9.1.0 for CUDA 12, SIMULATED
               cuBLAS (libcublas.so.12): missing
                 TMP/libcublas.so.12: file too short; install cuBLAS 12: `pip install nvidia-cublas-cu12` in the Python environment that is active, or the package libcublas-12-6 of NVIDIA's repositories
    GPU        cuda:0: Simulated GPU, compute capability 9.0; f32, tf32, bf16, f16
               132 multiprocessors, 8.0 GiB of 8.0 GiB free
    device     --device auto is cpu (no GPU: cuBLAS (libcublas.so.12) is not available: TMP/libcublas.so.12: file too short; install cuBLAS 12: `pip install nvidia-cublas-cu12` in the Python environment that is active, or the package libcublas-12-6 of NVIDIA's repositories)
    "#);
}

#[test]
fn another_library_under_a_name_is_not_taken_for_it() {
    let place = Workplace::new();
    // Any library will do, such as one that this test itself uses.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let used = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let other = used.into_iter().find(|path| path.contains("libc.so")).expect("libc is used");
    for name in ["libcuda.so", "libcudnn.so.9", "libcublas.so.12", "libcublas.so.13"] {
        std::os::unix::fs::symlink(other, place.path(name)).unwrap();
    }
    let folder = place.folder.path().to_str().unwrap();
    let run = |arguments: &str| run_with(&place, &[("LD_LIBRARY_PATH", folder)], &[], arguments);
    let doctor = run("doctor");
    assert_eq!(doctor.code, Some(0), "{}", doctor.stderr);
    assert_eq!(doctor.stdout.matches("): missing").count(), 3, "{}", doctor.stdout);
    let train = run("tiny.toml --device cuda");
    assert_eq!(train.code, Some(4), "{}", train.stderr);
    assert!(train.stderr.contains("the NVIDIA driver (libcuda.so.1) is not"), "{}", train.stderr);
}

/// Puts the simulated libraries into a folder, as links to one file or as copies.
fn install(place: &Workplace, folder: &str, files: &[&str], copies: bool) {
    let folder = place.path(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let library = Libraries::file().unwrap();
    for file in files {
        match copies {
            true => drop(std::fs::copy(&library, folder.join(file)).unwrap()),
            false => std::os::unix::fs::symlink(&library, folder.join(file)).unwrap(),
        }
    }
}

/// What `doctor` says of the libraries: one line each, with paths from the workplace on.
fn found(place: &Workplace, variables: &[(&str, &str)], gpu: &[(&str, &str)]) -> String {
    let done = run_with(place, variables, gpu, "doctor --data-dir data");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let lines = done.stdout.lines().skip_while(|line| !line.starts_with("CUDA")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("GPU"));
    let text = lines.map(str::trim).collect::<Vec<_>>().join("\n");
    let real = std::fs::canonicalize(place.folder.path()).unwrap();
    text.replace(&format!("{}/", real.display()), "")
}

const CUDNN: &str = "libcudnn.so.9";
const SITE: &str = "lib/python3.12/site-packages";

/// Without `LD_LIBRARY_PATH`, but for the driver.
#[test]
fn cuda_12_and_13_are_found_where_they_are_installed() {
    for (cuda, cublas, folder) in [
        ("12", "libcublas.so.12", "nvidia/cublas/lib"),
        ("13", "libcublas.so.13", "nvidia/cu13/lib"),
    ] {
        let place = Workplace::new();
        install(&place, "driver", &["libcuda.so.1"], false);
        for prefix in ["venv", "python", "user", "conda"] {
            install(&place, &format!("{prefix}/{SITE}/nvidia/cudnn/lib"), &[CUDNN], false);
            install(&place, &format!("{prefix}/{SITE}/{folder}"), &[cublas], false);
        }
        install(&place, "python/bin", &["python3"], false);
        install(&place, "env/lib", &[CUDNN, cublas], false);
        install(&place, "toolkit/lib64", &[CUDNN, cublas], false);
        let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
        for (variable, value) in [
            ("VIRTUAL_ENV", path("venv")),
            ("PATH", path("python/bin")),
            ("PYTHONUSERBASE", path("user")),
            ("PYTHONPATH", path(&format!("venv/{SITE}"))),
            ("CONDA_PREFIX", path("conda")),
            ("CONDA_PREFIX", path("env")),
            ("CUDA_HOME", path("toolkit")),
        ] {
            let driver = path("driver");
            let variables = [("LD_LIBRARY_PATH", &*driver), (variable, &value)];
            let gpu = [("TOOLKIT", cuda), ("DRIVER", "13000")];
            let said = found(&place, &variables, &gpu);
            let expected = format!("cuDNN ({CUDNN}): 9.1.0 for CUDA {cuda}");
            assert!(said.starts_with(&expected), "{variable}={value}: {said}");
            assert!(said.contains(&format!("cuBLAS ({cublas}): {cuda}.4.5")), "{variable}: {said}");
            if variable != "VIRTUAL_ENV" {
                continue; // one will do to show that it works
            }
            let done =
                run_with(&place, &variables, &gpu, "tiny.toml --device cuda --set train.epochs=1");
            assert_eq!(done.code, Some(0), "{variable}: {}", done.stderr);
        }
    }
}

#[test]
fn two_versions_of_cuda_are_not_mixed() {
    let place = Workplace::new();
    install(&place, "driver", &["libcuda.so.1"], true);
    // An environment of each, and one that lacks its cuBLAS.
    for (prefix, cublas) in [("cu12", "libcublas.so.12"), ("cu13", "libcublas.so.13")] {
        install(&place, &format!("{prefix}/lib"), &[CUDNN, cublas], true);
    }
    install(&place, "part-cu13/lib", &[CUDNN], true);
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let found = |first: &str, second: &str, driver: &str| {
        let variables = [
            ("LD_LIBRARY_PATH", path("driver")),
            ("CONDA_PREFIX", path(first)),
            ("CUDA_HOME", path(second)),
        ];
        let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
        found(&place, &variables, &[("DRIVER", driver)])
    };
    // The first of the two that is whole and that the driver knows.
    insta::assert_snapshot!(found("cu13", "cu12", "13000"), @r#"
    cuDNN (libcudnn.so.9): 9.1.0 for CUDA 13, cu13/lib/libcudnn.so.9
    cuBLAS (libcublas.so.13): 13.4.5, cu13/lib/libcublas.so.13
    "#);
    insta::assert_snapshot!(found("cu13", "cu12", "12040"), @r#"
    cuDNN (libcudnn.so.9): 9.1.0 for CUDA 12, cu12/lib/libcudnn.so.9
    cuBLAS (libcublas.so.12): 12.4.5, cu12/lib/libcublas.so.12
    "#);
    insta::assert_snapshot!(found("part-cu13", "cu12", "13000"), @r#"
    cuDNN (libcudnn.so.9): 9.1.0 for CUDA 12, cu12/lib/libcudnn.so.9
    cuBLAS (libcublas.so.12): 12.4.5, cu12/lib/libcublas.so.12
    "#);
    // Nothing that goes together.
    insta::assert_snapshot!(found("part-cu13", "none", "13000"), @r#"
    cuDNN (libcudnn.so.9): 9.1.0 for CUDA 13, part-cu13/lib/libcudnn.so.9
    cuBLAS (libcublas.so.13): missing
    install cuBLAS 13: `pip install "nvidia-cublas<14"` in the Python environment that is active, or the package libcublas-13-0 of NVIDIA's repositories
    "#);
    insta::assert_snapshot!(found("cu13", "none", "12040"), @r#"
    cuDNN (libcudnn.so.9): 9.1.0 for CUDA 13, cu13/lib/libcudnn.so.9
    9.1.0 for CUDA 13 is here, cu13/lib/libcudnn.so.9; the driver knows CUDA 12.4; install cuDNN 9 for CUDA 12: `pip install nvidia-cudnn-cu12` in the Python environment that is active, or the package cudnn9-cuda-12 of NVIDIA's repositories
    cuBLAS (libcublas.so.13): 13.4.5, cu13/lib/libcublas.so.13
    "#);
}

#[test]
fn stubs_are_passed_over() {
    let place = Workplace::new();
    install(&place, "named", &["libcuda.so.1", CUDNN], false);
    install(&place, "cuda/lib64/stubs", &["libcublas.so.12", "libcuda.so"], true);
    let stubs = place.path("cuda/lib64/stubs");
    let link = place.path("named/libcublas.so.12");
    std::os::unix::fs::symlink(stubs.join("libcublas.so.12"), link).unwrap();
    install(&place, "env/lib", &["libcublas.so.12"], false);
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let variables = [("LD_LIBRARY_PATH", &*path("named")), ("CONDA_PREFIX", &path("env"))];
    let said = found(&place, &variables, &[]);
    assert!(said.contains("cuBLAS (libcublas.so.12): 12.4.5"), "{said}");
    let passed = "passed over: cuda/lib64/stubs/libcublas.so.12, a stub to link programs with";
    assert!(said.contains(passed), "{said}");
    let done = run_with(&place, &variables, &[], "tiny.toml --device cuda --set train.epochs=1");
    assert_eq!(done.code, Some(0), "{}", done.stderr);

    // A stub of the driver, in whichever order the folders are named.
    let [stubs, named] = ["cuda/lib64/stubs", "named"].map(path);
    let train = |listed: &str| {
        let variables = [("LD_LIBRARY_PATH", listed), variables[1]];
        run_with(&place, &variables, &[], "tiny.toml --device cuda --set train.epochs=1")
    };
    for listed in [format!("{stubs}:{named}"), format!("{named}:{stubs}")] {
        let done = train(&listed);
        assert_eq!(done.code, Some(0), "{listed}: {}", done.stderr);
    }
    let done = train(&stubs);
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(
        done.stderr.contains("the NVIDIA driver (libcuda.so.1) is not available"),
        "{}",
        done.stderr
    );
}
