//! The program as its users meet it: arguments in; files, streams and exit codes out.

mod averaging;
mod best;
mod configs;
mod cuda;
mod cuda_ranks;
mod errors;
mod eval;
mod extract;
mod find_lr;
mod finetune;
mod image_folder;
mod localisation;
mod memory;
mod names;
mod output;
mod pack;
mod predict;
mod pretrained;
mod processes;
mod profile;
mod ranks;
mod readme;
mod recipe;
mod report;
mod resume;
mod runs;
mod shell;
mod splits;
mod tensorboard;
mod training;
mod watch;
mod weights;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A network and a data set of which an epoch takes a fraction of a second: four steps, the last
/// of them short.
const TINY: &str = r#"
[model]
width = 0.0625
image_size = 32
fc_width = 16
[data]
dataset = "fashion-mnist-sample"
train_limit = 60
test_limit = 30
[train]
epochs = 2
batch_size = 16
[optimizer]
lr = 0.01
momentum = 0.9
[device]
kind = "cpu"
"#;

/// Variables that change what the program prints.
const OTHERS: [&str; 3] = ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"];

/// A folder to run the program in, with `tiny.toml` in it.
struct Workplace {
    folder: TempDir,
}

/// How a run of the program ended.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program with these arguments, separated by spaces, in this folder.
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vgg-train"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        // Nothing of the developer's own settings.
        for (name, _) in std::env::vars() {
            if name.starts_with("VGG_") || OTHERS.contains(&&*name) {
                command.env_remove(name);
            }
        }
        command
    }

    /// As [`Workplace::command`], after what a shell does to itself: limits, ignored signals.
    #[cfg(unix)]
    fn command_after(&self, setup: &str, arguments: &str) -> Command {
        let program = self.command(arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{setup}; exec \"$0\" \"$@\"")]);
        shell.arg(program.get_program()).args(program.get_args());
        shell.current_dir(self.folder.path());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    }

    fn run(&self, arguments: &str) -> Done {
        Done::of(self.command(arguments).output().unwrap())
    }

    /// Runs the program, which must succeed.
    fn ok(&self, arguments: &str) -> Done {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{arguments}\n{}", done.stderr);
        done
    }

    fn spawn(&self, arguments: &str) -> Child {
        self.command(arguments).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// Whether this process ignores a signal, as then do those that it starts: under `nohup`, or in the
/// background of a script.
#[cfg(unix)]
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// A process that does not outlive a test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Exit code and standard error of a run that must print nothing, as one text.
fn failure(place: &Workplace, arguments: &str) -> String {
    let done = place.run(arguments);
    assert_eq!(done.stdout, "", "{arguments}");
    let folder = place.folder.path().display().to_string();
    format!("{}\n{}", done.code.unwrap(), done.stderr.replace(&folder, "FOLDER"))
}

/// An image file.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vgg-data/sample/ankle_boot.png")
}

fn sha256(path: &Path) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(std::fs::read(path).unwrap()).to_vec()
}

/// The lines of a `metrics.jsonl`, without what depends on time and on who trains.
fn metrics_without_times(text: &str) -> Vec<serde_json::Value> {
    let without_times = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        for time in ["images_per_second", "wait_share", "seconds"] {
            record.as_object_mut().unwrap().remove(time);
        }
        record
    };
    let records = text.lines().map(without_times);
    records.filter(|record| record["kind"] != "process").collect()
}
